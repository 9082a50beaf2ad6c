"""PyTorch's zip format: what an archive says it holds, checked before anything in it is read.

PyTorch inflates compressed members, though it never writes any, and believes the sizes that the archive states. Here
an archive must hold each byte that it claims, and must say so in one way: Python's `zipfile`, which reads it here, and
PyTorch's own reader follow different fields to its directory, and could be led to two.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from safs.checkpoints.source import TRUST, Source
from spaces.errors import SafsError, brief, shown

MAGIC = b"PK\x03\x04"
"""What a zip archive begins with, and by which PyTorch knows one."""
LARGEST_PICKLE = 2**22
"""Bytes that the pickle in a checkpoint may have: it holds names, shapes and settings, but no weights. A network of
1,120 tensors needs 180,000, with its optimiser 290,000; the values that a pickle makes take up to 100 times as much."""
_LOCAL_HEADER = 30
"""Bytes before the name of a member; its lengths of name and extra field are the last four."""
_END = struct.Struct("<4s4HLLH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQHHLL4Q")
"""What an archive ends with: the record with the directory's size and offset, and, before it in archives of the ZIP64
format, as PyTorch's are, where the record with the same in 64 bits lies, and that record."""
_ZIP64 = 1
"""The kind of extra field that holds a member's sizes and offset in 64 bits."""


@dataclass(frozen=True)
class Archive:
    """A checked archive.

    Attributes:
        pickle: its member `data.pkl`.
        storages: the size in bytes of each of its members `data/KEY`, by KEY.
    """

    pickle: zipfile.ZipInfo
    storages: Mapping[str, int]


def check_archive(file: BinaryIO, size: int, source: Source) -> Archive:
    """Check the directory of an archive and return what its loading starts from.

    Args:
        file: the file, open for reading.
        size: its size in bytes.
        source: what errors are about.

    Raises:
        SafsError: if it is damaged, compressed, claims more than it holds, or is no checkpoint.
    """
    try:
        with zipfile.ZipFile(file) as directory:
            members = directory.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OSError) as error:
        raise source.damaged(brief(error)) from error
    folder = members[0].filename.split("/")[0] if members else ""
    by_name = {member.filename: member for member in members}
    if f"{folder}/constants.pkl" in by_name:
        raise SafsError(f"{source} is a TorchScript archive, whose code is not run; save its state dict instead.")
    _check_members(members, size, source)
    _check_end(file, size, directory.start_dir, source)
    if f"{folder}/data.pkl" not in by_name:
        raise source.damaged("it is a zip archive without a data.pkl")
    start = f"{folder}/data/"
    return Archive(
        pickle=by_name[f"{folder}/data.pkl"],
        storages={name.removeprefix(start): m.file_size for name, m in by_name.items() if name.startswith(start)},
    )


def read_pickle(file: BinaryIO, archive: Archive, source: Source) -> bytes:
    """Return the bytes of `data.pkl`. Not by `zipfile`: it checks a checksum that PyTorch can be told not to write.

    Raises:
        SafsError: if they are too many, or damaged.
    """
    member = archive.pickle
    if member.file_size > LARGEST_PICKLE:
        raise SafsError(
            f"{source} has a pickle of {member.file_size:,} bytes; at most {LARGEST_PICKLE:,} are read; save its state "
            f"dict alone, or {TRUST}."
        )
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER:
        raise source.damaged()
    file.seek(sum(struct.unpack("<HH", header[-4:])), 1)
    return file.read(member.file_size)


def _check_members(members: list[zipfile.ZipInfo], size: int, source: Source) -> None:
    names = {member.filename.casefold() for member in members}
    if len(names) < len(members):
        raise source.damaged("it holds two members of the same name")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise SafsError(
                f"{source} is compressed ({shown(member.filename)} would grow to {member.file_size:,} bytes), which "
                "PyTorch never writes; unpack it with the tool that made it, and save it with torch.save."
            )
        if not member.filename.isascii() or member.filename != member.orig_filename or _zip64_fields(member.extra) > 1:
            raise source.damaged(f"its member {shown(member.filename)} can be read in two ways")
    claimed = sum(member.file_size for member in members)
    if claimed > size:
        raise SafsError(f"{source} claims {claimed:,} bytes of content, but has {size:,} in all.")
    if members and min(member.header_offset for member in members) > 0:
        raise source.damaged("its archive does not begin at its first byte")


def _zip64_fields(extra: bytes) -> int:
    """Return how many of a member's extra fields hold its sizes: of several, readers take one or the other."""
    count = 0
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        count += kind == _ZIP64
        extra = extra[4 + length :]
    return count


def _check_end(file: BinaryIO, size: int, start: int, source: Source) -> None:
    """Check that the directory which was read, at `start`, is where an archive states it to be, and ends with it.

    PyTorch's reader goes to the offsets that are stated; `zipfile` takes the records that stand before each other.
    """
    file.seek(max(0, size - _END_64.size - _LOCATOR.size - _END.size))
    tail = file.read()
    signature, *_, length, offset, comment = _END.unpack(tail[-_END.size :])
    end = size - _END.size
    tail = tail[: -_END.size]
    if signature != b"PK\x05\x06" or comment:
        raise source.damaged("something follows its archive")
    if tail[-_LOCATOR.size :].startswith(b"PK\x06\x07"):
        end -= _LOCATOR.size + _END_64.size
        if _LOCATOR.unpack(tail[-_LOCATOR.size :])[2] != end or not tail.startswith(b"PK\x06\x06"):
            raise source.damaged("its archive states two directories")
        length, offset = _END_64.unpack(tail[: _END_64.size])[-2:]
    if offset != start or offset + length != end:
        raise source.damaged("its directory is not where it states")
