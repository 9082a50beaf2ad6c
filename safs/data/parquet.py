"""Image classification sets in Parquet, in the Hugging Face layout: `img` or `image` with `bytes`, and `label`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from safs.data.dataset import Data, Split
from safs.data.options import Options, check_kwargs
from safs.data.pixels import decode, stack
from safs.data.roots import data_root
from spaces.errors import SafsError, brief

PATTERNS = {"train": "**/train-*.parquet", "test": "**/test-*.parquet"}
_ROWS = 256


def look(split: str, root: Path | None, options: Options) -> None:
    """Look whether the split's files are there, without opening one."""
    shards(split, root, options)


def read(split: str, root: Path | None, options: Options, train: Data | None) -> Split:
    """Return one split; its number of classes is that of the ClassLabel in the files' metadata, if there is one."""
    channels = train.shape[0] if train else None
    return read_images(
        shards(split, root, options), options.kwargs.get("label", "label"), channels=channels, size=options.image_size
    )


def shards(split: str, root: Path | None, options: Options) -> list[Path]:
    """Return the files of one split below the data root, in the order of their names.

    Raises:
        SafsError: if there are none, they lie in several folders, or one of a numbered series is missing.
    """
    check_kwargs("parquet", options.kwargs, ("train", "test", "label"))
    for key, value in options.kwargs.items():
        if not isinstance(value, str):
            raise SafsError(f"`data.kwargs.{key}` of dataset 'parquet' must be a text, but is {value!r}.")
    pattern, folder = options.kwargs.get(split, PATTERNS[split]), data_root(root)
    try:
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
    except (ValueError, NotImplementedError) as error:
        raise SafsError(f"`data.kwargs.{split}` must be a pattern of file names, but is {pattern!r}: {error}") from None
    if not found:
        raise SafsError(f"There is no file {pattern} in {folder.absolute()}; set `data.root` or `data.kwargs.{split}`.")
    folders = sorted({str(path.parent.relative_to(folder)) for path in found})
    if len(folders) > 1:
        raise SafsError(f"{pattern} finds files in several folders ({', '.join(folders)}); set `data.kwargs.{split}`.")
    _check_complete(found)
    return found


def _check_complete(files: Sequence[Path]) -> None:
    numbers = [re.search(r"-(\d{5})-of-(\d{5})\.parquet$", path.name) for path in files]
    totals = {int(match[2]) for match in numbers if match}
    missing = set(range(max(totals, default=0))) - {int(match[1]) for match in numbers if match}
    if len(totals) > 1 or missing:
        what = (
            f"number {min(missing)} of {max(totals)} is missing" if len(totals) == 1 else "they are of several series"
        )
        raise SafsError(f"The Parquet files in {files[0].parent} are incomplete: {what}; fetch them again.")


def read_images(
    paths: Sequence[Path], label: str = "label", *, channels: int | None = None, size: int | None = None
) -> Split:
    """Return the images and labels of Parquet files of PNGs or JPEGs.

    Args:
        paths: the files, in order.
        label: the column of the labels.
        channels, size: as of `safs.data.pixels.stack`.

    Raises:
        SafsError: if a file is corrupt, or lacks a column, or an image cannot be decoded or does not fit the others,
            or they do not fit into the host's memory.
    """
    files = [_open(path, label) for path in paths]
    n = sum(file.metadata.num_rows for _, file, _ in files)
    if n < 1:
        raise SafsError(f"{paths[0]} must have at least one row, but has none.")
    labels: list[Tensor] = []
    images = stack(_images(files, label, labels), n, channels=channels, size=size)
    return Split(images, torch.cat(labels), _classes(files[0][1], label))


def _images(files: Sequence[tuple[Path, Any, str]], label: str, labels: list[Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield each image with its name, and append its label's batch to `labels`: as many as the files' ends claim."""
    for path, file, column in files:
        row = 0
        for images, targets in _batches(path, file, column, label):
            labels.append(targets)
            for encoded in images:
                what = f"{path}: image {row}"
                yield what, decode(encoded, what)
                row += 1


def _batches(path: Path, file: Any, column: str, label: str) -> Iterator[tuple[list[bytes], Tensor]]:
    from pyarrow import ArrowException

    held, claimed = 0, file.metadata.num_rows
    try:
        for batch in file.iter_batches(batch_size=_ROWS, columns=[column, label]):
            held += len(batch)
            if held > claimed:
                break
            images = [image["bytes"] for image in batch.column(column).to_pylist()]
            yield images, torch.tensor(batch.column(label).to_pylist(), dtype=torch.int64)
    except (ArrowException, OSError) as error:
        raise SafsError(f"{path} is no readable Parquet file: {brief(error)}") from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise _layout_error(path, file, label) from error
    if held != claimed:
        found = "more" if held > claimed else f"only {held:,}"
        raise SafsError(f"{path} claims {claimed:,} rows, but has {found}; fetch it again.")


def _open(path: Path, label: str) -> tuple[Path, Any, str]:
    """Return a file with its path and the name of its column of images."""
    from pyarrow import ArrowException, parquet, types

    try:
        file = parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise SafsError(f"{path} is no readable Parquet file: {brief(error)}") from error
    schema = file.schema_arrow
    column = "img" if "img" in schema.names else "image"
    if not {column, label} <= set(schema.names):
        raise _layout_error(path, file, label)
    image, target = schema.field(column).type, schema.field(label).type
    has_bytes = types.is_struct(image) and "bytes" in [field.name for field in image]
    if not has_bytes or not types.is_integer(target):
        raise _layout_error(path, file, label)
    return path, file, column


def _layout_error(path: Path, file: Any, label: str) -> SafsError:
    return SafsError(
        f"{path} must have columns `img` or `image`, with `bytes`, and `{label}`, an integer, without nulls, but has "
        f"{', '.join(f'{field.name}: {field.type}' for field in file.schema_arrow)}."
    )


def _classes(file: Any, label: str) -> int | None:
    """Return the number of names of the label's ClassLabel, which `datasets` writes into the schema's metadata."""
    try:
        feature = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])["info"]["features"][label]
        return len(feature["names"]) if feature["_type"] == "ClassLabel" else None
    except (KeyError, TypeError, ValueError):
        return None
