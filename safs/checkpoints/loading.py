"""Loading: from a file to a network with its weights, and its mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from safs.checkpoints.fit import by_parameter, check_fits
from safs.checkpoints.own_masks import buffer_masks, parametrization_masks
from safs.checkpoints.parts import Names, Resolved, resolve, resolve_mask
from safs.checkpoints.reading import read_file
from safs.checkpoints.source import Source
from safs.checkpoints.unwrap import Unwrapped, unwrap
from safs.masks import (
    SMALLEST_ZERO_SHARE,
    Mask,
    apply_mask,
    check_mask,
    infer_mask,
    prunable_weights,
    pruned_elsewhere,
    sparsity,
)
from safs.plain import make_plain, parametrized_names
from safs.state import load_state
from spaces.errors import SafsError

MaskOrigin = Literal["own", "file", "inferred"]
"""How a mask came about: the checkpoint holds it, a mask file does, or it was inferred from zero weights."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, or a mask file, that has been read.

    Attributes:
        source: the file.
        content: the weights in it, and where they stood; for a mask file, the masks.
        sha256: of the file, in hexadecimal.
    """

    source: Source
    content: Unwrapped
    sha256: str


@dataclass(frozen=True)
class Loaded:
    """What came of a checkpoint in a network.

    Attributes:
        mask: the network's mask, or None if it is dense.
        mask_origin: how the mask came about, or None if there is none.
        zero_share: the share of zeros among the prunable weights, as they stand in the file.
        min_zero_share: the share from which on zeros counted as pruned.
        wrappers: the keys of the file under which the weights stood, outermost first.
        left: other places in the file where weights stand, which were not read.
    """

    mask: Mask | None
    mask_origin: MaskOrigin | None
    zero_share: float
    min_zero_share: float
    wrappers: tuple[str, ...]
    left: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Return as JSON what it tells beside the mask itself."""
        return {
            "weights_from": ".".join(self.wrappers) or None,
            "not_read": list(self.left),
            "mask_from": self.mask_origin,
            "zero_share": self.zero_share,
            "min_zero_share": self.min_zero_share,
        }


def read_checkpoint(path: Path, *, trust_pickle: bool = False) -> Checkpoint:
    """Read a checkpoint: `.safetensors`, or PyTorch's format without running its code.

    Args:
        path: the file.
        trust_pickle: also run code that the file contains; only for files from people you trust.

    Raises:
        SafsError: if the file is missing, empty, damaged, holds code, claims more than it holds, or holds no state
            dict or no usable mask.
    """
    source = Source(path)
    file = read_file(source, trust_pickle=trust_pickle)
    return Checkpoint(source, unwrap(file.value, source), file.sha256)


def read_mask(path: Path) -> Checkpoint:
    """Read a mask file: a tensor of 0 and 1 by the name of each masked weight, bare or under `mask`.

    A whole pruned checkpoint will do, too, if it has masks of its own. Its code is never run.

    Raises:
        SafsError: if the file cannot be read, or holds no tensor.
    """
    source = Source(path, "mask file")
    file = read_file(source)
    beside = file.value.get("mask") if isinstance(file.value, Mapping) else None
    if isinstance(beside, Mapping):
        return Checkpoint(source, unwrap(beside, source), file.sha256)
    return Checkpoint(source, unwrap(file.value, source), file.sha256)


def load(
    model: nn.Module,
    checkpoint: Checkpoint,
    *,
    mask: Checkpoint | None = None,
    min_zero_share: float = SMALLEST_ZERO_SHARE,
) -> Loaded:
    """Load a checkpoint into a network, in place, and return what came of it.

    Weights that the network computes from others are plain parameters afterwards. The mask is the mask file's, else the
    checkpoint's own, else inferred from the zeros in the file, as it is for layers that a given mask does not name.

    Args:
        model: the network.
        checkpoint: what `read_checkpoint` returned.
        mask: what `read_mask` returned.
        min_zero_share: the share of zeros among the prunable weights from which on they count as pruned; with 0 the
            zeros are the mask however few they are, and a network without any has one that keeps all.

    Raises:
        SafsError: if the checkpoint belongs to another network, or a mask does not fit.
    """
    if not 0 <= min_zero_share <= 1:
        raise SafsError(
            f"The smallest share of zeros that counts as pruned must lie in [0, 1], but got {min_zero_share}."
        )
    resolved = _resolve(checkpoint, model)
    check_fits(resolved.state, model, checkpoint.source.path)
    values = by_parameter(resolved.state, model)
    weights = {name: values[name] for name in prunable_weights(model)}
    weights |= pruned_elsewhere(model, values, min_zero_share or SMALLEST_ZERO_SHARE)
    zeros = infer_mask(weights, 0.0)
    pruned = {name: infer_mask({name: weight}, min_zero_share) for name, weight in weights.items()}
    rest = {name: found[name] for name, found in pruned.items() if found}
    given, origin = _given_mask(checkpoint, resolved, mask, model, rest)
    load_state(model, resolved.state, strict=False)
    zero_share = sparsity(zeros) if zeros else 0.0
    if given is None and zeros is not None and zero_share >= min_zero_share:
        given, origin = zeros, "inferred"
    if given is not None:
        apply_mask(model, given)
    content = checkpoint.content
    return Loaded(given, origin, zero_share, min_zero_share, content.wrappers, content.left)


def load_into(
    model: nn.Module, path: Path, *, trust_pickle: bool = False, min_zero_share: float = SMALLEST_ZERO_SHARE
) -> Mask | None:
    """Read a checkpoint, load it into a network, in place, and return its mask, or None if it is dense.

    Raises:
        SafsError: if the file cannot be read, or belongs to another network.
    """
    checkpoint = read_checkpoint(path, trust_pickle=trust_pickle)
    return load(model, checkpoint, min_zero_share=min_zero_share).mask


def _resolve(checkpoint: Checkpoint, model: nn.Module) -> Resolved:
    """Return the weights and own masks of a checkpoint by the names of the network, which is plain afterwards."""
    tensors, source = checkpoint.content.tensors, checkpoint.source
    names = Names(model.state_dict())
    computed = parametrized_names(model)
    if not computed or not {names.locate(name)[0] for name in tensors}.issuperset(computed):
        make_plain(model)
        resolved = resolve(tensors, Names(model.state_dict()), source)
        return replace(resolved, mask=buffer_masks(resolved.state, model) | resolved.mask)
    resolved = resolve(tensors, names, source)
    check_fits(resolved.state, model, source.path)
    load_state(model, resolved.state, strict=False)
    mask = parametrization_masks(model)
    make_plain(model)
    return Resolved(model.state_dict(), resolved.mask | mask)


def _given_mask(
    checkpoint: Checkpoint, resolved: Resolved, mask: Checkpoint | None, model: nn.Module, rest: Mask
) -> tuple[Mask | None, MaskOrigin | None]:
    """Return the mask that a file holds, checked, and how it came about."""
    names = Names(name for name, _ in model.named_parameters(remove_duplicate=False))
    if mask is not None:
        found = resolve_mask(mask.content.tensors, names, mask.source)
        return check_mask(found, model, str(mask.source), rest=rest), "file"
    source, found = checkpoint.source, resolved.mask
    if checkpoint.content.mask:
        found = resolve_mask(checkpoint.content.mask, names, source)
    return (check_mask(found, model, str(source), rest=rest), "own") if found else (None, None)
