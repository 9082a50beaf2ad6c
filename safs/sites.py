"""Activation sites: every *call* of an activation function in the forward pass, and the gates left out."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.fx import Graph

from safs.calls import GATING, Call, NodeCall, PythonCall, calls_of_a_run, calls_without_an_example
from safs.graph_sites import graph_sites
from safs.parts import Parts, find_parts
from safs.random_states import kept_random_states
from safs.rebuilding import rebuild
from safs.recognition import FIXED, Recognised
from safs.tracing import check_tensors
from safs.transformer_layers import with_activation_modules
from safs.wrappers import unwrap, with_plain_wrappers
from spaces.activation import Activation
from spaces.errors import SafsError, brief

_WRITTEN_OUT = "it is part of an activation that is written out"


@dataclass(frozen=True)
class Site:
    """One call of an activation function.

    Attributes:
        name: path of the module (or of the caller, for a function), with `#k` for the k-th call of several.
        operator: the unary operator that the network has there.
        constants: that operator's constants where they differ from the table's.
        shape: the shape of its output for one example, or None if the input's shape was not given.
        channel_dim: which dimension of the output, counting the batch as 0, holds the channels.
        node: a name of its own for the call: that of the graph's node, or path and number for a module's call.
        part: the path of the module whose graph has the node ("" for the network), or of the module that is called.
        call: which call of the module it is, counted from 0; None for a node of a graph.
        overwritten: whether code that is kept whole overwrites its output.
    """

    name: str
    operator: str
    constants: Mapping[str, Any]
    shape: tuple[int, ...] | None
    channel_dim: int
    node: str
    part: str = ""
    call: int | None = None
    overwritten: bool = False

    @property
    def channels(self) -> int | None:
        """The number of channels, or None if the shape is not known or has none."""
        if not self.shape:
            return None
        return self.shape[self.channel_dim - 1 if self.channel_dim > 0 else self.channel_dim]


@dataclass(frozen=True)
class Gate:
    """A sigmoid that multiplies another tensor (squeeze-and-excitation): left as it is."""

    name: str
    operator: str


@dataclass(frozen=True)
class FixedCall:
    """A call of an activation function that cannot be replaced, most often in a module kept whole, and why."""

    name: str
    operator: str
    reason: str


@dataclass(frozen=True)
class Sites:
    """What was found in a network: its activation sites and gates in forward order.

    Attributes:
        fixed: the calls of activation functions that cannot be replaced, as far as a run of an example shows them.
        counts: how often each module that has sites by its calls is called.
        parts: the graphs of what is traced, and the modules that are kept whole.
    """

    sites: tuple[Site, ...]
    gates: tuple[Gate, ...]
    fixed: tuple[FixedCall, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    parts: Parts = field(repr=False, compare=False, kw_only=True)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sites in forward order."""
        return tuple(site.name for site in self.sites)

    @property
    def original(self) -> tuple[str, ...]:
        """The assignment that the network came with."""
        return tuple(site.operator for site in self.sites)

    @property
    def traced(self) -> str:
        """How they were found: "fx", by symbolic tracing, or "leaves", with modules kept whole that it cannot trace."""
        return "leaves" if self.parts.kept else "fx"

    @property
    def graph(self) -> Graph | None:
        """The graph of the network, or None if it is kept whole."""
        return self.parts.graphs.get("")

    @property
    def code(self) -> str:
        """What the network computes, as text: its graphs, and the names of what is kept whole."""
        graphs = "\n".join(str(graph) for graph in self.parts.graphs.values())
        return graphs if self.traced == "fx" else f"{graphs}\n{sorted(self.parts.kept)}\n{self.names}"


def find_sites(model: nn.Module, input_shape: tuple[int, ...] | None = None) -> Sites:
    """Return the activation sites of a network, in forward order.

    What torch.fx cannot trace is kept whole, and its activation modules are sites by their calls. How often each is
    called, and whether it is a gate, a run of an example shows; without one, each counts as called once, and sigmoids
    as gates.

    Args:
        model: any network; it is not changed.
        input_shape: the shape of one example, such as (3, 32, 32); needed for the sites' shapes.

    Raises:
        SafsError: if the network does not take input of that shape, cannot be copied, is wrapped, or has been given
            other activations before.
    """
    if any(isinstance(module, Activation) for module in model.modules()):
        raise SafsError(f"{type(model).__name__} has SAFS's activations already; start from the network before that.")
    if unwrap(model) is not model:
        raise SafsError(f"The network is wrapped in {type(model).__name__}; give the network itself, inside of it.")
    check_tensors(model)
    tensors = (*model.parameters(), *model.buffers())
    copied = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    prepared = with_activation_modules(with_plain_wrappers(copied))
    parts = find_parts(prepared)
    if input_shape is None:
        parts = parts.without(parts.inner)
        return _sites(prepared, parts, calls_without_an_example(prepared, parts))
    parts, calls = _calls(prepared, parts, input_shape)
    return _sites(prepared, parts, calls)


def _calls(model: nn.Module, parts: Parts, input_shape: tuple[int, ...]) -> tuple[Parts, list[Call]]:
    """Return the calls of a run, and the parts without the inner graphs that are no substitute for their modules.

    Python code may call a module several times, and use more of it than its graph has.
    """
    try:
        calls = _run(model, parts, input_shape)
    except SafsError:
        _run(model, parts.without(parts.inner), input_shape)  # if this fails too, no graph is to blame
        return _calls(model, parts.without(_failing(model, parts, input_shape) or parts.inner), input_shape)
    repeated = {part for (part, _), times in _node_calls(calls).items() if part and times > 1}
    return _calls(model, parts.without(repeated), input_shape) if repeated else (parts, calls)


def _node_calls(calls: list[Call]) -> Counter[tuple[str, str]]:
    return Counter((call.part, call.node) for call in calls if isinstance(call, NodeCall))


def _failing(model: nn.Module, parts: Parts, input_shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the inner graphs with each of which alone a run fails, by halves; none if a run does not fail."""
    try:
        _run(model, parts, input_shape)
    except SafsError:
        inner = parts.inner
        middle = len(inner) // 2
        if not middle:
            return inner
        return tuple(
            path
            for half in (inner[:middle], inner[middle:])
            for path in _failing(model, parts.without(half), input_shape)
        )
    return ()


def _run(model: nn.Module, parts: Parts, input_shape: tuple[int, ...]) -> list[Call]:
    """Return the calls that one pass of two blank examples makes."""
    parameter = next(model.parameters(), torch.zeros(()))
    example = torch.zeros(2, *input_shape, dtype=parameter.dtype, device=parameter.device)
    network = rebuild(model, {path: copy.deepcopy(graph) for path, graph in parts.graphs.items()}).eval()
    try:
        with kept_random_states():
            return calls_of_a_run(network, parts, example)
    except Exception as error:  # whatever a forward pass may raise for input of the wrong shape
        reason = brief(error)
        raise SafsError(
            f"{type(model).__name__} does not take input of shape {tuple(input_shape)}: {reason}"
        ) from error


@dataclass(frozen=True)
class _Found:
    """A call that is a site, a gate or fixed, before it has a name of its own."""

    base: str
    recognised: Recognised
    shape: tuple[int, ...] | None
    channel_dim: int
    node: str
    part: str
    call: int | None
    overwritten: bool
    gate: bool
    reason: str | None


def _sites(model: nn.Module, parts: Parts, calls: list[Call]) -> Sites:
    found, counts = _found(model, parts, calls)
    sites = [one for one in found if not one.gate and not one.reason]
    gates = [one for one in found if one.gate]
    fixed = [one for one in found if one.reason and not one.gate]
    return Sites(
        sites=tuple(
            Site(
                name=name,
                operator=one.recognised.operator,
                constants=one.recognised.constants,
                shape=one.shape,
                channel_dim=one.channel_dim,
                node=one.node,
                part=one.part,
                call=one.call,
                overwritten=one.overwritten,
            )
            for name, one in zip(_names(sites), sites, strict=True)
        ),
        gates=tuple(Gate(name, one.recognised.operator) for name, one in zip(_names(gates), gates, strict=True)),
        fixed=tuple(
            FixedCall(name, one.recognised.operator, str(one.reason))
            for name, one in zip(_names(fixed), fixed, strict=True)
        ),
        counts=dict(counts),
        parts=parts,
    )


def _found(model: nn.Module, parts: Parts, calls: list[Call]) -> tuple[list[_Found], Counter[str]]:
    """Return the calls that matter, in forward order, and how often each module that Python code calls is called."""
    known = {
        path: graph_sites(graph, dict(model.get_submodule(path).named_modules()))
        for path, graph in parts.graphs.items()
    }
    found = []
    counts = Counter[str]()
    for call in calls:
        if isinstance(call, PythonCall):
            number = counts[call.path] if call.function is None else None
            if number is not None:
                counts[call.path] += 1
            found.append(_python_call(call, number))
        elif call.node in known[call.part]:
            site = known[call.part][call.node]
            gate = site.gate or call.multiplies
            recognised = Recognised(site.gating) if gate and site.gating else site.recognised
            reason = _WRITTEN_OUT if call.written_out else FIXED.get(recognised.operator)
            within = f"{call.part}." if call.part else ""
            node = f"{call.part}:{call.node}" if call.part else call.node
            found.append(
                _Found(
                    within + site.name, recognised, call.shape, site.channel_dim, node, call.part, None,
                    call.overwritten, gate, reason,
                )
            )  # fmt: skip
    return found, counts


def _python_call(call: PythonCall, number: int | None) -> _Found:
    unknown = call.shape is None and call.recognised.operator in GATING
    gate = call.recognised.operator == "glu" or call.multiplies or unknown
    recognised = Recognised("hardsigmoid") if gate and call.recognised.operator == "relu6" else call.recognised
    reason = FIXED.get(recognised.operator)
    if call.function is not None:
        reason = "it is a function"
    elif call.written_out:
        reason = _WRITTEN_OUT
    elif call.input_is_read:
        reason = "it overwrites its input, which is read again"
    base = f"{call.path}.{call.function}" if call.function and call.path else call.function or call.path
    return _Found(
        base, recognised, call.shape, call.channel_dim, f"{call.path}#{number}", call.path, number,
        call.overwritten, gate, reason,
    )  # fmt: skip


def _names(found: list[_Found]) -> list[str]:
    """Return a name for each call: its module's path, numbered from 1 where it is called several times."""
    total, seen = Counter(one.base for one in found), Counter[str]()
    names = []
    for one in found:
        seen[one.base] += 1
        names.append(f"{one.base}#{seen[one.base]}" if total[one.base] > 1 else one.base)
    return names
