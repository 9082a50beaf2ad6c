"""Where datasets lie on disk."""

from __future__ import annotations

import os
from pathlib import Path

from spaces.errors import SafsError

VARIABLE = "SAFS_DATA_ROOT"


def data_root(root: Path | None) -> Path:
    """Return `root`, else the folder named by the environment variable SAFS_DATA_ROOT, else ./data.

    Raises:
        SafsError: if that folder does not exist.
    """
    path = Path(root or os.environ.get(VARIABLE) or "data")
    if not path.is_dir():
        raise SafsError(f"There is no data folder {path.absolute()}; set `data.root` or {VARIABLE}.")
    return path


def settle_data_root() -> None:
    """Make the folder of this process that of all that it starts, wherever those work."""
    os.environ[VARIABLE] = str(Path(os.environ.get(VARIABLE) or "data").absolute())


def data_file(root: Path | None, relative: str) -> Path:
    """Return the path of a dataset's file below the data root.

    Raises:
        SafsError: if the root or the file does not exist.
    """
    path = data_root(root) / relative
    if not path.is_file():
        raise SafsError(
            f"There is no file {path.absolute()}; set `data.root` or {VARIABLE} to the folder that holds {relative}."
        )
    return path
