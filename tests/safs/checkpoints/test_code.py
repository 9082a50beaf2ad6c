"""Nothing in a file is run."""

import os
import pickle

import numpy as np
import pytest
import torch

from safs.checkpoints import save_checkpoint


class Creates:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


class CallsSystem(Creates):
    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


class Evaluates(Creates):
    def __reduce__(self):
        return (eval, (f"open({self.path!r}, 'w')",))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("kind", "name"), [(Creates, "io.open"), (CallsSystem, f"{os.name}.system"), (Evaluates, "builtins.eval")]
)
def test_pickled_code_is_not_run(tmp_path, pruned, loads, rejects, kind, name, legacy):
    model, mask = pruned
    made = tmp_path / "made"
    content = {"state_dict": model.state_dict(), "epoch": kind(made)}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    rejects(tmp_path / "a.pt", rf"contains pickled code \('{name}'\), which is not run; .* or pass --trust-pickle")
    assert not made.exists()
    loads(tmp_path / "a.pt", model.state_dict(), mask, trust_pickle=True)
    assert made.exists()


def test_code_does_not_hide_behind_the_suffix(tmp_path, rejects):
    torch.save({"a": Creates(tmp_path / "made")}, tmp_path / "a.safetensors")
    rejects(tmp_path / "a.safetensors", "damaged or no safetensors file")
    assert not (tmp_path / "made").exists()


def test_code_does_not_hide_behind_names_that_a_screen_obeys(tmp_path, rejects):
    name = b"posix\x1b[2J\x07\nsystem\n"
    content = b"\x80\x02}q\x00X\x01\x00\x00\x00ac" + name + b"X\x01\x00\x00\x00b\x85Rs."
    protocol = [pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {})]
    (tmp_path / "a.pt").write_bytes(b"".join([*protocol, content, pickle.dumps([], protocol=2)]))
    message = rejects(tmp_path / "a.pt", "contains pickled code")
    assert message.isprintable()


def test_code_that_fails_is_an_error_too(tmp_path, rejects):
    class Fails:
        def __reduce__(self):
            return (int, ("x",))

    torch.save({"a": Fails()}, tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", "damaged or no", trust_pickle=True)


@pytest.mark.parametrize("protocol", [4, 5])
def test_other_pickle_protocols_are_refused_with_the_reason(tmp_path, pruned, rejects, protocol):
    torch.save(pruned[0].state_dict(), tmp_path / "a.pt", pickle_protocol=protocol)
    rejects(tmp_path / "a.pt", "holds the pickle instruction [A-Z0-9_]+, which torch.save does not write")


def test_an_unreadable_file(tmp_path, pruned, rejects, monkeypatch):
    save_checkpoint(tmp_path / "a.pt", *pruned)

    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", deny)
    rejects(tmp_path / "a.pt", "cannot be read: Permission denied")


def test_a_name_that_no_file_can_have(tmp_path, rejects):
    rejects(tmp_path / ("a" * 300 + ".pt"), "cannot be read: File name too long")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_entered(tmp_path, pruned, rejects):
    folder = tmp_path / "closed"
    folder.mkdir()
    save_checkpoint(folder / "a.pt", *pruned)
    folder.chmod(0)
    try:
        rejects(folder / "a.pt", "cannot be read: Permission denied")
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize("value", [np.longdouble(1), np.str_("ten"), np.datetime64("2020-01-01")])
def test_a_value_of_numpy_that_is_not_read_is_named(tmp_path, rejects, value):
    torch.save({"epoch": value}, tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", f"holds a value of NumPy's type '{value.dtype.str[1:3]}.*', which is not read")
