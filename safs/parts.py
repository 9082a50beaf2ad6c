"""The parts of a network: what is traced to a graph, and what is kept whole and run as the Python code it is.

A network that torch.fx can trace is one graph. Where it cannot, the modules whose forward pass fails are kept whole:
within them activation modules are swapped one by one, and modules that call activation functions are traced by
themselves where that is possible.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import nn
from torch.fx import Graph

from safs.recognition import is_activation, recognise
from safs.tracing import TRANSFORMERS, trace
from safs.written_out import written_out
from spaces.errors import SafsError

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Parts:
    """The parts of a network.

    Attributes:
        graphs: the graphs of the modules that are traced, by their paths; that of the network itself is "".
        kept: the paths of the modules that are kept whole, and why.
        evaluated: the paths of the modules that do something else in training, and are taken as in evaluation.
    """

    graphs: Mapping[str, Graph]
    kept: Mapping[str, str]
    evaluated: tuple[str, ...] = ()

    @property
    def inner(self) -> tuple[str, ...]:
        """The paths of the graphs inside modules that are kept whole."""
        return tuple(path for path in self.graphs if path)

    def without(self, paths: Collection[str]) -> Parts:
        """Return the parts with the modules of some graphs left as they are."""
        return Parts(
            {path: graph for path, graph in self.graphs.items() if path not in paths},
            self.kept,
            tuple(path for path in self.evaluated if self._graph_of(path) not in paths),
        )

    def _graph_of(self, path: str) -> str:
        """Return the path of the innermost graph that a module is in."""
        return max((outer for outer in self.graphs if _is_within(path, outer)), key=len)


def find_parts(model: nn.Module) -> Parts:
    """Return the parts of a network; it is not changed."""
    finder = _Finder()
    finder.explore("", model)
    kept = {path: finder.kept[path] for path, _ in model.named_modules() if path in finder.kept}
    return Parts(finder.graphs, kept, tuple(finder.evaluated))


class _Finder:
    """Finds the parts of a network from the outside in."""

    def __init__(self) -> None:
        self.graphs: dict[str, Graph] = {}
        self.kept: dict[str, str] = {}
        self.evaluated: list[str] = []
        self._seen: set[nn.Module] = set()

    def explore(self, path: str, module: nn.Module) -> None:
        """Find the parts of a module that Python code may call."""
        foreign = type(module).__module__.startswith("torch.nn") and not isinstance(module, TRANSFORMERS)
        if path and type(module) in _CONTAINERS:  # code may iterate over it instead of calling it
            self._explore_within(path, module)
        elif module not in self._seen and not is_activation(module) and not (path and foreign):
            self._seen.add(module)
            self._trace(path, module)

    def _trace(self, path: str, module: nn.Module) -> None:
        try:
            traced = trace(module)
        except SafsError as error:
            self.kept[path] = str(error)
            self._explore_within(path, module)
            return
        self.kept |= {_join(path, name): reason for name, reason in traced.kept.items()}
        if path and not _needs_its_graph(traced.graph, module):
            self._explore_within(path, module)
            return
        self.graphs[path] = traced.graph
        self.evaluated += [_join(path, name) if name else path for name in traced.evaluated]
        for name in traced.kept:
            self._explore_within(_join(path, name), module.get_submodule(name))

    def _explore_within(self, path: str, module: nn.Module) -> None:
        for name, child in module.named_children():
            self.explore(_join(path, name), child)


def _is_within(path: str, outer: str) -> bool:
    return not outer or f"{path}.".startswith(f"{outer}.")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _needs_its_graph(graph: Graph, module: nn.Module) -> bool:
    """Return whether a module calls activation functions that are no modules: swapping modules does not reach them."""
    modules = dict(module.named_modules())
    return any(
        (node.op != "call_module" and recognise(node, modules) is not None) or written_out(node, modules) is not None
        for node in graph.nodes
    )
