"""What the pickle of a checkpoint claims to hold, found out without making any of it.

`torch.load(weights_only=True)` makes what it is told to: a tensor of 3 GB over a storage of one number, in a file of
300 bytes. Here each storage and tensor that a pickle claims is compared with what the file has, and what it would make
beside them is counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from safs.checkpoints.archive import LARGEST_PICKLE, Archive, read_pickle
from safs.checkpoints.calls import check_build, check_call, is_value, may_be_called, result
from safs.checkpoints.pickles import Dict, Made, Name, PickleReader
from safs.checkpoints.source import TRUST, Source
from spaces.errors import SafsError, shown

LARGEST_REPEATED = 2**24
"""Bytes that a tensor may take which repeats its elements (stride 0), and so claims more than its storage has."""
_MOST_GIVEN = LARGEST_PICKLE
"""Characters and values that calls may be given, all together: a pickle can give the same ones to many."""
_DEEPEST_GIVEN = 16
"""How deep lists and tuples that a call is given may stand in each other."""
_MOST_DIMENSIONS, _LARGEST_SIZE = 64, 2**63

_TENSOR = "torch._utils._rebuild_"
_TYPED = f"{_TENSOR}tensor_v3"
_OVER_STORAGE = {f"{_TENSOR}tensor", f"{_TENSOR}tensor_v2", _TYPED, f"{_TENSOR}qtensor"}
_WITH_ATTRIBUTES = "torch._tensor._rebuild_from_type_v2"
_STORAGES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16, "QInt8Storage": 1, "QUInt8Storage": 1, "QInt32Storage": 4, "UntypedStorage": 1,
}  # fmt: skip
"""Bytes of an element of each kind of storage."""


def check_claims(file: BinaryIO, archive: Archive, source: Source) -> None:
    """Check what the pickle of an archive claims against the archive's members.

    Raises:
        SafsError: if it names code, claims more than there is, or is damaged.
    """
    _Reader(source, archive.storages).read(read_pickle(file, archive, source))


def check_old_claims(file: BinaryIO, size: int, source: Source) -> None:
    """Check what a file of PyTorch's format before zip claims against its size in bytes.

    It is five pickles, of magic number, version, system, the content, and the keys of storages; then their bytes.

    Raises:
        SafsError: if it names code, claims more than there is, or is damaged.
    """
    start = file.read(LARGEST_PICKLE)
    values = []
    claimed = 0
    for _ in range(5):
        reader = _Reader(source, None)
        value, end = reader.read(start)
        values.append(value)
        claimed += reader.claimed
        start = start[end:]
    magic, version, _, _, keys = values
    if type(magic) is not int or type(version) is not int or type(keys) is not list:
        raise source.damaged()
    if not all(type(key) is str for key in keys):
        raise source.damaged()
    if claimed > size:
        raise SafsError(f"{source} claims {claimed:,} bytes of weights, but has {size:,} in all.")


@dataclass(frozen=True)
class _Storage:
    """A storage that a pickle refers to: its elements, and the bytes of each."""

    elements: int
    itemsize: int


class _Reader(PickleReader):
    """Compares what a pickle claims with what there is.

    Args:
        source: what errors are about.
        available: the bytes of each storage by its key, or None if the file does not state them.
    """

    def __init__(self, source: Source, available: Mapping[str, int] | None) -> None:
        super().__init__(source)
        self._available = available
        self._regions: dict[str, tuple[str | None, int, int]] = {}
        self._given = 0

    @property
    def claimed(self) -> int:
        """The bytes of all storages."""
        return sum(length for root, _, length in self._regions.values() if root is None)

    def named(self, name: str) -> Name:
        tensors = name in _OVER_STORAGE or name == _WITH_ATTRIBUTES or _itemsize(name) is not None
        if tensors or may_be_called(name) or is_value(name):
            return Name(name)
        raise SafsError(
            f"{self.source} contains pickled code ({shown(name)}), which is not run; save its state dict instead, or "
            f"{TRUST}."
        )

    def called(self, name: str, arguments: tuple[Any, ...]) -> Made | Dict:
        given = self._count(arguments)
        if name == _WITH_ATTRIBUTES:
            function, _, arguments, _ = arguments
            name = function.name
            if not name.startswith(_TENSOR) or type(arguments) is not tuple:
                raise self.source.damaged()
        if name in _OVER_STORAGE:
            self._check_tensor(name, *arguments)
        else:
            check_call(self, name, arguments)
        return result(name, given)

    def built(self, target: Any, state: Any) -> None:
        self._count((state,))
        check_build(self, target, state)

    def stored(self, reference: Any) -> _Storage:
        """Return what stands for a storage, after comparing its size with what the file has."""
        if type(reference) is not tuple:
            raise self.source.damaged()
        kind, storage_type, key, _, elements, *view = reference
        itemsize = _itemsize(storage_type.name)
        if kind != "storage" or itemsize is None:
            raise self.source.damaged()
        size = elements * itemsize
        self._note(key, None, 0, size)
        if self._available is not None and size > self._available.get(key, -1):
            holds = f"{self._available[key]:,}" if key in self._available else "none"
            raise SafsError(f"{self.source} claims {size:,} bytes for the storage {shown(key)}, but holds {holds}.")
        if not view or view[0] is None:
            return _Storage(elements, itemsize)
        own, offset, length = view[0]
        self._note(own, key, offset * itemsize, length * itemsize)
        if offset + length > elements:
            raise self.source.damaged()
        return _Storage(length, itemsize)

    def _note(self, key: Any, root: str | None, start: int, length: int) -> None:
        """Note what region of which storage a key stands for, which must be the same each time."""
        if type(key) is not str or type(start) is not int or type(length) is not int or min(start, length) < 0:
            raise self.source.damaged()
        region = (root, start, length)
        if self._regions.setdefault(key, region) != region:
            raise self.source.damaged(f"it claims two sizes for the storage {shown(key)}")

    def _count(self, arguments: tuple[Any, ...]) -> int:
        """Return how much a call is given, with all that stands in it, and add it to what all calls were."""
        level: list[Any] = list(arguments)
        given = len(level)
        for _ in range(_DEEPEST_GIVEN):
            if not level:
                self._given += given
                return given
            given += sum(_weight(value) for value in level)
            if self._given + given > _MOST_GIVEN:
                break
            level = [item for value in level if type(value) in (tuple, list) for item in value]
        raise self.source.damaged("it makes far more of its values than it holds")

    def _check_tensor(
        self, function: str, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any
    ) -> None:
        """Check that a tensor lies within its storage, and is not much more than that."""
        if type(size) is not tuple or type(stride) is not tuple or not len(size) == len(stride) <= _MOST_DIMENSIONS:
            raise self.source.damaged()
        if any(type(number) is not int or not 0 <= number < _LARGEST_SIZE for number in (offset, *size, *stride)):
            raise self.source.damaged()
        held = storage.elements * storage.itemsize
        itemsize = vars(torch)[rest[2].name.rpartition(".")[2]].itemsize if function == _TYPED else storage.itemsize
        elements = math.prod(size)
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
        if elements and last * itemsize > held:
            raise SafsError(f"{self.source} claims a tensor of shape {size} over a storage of {held:,} bytes.")
        if elements * itemsize > max(held, LARGEST_REPEATED):
            raise SafsError(
                f"{self.source} claims {elements * itemsize:,} bytes for a tensor of shape {size}, but holds {held:,} "
                "of it; save a copy of that tensor."
            )


def _weight(value: Any) -> int:
    """Return the characters or values that stand in a value."""
    if isinstance(value, Made | Dict):
        return value.given if isinstance(value, Made) else value.entries
    return len(value) if type(value) in (str, tuple, list) else 0


def _itemsize(name: str) -> int | None:
    """Return the bytes of an element of a storage, by the full name of its type; None if it is no storage."""
    module, _, own = name.rpartition(".")
    return _STORAGES.get(own) if module in ("torch", "torch.cuda", "torch.storage") else None
