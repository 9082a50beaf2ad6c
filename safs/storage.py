"""What a full or failing disk means: one clear error, after which a study can be resumed."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spaces.errors import SafsError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a disk that is full."""


class StorageError(SafsError):
    """A file could not be written. It says nothing about the trial that was running, which is run again."""

    def __init__(self, path: Path, error: OSError) -> None:
        full = error.errno in FULL
        what = "The disk is full" if full else f"Writing failed ({error.strerror or error})"
        remedy = "free some space" if full else "mend that"
        where = error.filename if isinstance(error.filename, str) else path
        super().__init__(f"{what} at {where}; {remedy}, and run the command again (a study goes on with --resume).")


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an `OSError` from writing to `path`, or below it, into a `StorageError`."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read our output is gone: no matter of the disk
    except OSError as error:
        raise StorageError(path, error) from error
