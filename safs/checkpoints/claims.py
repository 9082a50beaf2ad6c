"""What the pickle of a checkpoint claims to hold, found out without making any of it.

`torch.load(weights_only=True)` runs no foreign code, but it makes what it is told to: `bytearray(3000000000)` in a file
of 100 bytes, or a tensor of 3 GB over a storage of one number. Here a pickle is read by Python's own unpickler with
inert stand-ins for everything that it names, and each claim is compared with what the file has.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from safs.checkpoints.archive import LARGEST_PICKLE, Archive
from safs.checkpoints.source import Source, shown
from spaces.errors import SafsError

LARGEST_REPEATED = 2**24
"""Bytes that a tensor may take which repeats its elements (stride 0), and so claims more than its storage has."""

_INSTRUCTIONS = {
    "PROTO", "STOP", "MARK", "GLOBAL", "NEWOBJ", "REDUCE", "BUILD", "BINPERSID", "EMPTY_DICT", "EMPTY_LIST",
    "EMPTY_TUPLE", "EMPTY_SET", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM", "SETITEMS",
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1", "BINUNICODE",
    "SHORT_BINSTRING", "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT",
}  # fmt: skip
"""Those of pickle protocol 2 that `torch.load(weights_only=True)` knows."""
_PICKLES_OF_OLD_FORMAT = 5
"""PyTorch's format before zip: magic number, version, system, the content, the keys of storages; then their bytes."""
_REBUILD = "torch._utils._rebuild_"
_OVER_STORAGE = {f"{_REBUILD}tensor", f"{_REBUILD}tensor_v2", f"{_REBUILD}tensor_v3", f"{_REBUILD}qtensor"}
_WITH_ATTRIBUTES = "torch._tensor._rebuild_from_type_v2"
_NUMPY_SCALARS = {f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")}
_CALLED = {
    *_OVER_STORAGE, *_NUMPY_SCALARS, _WITH_ATTRIBUTES, f"{_REBUILD}parameter", f"{_REBUILD}parameter_with_state",
    f"{_REBUILD}sparse_tensor", f"{_REBUILD}meta_tensor_no_storage", "argparse.Namespace", "collections.OrderedDict",
    "collections.Counter", "builtins.set", "builtins.complex", "torch.Size", "torch.device", "numpy.dtype",
    "_codecs.encode", "torch.serialization._get_layout",
}  # fmt: skip
_STORAGES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16, "QInt8Storage": 1, "QUInt8Storage": 1, "QInt32Storage": 4, "UntypedStorage": 1,
}  # fmt: skip
"""Bytes of an element of each kind of storage."""


def check_claims(archive: Archive, source: Source) -> None:
    """Check what the pickle of an archive claims against the archive's members.

    Raises:
        SafsError: if it names code, claims more than there is, or is damaged.
    """
    _read(archive.pickle, source, archive.storages)


def check_old_claims(file: BinaryIO, size: int, source: Source) -> None:
    """Check what a file of PyTorch's format before zip claims against its size in bytes.

    Raises:
        SafsError: if it names code, claims more than there is, or is damaged.
    """
    start = file.read(min(size, LARGEST_PICKLE))
    claimed: dict[Any, int] = {}
    for _ in range(_PICKLES_OF_OLD_FORMAT):
        length = _length(start, source)
        claimed |= _read(start[:length], source, None)
        start = start[length:]
    if sum(claimed.values()) > size:
        raise SafsError(f"{source} claims {sum(claimed.values()):,} bytes of weights, but has {size:,} in all.")


def _length(content: bytes, source: Source) -> int:
    """Return where the first pickle in some bytes ends."""
    return max(position for _, _, position in _instructions(content, source)) + 1


def _instructions(content: bytes, source: Source) -> Iterator[tuple[str, Any, int]]:
    """Yield the instructions of a pickle, with their arguments and positions, up to its end."""
    try:
        for opcode, argument, position in pickletools.genops(content):
            yield opcode.name, argument, position or 0
    except (ValueError, OverflowError, MemoryError) as error:
        raise source.damaged() from error


def _read(content: bytes, source: Source, available: Mapping[str, int] | None) -> dict[Any, int]:
    """Read one pickle and return the bytes that each storage in it claims, by key."""
    for name, argument, _ in _instructions(content, source):
        if name not in _INSTRUCTIONS:
            raise source.damaged(f"it holds the pickle instruction {name}, which torch.save does not write")
        if name == "LONG_BINPUT" and argument > len(content):
            raise source.damaged("its pickle numbers more values than it can hold")
    reader = _Reader(content, source, available)
    try:
        reader.load()
    except SafsError:
        raise
    except Exception as error:  # whatever a damaged pickle makes of stand-ins
        raise source.damaged() from error
    return reader.claimed


@dataclass(frozen=True)
class _Storage:
    """A storage that a pickle refers to: its elements, and the bytes of each."""

    elements: int
    itemsize: int


class _Reader(pickle.Unpickler):
    """Reads a pickle into stand-ins."""

    def __init__(self, content: bytes, source: Source, available: Mapping[str, int] | None) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._source = source
        self._available = available
        self.claimed: dict[Any, int] = {}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return a stand-in for what a pickle names, or refuse it as code."""
        name = f"{module_name.replace('__builtin__', 'builtins')}.{global_name}"  # protocol 2 has Python 2's names
        if name not in _CALLED and not _is_value(module_name, global_name):
            raise SafsError(
                f"{self._source} contains pickled code ({shown(name)}), which is not run; save its state dict instead, "
                "or pass --trust-pickle (in a config `model.trust_pickle: true`) if you trust whoever made it."
            )
        return type(global_name, (_StandIn,), {"name": name, "source": self._source})

    def persistent_load(self, pid: Any) -> _Storage:
        """Return what stands for a storage, after comparing its size with what the file has."""
        kind, storage_type, key, _, elements, *view = pid
        if kind not in ("storage", b"storage") or type(elements) is not int or elements < 0:
            raise self._source.damaged()
        storage = _Storage(elements, _STORAGES[storage_type.name.rpartition(".")[2]])
        size = storage.elements * storage.itemsize
        self.claimed[key] = max(size, self.claimed.get(key, 0))
        if self._available is not None and size > self._available.get(key, -1):
            holds = f"{self._available[key]:,}" if key in self._available else "none"
            raise SafsError(
                f"{self._source} claims {size:,} bytes for the storage {shown(str(key))}, but holds {holds}."
            )
        if view and view[0] is not None:
            _, offset, elements = view[0]
            if not 0 <= offset <= offset + elements <= storage.elements:
                raise self._source.damaged()
            return _Storage(elements, storage.itemsize)
        return storage


def _is_value(module_name: str, name: str) -> bool:
    """Return whether a global is a plain value of a checkpoint: a type of numbers, or of storages or tensors."""
    if module_name == "numpy.dtypes":
        return name.endswith("DType")
    if module_name in ("torch", "torch.cuda", "torch.storage") and name in _STORAGES:
        return True
    if (module_name, name) in (("torch", "Tensor"), ("torch.nn.parameter", "Parameter")):
        return True
    return module_name == "torch" and isinstance(getattr(torch, name, None), torch.dtype | torch.qscheme)


class _StandIn:
    """Stands for whatever a pickle names: takes any arguments and contents, and keeps none."""

    name: str
    source: Source

    def __new__(cls, *arguments: Any) -> _StandIn:
        if cls.name not in _CALLED:
            raise cls.source.damaged(f"it calls {cls.name}, which torch.save does not")
        if cls.name in _OVER_STORAGE:
            _check_tensor(cls.source, *arguments)
        if cls.name == _WITH_ATTRIBUTES:
            arguments[0](*arguments[2])
        if cls.name in _NUMPY_SCALARS and len(arguments) != 2:
            raise cls.source.damaged("it holds a NumPy scalar without a value")
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Take attributes, but no other storage: only ancient files give a tensor its storage afterwards."""
        if self.name.startswith(_REBUILD):
            raise self.source.damaged()

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def _check_tensor(
    source: Source, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any
) -> None:
    """Check that a tensor lies within its storage, and is not much more than that."""
    dtype = getattr(torch, rest[2].__name__, None) if len(rest) > 2 and isinstance(rest[2], type) else None
    itemsize = dtype.itemsize if isinstance(dtype, torch.dtype) else storage.itemsize
    held = storage.elements * storage.itemsize
    if any(type(number) is not int or number < 0 for number in (offset, *size, *stride)) or len(size) != len(stride):
        raise source.damaged()
    elements = math.prod(size)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
    if elements and last * itemsize > held:
        raise SafsError(f"{source} claims a tensor of shape {tuple(size)} over a storage of {held:,} bytes.")
    if elements * itemsize > max(held, LARGEST_REPEATED):
        raise SafsError(
            f"{source} claims {elements * itemsize:,} bytes for a tensor of shape {tuple(size)}, but holds {held:,} of "
            "it; save a copy of that tensor."
        )
