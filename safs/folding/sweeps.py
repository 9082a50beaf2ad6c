"""Where a factor can go: forward into the layers that read a tensor, or back into the layers that make it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from safs.folding.calls import (
    CONCATENATIONS,
    MEANS,
    MOVES,
    PRODUCTS,
    QUOTIENTS,
    Calls,
    passes_unchanged,
    why_not,
)
from safs.folding.factors import NotExactError, compressed, joined, moved, moved_back, parted
from safs.folding.layers import Edit, is_layer, scale_input, scale_output


def into_readers(calls: Calls, start: Node, factor: Tensor) -> list[Edit]:
    """Return the edits after which all that reads a node computes from x what it computed from `factor` times x.

    Raises:
        NotExactError: if a reader cannot take the factor, nor pass it on to layers that can.
    """
    scaled: dict[Node, Any] = {start: factor}
    edits: list[Edit] = []
    node = start.next
    while node.op != "root":
        sources = [source for source in node.all_input_nodes if source in scaled]
        if sources and not calls.reads_shape(node):
            module = calls.module(node)
            if module is not None and is_layer(module) and node.all_input_nodes == list(node.args):
                edits += scale_input(node, module, scaled[sources[0]])
            else:
                scaled[node] = _passed_on(calls, node, sources, scaled)
                _check_overwritten(calls, node, scaled)
        node = node.next
    return edits


def _check_overwritten(calls: Calls, node: Node, scaled: dict[Node, Any]) -> None:
    """Refuse a call that writes a factor into a tensor that had another one, or none, and is read again."""
    for target in calls.overwritten[node]:
        had_it = target in scaled and torch.equal(scaled[target], scaled[node])
        if not had_it and calls.is_read_after(target, node):
            raise NotExactError(f"its output enters {calls.label(node)}, which overwrites a tensor that is read again")


def _passed_on(calls: Calls, node: Node, sources: list[Node], scaled: dict[Node, Any]) -> Any:
    """Return the factor of a call's output (a list of factors for several outputs) from those of its inputs."""
    kind, factor = calls.kind(node), scaled[sources[0]]
    _check_no_out(calls, node, entered=True)
    if isinstance(factor, list):  # what `chunk` or `split` made
        if kind in MOVES and len(node.args) == 2 and isinstance(node.args[1], int):
            return factor[node.args[1]]
        raise NotExactError(why_not(calls, node, entered=True))
    if kind in CONCATENATIONS:
        parts, dim = _parts(calls, node)
        one = factor.new_ones([1] * factor.ndim)
        factors = [scaled.get(part, one) for part in parts]
        return joined(factors, [calls.shape(part) for part in parts], dim)
    if kind in PRODUCTS and len(node.args) == 2 and not node.kwargs:
        product = factor.new_ones(())
        for operand in node.args:
            product = product * (scaled.get(operand, 1.0) if isinstance(operand, Node) else 1.0)
        return _as_wide(product, len(calls.shape(node)))
    if kind in QUOTIENTS and len(node.args) == 2 and not node.kwargs and node.args[1] not in scaled:
        return _as_wide(factor, len(calls.shape(node)))
    if len(sources) == 1 and kind in MEANS:
        return _reduced(calls, node, factor)
    if len(sources) == 1 and kind in MOVES:
        return _moved_on(calls, node, sources[0], factor)
    if len(sources) == 1 and passes_unchanged(calls, node, factor):
        return factor
    raise NotExactError(why_not(calls, node, entered=True))


def _check_no_out(calls: Calls, node: Node, entered: bool) -> None:
    """Refuse a call that is given the tensor to write its result to."""
    if "out" in node.kwargs:
        raise NotExactError(why_not(calls, node, entered))


def _parts(calls: Calls, node: Node) -> tuple[list[Node], int]:
    """Return what a concatenation joins, and along which dimension."""
    given = dict(zip(("tensors", "dim"), node.args, strict=False)) | dict(node.kwargs)
    parts, dim = given.get("tensors"), given.get("dim", 0)
    if not isinstance(parts, list | tuple) or not isinstance(dim, int) or "axis" in given:
        raise NotExactError(f"the parts of {calls.label(node)} are not known")
    return [part for part in parts if isinstance(part, Node)], dim % len(calls.shape(node))


def _as_wide(factor: Tensor, ndim: int) -> Tensor:
    return factor.reshape([1] * (ndim - factor.ndim) + list(factor.shape))


def _reduced(calls: Calls, node: Node, factor: Tensor) -> Tensor:
    """Return the factor of a mean or sum over dimensions in which its input's factor is constant."""
    given = dict(zip(("dim", "keepdim"), node.args[1:], strict=False)) | dict(node.kwargs)
    dim = given.get("dim")
    dims: tuple[Any, ...] = tuple(dim) if isinstance(dim, list | tuple) else (dim,)
    if any(not isinstance(dim, int) or factor.shape[dim] != 1 for dim in dims):
        raise NotExactError(f"it differs within what {calls.label(node)} averages")
    return factor if given.get("keepdim", False) else factor.squeeze(dims)


def _moved_on(calls: Calls, node: Node, source: Node, factor: Tensor) -> Any:
    shapes = calls.values[node]
    if isinstance(shapes, list):
        results = calls.rerun(node, source)(factor.expand(calls.shape(source)))
        return [compressed(result) for result in results]
    if factor.numel() == 1:
        return factor.reshape([1] * len(calls.shape(node)))
    return moved(calls.rerun(node, source), factor, calls.shape(source))


def into_makers(calls: Calls, start: Node, factor: Tensor) -> list[Edit]:
    """Return the edits after which a node's tensor is `factor` times what it was.

    Raises:
        NotExactError: if what makes it cannot take the factor, or something else reads what would change.
    """
    wanted = {start: factor}
    edits: list[Edit] = []
    node = start
    while wanted:
        if node in wanted:
            _check_one_reader(calls, node)
            factor = wanted.pop(node)
            module = calls.module(node)
            if module is not None and is_layer(module):
                edits += scale_output(node, module, factor)
            else:
                wanted |= _asked_of_inputs(calls, node, factor)
        node = node.prev
    return edits


def _check_one_reader(calls: Calls, node: Node) -> None:
    readers = calls.readers(node)
    uses = [argument for reader in readers for argument in _arguments(reader) if argument is node]
    if len(readers) != 1 or len(uses) != 1:
        labels = " and ".join(calls.label(reader) for reader in readers[:2])
        raise NotExactError(f"its input, of {calls.label(node)}, is read more than once ({labels})")


def _arguments(node: Node) -> list[Node]:
    """Return the nodes among the arguments of a call, those in lists included."""
    found: list[Node] = []

    def note(argument: Node) -> Node:
        found.append(argument)
        return argument

    map_arg((node.args, node.kwargs), note)
    return found


def _asked_of_inputs(calls: Calls, node: Node, factor: Tensor) -> dict[Node, Tensor]:
    """Return the factor that each of a call's inputs needs for its output to have this one."""
    kind = calls.kind(node)
    _check_no_out(calls, node, entered=False)
    if kind in CONCATENATIONS:
        parts, dim = _parts(calls, node)
        return dict(zip(parts, parted(factor, [calls.shape(part) for part in parts], dim), strict=True))
    tensors = [source for source in node.all_input_nodes if calls.makes_tensors(source)]
    if len(tensors) == 1:
        (source,) = tensors
        if kind in MOVES:
            shape, out = calls.shape(source), calls.shape(node)
            if factor.numel() == 1:
                return {source: factor.reshape([1] * len(shape))}
            return {source: moved_back(calls.rerun(node, source), factor, shape, out)}
        if passes_unchanged(calls, node, factor):
            return {source: factor}
    raise NotExactError(why_not(calls, node, entered=False))
