"""Whether the weights in a file are those of a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from spaces.errors import SafsError


def check_fits(state: Mapping[str, Tensor], model: nn.Module, path: Path) -> None:
    """Check that a state dict belongs to a network. No value is looked at before all names and shapes fit.

    Raises:
        SafsError: if a name or a shape is another one, with the first of them, or a value is no real number, or not
            finite in the network's type.
    """
    expected = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    _check_names(state, expected, type(model).__name__, path)
    for name, tensor in state.items():
        _check_type(name, tensor, expected[name].dtype, path)
    _check_finite(state, expected, path)


def _check_names(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], network: str, path: Path) -> None:
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in expected]
    reshaped = [name for name in expected if name in state and state[name].shape != expected[name].shape]
    problems = []
    if missing:
        problems.append(f"lacks {missing[0]!r} {tuple(expected[missing[0]].shape)} (the first of {len(missing)})")
    if unexpected:
        shape = tuple(state[unexpected[0]].shape)
        problems.append(f"has {unexpected[0]!r} {shape}, which the network has not (the first of {len(unexpected)})")
    if reshaped:
        shapes = tuple(state[reshaped[0]].shape), tuple(expected[reshaped[0]].shape)
        problems.append(f"has {reshaped[0]!r} of shape {shapes[0]} where the network has {shapes[1]}")
    if not problems:
        return
    remedy = "; if channels were removed, give the factory the arguments that build it so" if reshaped else ""
    raise SafsError(f"The checkpoint {path} is of another network than {network}: it {'; '.join(problems)}{remedy}.")


def _check_type(name: str, tensor: Tensor, own: torch.dtype, path: Path) -> None:
    if tensor.is_floating_point() and tensor.dtype.itemsize == 1:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise SafsError(
            f"The checkpoint {path} holds {kind} in {name!r}, whose scale it does not say; save it as float32."
        )
    not_float = own.is_floating_point and not tensor.is_floating_point()
    if not_float or (tensor.is_complex() and not own.is_complex):
        raise SafsError(
            f"The checkpoint {path} holds {tensor.dtype} in {name!r} where the network has {own}; save its weights as "
            "real numbers."
        )


def _check_finite(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Check that every value is a number, and still is one in the network's type."""
    bad = [
        name for name in state if not bool(torch.isfinite(state[name].to(_wider(state[name], expected[name]))).all())
    ]
    if not bad:
        return
    tensor, own = state[bad[0]], expected[bad[0]].dtype
    counts = {
        "NaN": int(tensor.isnan().sum()),
        "infinite": int(tensor.isinf().sum()),
        f"too large for {own}": int((tensor.isfinite() & ~tensor.to(own).isfinite()).sum()),
    }
    found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    of = f" (the first of {len(bad)} such tensors)" if len(bad) > 1 else ""
    raise SafsError(
        f"The checkpoint {path} holds NaN or infinite values in {bad[0]!r}{of}: of its {tensor.numel()} values, "
        f"{found}; take one from before the training diverged."
    )


def _wider(tensor: Tensor, own: Tensor) -> torch.dtype:
    """Return the type in which a tensor's values must be finite: the network's, unless that is of whole numbers."""
    return own.dtype if own.is_floating_point() else tensor.dtype
