"""SynFlow: remove the weights that carry least synaptic flow, without any data (Tanaka et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from safs.connectivity import drop_normalisations, drop_probabilities
from safs.masks import Mask, prunable_weights
from safs.pruning.method import Given, PruningMethod, check_count
from safs.pruning.selection import exponential_counts, narrow, removed_count
from safs.recognition import recognise
from safs.sites import find_sites
from safs.surgery import replace_sites
from spaces.errors import SafsError, brief


@dataclass(frozen=True)
class SynFlow(PruningMethod):
    """Score a weight by its synaptic flow |w|·∂R/∂|w| in rounds, over all layers (Tanaka et al. 2020, Algorithm 1).

    R = 1ᵀ·|W_L|·…·|W_1|·1 (their Equation 2) is the sum of the logits for an image of ones. After round k of n a
    share (1 − ratio)^(k/n) of the weights is left. All of it is computed in double precision, in evaluation mode, on
    the CPU, where it is the same again when a study is resumed.

    R is linear in each layer's weights, and so is the network that computes it here: every activation is the
    identity (which is what ReLU does to positive numbers, while sigmoid and tanh would saturate), biases are zero,
    batch norm only multiplies by |γ|/√(σ² + ε) (in a network as initialised, what the paper's evaluation mode does
    to it), and other normalisations do nothing. A gate (squeeze-and-excitation) is open, and the flow
    of what it multiplies is shared among the weights that open it, so that they add up to the flow as every other
    layer does.

    Attributes:
        rounds: n.
    """

    rounds: int = 100

    needs: ClassVar[tuple[str, ...]] = ("input_shape",)

    def __post_init__(self) -> None:
        check_count("rounds", self.rounds, 1)

    def mask(self, model: nn.Module, ratio: float, scope: str | None, given: Given) -> Mask:
        assert given.input_shape is not None, "a method gets what it needs"
        flow = SynapticFlow(model, given.input_shape)
        mask = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in flow.magnitudes.items()}
        if not any(bool(score.any()) for score in flow.scores(mask).values()):
            raise SafsError(
                f"{type(model).__name__} has no flow from its input to its logits: no path is without zeros."
            )
        total = sum(kept.numel() for kept in mask.values())
        for kept in exponential_counts(total, total - removed_count(ratio, total), self.rounds):
            mask = narrow(mask, flow.scores(mask), kept)
        return mask


class SynapticFlow:
    """The linear network that R is computed by.

    Args:
        model: the network; it is not changed.
        input_shape: the shape of one example.

    Raises:
        SafsError: if the network cannot be traced or run.
    """

    def __init__(self, model: nn.Module, input_shape: tuple[int, ...]) -> None:
        sites = find_sites(model, input_shape)
        self._network = replace_sites(model, sites, {site.node: nn.Identity() for site in sites}).cpu().double().eval()
        drop_probabilities(self._network)
        drop_normalisations(self._network, keep_batch_norm=True)
        self._gates = _open_gates(self._network)
        _make_positive(self._network)
        names = dict(self._network.named_parameters(remove_duplicate=False))
        self._weights = {name: names[name].requires_grad_() for name in prunable_weights(model)}
        self.magnitudes = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._ones = torch.ones(1, *input_shape, dtype=torch.float64)

    def scores(self, mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return |w|·∂R/∂|w| of every weight of the masked network."""
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(self.magnitudes[name] * mask[name])
        flow = self._run()
        openings = [gate.opening for gate in self._gates]
        found = torch.autograd.grad(
            flow, [*self._weights.values(), *openings], allow_unused=True, retain_graph=bool(openings)
        )
        gradients: dict[str, Tensor | None] = dict(zip(self._weights, found, strict=False))
        passed = [torch.zeros(()) if part is None else part for part in found[len(gradients) :]]
        gradients |= self._gate_gradients([name for name, part in gradients.items() if part is None], passed)
        return {
            name: torch.zeros_like(weight) if (part := gradients[name]) is None else weight.detach() * part.abs()
            for name, weight in self._weights.items()
        }

    def _run(self) -> Tensor:
        try:
            logits = self._network(self._ones)
            flow: Tensor = logits.sum()
        except Exception as error:  # whatever a forward pass may raise in double precision
            reason = brief(error)
            raise SafsError(f"synflow cannot run {type(self._network).__name__} on ones ({reason}).") from error
        return flow

    def _gate_gradients(self, names: list[str], passed: list[Tensor]) -> dict[str, Tensor | None]:
        """Return the gradients of the weights that only open gates, given the flow that passes each gate."""
        openers = [self._weights[name] for name in names]
        if not openers or not self._gates:
            return {}
        shared = sum((gate.share() * part).sum() for gate, part in zip(self._gates, passed, strict=True))
        assert isinstance(shared, Tensor)
        return dict(zip(names, torch.autograd.grad(shared, openers, allow_unused=True), strict=True))


class _OpenGate(nn.Module):
    """Lets all flow through, and remembers the flow that opens it."""

    opening: Tensor
    _opener: Tensor

    def forward(self, opener: Tensor) -> Tensor:
        self._opener = opener
        self.opening = torch.ones_like(opener).requires_grad_()
        return self.opening

    def share(self) -> Tensor:
        """Return ones whose derivatives are relative changes of the opening flow, and zero where nothing flows."""
        flows = self._opener.detach() > 0
        return torch.where(flows, self._opener, 0.0) / torch.where(flows, self._opener.detach(), 1.0)


def _open_gates(network: nn.Module) -> list[_OpenGate]:
    """Replace every activation that is still in a graph, which are the gates, in place."""
    gates = []
    for part in [module for module in network.modules() if isinstance(module, GraphModule)]:
        modules = dict(part.named_modules())
        for node in list(part.graph.nodes):
            if recognise(node, modules) is None:
                continue
            gates.append(_OpenGate())
            part.add_module(f"safs_gate{len(gates)}", gates[-1])
            with part.graph.inserting_before(node):
                call = part.graph.call_module(f"safs_gate{len(gates)}", (node.all_input_nodes[0],))
            node.replace_all_uses_with(call)
            part.graph.erase_node(node)
        part.recompile()
    return gates


@torch.no_grad()
def _make_positive(network: nn.Module) -> None:
    """Make every parameter its absolute value, and every bias and running mean zero, in place."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if name.endswith(("bias", "running_mean")):
            tensor.zero_()
        elif isinstance(tensor, nn.Parameter):
            tensor.requires_grad_(False).abs_()
