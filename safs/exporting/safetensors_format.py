"""The state dict of the user's own class in one safetensors file, what stands at its activation sites in the header."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save

from safs.export import METADATA, describe_activations, load_exported
from safs.exporting.base import Format, ReadBack, Source
from safs.surgery import ACTIVATIONS, read_choices


class SafetensorsFormat(Format):
    """Tensors under the user's own names; SAFS applies the activations that the header names."""

    def to_bytes(self, source: Source) -> bytes:
        """Return the content of the file."""
        best = source.best
        state = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in source.network.state_dict().items()
            if not name.startswith(f"{ACTIVATIONS}.")
        }
        choices = read_choices(source.network, best.sites)
        model = {"name": source.name, "kwargs": dict(source.kwargs)}
        activations = describe_activations(best.sites, choices, model, best.input_shape)
        return save(state, {METADATA: json.dumps(activations, ensure_ascii=False, allow_nan=False)})

    def read_back(self, path: Path, source: Source) -> ReadBack:
        """Return what is in a file that was written."""
        return ReadBack(load_exported(path, source.best.model), load_file(path))

    def snippet(self, path: Path, source: Source) -> str:
        """Return three lines that load the file."""
        loading = source.own.loading(f"load_file({str(path)!r})")
        return (
            f"import safs; from safetensors.torch import load_file; {source.own.statement}\n"
            f"model = {source.own.expression}; {loading}\n"
            f"network = safs.load_exported({str(path)!r}, model)  # with its activations, ready for inference"
        )
