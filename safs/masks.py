"""Masks: which weights of a network are pruned, and holding them at exactly zero (invariant 1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from safs.tracing import check_tensors
from spaces.errors import SafsError, shown

Mask = dict[str, Tensor]
"""A boolean tensor for each prunable weight, by its state-dict name; False weights are zero and stay zero."""

SMALLEST_ZERO_SHARE = 0.01
"""The share of zeros among the prunable weights from which on a network counts as pruned, where nobody says another."""

_PRUNABLE: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], tuple[str, ...]], ...] = (
    ((nn.Linear, nn.modules.conv._ConvNd), ("weight",)),
    (nn.MultiheadAttention, ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")),
)
"""Kinds of layers, and the names of their weights; what an attention projects its output by is a linear layer."""


def prunable_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights that pruning may remove, by state-dict name.

    These are the weights of linear and convolution layers, and the projections of `nn.MultiheadAttention`. A weight
    that several layers share stands there once, under the name of the first. A weight that a layer computes
    (`torch.nn.utils.parametrizations`) is no parameter, and left out.

    Raises:
        SafsError: if a layer holds a weight that was computed from others, such as one of `nn.utils.weight_norm`.
    """
    check_tensors(model)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    weights: dict[str, Tensor] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        for own in (own for kinds, names in _PRUNABLE if isinstance(module, kinds) for own in names):
            name = f"{path}.{own}" if path else own
            weight = parameters.get(name)
            if weight is not None and id(weight) not in seen:
                seen.add(id(weight))
                weights[name] = weight
    return weights


def check_mask(
    mask: Mapping[str, Tensor], model: nn.Module, origin: str = "The mask", *, rest: Mapping[str, Tensor] = {}
) -> Mask:
    """Return `mask` as boolean tensors, with one for every prunable weight.

    A mask of a weight that several layers share stands under the name that `prunable_weights` has for it.

    Args:
        mask: a tensor of 0 and 1 for each weight, by state-dict name.
        model: the network.
        origin: what errors are about.
        rest: the boolean masks of weights that `mask` does not name; a prunable one that neither names is kept whole.

    Raises:
        SafsError: if it names something that is no weight of the network, has another shape than its weight, or
            holds anything but 0 and 1.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    prunable = prunable_weights(model)
    first = {id(weight): name for name, weight in prunable.items()}
    checked: Mask = {}
    for name, tensor in mask.items():
        if name not in parameters:
            raise SafsError(f"{origin} holds {shown(name)}, which {type(model).__name__} does not have.")
        kept = as_mask(tensor, name, parameters[name].shape, origin)
        own = first.get(id(parameters[name]), name)
        checked[own] = kept & checked.get(own, kept)
    for name, kept in rest.items():
        checked.setdefault(name, kept)
    for name, weight in prunable.items():
        checked.setdefault(name, torch.ones(weight.shape, dtype=torch.bool))
    return {name: checked[name] for name in (*prunable, *(name for name in checked if name not in prunable))}


def as_mask(tensor: object, name: str, shape: tuple[int, ...], origin: str = "The mask") -> Tensor:
    """Return the mask of the weight `name`, a tensor of 0 and 1 of its shape, as booleans; SafsError if it is none."""
    if not isinstance(tensor, Tensor):
        raise SafsError(f"{origin}: the mask of {name!r} must be a tensor, but is a {type(tensor).__name__}.")
    if tensor.shape != shape:
        raise SafsError(
            f"{origin}: the mask of {name!r} must have its weight's shape {tuple(shape)}, "
            f"but has {tuple(tensor.shape)}."
        )
    if tensor.dtype is not torch.bool and not bool(((tensor == 0) | (tensor == 1)).all()):
        raise SafsError(f"{origin}: the mask of {name!r} must hold only 0 and 1.")
    return tensor.to(torch.bool)


def infer_mask(weights: Mapping[str, Tensor], smallest_share: float = SMALLEST_ZERO_SHARE) -> Mask | None:
    """Return the mask of weights that were pruned by setting them to zero, or None if they are dense.

    Args:
        weights: the prunable weights, in the type that they were saved in: a value that is zero only in a narrower one
            was not pruned.
        smallest_share: the share of zeros among all of them from which on they count as pruned.
    """
    mask = {name: weight.detach() != 0 for name, weight in weights.items()}
    return mask if mask and sparsity(mask) >= smallest_share else None


def pruned_elsewhere(model: nn.Module, state: Mapping[str, Tensor], smallest_share: float) -> dict[str, Tensor]:
    """Return what was pruned by setting it to zero though it is none of `prunable_weights`, by state-dict name.

    A layer of the user's own may hold its weights under any name. Those of at least two dimensions count whose own
    share of zeros is large enough; one that is all zeros (a token that nobody trained) does not.

    Args:
        model: the network.
        state: its state dict, in the types that it was saved in.
        smallest_share: the share of zeros from which on a tensor counts as pruned.
    """
    prunable = {id(weight) for weight in prunable_weights(model).values()}
    others = {name: state[name] for name, weight in model.named_parameters() if id(weight) not in prunable}
    return {
        name: tensor
        for name, tensor in others.items()
        if tensor.ndim > 1 and tensor.is_floating_point()
        if smallest_share <= (tensor.numel() - int(tensor.count_nonzero())) / max(tensor.numel(), 1) < 1
    }


def sparsity(mask: Mapping[str, Tensor]) -> float:
    """Return the share of masked weights among the prunable ones, between 0 and 1."""
    total = sum(tensor.numel() for tensor in mask.values())
    return (total - sum(int(tensor.sum()) for tensor in mask.values())) / total if total else 0.0


def apply_mask(model: nn.Module, mask: Mapping[str, Tensor]) -> None:
    """Set the masked weights of a network to zero, in place."""
    weights = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, kept in mask.items():
            weights[name].masked_fill_(~kept.to(weights[name].device), 0.0)


def violations(state: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the weights in a state dict that are not zero where the mask is False."""
    return [name for name, kept in mask.items() if bool((state[name].cpu()[~kept.cpu()] != 0).any())]


class MaskHolder:
    """Holds the masks of a network while it is trained.

    Gradients are masked before the optimiser's step, because some optimisers read their norms; weights after it.

    Args:
        parameters: the network's parameters by name.
        mask: which of them are masked; parameters that are not in the mask are left alone.

    Raises:
        SafsError: if the mask holds a name that is none of the parameters': its weights would not be held.
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], mask: Mapping[str, Tensor]) -> None:
        named = dict(parameters)
        missing = [name for name in mask if name not in named]
        if missing:
            raise SafsError(f"The mask holds {missing[0]!r}, which is no parameter of the network.")
        pairs = [(weight, mask[name].to(weight)) for name, weight in named.items() if name in mask]
        self._weights: list[Tensor] = [weight for weight, _ in pairs]
        self._factors: list[Tensor] = [factor for _, factor in pairs]

    def mask_gradients(self) -> None:
        """Set the gradients of masked weights to zero."""
        pairs = [(w.grad, f) for w, f in zip(self._weights, self._factors, strict=True) if w.grad is not None]
        if pairs:
            torch._foreach_mul_([gradient for gradient, _ in pairs], [factor for _, factor in pairs])

    @torch.no_grad()
    def mask_weights(self) -> None:
        """Set masked weights to zero."""
        if self._weights:
            torch._foreach_mul_(self._weights, self._factors)
