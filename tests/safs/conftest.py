"""What the tests of trials, studies and commands share: a small problem, a small study, the command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from safs.config.schema import Config
from safs.data import digits
from safs.data.dataset import Data
from safs.data.registry import DATASETS
from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.pruning import prune
from safs.sites import find_sites
from safs.study import Study
from safs.trial import Problem

pytest.register_assert_rewrite("safs.engines.testing")

ROOT = Path(__file__).parents[2]

TINY = {
    "model": {"name": "lenet5", "pretrain": {"epochs": 1, "batch_size": 128, "lr": 0.005}},
    "data": "digits",
    "prune": {"ratio": 0.9, "scope": "global"},
    "train": {"epochs": 2, "batch_size": 256, "lr": 0.02},
    "stage1": {"searcher": "lahc", "iterations": 3, "epochs": 1, "operators": ["relu", "srs", "tanh"]},
    "stage2": {"trials": 3, "folds": 2, "epochs": 1},
    "report": {"seeds": 2},
}
"""A whole study of about 35 trials of some 0.1 s."""


def merged(base, changes):
    """Return a mapping with changes laid over it, section by section."""
    values = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(values.get(key), dict)
        values[key] = merged(values[key], value) if both else value
    return values


@pytest.fixture(scope="session")
def tiny_values():
    """Returns the values of the small study, with changes laid over them."""
    return lambda **changes: json.loads(json.dumps(merged(TINY, changes)))


@pytest.fixture(scope="session")
def few_digits() -> Data:
    data = digits.load("train", None)
    return Data(data.images[:240], data.labels[:240], 10)


@pytest.fixture
def few(monkeypatch, few_digits):
    """The data set `few`: 240 training and 100 test digits. Lists the splits that were loaded."""
    loaded = []

    def load(split, root):
        loaded.append(split)
        if split == "train":
            return few_digits
        data = digits.load("test", None)
        return Data(data.images[:100], data.labels[:100], 10)

    monkeypatch.setitem(DATASETS, "few", load)
    return loaded


@pytest.fixture(scope="session")
def make_problem(few_digits):
    """Returns a new problem: LeNet-5, 90 % of it pruned, on 240 digits."""

    def make(model=None, data=few_digits, ratio=0.9, threads=1):
        model = model or make_model("lenet5", seed=0)
        mask = prune(model, ratio) if ratio else {}
        apply_mask(model, mask)
        sites = find_sites(model, tuple(data.images.shape[1:]))
        return Problem(model=model, mask=mask, sites=sites, data=data, threads=threads)

    return make


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory, tiny_values):
    """The run directory of the small study, run to its end without interruption in this process. Read only."""
    folder = tmp_path_factory.mktemp("tiny") / "run"
    Study(Config.from_mapping(tiny_values()), folder).run()
    return folder


@pytest.fixture
def finished(tiny_study, tmp_path):
    """A copy of that run directory."""
    return Path(shutil.copytree(tiny_study, tmp_path / "finished"))


@pytest.fixture(scope="session")
def records():
    """Returns the records of a journal."""
    return lambda folder: [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]


@pytest.fixture(scope="session")
def snapshot():
    """Returns what is in a folder: the content and time of every file."""

    def take(folder):
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    return take


@pytest.fixture
def tiny_yaml(tmp_path, tiny_values):
    """The config file of the small study."""
    path = tmp_path / "tiny.yaml"
    path.write_text(Config.from_mapping(tiny_values()).to_yaml(), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def start_safs():
    """Starts `python -m safs` with these arguments in another process."""

    def start(*arguments, cwd=None, **environment):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | environment
        command = [sys.executable, "-m", "safs", *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=cwd, env=environment)

    return start


@pytest.fixture(scope="session")
def run_safs(start_safs):
    """Runs `python -m safs` in another process and returns its exit code, stdout and stderr."""

    def run(*arguments, **options):
        process = start_safs(*arguments, **options)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    return run


@pytest.fixture
def call_safs(monkeypatch, capsys):
    """Runs the command line in this process and returns its exit code, stdout and stderr; any traceback fails."""
    from safs.cli import main

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["safs", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


@pytest.fixture
def refused(call_safs):
    """Runs the command line and returns its one line on stderr, after checking that it is one and the exit code 2."""

    def check(*arguments):
        code, out, err = call_safs(*arguments)
        assert (code, out) == (2, ""), err
        assert err.startswith("Error: "), err
        assert err.count("\n") == 1, err
        return err

    return check


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of so many KiB and returns its folder."""
    mounted = []

    def mount(kib):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no `mount` command, so no disk to fill")
        if done.returncode:
            pytest.skip(f"mounting a tmpfs is not permitted, so there is no disk to fill: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


@pytest.fixture(scope="session")
def fill():
    """Fills the disk under a folder to the last byte and returns the file to delete to have room again."""

    def write(folder):
        filler = Path(folder) / ".filler"
        with filler.open("ab", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass
        return filler

    return write


@pytest.fixture(autouse=True)
def _one_thread():
    """Tests share two cores with others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
