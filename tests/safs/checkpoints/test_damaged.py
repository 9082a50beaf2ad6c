"""Files that are damaged, and files that claim more than they hold: refused before anything is allocated."""

import io
import json
import random
import resource
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save

from safs.checkpoints import claims, load_into, save_checkpoint
from spaces.errors import SafsError

GB = 10**9


@pytest.fixture
def bounded():
    """Lets this process take 1 GB more of memory than it has, so that making what a file claims would fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a file of the kernel
        taken = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + GB, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_missing_empty_folder_text(tmp_path, rejects, suffix):
    path = tmp_path / f"a{suffix}"
    rejects(path, "There is no checkpoint at")
    path.touch()
    rejects(path, "is empty")
    path.write_text("accuracy,epoch\n0.93,12\n" * 10)
    rejects(path, "damaged or no")
    path.write_text("I am a global text about GLOBALS, not a checkpoint.\n")
    rejects(path, "damaged or no")
    path.write_bytes(bytes(4096))
    rejects(path, "damaged or no")
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    rejects(folder, "is a folder, not a file")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_truncated_at_any_place(tmp_path, pruned, loads, rejects, kind):
    model, mask = pruned
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pt")
    if kind == "legacy":
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
    else:
        save_checkpoint(path, model, mask)
    whole = path.read_bytes()
    cuts = {1, 2, 3, 7, 8, 9, 64, len(whole) - 1, len(whole) - 8} | set(range(10, len(whole), max(1, len(whole) // 50)))
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        rejects(path, "damaged or no|claims" if kind == "legacy" else "damaged or no")
    path.write_bytes(whole)
    loads(path, model.state_dict(), mask)


@pytest.mark.parametrize("trust_pickle", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_damaged_bytes_never_raise_anything_else(tmp_path, small, pruned, legacy, trust_pickle):
    path = tmp_path / "a.pt"
    buffer = io.BytesIO()
    torch.save(pruned[0].state_dict(), buffer, _use_new_zipfile_serialization=not legacy)
    whole = buffer.getvalue()
    rng = random.Random(0)
    if trust_pickle:  # random bytes must not become code that is run: only cut
        damaged = [whole[:cut] for cut in range(1, len(whole), len(whole) // 20)]
    else:
        damaged = []
        for _ in range(120):
            changed = bytearray(whole)
            for _ in range(rng.randint(1, 4)):
                changed[rng.randrange(min(1200, len(whole)))] = rng.randrange(256)
            damaged.append(bytes(changed))
    for content in damaged:
        path.write_bytes(content)
        try:
            load_into(small(), path, trust_pickle=trust_pickle)
        except SafsError as error:
            assert "\n" not in str(error)  # noqa: PT017 - a flipped bit in a weight is no error


# Zip archives


def members(model):
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def archived(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return path


def test_an_archive_that_another_tool_packed_anew_is_read(tmp_path, pruned, loads):
    loads(archived(tmp_path / "a.pt", members(pruned[0])), pruned[0].state_dict(), pruned[1])


def test_an_archive_without_a_pickle_is_no_checkpoint(tmp_path, rejects):
    rejects(archived(tmp_path / "a.pt", {"readme.txt": "hello"}), "damaged or no PyTorch checkpoint: .*data.pkl")


@pytest.mark.parametrize("trust_pickle", [False, True])
def test_a_zip_bomb(tmp_path, pruned, rejects, trust_pickle):
    """PyTorch inflates members: a thousandth of what they grow to is enough of a file."""
    content = members(pruned[0])
    name = next(name for name in content if name.endswith("data.pkl"))
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content.pop(name))
        with archive.open("archive/data/0", "w", force_zip64=True) as member:
            for _ in range(60):
                member.write(bytes(10**6))
    assert (tmp_path / "a.pt").stat().st_size < 10**5
    rejects(tmp_path / "a.pt", r"is compressed .* which PyTorch never writes", trust_pickle=trust_pickle)


def test_members_that_overlap(tmp_path, pruned, rejects):
    """Several entries of the directory for the same bytes: the claims add up to more than the file."""
    path = archived(tmp_path / "a.pt", members(pruned[0]) | {"archive/data/zeros": bytes(5000)})
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    record = content[content.rindex(b"PK\x01\x02") : content.rindex(b"PK\x05\x06")]
    assert b"zeros" in record
    copies = [record.replace(b"zeros", f"zero{number}".encode()) for number in range(9)]
    directory = content[start : content.rindex(b"PK\x05\x06")] + b"".join(copies)
    end = bytearray(content[content.rindex(b"PK\x05\x06") :])
    count = struct.unpack_from("<H", end, 8)[0] + 9
    struct.pack_into("<HHI", end, 8, count, count, len(directory))
    path.write_bytes(content[:start] + directory + bytes(end))
    rejects(path, r"claims [\d,]+ bytes of content, but has [\d,]+ in all")


def test_two_members_of_one_name(tmp_path, pruned, rejects):
    content = members(pruned[0])
    name = next(name for name in content if name.endswith("data.pkl"))
    rejects(archived(tmp_path / "a.pt", content | {name.upper(): b"other"}), "two members of the same name")


def test_an_archive_behind_other_bytes(tmp_path, pruned, rejects):
    path = archived(tmp_path / "a.pt", members(pruned[0]))
    path.write_bytes(b"PK\x03\x04" + bytes(100) + path.read_bytes())
    rejects(path, "does not begin at its first byte")


# Claims in a pickle


def with_pickle(path, model, change):
    """Write a network's archive with its pickle changed."""
    content = members(model)
    name = next(name for name in content if name.endswith("data.pkl"))
    changed = change(content[name])
    assert changed != content[name]
    return archived(path, content | {name: changed})


def one_weight(elements=4):
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.arange(float(elements)))
    return model


BILLION = b"J" + struct.pack("<i", 10**9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.replace(b"K\x04tq", BILLION + b"tq"), "claims 4,000,000,000 bytes for the storage '0'"),
        (lambda p: p.replace(b"X\x01\x00\x00\x000q", b"X\x01\x00\x00\x007q"), "for the storage '7', but holds none"),
        (lambda p: p.replace(b"K\x04\x85", BILLION + b"\x85"), r"of shape \(1000000000,\) over a storage of 16"),
        (lambda p: p.replace(b"QK\x00K\x04", b"QK\x01K\x04"), r"a tensor of shape \(4,\) over a storage of 16"),
        (
            lambda p: p.replace(b"K\x04\x85", BILLION + b"\x85").replace(b"K\x01\x85", b"K\x00\x85"),
            "claims 4,000,000,000 bytes for a tensor",
        ),
        (lambda p: p.replace(b"K\x04\x85", b"J\xff\xff\xff\xff\x85"), "damaged"),
        (lambda p: p.replace(b"K\x04\x85", b"N\x85"), "damaged"),
        (lambda p: p.replace(b"FloatStorage", b"DoubleStorage"), "claims 32 bytes for the storage '0', but holds 16"),
        (lambda p: p[:-2] + b"X\x01\x00\x00\x00bc__builtin__\nbytearray\n" + BILLION + b"\x85Rs.", "pickled code"),
        (lambda p: p[:-2] + b"X\x01\x00\x00\x00bctorch\nTensor\n" + BILLION + b"\x85Rs.", "calls torch.Tensor"),
        (lambda p: p[:-2] + b"X\x01\x00\x00\x00bctorch\nFloatStorage\n" + BILLION + b"\x85Rs.", "calls torch.Float"),
    ],
)  # fmt: skip
def test_a_pickle_that_claims_what_the_file_does_not_hold(tmp_path, rejects, bounded, change, message):
    path = with_pickle(tmp_path / "a.pt", one_weight(), change)
    rejects(path, message, model=one_weight())


def test_the_old_format_that_claims_what_the_file_does_not_hold(tmp_path, rejects, bounded):
    path = tmp_path / "a.pt"
    torch.save(one_weight().state_dict(), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    first = whole.index(b"K\x04", whole.index(b"FloatStorage"))
    second = whole.index(b"K\x04", first + 2)
    path.write_bytes(whole[:first] + BILLION + whole[first + 2 :])
    rejects(path, "claims 4,000,000,000 bytes of weights, but has", model=one_weight())
    path.write_bytes(whole[:second] + BILLION + whole[second + 2 :])
    rejects(path, r"a tensor of shape \(1000000000,\) over a storage of 16 bytes", model=one_weight())


@pytest.mark.parametrize("legacy", [False, True])
def test_three_gigabytes_of_zeros_in_a_small_file(tmp_path, rejects, legacy):
    torch.save({"4.weight": torch.zeros(1).expand(GB)}, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    assert (tmp_path / "a.pt").stat().st_size < 10**4
    rejects(tmp_path / "a.pt", "claims 4,000,000,000 bytes for a tensor of shape .*, but holds 4 of it")


def test_a_tensor_may_repeat_a_few_elements(tmp_path, pruned, loads):
    model, mask = pruned
    state = model.state_dict()
    state["1.running_var"] = torch.ones(1).expand(3)
    torch.save(state, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", state, mask)


def test_a_pickle_may_be_long_but_not_endless(tmp_path, pruned, rejects, monkeypatch):
    torch.save(pruned[0].state_dict() | {"log": "x" * 5000}, tmp_path / "a.pt")
    monkeypatch.setattr("safs.checkpoints.archive.LARGEST_PICKLE", 4000)
    rejects(tmp_path / "a.pt", r"has a pickle of [\d,]+ bytes; at most 4,000 are read")


def test_every_type_of_number_has_its_size():
    for name, size in claims._STORAGES.items():
        if name != "UntypedStorage":
            assert getattr(torch, name).dtype.itemsize == size


# Safetensors


def lying(change):
    """Return a safetensors file whose header was changed."""
    whole = save({"a": torch.arange(4.0), "b": torch.ones(2)})
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    changed = json.dumps(change(header) or header).encode()
    return struct.pack("<Q", len(changed)) + changed + whole[8 + length :]


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["a"].update(shape=[GB]),
        lambda h: h["a"].update(shape=[GB], data_offsets=[0, 4 * GB]),
        lambda h: h["a"].update(shape=[2**32, 2**32]),
        lambda h: h["a"].update(shape=[-4]),
        lambda h: h["b"].update(data_offsets=[0, 8]),
        lambda h: h["b"].update(data_offsets=[24, 16]),
        lambda h: h.pop("b") and None,
        lambda h: h.update(c={"dtype": "F32", "shape": [2], "data_offsets": [16, 24]}),
        lambda h: h["a"].update(dtype="F128"),
        lambda h: h["a"].update(dtype="F64"),
        lambda h: h["a"].pop("shape") and None,
        lambda h: [1, 2],
        lambda h: {"__metadata__": {"a": 1}},
    ],
)
def test_safetensors_headers_that_lie(tmp_path, rejects, bounded, change):
    (tmp_path / "a.safetensors").write_bytes(lying(change))
    rejects(tmp_path / "a.safetensors", "is damaged or no safetensors file: ")


@pytest.mark.parametrize("length", [0, 1, 10**6, 3 * GB, 2**63, 2**64 - 1])
def test_safetensors_headers_whose_length_lies(tmp_path, rejects, bounded, length):
    whole = save({"a": torch.arange(4.0)})
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length) + whole[8:])
    rejects(tmp_path / "a.safetensors", "is damaged or no safetensors file: its header does not fit into it")


def test_safetensors_of_a_type_that_pytorch_does_not_load(tmp_path, rejects):
    whole = save({"a": torch.zeros(4, dtype=torch.uint8)}).replace(b'"U8"', b'"F8_E8M0"')
    length = struct.unpack("<Q", whole[:8])[0]
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length + 5) + whole[8:])
    rejects(tmp_path / "a.safetensors", "holds tensors of a type that PyTorch does not have: 'F8_E8M0'|damaged or no")
