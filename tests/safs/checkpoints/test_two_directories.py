"""Archives that Python's reader and PyTorch's would read in two ways: what is checked must be what is loaded."""

import io
import pickle
import struct
import zipfile

import pytest
import torch

END, LOCATOR, END_64 = struct.Struct("<4s4HLLH"), struct.Struct("<4sLQL"), struct.Struct("<4sQHHLL4Q")
HIDDEN = {"archive/data.pkl": pickle.dumps({"hidden": bytearray(8)}, protocol=2), "archive/version": b"3\n"}


def members(model):
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    assert LOCATOR.unpack(buffer.getvalue()[-42:-22])[0] == b"PK\x06\x07"  # what the format is like
    with zipfile.ZipFile(buffer) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def packed(content, start=0, compression=zipfile.ZIP_STORED):
    """Return an archive that begins at some byte of a file."""
    buffer = io.BytesIO(bytes(start))
    buffer.seek(start)
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return buffer.getvalue()[start:]


def end_64(archive, start=0):
    """Return the record of 64 bits on the directory of an archive that begins at some byte of a file."""
    _, _, _, _, count, length, offset, _ = END.unpack(archive[-END.size :])
    assert offset + length + END.size == start + len(archive)
    return END_64.pack(b"PK\x06\x06", END_64.size - 12, 45, 45, 0, 0, count, count, length, offset)


def hiding(model):
    """Return an archive of a network, without its end, in a member of which lies another; and where that one ends."""
    size = len(packed(HIDDEN, compression=zipfile.ZIP_DEFLATED)) + END_64.size
    outer = packed(members(model) | {"archive/data/more": b"\x01" * size})
    start = outer.index(b"\x01" * size)
    inner = packed(HIDDEN, start, zipfile.ZIP_DEFLATED)
    inner += end_64(inner, start)
    assert len(inner) == size
    return outer[:start] + inner + outer[start + size :], start + size - END_64.size


def test_a_locator_that_leads_to_another_directory(tmp_path, pruned, loads, rejects):
    model, mask = pruned
    outer, hidden = hiding(model)
    body, end = outer[: -END.size], outer[-END.size :]
    record = end_64(outer)
    for offset in (len(body), hidden):
        (tmp_path / "a.pt").write_bytes(body + record + LOCATOR.pack(b"PK\x06\x07", 0, offset, 1) + end)
        if offset == len(body):
            loads(tmp_path / "a.pt", model.state_dict(), mask)
    rejects(tmp_path / "a.pt", "its archive states two directories")
    rejects(tmp_path / "a.pt", "its archive states two directories", trust_pickle=True)
    (tmp_path / "a.pt").write_bytes(body + LOCATOR.pack(b"PK\x06\x07", 0, hidden, 1) + end)  # no record before it
    rejects(tmp_path / "a.pt", "damaged or no PyTorch checkpoint")


def shifted(directory, by):
    """Return a directory whose members begin so many bytes later."""
    changed, position = bytearray(directory), 0
    while position < len(directory):
        (offset,) = struct.unpack_from("<L", directory, position + 42)
        struct.pack_into("<L", changed, position + 42, offset + by)
        position += 46 + sum(struct.unpack_from("<3H", directory, position + 28))
    return bytes(changed)


def test_a_directory_in_the_comment(tmp_path, pruned, rejects):
    """Python's reader takes the directory to end where the last record begins; PyTorch's takes the offset in it."""
    outer, _ = hiding(pruned[0])
    _, _, _, count, _, length, offset, _ = END.unpack(outer[-END.size :])
    behind = len(outer)
    end = END.pack(b"PK\x05\x06", 0, 0, count, count, length, behind, length)
    directory = outer[offset : offset + length]
    path = tmp_path / "a.pt"
    path.write_bytes(outer[:offset] + shifted(directory, behind - offset) + end + directory)
    with zipfile.ZipFile(path) as archive:
        assert archive.start_dir == offset
        assert archive.infolist()[0].header_offset == 0
    rejects(path, "something follows its archive")


def test_a_directory_that_is_not_where_it_is_stated(tmp_path, pruned, rejects):
    outer = packed(members(pruned[0]))
    _, _, _, count, _, length, offset, _ = END.unpack(outer[-END.size :])
    end = END.pack(b"PK\x05\x06", 0, 0, count, count, length, offset + 1, 0)
    (tmp_path / "a.pt").write_bytes(outer[: -END.size] + end)
    rejects(tmp_path / "a.pt", "its directory is not where it states")


@pytest.mark.parametrize("name", ["archive/data/é", "archive/data/0\x00x"])
def test_names_that_are_read_in_two_ways(tmp_path, pruned, rejects, name):
    content = packed(members(pruned[0]) | {"archive/data/" + "y" * (len(name.encode()) - 13): b"more"})
    plain = b"archive/data/" + b"y" * (len(name.encode()) - 13)
    assert content.count(plain) == 2
    (tmp_path / "a.pt").write_bytes(content.replace(plain, name.encode()))
    rejects(tmp_path / "a.pt", "can be read in two ways|two members of the same name")


def test_a_member_that_states_its_size_twice(tmp_path, pruned, rejects):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, value in members(pruned[0]).items():
            archive.writestr(name, value)
        info = zipfile.ZipInfo("archive/data/more")
        info.extra = 2 * struct.pack("<HHQ", 1, 8, 4)
        archive.writestr(info, b"more")
    (tmp_path / "a.pt").write_bytes(buffer.getvalue())
    rejects(tmp_path / "a.pt", "its member 'archive/data/more' can be read in two ways")
