import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from safs.data import digits
from safs.export import load_best, load_exported

ROOT = Path(__file__).parents[3]
OUT = {"safetensors": "net.safetensors", "torch-export": "net.pt2", "onnx": "net.onnx"}


@pytest.mark.parametrize("format_name", OUT)
def test_a_finished_study(format_name, tiny_study, tmp_path, call_safs, snapshot):
    before, out = snapshot(tiny_study), tmp_path / OUT[format_name]
    code, printed, err = call_safs("export", tiny_study, "--format", format_name, "--out", out)
    assert code == 0, err
    lines = printed.splitlines()
    assert lines[0].startswith(f"{out}: {format_name}, {out.stat().st_size:,} bytes; the masks of 5 weights are exact")
    assert lines[1].startswith("Max abs difference from the original on random input: ")
    assert "batches of 1 and 3" in lines[1]
    assert lines[2] == "Folded into the layers: 8 of 8 factors"
    assert lines[3] == "Load it with:"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + "\n".join(lines[4:])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, len(lines)) == (0, 7), done.stderr
    assert snapshot(tiny_study) == before
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_the_accuracy_is_that_of_the_study(tiny_study, tmp_path, call_safs):
    out = tmp_path / "net.safetensors"
    assert call_safs("export", tiny_study, "--format", "safetensors", "--out", out)[0] == 0
    images = digits.load("test", None).images
    with torch.no_grad():
        best, exported = load_best(tiny_study / "best")(images), load_exported(out)(images)
    assert torch.equal(best.argmax(1), exported.argmax(1))


def test_no_fold_keeps_the_factors(tiny_study, tmp_path, call_safs):
    out = tmp_path / "net.safetensors"
    code, printed, _ = call_safs("export", tiny_study, "--format", "safetensors", "--out", out, "--no-fold")
    assert code == 0
    assert "olded" not in printed
    kept = json.loads((tiny_study / "best" / "activations.json").read_text())["sites"]
    site = load_exported(out).safs_activations.site0
    assert site.describe()["alpha"] == pytest.approx(kept[0]["alpha"])


def test_what_is_not_folded_is_listed(finished, tmp_path, call_safs):
    path = finished / "best" / "activations.json"
    content = json.loads(path.read_text())
    content["sites"][0] |= {"operator": "tanh", "alpha": -0.5, "constants": {}}
    path.write_text(json.dumps(content))
    code, printed, _ = call_safs("export", finished, "--format", "safetensors", "--out", tmp_path / "net.safetensors")
    assert code == 0
    assert "Folded into the layers: 7 of 8 factors" in printed
    line = next(line for line in printed.splitlines() if line.startswith("Not folded"))
    assert line.startswith(f"Not folded: α at {content['sites'][0]['site']}, because it passes ")
    assert line.endswith("as only a positive factor may")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--format": "safetensor"}, "Did you mean 'safetensors'?"),
        ({"--format": "pickle"}, "Choices: onnx, safetensors, torch-export"),
        ({"--out": "missing/net.safetensors"}, "There is no folder missing; make it"),
        ({"--out": "file/net.safetensors"}, "There is no folder file; make it"),
        ({"--out": "mine"}, "mine exists already and is left as it is"),
        ({"--out": "dangling"}, "dangling exists already and is left as it is"),
        ({"--format": "torch-export", "--out": "net.pt"}, "--out must end in .pt2"),
        ({"--format": "onnx", "--out": "net.pt"}, "--out must end in .onnx"),
        ({"RUN_DIR": "nowhere"}, "There is no run directory at nowhere"),
        ({"RUN_DIR": "file"}, "file is a file"),
        ({"RUN_DIR": "empty"}, "empty is no run directory: it has no config.yaml"),
        ({"RUN_DIR": "unfinished"}, "has not ended; safs run unfinished/config.yaml --run-dir unfinished --resume"),
        ({"RUN_DIR": "broken"}, "activations.json is damaged"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(change, message, finished, tmp_path, monkeypatch, refused, snapshot):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("file").touch()
    Path("mine").write_text("mine")
    Path("dangling").symlink_to("nothing")
    Path("empty").mkdir()
    shutil.copytree(finished, "unfinished", ignore=shutil.ignore_patterns("best"))
    shutil.copytree(finished, "broken")
    Path("broken/best/activations.json").write_text("{")
    before = snapshot(folder)
    given = {"RUN_DIR": str(finished), "--format": "safetensors", "--out": "net.safetensors"} | change
    arguments = [given.pop("RUN_DIR"), *(part for pair in given.items() for part in pair)]
    assert message in refused("export", *arguments)
    assert snapshot(folder) == before


def test_a_full_disk_is_one_line_and_leaves_nothing(tiny_study, small_disk, fill, refused):
    disk = small_disk(64)
    fill(disk)
    message = refused("export", tiny_study, "--format", "safetensors", "--out", disk / "net.safetensors")
    assert "The disk is full" in message
    assert [path.name for path in disk.iterdir()] == [".filler"]


def test_missing_packages_are_one_line(tiny_study, tmp_path, refused, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else known(name, *rest))
    message = refused("export", tiny_study, "--format", "onnx", "--out", tmp_path / "net.onnx")
    assert "ONNX needs onnx, not installed here: pip install 'safs[onnx]'" in message
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_formats(call_safs):
    code, printed, _ = call_safs("export", "--help")
    assert code == 0
    assert "safetensors, torch-export or onnx" in " ".join(printed.split())
