"""Whether the weights in a file are those of a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from spaces.errors import SafsError, shown


def check_fits(state: Mapping[str, Tensor], model: nn.Module, path: Path) -> None:
    """Check that a state dict belongs to a network. No value is looked at before all names and shapes fit.

    A tensor that the network has under several names (tied weights) need stand there only once. An infinite value that
    the network holds at the same place before it is loaded (a causal mask) is none that training made.

    Raises:
        SafsError: if a name or a shape is another one, with the first of them, or a value is no real number, or not
            finite in the network's type; or if a layer of the network has no shape yet.
    """
    variables = model.state_dict(keep_vars=True)
    expected = {name: tensor for name, tensor in variables.items() if isinstance(tensor, Tensor)}
    for name, tensor in expected.items():
        if is_lazy(tensor):
            raise SafsError(
                f"{type(model).__name__}: {name!r} has no shape yet; give its layer (a lazy one) its sizes in the "
                "factory."
            )
    _check_names(state, expected, type(model).__name__, path)
    for name, tensor in state.items():
        _check_type(name, tensor, expected[name].dtype, path)
    _check_finite(state, expected, path)


def by_parameter(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return what a state dict that fits a network holds for each of its parameters, by every name of theirs.

    Raises:
        SafsError: if the network leaves a parameter out of its state dict.
    """
    named = list(model.named_parameters(remove_duplicate=False))
    held = {id(parameter): state[name] for name, parameter in named if name in state}
    for name, parameter in named:
        if id(parameter) not in held:
            raise SafsError(
                f"{type(model).__name__} leaves {name!r} out of its state dict, so no checkpoint can hold it; remove "
                "the hook that does so in the factory."
            )
    return {name: state.get(name, held[id(parameter)]) for name, parameter in named}


def _check_names(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], network: str, path: Path) -> None:
    unexpected = [name for name in state if name not in expected]
    held = {id(expected[name]) for name in state if name in expected}
    missing = [
        name
        for name, tensor in expected.items()
        if name not in state and id(tensor) not in held and not name.endswith("num_batches_tracked")
    ]
    reshaped = [name for name in expected if name in state and state[name].shape != expected[name].shape]
    problems = []
    if missing:
        problems.append(f"lacks {missing[0]!r} {tuple(expected[missing[0]].shape)} (the first of {len(missing)})")
    if unexpected:
        name, shape = shown(unexpected[0]), tuple(state[unexpected[0]].shape)
        problems.append(f"has {name} {shape}, which the network has not (the first of {len(unexpected)})")
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
    """Check that every value is a number, and still is one in the network's type, or is infinite in the network too."""
    bad = [name for name in state if not _is_usable(state[name], expected[name])]
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


def _is_usable(tensor: Tensor, own: Tensor) -> bool:
    """Return whether all values are finite, or infinite in the network too, in its type unless of whole numbers."""
    values = tensor.to(own.dtype) if own.is_floating_point() else tensor
    finite = torch.isfinite(values)
    return bool(finite.all()) or bool((finite | (tensor == own.to(tensor.device))).all())
