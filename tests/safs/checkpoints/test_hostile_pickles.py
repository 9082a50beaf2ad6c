"""Pickles that would kill or stop the process that reads them, though they name no code."""

import json
import pickle
import re
import struct
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
import torch

from safs.checkpoints import read_checkpoint
from safs.checkpoints.archive import LARGEST_PICKLE

DEEP = b")" + b"\x85" * 200_000
DOUBLED = b")" + b"q\x00h\x00\x86" * 60
WIDE = b"(" + b"K\x01" * 10**4 + b"t"
COLLIDING = b"\x8a\x1f" + (2**61 - 1 << 180).to_bytes(31, "little")
KEYS = {"doubled": DOUBLED, "wide": WIDE, "colliding": COLLIDING, "within": b"K\x01" + DOUBLED + b"\x86"}


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def entered(key):
    return b"}" + key + b"K\x01s."


def entered_with_others(key):
    return b"}(K\x01K\x01" + key + b"K\x01u."


def in_a_set(key):
    return b"c__builtin__\nset\n]" + key + b"a\x85R."


def in_pairs(key):
    return b"ccollections\nOrderedDict\n]]" + key + b"aK\x01aa\x85R."


def as_an_attribute(key):
    return b"ccollections\nOrderedDict\n)R}" + key + b"K\x01sb."


PLACES = (entered, entered_with_others, in_a_set, in_pairs, as_an_attribute)
KEY = "has a dictionary or set with a key of the type (tuple|int), where text and numbers of 64 bits are read"
MORE = "it makes far more of its values than it holds"
ENCODE = b"c_codecs\nencode\nq\x01"
DTYPE = b"cnumpy\ndtype\n" + text("f8") + b"\x89\x88\x87R"
CALLS = {
    "deep": (entered(DEEP), KEY),
    "deep in a set": (in_a_set(DEEP), MORE),
    "counter of a list": (b"ccollections\nCounter\n]K\x01a\x85R.", "calls collections.Counter as torch.save"),
    "codec": (ENCODE + text("a" * 10**5) + text("punycode") + b"\x86R.", "calls _codecs.encode as torch.save does not"),
    "copies": (ENCODE + text("a" * 10**6) + b"q\x02" + b"h\x01h\x02" + text("latin1") + b"q\x03\x86R"
               + b"h\x01h\x02h\x03\x86R" * 10**4 + b".", MORE),
    "sizes": (b"ctorch\nSize\nq\x01" + WIDE + b"\x85q\x02R" + b"h\x01h\x02R" * 10**4 + b".", MORE),
    "attributes": (b"}q\x02" + b"(" + b"".join(b"M%sK\x01" % struct.pack("<H", n) for n in range(2**16)) + b"u"
                   + b"cargparse\nNamespace\nq\x01" + b"h\x01)\x81h\x02b" * 10**4 + b".", MORE),
    "repeated text": (b"ctorch\nSize\n" + DOUBLED + b"\x85R.", MORE),
    "endless": (b"ctorch\nSize\n]q\x01h\x01a\x85R.", MORE),
    "layout": (DTYPE + b"(K\x03" + text("<") + b"NNNJ\xff\x00\x00\x00J\xff\xff\xff\xffK\x00tb.", "changes an object"),
    "tuple": (DOUBLED + b")b.", "changes an object"),
    "called": (DOUBLED + b")R.", "damaged or no PyTorch checkpoint"),
    "storage": (b"(" + text("storage") + b"ctorch\nFloatStorage\n" + DOUBLED + text("cpu") + b"K\x04tQ.", "damaged"),
    "big": (b"}" * LARGEST_PICKLE + b".", r"has a pickle of [\d,]+ bytes; at most 4,194,304 are read; .*--trust"),
}  # fmt: skip


def archived(path, content):
    """Write an archive with a pickle, and a storage of 16 bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + content)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", bytes(16))


def old(path, content, **other):
    """Write a file of the format before zip with a pickle as its content, or as another of its parts."""
    parts = {"magic": 0x1950A86A20F9469CFC6C, "version": 1001, "system": {}, "content": None, "keys": []}
    pickles = {name: pickle.dumps(value, protocol=2) for name, value in parts.items()} | {"content": content} | other
    path.write_bytes(b"".join(part if part[:1] == b"\x80" else b"\x80\x02" + part for part in pickles.values()))


READ = """
import json, resource, sys
from pathlib import Path
from safs.checkpoints import read_checkpoint
from spaces.errors import SafsError
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 10**9, resource.RLIM_INFINITY))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_checkpoint(path)
        print(json.dumps([path.name, "it was read"]), flush=True)
    except SafsError as error:
        print(json.dumps([path.name, str(error)]), flush=True)
"""


def test_none_harms_the_process_that_reads_it(tmp_path):
    expected = {}
    for name, key in KEYS.items():
        for place in PLACES:
            archived(tmp_path / f"{name} {place.__name__}.pt", place(key))
            expected[f"{name} {place.__name__}.pt"] = f"{KEY}|{MORE}"
        old(tmp_path / f"{name} old.pt", entered(key))
        expected[f"{name} old.pt"] = KEY
    for name, (content, message) in CALLS.items():
        archived(tmp_path / f"{name}.pt", content)
        expected[f"{name}.pt"] = message
    for name in ("version", "magic"):
        old(tmp_path / f"{name}.pt", b"}.", **{name: DOUBLED + b"."})
        expected[f"{name}.pt"] = "damaged or no"
    old(tmp_path / "keys.pt", b"}.", keys=b"]" + DEEP + b"a.")
    expected["keys.pt"] = "damaged or no"
    command = [sys.executable, "-c", textwrap.dedent(READ), str(tmp_path)]
    root = Path(__file__).parents[3]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=root)
    assert run.returncode == 0, (run.returncode, run.stdout[-300:], run.stderr[-300:])
    said = dict(json.loads(line) for line in run.stdout.splitlines())
    assert said.keys() == expected.keys()
    assert {name: said[name] for name in said if not re.search(expected[name], said[name])} == {}
    assert max(len(message) for message in said.values()) < 500


BUILT = b"\x8a\x05" + (10**10).to_bytes(5, "little")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("stride", [0, 1])
def test_a_tensor_that_is_given_another_storage_when_it_is_made(tmp_path, rejects, legacy, stride):
    """A tensor with attributes, and an instruction behind it to set what it lies over: 40 GB in 300 bytes."""
    tensor = torch.ones(4)
    tensor.note = "mine"
    torch.save({"a": tensor}, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    content = whole = (tmp_path / "a.pt").read_bytes()
    if not legacy:
        with zipfile.ZipFile(tmp_path / "a.pt") as archive:
            content = archive.read("a/data.pkl")
    reference = re.search(rb"tq(.)Q", content, re.DOTALL)[1]
    state = b"(h" + reference + b"QK\x00" + BUILT + b"\x85K" + bytes([stride]) + b"\x85tb"
    changed, count = re.subn(rb"(Rq.)s\.", lambda found: found[1] + state + b"s.", content, flags=re.DOTALL)
    assert count == 1
    if legacy:
        (tmp_path / "a.pt").write_bytes(changed)
    else:
        archived(tmp_path / "a.pt", changed.removeprefix(b"\x80\x02"))
    assert content in whole
    rejects(tmp_path / "a.pt", "it changes an object as torch.save does not")


@pytest.mark.parametrize("second", [b"J\x05\x00\x00\x00", b"K\x03"])
def test_a_storage_of_two_sizes(tmp_path, rejects, second):
    """PyTorch's old format makes another storage for each reference of another size."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    old(tmp_path / "a.pt", b"]" + storage + b"K\x04NtQa" + storage + second + b"NtQa.", keys=b"]" + text("0") + b"a.")
    rejects(tmp_path / "a.pt", "it claims two sizes for the storage '0'")


def test_what_python_2_wrote_is_read(tmp_path):
    """It wrote an ordered dictionary as its pairs, and short names as bytes."""
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04tQ"
    hooks = b"ccollections\nOrderedDict\n]\x85R"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00K\x04\x85K\x01\x85\x89" + hooks + b"tR"
    archived(tmp_path / "a.pt", b"ccollections\nOrderedDict\n]]U\x06weighta" + tensor + b"aa\x85R.")
    assert torch.equal(read_checkpoint(tmp_path / "a.pt").content.tensors["weight"], torch.zeros(4))


def test_the_pickle_of_a_large_network_is_small(tmp_path):
    """What may be read is many times what a network of 600 tensors, with its optimiser, needs."""
    state = {f"features.{i}.block.{i}.weight": torch.zeros(1).expand(64, 64, 3, 3) for i in range(600)}
    moments = {i: {"step": torch.zeros(()), "exp_avg": t, "exp_avg_sq": t} for i, t in enumerate(state.values())}
    torch.save({"state_dict": state, "optimizer": {"state": moments}}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert archive.getinfo("a/data.pkl").file_size * 10 < LARGEST_PICKLE
    assert len(read_checkpoint(tmp_path / "a.pt").content.tensors) == 600
