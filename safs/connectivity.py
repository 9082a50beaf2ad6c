"""What a mask leaves connected: which outputs still have a path of unpruned weights to the input.

At 99 % layer-wise sparsity a small network loses whole logits. A logit without a path is a constant, whatever
the activations are, and bounds the accuracy that any search can reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs.sites import Sites
from safs.surgery import replace_sites
from spaces.errors import SafsError

_NORMALISATIONS = (
    nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm
)  # fmt: skip
_PROBABILITIES = {F.softmax, F.log_softmax, torch.softmax, torch.log_softmax, "softmax", "log_softmax"}


@dataclass(frozen=True)
class LayerConnectivity:
    """How many outputs of a masked layer are connected to the input, and how many weights it keeps."""

    name: str
    outputs: int
    connected: int
    nonzero: int
    total: int


@dataclass(frozen=True)
class Connectivity:
    """The connectivity of a pruned network, layer by layer, and of its logits."""

    layers: tuple[LayerConnectivity, ...]
    logits: int
    connected_logits: int

    @property
    def ceiling(self) -> float:
        """The accuracy that no choice of activations can pass on balanced classes, between 0 and 1.

        Logits without a path are constants, so that all their classes together can be told from the others but
        not from each other: one of them can be answered.
        """
        if self.connected_logits == self.logits:
            return 1.0
        return (self.connected_logits + 1) / self.logits


def connectivity(
    model: nn.Module, mask: Mapping[str, Tensor], sites: Sites, input_shape: tuple[int, ...]
) -> Connectivity:
    """Return which outputs of each masked layer, and which logits, are connected to the input.

    The network is run once on ones with the masks as its weights, no biases, and a step at every site: whatever
    comes out above zero has a path.

    Args:
        model: the network; it is not changed.
        mask: its mask.
        sites: its activation sites.
        input_shape: the shape of one example.

    Raises:
        SafsError: if the network does not return one tensor of logits [batch, classes].
    """
    network = _with_steps(model, sites)
    _drop_probabilities(network)
    _set_to_paths(network, mask)
    seen: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda m, _, out, name=name: seen.__setitem__(name, _connected(m, out)))
        for name, module in network.named_modules()
        if f"{name}.weight" in mask
    ]
    with torch.no_grad():
        logits = network(torch.ones(1, *input_shape, dtype=torch.float64))
    for hook in hooks:
        hook.remove()
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise SafsError(f"{type(model).__name__} must return one tensor of logits [batch, classes].")
    layers = tuple(
        LayerConnectivity(
            name=name.removesuffix(".weight"),
            outputs=len(seen[name.removesuffix(".weight")]),
            connected=int(seen[name.removesuffix(".weight")].sum()),
            nonzero=int(kept.sum()),
            total=kept.numel(),
        )
        for name, kept in mask.items()
        if name.removesuffix(".weight") in seen
    )
    return Connectivity(layers=layers, logits=logits.shape[1], connected_logits=int((logits[0] > 0).sum()))


class _Step(nn.Module):
    """1 where a path arrives, else 0: keeps the scale of any depth of layers."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).to(x)


def _with_steps(model: nn.Module, sites: Sites) -> torch.fx.GraphModule:
    network = replace_sites(model, sites, {site.node: _Step() for site in sites})
    network.double().cpu().eval()
    return network


def _drop_probabilities(network: torch.fx.GraphModule) -> None:
    """Let a network that ends in a (log-)softmax, which mixes all logits, return its logits, in place."""
    (output,) = (node for node in network.graph.nodes if node.op == "output")
    for node in output.all_input_nodes:
        module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Softmax | nn.LogSoftmax) or node.target in _PROBABILITIES:
            node.replace_all_uses_with(node.all_input_nodes[0])
            network.graph.erase_node(node)
    network.recompile()


def _set_to_paths(network: nn.Module, mask: Mapping[str, Tensor]) -> None:
    """Make every weight 1 where it is kept, every shift 0, every normalisation the identity, in place."""
    for name, module in list(network.named_modules()):
        if isinstance(module, _NORMALISATIONS):
            network.set_submodule(name, nn.Identity())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
        shared = dict(network.named_parameters(remove_duplicate=False))
        for name, kept in mask.items():
            shared[name].copy_(kept)


def _connected(module: nn.Module, output: Tensor) -> Tensor:
    """Return for each output channel of a layer whether any of its values is above zero."""
    if isinstance(module, nn.Linear):
        return (output.reshape(-1, output.shape[-1]) > 0).any(0)
    return (output[0].flatten(1) > 0).any(1)
