"""Checkpoints out: weights with their mask, in either format."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from safs.files import write_atomically


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
