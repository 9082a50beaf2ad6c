"""Image classification sets in Parquet, in the Hugging Face layout: `img` or `image` with `bytes`, and `label`."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spaces.errors import SafsError


def read_images(path: Path, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Return the images, uint8 [n, *shape], and labels, int64 [n], of a Parquet file of PNGs or JPEGs.

    Raises:
        SafsError: if the file is corrupt, or lacks a column, or an image cannot be decoded to that shape.
    """
    table = _read(path)
    column = "img" if "img" in table.column_names else "image"
    try:
        encoded = [image["bytes"] for image in table.column(column).to_pylist()]
        labels = torch.tensor(table.column("label").to_pylist(), dtype=torch.int64)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SafsError(
            f"{path} must have columns `img` or `image`, with `bytes`, and `label`, an integer, without nulls, but has "
            f"{', '.join(f'{field.name}: {field.type}' for field in table.schema)}."
        ) from error
    channels, height, width = shape
    pixels = np.empty((len(encoded), height, width, channels), dtype=np.uint8)
    for row, image in enumerate(encoded):
        pixels[row] = _decode(path, row, image, (height, width, channels))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels


def _read(path: Path) -> Any:
    from pyarrow import ArrowException, parquet

    try:
        return parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise SafsError(f"{path} is no readable Parquet file: {_line(error)}") from error


def _decode(path: Path, row: int, encoded: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(BytesIO(encoded)) as opened:
            pixels = np.asarray(opened.convert("RGB" if shape[2] == 3 else "L"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SafsError(f"{path}: image {row} cannot be decoded: {_line(error)}") from error
    if pixels.shape[:2] != shape[:2]:
        raise SafsError(
            f"{path}: image {row} must be {shape[0]}×{shape[1]}, but is {'×'.join(map(str, pixels.shape[:2]))}."
        )
    return pixels.reshape(shape)


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
