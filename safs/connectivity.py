"""What a mask leaves connected: which outputs still have a path of unpruned weights to the input.

At 99 % layer-wise sparsity a small network loses whole logits. A logit without a path is a constant, whatever
the activations are, and bounds the accuracy that any search can reach.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx import GraphModule
from torch.nn.attention import SDPBackend, sdpa_kernel

from safs.sites import Sites
from safs.surgery import replace_sites
from spaces.errors import SafsError, brief

_NORMALISATIONS = (
    nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm
)  # fmt: skip
_FUNCTIONAL_NORMALISATIONS = {
    F.batch_norm, F.group_norm, F.instance_norm, F.layer_norm, F.rms_norm, F.local_response_norm, torch.layer_norm,
    torch.group_norm, torch.batch_norm,
}  # fmt: skip
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

    The network is run once, with positive random weights where the mask keeps them, on random input with a random
    direction: an output whose derivative along it is not zero has a path. Sites and masked layers pass on only
    where the derivative is not zero, so that no depth of layers makes it vanish or overflow.

    Args:
        model: the network; it is not changed.
        mask: its mask.
        sites: its activation sites.
        input_shape: the shape of one example.

    Raises:
        SafsError: if the network does not return one tensor of logits [batch, classes], or cannot be run like this.
    """
    try:
        return _connectivity(model, mask, sites, input_shape)
    except SafsError:
        raise
    except Exception as error:  # whatever a forward pass may raise, operations without a forward derivative too
        reason = brief(error)
        raise SafsError(f"{type(model).__name__} cannot be differentiated in forward mode ({reason}).") from error


def _connectivity(
    model: nn.Module, mask: Mapping[str, Tensor], sites: Sites, input_shape: tuple[int, ...]
) -> Connectivity:
    generator = torch.Generator().manual_seed(0)
    network = replace_sites(model, sites, {site.node: _Step(generator) for site in sites}).cpu().eval()
    drop_probabilities(network)
    drop_normalisations(network)
    _set_weights(network, mask, generator)
    seen: dict[str, Tensor] = {}
    step = _Step(generator)

    def note(name: str, module: nn.Module, output: Tensor) -> Tensor:
        connected = _connected(module, _paths(output))
        seen[name] = seen[name] | connected if name in seen else connected
        return step.forward(output)

    for name, module in network.named_modules():
        if f"{name}.weight" in mask:
            module.register_forward_hook(lambda m, _, output, name=name: note(name, m, output))
    with warnings.catch_warnings(), torch.enable_grad(), forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
        # PyTorch loads its forward derivatives through its own deprecated torch.jit.script.
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=DeprecationWarning)
        logits = network(_example(network, input_shape, generator))
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise SafsError(f"{type(model).__name__} must return one tensor of logits [batch, classes].")
        connected_logits = int(_paths(logits).any(0).sum())
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
    return Connectivity(layers=layers, logits=logits.shape[1], connected_logits=connected_logits)


def _random(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return random numbers between ½ and 1."""
    return (0.5 + 0.5 * torch.rand(like.shape, generator=generator)).to(like.dtype)


def _paths(x: Tensor) -> Tensor:
    """Return where a tensor depends on the input: where its tangent is not zero."""
    tangent: Tensor | None = forward_ad.unpack_dual(x).tangent
    return tangent != 0 if tangent is not None else torch.zeros_like(x, dtype=torch.bool)


class _Step(nn.Module):
    """Passes on where a path arrives, and no magnitude: keeps the scale of any depth of layers.

    Values with a path are larger than those without: pooling by the maximum chooses them.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        paths = _paths(x).to(x.dtype)
        value = 0.5 * (paths + _random(x, self.generator))
        stepped: Tensor = forward_ad.make_dual(value, paths * _random(x, self.generator))
        return stepped


def _example(network: nn.Module, input_shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return two random examples, one up to 1 and one up to 255, with a random tangent."""
    parameter = next(network.parameters())
    blank = torch.zeros(2, *input_shape, dtype=parameter.dtype)
    scale = torch.tensor([1.0, 255.0], dtype=parameter.dtype).reshape(2, *[1] * len(input_shape))
    example: Tensor = forward_ad.make_dual(scale * _random(blank, generator), _random(blank, generator))
    return example


def drop_probabilities(network: nn.Module) -> None:
    """Let a network that ends in a (log-)softmax, which mixes all logits, return its logits, in place.

    One that is no graph keeps it, and all its logits count as connected if one is.
    """
    if not isinstance(network, GraphModule):
        return
    (output,) = (node for node in network.graph.nodes if node.op == "output")
    for node in output.all_input_nodes:
        module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Softmax | nn.LogSoftmax) or node.target in _PROBABILITIES:
            node.replace_all_uses_with(node.all_input_nodes[0])
            network.graph.erase_node(node)
    network.recompile()


def drop_normalisations(network: nn.Module, *, keep_batch_norm: bool = False) -> None:
    """Make every normalisation the identity, in place: its mean would connect what it normalises together.

    With `keep_batch_norm`, batch norm that has running statistics stays: in evaluation, it only scales and shifts.
    """
    for name, module in list(network.named_modules()):
        kept = keep_batch_norm and isinstance(module, nn.modules.batchnorm._BatchNorm)
        if isinstance(module, _NORMALISATIONS) and not (kept and module.running_mean is not None):
            network.set_submodule(name, nn.Identity())
    functions = _FUNCTIONAL_NORMALISATIONS - ({F.batch_norm, torch.batch_norm} if keep_batch_norm else set())
    for part in [module for module in network.modules() if isinstance(module, GraphModule)]:
        for node in list(part.graph.nodes):
            if node.op == "call_function" and node.target in functions:
                node.replace_all_uses_with(node.all_input_nodes[0])
                part.graph.erase_node(node)
        part.recompile()


def _set_weights(network: nn.Module, mask: Mapping[str, Tensor], generator: torch.Generator) -> None:
    """Make biases 0 and all other kept weights positive, random and of order 1 summed over a layer's inputs."""
    network.requires_grad_()  # else attention takes a fast path that has no forward derivative
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(_random(parameter, generator) / max(parameter[:1].numel(), 1))
            if name.endswith("bias"):
                parameter.zero_()
        shared = dict(network.named_parameters(remove_duplicate=False))
        for name, kept in ((name, kept.cpu()) for name, kept in mask.items()):
            fan_in = kept.flatten(1).sum(1).clamp(min=1).reshape(-1, *[1] * (kept.ndim - 1))
            shared[name].copy_(kept * _random(shared[name], generator) / fan_in)


def _connected(module: nn.Module, paths: Tensor) -> Tensor:
    """Return for each output channel of a layer whether any of its values has a path."""
    if isinstance(module, nn.Linear):
        return paths.flatten(0, -2).any(0)
    return paths.transpose(0, 1).flatten(1).any(1)
