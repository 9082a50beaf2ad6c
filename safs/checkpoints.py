"""Checkpoints in: from a file that somebody's tool wrote to weights and a boolean mask. Nothing is unpickled."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from safs.files import write_atomically
from safs.masks import Mask, apply_mask, check_mask, infer_mask
from spaces.errors import SafsError

_WRAPPERS = ("state_dict", "model_state_dict", "model")
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
    checkpoint = read_checkpoint(path, trust_pickle=trust_pickle)
    _check_fits(checkpoint.state, model, path)
    model.load_state_dict(checkpoint.state, strict=False)
    if checkpoint.mask is None:
        return infer_mask(model)
    mask = check_mask(checkpoint.mask, model)
    apply_mask(model, mask)
    return mask


def read_checkpoint(path: Path, *, trust_pickle: bool = False) -> Checkpoint:
    """Return the tensors of a checkpoint: `.safetensors`, or PyTorch's format read without running its code.

    Wrappers (`state_dict`, `model_state_dict`, `model`), prefixes (`module.`, `_orig_mod.`) and the pairs of
    `torch.nn.utils.prune` are resolved.

    Args:
        path: the file.
        trust_pickle: also run code that the file contains; only for files from people you trust.

    Raises:
        SafsError: if the file is missing, empty, truncated, holds code, or holds no state dict.
    """
    if not path.is_file():
        raise SafsError(f"There is no checkpoint at {path}.")
    if path.stat().st_size == 0:
        raise SafsError(f"The checkpoint {path} is empty.")
    content: Any = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path, trust_pickle)
    if not isinstance(content, Mapping):
        raise SafsError(f"The checkpoint {path} must hold a state dict, but holds a {type(content).__name__}.")
    own_mask: Any = content.get("mask")
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    tensors = {_strip(str(name)): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise SafsError(f"The checkpoint {path} must hold a state dict, but holds no tensor.")
    if isinstance(own_mask, Mapping):
        return Checkpoint(tensors, {_strip(str(name)): value for name, value in own_mask.items()})
    return _resolve_prune_pairs(tensors)


def save_checkpoint(path: Path, model: nn.Module, mask: Mapping[str, Tensor]) -> None:
    """Write a network's state dict and its mask to `path`, `.safetensors` or PyTorch's format, atomically."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if path.suffix == ".safetensors":
        from safetensors.torch import save

        write_atomically(path, save({name: tensor.clone() for name, tensor in state.items()}))
        return
    buffer = io.BytesIO()
    torch.save({"state_dict": state, "mask": dict(mask)}, buffer)
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
        return torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except pickle.UnpicklingError as error:
        if _looks_damaged(path):
            raise SafsError(f"The checkpoint {path} is damaged or no PyTorch checkpoint.") from error
        raise SafsError(
            f"The checkpoint {path} contains pickled code, which is not run; save its state dict instead, "
            "or pass --trust-pickle if you trust whoever made it."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SafsError(f"The checkpoint {path} is damaged or no PyTorch checkpoint: {reason}") from error


def _looks_damaged(path: Path) -> bool:
    """Return whether a file that could not be unpickled is neither a whole zip archive nor a pickle."""
    with path.open("rb") as file:
        start = file.read(2)
    return not zipfile.is_zipfile(path) and start[:1] != b"\x80"


def _strip(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
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


def _check_fits(state: Mapping[str, Tensor], model: nn.Module, path: Path) -> None:
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
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise SafsError(f"The checkpoint {path} holds NaN or infinite values in {name!r}.")
