"""Checkpoints in: from a file that somebody's tool wrote to weights and a boolean mask. Nothing is unpickled."""

from __future__ import annotations

import argparse
import codecs
import io
import itertools
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from safs.files import write_atomically
from safs.masks import Mask, apply_mask, check_mask, infer_mask
from spaces.errors import SafsError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "state_dict_ema")
_PREFIXES = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds: tensors by state-dict name, and a mask if it has one of its own."""

    state: dict[str, Tensor]
    mask: dict[str, Tensor] | None


def load_into(model: nn.Module, path: Path, *, trust_pickle: bool = False) -> Mask | None:
    """Load a checkpoint into a network, in place, and return its mask, or None if it is not pruned.

    The mask is the file's own (`mask`, or `weight_mask` as `torch.nn.utils.prune` writes it), or inferred from
    zero weights.

    Raises:
        SafsError: if the file cannot be read, or belongs to another network.
    """
    checkpoint = read_checkpoint(path, trust_pickle=trust_pickle, names=model.state_dict())
    check_fits(checkpoint.state, model, path)
    mask = check_mask(checkpoint.mask, model) if checkpoint.mask is not None else None
    model.load_state_dict(checkpoint.state, strict=False)
    if mask is None:
        return infer_mask(model)
    apply_mask(model, mask)
    return mask


def read_checkpoint(path: Path, *, trust_pickle: bool = False, names: Iterable[str] = ()) -> Checkpoint:
    """Return the tensors of a checkpoint: `.safetensors`, or PyTorch's format read without running its code.

    Wrappers (`state_dict`, `model_state_dict`, `model`, `net`, `state_dict_ema`), prefixes (`module.`, `_orig_mod.`)
    and the pairs of `torch.nn.utils.prune` are resolved.

    Args:
        path: the file.
        trust_pickle: also run code that the file contains; only for files from people you trust.
        names: the state-dict names of the network that it is for; a prefix that one of them has stays.

    Raises:
        SafsError: if the file is missing, empty, truncated, holds code, or holds no state dict or no usable mask.
    """
    if not path.is_file():
        raise SafsError(f"{path} is a folder, not a file." if path.is_dir() else f"There is no checkpoint at {path}.")
    if path.stat().st_size == 0:
        raise SafsError(f"The checkpoint {path} is empty.")
    content: Any = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path, trust_pickle)
    own_mask = _own_mask(content, path)
    content = _unwrap(content)
    if not isinstance(content, Mapping):
        raise SafsError(f"The checkpoint {path} must hold a state dict, but holds a {type(content).__name__}.")
    prefixes = tuple(prefix for prefix in _PREFIXES if not any(name.startswith(prefix) for name in names))
    tensors = {_strip(str(name), prefixes): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        seen = ", ".join(repr(name) for name in itertools.islice(content, 8)) or "none"
        raise SafsError(f"The checkpoint {path} must hold a state dict, but holds no tensor; its keys: {seen}.")
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            raise SafsError(f"The checkpoint {path} must hold plain tensors, but {name!r} is not.")
    resolved = _resolve_prune_pairs(tensors)
    if own_mask:
        return Checkpoint(resolved.state, {_strip(str(name), prefixes): value for name, value in own_mask.items()})
    return resolved


def save_checkpoint(path: Path, model: nn.Module, mask: Mapping[str, Tensor]) -> None:
    """Write a network's state dict and its mask to `path`, `.safetensors` or PyTorch's format, atomically.

    Masked weights are written as zeros. In `.safetensors` the zeros are the mask: it is inferred when it is read.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    state |= {
        name: torch.where(kept.cpu(), state[name], torch.zeros(()).to(state[name])) for name, kept in mask.items()
    }
    if path.suffix == ".safetensors":
        from safetensors.torch import save

        write_atomically(path, save({name: tensor.clone() for name, tensor in state.items()}))
        return
    buffer = io.BytesIO()
    torch.save({"state_dict": state, "mask": {name: kept.cpu() for name, kept in mask.items()}}, buffer)
    write_atomically(path, buffer.getvalue())


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise SafsError(f"The checkpoint {path} is damaged or no safetensors file: {error}.") from error


def _read_torch(path: Path, trust_pickle: bool) -> Any:
    try:
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except Exception as error:  # damaged files raise anything, and so does code that is run at the user's wish
        if isinstance(error, pickle.UnpicklingError) and re.search(r"GLOBAL \S+", str(error)):
            raise SafsError(
                f"The checkpoint {path} contains pickled code, which is not run; save its state dict instead, "
                "or pass --trust-pickle if you trust whoever made it."
            ) from error
        reason = f": {str(error).splitlines()[0]}" if isinstance(error, RuntimeError | OSError) else ""
        raise SafsError(f"The checkpoint {path} is damaged or no PyTorch checkpoint{reason}") from error


def _harmless() -> list[Any]:
    """Return what checkpoints often hold beside tensors, and what does nothing but hold values."""
    scalar = type(np.float64(0)).__reduce__(np.float64(0))[0]
    kinds = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")]
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [argparse.Namespace, np.dtype, *kinds, *names, (codecs.encode, "_codecs.encode")]


def _unwrap(content: Any) -> Any:
    """Return the state dict of what a file holds: itself, that of a whole network, or one under a usual name."""
    if isinstance(content, nn.Module):
        return content.state_dict()
    if isinstance(content, Mapping):
        for wrapper in _WRAPPERS:
            if isinstance(content.get(wrapper), Mapping | nn.Module):
                return _unwrap(content[wrapper])
    return content


def _own_mask(content: Any, path: Path) -> Mapping[Any, Any] | None:
    """Return the mask that stands beside the weights, if any. A tensor among bare weights is one of them."""
    mask = content.get("mask") if isinstance(content, Mapping) else None
    if mask is None or (isinstance(mask, Tensor) and _unwrap(content) is content):
        return None
    if not isinstance(mask, Mapping):
        raise SafsError(
            f"The checkpoint {path} has a `mask` that is a {type(mask).__name__}; it must hold a tensor of 0 and 1 "
            "by the name of each masked weight."
        )
    return mask


def _strip(name: str, prefixes: tuple[str, ...]) -> str:
    """Return a name without the prefixes that wrappers put before it, in any order."""
    while name.startswith(prefixes):
        name = name.split(".", 1)[1]
    return name


def _resolve_prune_pairs(tensors: dict[str, Tensor]) -> Checkpoint:
    """Turn `weight_orig` and `weight_mask`, as `torch.nn.utils.prune` stores them, into weights and masks."""
    state, mask = {}, {}
    for name, tensor in tensors.items():
        if name.endswith("_orig") and f"{name[:-5]}_mask" in tensors:
            kept = tensors[f"{name[:-5]}_mask"].to(torch.bool)
            state[name[:-5]] = torch.where(kept, tensor, torch.zeros_like(tensor))
            mask[name[:-5]] = kept
        elif not (name.endswith("_mask") and f"{name[:-5]}_orig" in tensors):
            state[name] = tensor
    return Checkpoint(state, mask or None)


def check_fits(state: Mapping[str, Tensor], model: nn.Module, path: Path) -> None:
    """Check that a state dict belongs to a network.

    Raises:
        SafsError: if a name or a shape is another one, with the first of them, or a value is no real number or not
            finite.
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in expected]
    problems = []
    if missing:
        problems.append(f"lacks {missing[0]!r} {tuple(expected[missing[0]].shape)} (the first of {len(missing)})")
    if unexpected:
        shape = tuple(state[unexpected[0]].shape)
        problems.append(f"has {unexpected[0]!r} {shape}, which the network has not (the first of {len(unexpected)})")
    for name in expected:
        if name in state and state[name].shape != expected[name].shape:
            shapes = tuple(state[name].shape), tuple(expected[name].shape)
            problems.append(f"has {name!r} of shape {shapes[0]} where the network has {shapes[1]}")
            break
    if problems:
        raise SafsError(
            f"The checkpoint {path} is of another network than {type(model).__name__}: it {'; '.join(problems)}."
        )
    for name, tensor in state.items():
        own = expected[name]
        not_float = own.is_floating_point() and not tensor.is_floating_point()
        if not_float or (tensor.is_complex() and not own.is_complex()):
            kinds = f"{tensor.dtype} in {name!r} where the network has {own.dtype}"
            raise SafsError(f"The checkpoint {path} holds {kinds}.")
        if tensor.is_floating_point() and not torch.isfinite(tensor.to(own.dtype)).all():
            raise SafsError(f"The checkpoint {path} holds NaN or infinite values in {name!r}.")
