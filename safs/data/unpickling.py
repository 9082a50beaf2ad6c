"""Reading a pickle that may hold nothing but containers, numbers, texts and NumPy arrays: no code in it is run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from spaces.errors import SafsError, brief

_ARRAYS = {
    *((module, name) for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") for name in (
        "ndarray", "dtype", "_reconstruct", "scalar",
    )),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),  # how protocol 2 writes bytes
}  # fmt: skip


class _CodeError(Exception):
    """The pickle names something that is no part of an array."""


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAYS:
            raise _CodeError(f"{module}.{name}")
        return super().find_class(module, name)


def read_arrays(path: Path) -> Any:
    """Return what a pickle of arrays holds; texts of Python 2 are read as Latin-1.

    Raises:
        SafsError: if it holds anything else, or is truncated or no pickle.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except _CodeError as error:
        raise SafsError(f"{path} must hold arrays only, but names {error}: it is refused, nothing was run.") from None
    except OSError:
        raise
    except Exception as error:  # damaged bytes lead the unpickler into any error
        raise SafsError(f"{path} is truncated or no pickle ({brief(error)}); fetch it again.") from error
