"""The network as an ONNX graph, which onnxruntime and others run without PyTorch."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from safs.exporting.base import Format, ReadBack, Source
from safs.exporting.torch_export_format import first_line, program_of
from safs.surgery import ACTIVATIONS
from spaces.errors import SafsError

OPSET = 20
"""The version of ONNX's operators: the first with GELU as one of them; onnxruntime runs it from 1.17 on."""
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_LARGEST = 2**31 - 1
"""A protobuf message has no more bytes."""


class OnnxFormat(Format):
    """One .onnx file, with the weights inside, under the user's own names."""

    suffix = ".onnx"

    def check(self) -> None:
        """Raise SafsError if a package is missing."""
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise SafsError(f"ONNX needs {', '.join(missing)}, not installed here: pip install 'safs[onnx]'.")

    def to_bytes(self, source: Source) -> bytes:
        """Return the content of the file."""
        program = program_of(source)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the exporter's own use of what is deprecated
                exported = torch.onnx.export(
                    program,
                    input_names=["input"],
                    output_names=["output"],
                    opset_version=OPSET,
                    optimize=False,  # it would fold weights together, and their names be lost
                    verbose=False,
                )
            assert exported is not None, "the exporter returns a program unless it writes a file"
            model = exported.model_proto
            _add_unread(model, source)
        except Exception as error:  # the exporter raises anything for what it has no translation of
            raise SafsError(
                f"{source.name} cannot be written as ONNX ({first_line(error)}); use --format torch-export."
            ) from error
        if model.ByteSize() > _LARGEST:
            raise SafsError(f"{source.name} is larger than the 2 GB of an ONNX file; use --format torch-export.")
        content: bytes = model.SerializeToString()
        return content

    def read_back(self, path: Path, source: Source) -> ReadBack:
        """Return what is in a file that was written."""
        import onnx
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), _options(), providers=["CPUExecutionProvider"])
        names = source.network.state_dict().keys()
        weights = {
            tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
            for tensor in onnx.load(path).graph.initializer
            if tensor.name in names
        }

        def run(x: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {"input": x.cpu().numpy()})[0])

        return ReadBack(run, weights)

    def snippet(self, path: Path, source: Source) -> str:
        """Return three lines that load the file's weights; onnxruntime runs the file as it is."""
        tensor = "tensors[n] if t.is_floating_point() else tensors.get(n, t)"
        return (
            f"import onnx, torch; {source.own.statement}\n"
            f"model = {source.own.expression}; tensors = {{t.name: torch.tensor(onnx.numpy_helper.to_array(t)) "
            f"for t in onnx.load({str(path)!r}).graph.initializer}}\n"
            + source.own.loading(f"{{n: {tensor} for n, t in model.state_dict().items()}}")
        )


def _add_unread(model: Any, source: Source) -> None:
    """Add the weights that the graph does not read, which the exporter leaves out, and the other names of tied ones."""
    import onnx

    held = {tensor.name for tensor in model.graph.initializer}
    for name, tensor in source.network.state_dict().items():
        if name not in held and tensor.is_floating_point() and not name.startswith(f"{ACTIVATIONS}."):
            model.graph.initializer.append(onnx.numpy_helper.from_array(tensor.detach().cpu().numpy(), name))


def _options() -> Any:
    """Return options by which onnxruntime keeps to as many threads as PyTorch has here, and is silent."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors: it warns of each weight that the graph does not read
    return options
