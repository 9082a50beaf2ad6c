"""The export formats by name."""

from __future__ import annotations

from safs.exporting.base import Format
from safs.exporting.onnx_format import OnnxFormat
from safs.exporting.safetensors_format import SafetensorsFormat
from safs.exporting.torch_export_format import TorchExportFormat

FORMATS: dict[str, type[Format]] = {
    "safetensors": SafetensorsFormat,
    "torch-export": TorchExportFormat,
    "onnx": OnnxFormat,
}
