"""PyTorch's zip format: what an archive says it holds, checked before anything in it is read.

PyTorch inflates compressed members, though it never writes any, and believes the sizes that the archive states. Here
an archive must hold each byte that it claims.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from safs.checkpoints.source import Source, shown
from spaces.errors import SafsError

MAGIC = b"PK\x03\x04"
"""What a zip archive begins with, and by which PyTorch knows one."""
LARGEST_PICKLE = 2**26
"""Bytes that the pickle in a checkpoint may have: it holds names, shapes and settings, but no weights."""
_LOCAL_HEADER = 30
"""Bytes before the name of a member; its lengths of name and extra field are the last four."""


@dataclass(frozen=True)
class Archive:
    """A checked archive.

    Attributes:
        pickle: its `data.pkl`.
        storages: the size in bytes of each of its members `data/KEY`, by KEY.
    """

    pickle: bytes
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
        raise source.damaged(str(error)) from error
    folder = members[0].filename.split("/")[0] if members else ""
    by_name = {member.filename: member for member in members}
    if f"{folder}/constants.pkl" in by_name:
        raise SafsError(f"{source} is a TorchScript archive, whose code is not run; save its state dict instead.")
    _check_members(members, size, source)
    if f"{folder}/data.pkl" not in by_name:
        raise source.damaged("it is a zip archive without a data.pkl")
    start = f"{folder}/data/"
    return Archive(
        pickle=_read_stored(file, by_name[f"{folder}/data.pkl"], source),
        storages={name.removeprefix(start): m.file_size for name, m in by_name.items() if name.startswith(start)},
    )


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
    claimed = sum(member.file_size for member in members)
    if claimed > size:
        raise SafsError(f"{source} claims {claimed:,} bytes of content, but has {size:,} in all.")
    if members and min(member.header_offset for member in members) > 0:
        raise source.damaged("its archive does not begin at its first byte")


def _read_stored(file: BinaryIO, member: zipfile.ZipInfo, source: Source) -> bytes:
    """Return a member's bytes. Not by `zipfile`, which checks a checksum that PyTorch can be told not to write."""
    if member.file_size > LARGEST_PICKLE:
        raise SafsError(f"{source} has a pickle of {member.file_size:,} bytes; at most {LARGEST_PICKLE:,} are read.")
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER:
        raise source.damaged()
    file.seek(sum(struct.unpack("<HH", header[-4:])), 1)
    return file.read(member.file_size)
