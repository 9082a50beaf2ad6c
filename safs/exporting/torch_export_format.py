"""The network as a program of torch.export, which needs neither SAFS nor the user's class to run."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from safs.exporting.base import Format, ReadBack, Source
from safs.surgery import ACTIVATIONS
from spaces.errors import SafsError

_TRACED_BATCH = 2
"""torch.export takes sizes of 0 and 1 for constants."""


def program_of(source: Source) -> ExportedProgram:
    """Return a network as a program with a dynamic batch dimension.

    Raises:
        SafsError: if torch.export cannot capture it; the reason.
    """
    best = source.best
    parameter = next(source.network.parameters())
    example = torch.zeros(_TRACED_BATCH, *best.input_shape, dtype=parameter.dtype, device=parameter.device)
    try:
        with torch.no_grad():
            return torch.export.export(source.network, (example,), dynamic_shapes=({0: Dim("batch")},))
    except Exception as error:  # it runs the user's forward pass, and raises what that and its own analysis raise
        raise SafsError(
            f"torch.export cannot capture {source.name} with a batch of any size ({first_line(error)}); "
            "use --format safetensors."
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__).strip()


class TorchExportFormat(Format):
    """A program that `torch.export.load` reads; its state dict has the user's own names."""

    suffix = ".pt2"

    def to_bytes(self, source: Source) -> bytes:
        """Return the content of the file."""
        buffer = io.BytesIO()
        torch.export.save(program_of(source), buffer)
        return buffer.getvalue()

    def read_back(self, path: Path, source: Source) -> ReadBack:
        """Return what is in a file that was written."""
        program = torch.export.load(path)
        own = source.network.state_dict().keys()
        return ReadBack(program.module(), {name: t for name, t in program.state_dict.items() if name in own})

    def snippet(self, path: Path, source: Source) -> str:
        """Return three lines that load the file."""
        own = f"if not name.startswith({ACTIVATIONS + '.'!r})"
        loading = source.own.loading(f"{{name: t for name, t in program.state_dict.items() {own}}}")
        return (
            f"import torch; {source.own.statement}\n"
            f"model = {source.own.expression}; program = torch.export.load({str(path)!r})\n"
            f"{loading}; network = program.module()  # ready for inference"
        )
