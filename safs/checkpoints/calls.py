"""What the pickle of a checkpoint may call beside tensors, and with what: as `torch.save` writes it, and no otherwise.

PyTorch calls these with whatever a file gives. Each would do harm with something: a set hashes its elements, NumPy
takes any layout of a number for granted, and of a codec's name Python makes whatever goes by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from safs.checkpoints.pickles import Dict, Made, PickleReader
from safs.checkpoints.source import TRUST
from spaces.errors import SafsError, shown

NUMPY_KINDS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
"""The types of NumPy's numbers that are read."""
_REBUILD = "torch._utils._rebuild_"
_DTYPE, _ENCODE = "numpy.dtype", "_codecs.encode"
_ORDERED, _COUNTER, _SETTINGS = "collections.OrderedDict", "collections.Counter", "argparse.Namespace"
_NUMPY_SCALARS = tuple(f"numpy.{core}.multiarray.scalar" for core in ("core", "_core"))
_ANY = (
    f"{_REBUILD}parameter", f"{_REBUILD}parameter_with_state", f"{_REBUILD}sparse_tensor",
    f"{_REBUILD}meta_tensor_no_storage", "builtins.complex", "torch.Size", "torch.device",
    "torch.serialization._get_layout",
)  # fmt: skip
"""What checks its arguments itself, and makes nothing larger than they are."""


def check_call(reader: PickleReader, name: str, arguments: tuple[Any, ...]) -> None:
    """Raise SafsError if a pickle may not call something, or not with these arguments."""
    if name not in _CALLS:
        raise reader.source.damaged(f"it calls {name}, which torch.save does not")
    if not _CALLS[name](reader, arguments):
        raise reader.source.damaged(f"it calls {name} as torch.save does not")


def check_build(reader: PickleReader, target: Any, state: Any) -> None:
    """Raise SafsError if a pickle may not give this state to an object that it made.

    Attributes of a dictionary or of settings may be anything, as they do nothing. Only ancient files give a tensor its
    storage in this way.
    """
    if _is_made(target, _DTYPE):
        usual = type(state) is tuple and state[2:] == (None, None, None, -1, -1, 0)
    else:
        ordered = isinstance(target, Dict) and target.by == _ORDERED
        usual = isinstance(state, Dict) and (ordered or _is_made(target, _SETTINGS))
    if not usual:
        raise reader.source.damaged("it changes an object as torch.save does not")


def result(name: str, given: int) -> Made | Dict:
    """Return what stands for the result of a call that was given so many values."""
    return Dict(name, given) if name in (_ORDERED, _COUNTER) else Made(name, given)


def may_be_called(name: str) -> bool:
    """Return whether a pickle may call something."""
    return name in _CALLS


def _set(reader: PickleReader, arguments: tuple[Any, ...]) -> bool:
    """A set's list of elements."""
    if len(arguments) != 1 or type(arguments[0]) is not list:
        return not arguments
    reader.check_keys(arguments[0])
    return True


def _ordered(reader: PickleReader, arguments: tuple[Any, ...]) -> bool:
    """Nothing; or, by Python 2, the entries as a list of lists of two."""
    if len(arguments) != 1 or type(arguments[0]) is not list:
        return not arguments
    if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in arguments[0]):
        return False
    reader.check_keys(key for key, _ in arguments[0])
    return True


def _dtype(reader: PickleReader, arguments: tuple[Any, ...]) -> bool:
    """The type's name, and to make a copy of it that is not aligned."""
    if not arguments or type(arguments[0]) is not str or arguments[1:] != (False, True):
        return False
    if arguments[0] not in NUMPY_KINDS:
        raise SafsError(
            f"{reader.source} holds a value of NumPy's type {shown(arguments[0])}, which is not read; save it as a "
            f"value of Python, or {TRUST}."
        )
    return True


def _encode(_: PickleReader, arguments: tuple[Any, ...]) -> bool:
    """Bytes as text: other codecs than this one take time without bound, or run code."""
    return len(arguments) == 2 and type(arguments[0]) is str and arguments[1] == "latin1"


def _counter(_: PickleReader, arguments: tuple[Any, ...]) -> bool:
    """Nothing, or the counts as a dictionary."""
    return not arguments or (len(arguments) == 1 and isinstance(arguments[0], Dict))


def _scalar(_: PickleReader, arguments: tuple[Any, ...]) -> bool:
    """Its type, and its bytes."""
    return len(arguments) == 2 and _is_made(arguments[0], _DTYPE) and _is_made(arguments[1], _ENCODE)


def _is_made(value: Any, by: str) -> bool:
    return isinstance(value, Made) and value.by == by


_CALLS: dict[str, Callable[[PickleReader, tuple[Any, ...]], bool]] = {
    "builtins.set": _set,
    _ORDERED: _ordered,
    _COUNTER: _counter,
    _SETTINGS: lambda _, arguments: not arguments,
    _DTYPE: _dtype,
    _ENCODE: _encode,
    **dict.fromkeys(_NUMPY_SCALARS, _scalar),
    **dict.fromkeys(_ANY, lambda _, __: True),
}


def is_value(name: str) -> bool:
    """Return whether a pickle may name something as a value: a type of tensors, of their numbers, or how they scale."""
    module, _, own = name.rpartition(".")
    if name in ("torch.Tensor", "torch.nn.parameter.Parameter"):
        return True
    return module == "torch" and isinstance(vars(torch).get(own), torch.dtype | torch.qscheme)
