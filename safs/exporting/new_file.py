"""A file that is checked before it has its name, and never takes that of another."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safs.files import sync_folder
from spaces.errors import SafsError


def check_free(path: Path, suffix: str) -> None:
    """Check that a new file can have this name.

    Raises:
        SafsError: if something has it already, its folder does not exist, or it must end in `suffix` and does not.
    """
    if os.path.lexists(path):
        raise SafsError(f"{path} exists already and is left as it is; name another file with --out.")
    if not path.parent.is_dir():
        raise SafsError(f"There is no folder {path.parent}; make it, or name another file with --out.")
    if not path.name.endswith(suffix):
        raise SafsError(f"--out must end in {suffix} for this format, but is {path}.")


@contextmanager
def new_file(path: Path, content: bytes) -> Iterator[Path]:
    """Write a file beside `path` and give it that name once what is done with it here has succeeded, else remove it."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp{path.suffix}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
        check_free(path, "")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
