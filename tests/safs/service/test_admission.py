"""The process that checks what was submitted: for which device, and what it knows."""

import asyncio
import os
import sys
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from safs.config.schema import Config
from safs.service.admission import Admission
from safs.service.fields import FieldError
from safs.service.settings import Limits
from tests.safs.conftest import TINY, merged
from tests.safs.service.conftest import eventually


@pytest.fixture(scope="module", autouse=True)
def _no_process_stays():
    yield
    forkserver._forkserver._stop()


@pytest.fixture
def folder(tmp_path):
    """The folder of a study for a GPU."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TINY | {"resources": {"device": "cuda"}}))
    return tmp_path


def check(admission, folder):
    """Return what a check answers."""
    return asyncio.run(admission.check(folder))


def checked(folder, *, runs_here, **limits):
    return Config.from_mapping(yaml.safe_load(check(Admission(Limits(**limits), runs_here=runs_here), folder)))


def forked_from():
    """Return the process that is forked for each check."""
    (found,) = (one for one in psutil.Process().children() if "multiprocessing.forkserver" in " ".join(one.cmdline()))
    return found


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_must_be_here_only_where_studies_run(folder):
    assert checked(folder, runs_here=False).resources.device == "cuda"  # and it was checked, on the CPU
    with pytest.raises(FieldError, match=r"`resources\.device: cuda` needs a GPU") as refused:
        checked(folder, runs_here=True)
    assert refused.value.field == "resources.device"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_what_is_wrong_with_a_study_for_a_gpu_elsewhere_is_found(folder):
    config = merged(TINY, {"resources": {"device": "cuda"}, "model": {"kwargs": {"num_classes": 7}}})
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(FieldError, match="lenet5 must return one logit for each of the 10 classes") as refused:
        checked(folder, runs_here=False)
    assert refused.value.field == "model"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process takes what it wants")
def test_what_does_not_fit_into_the_memory_of_a_check_is_told_so(folder):
    model = {"name": "torchvision/resnet18", "kwargs": {"num_classes": 10**8}}
    (folder / "config.yaml").write_text(yaml.safe_dump(TINY | {"model": TINY["model"] | model}))
    with pytest.raises(FieldError, match="'torchvision/resnet18' could not be built: there is not enough memory"):
        checked(folder, runs_here=False, admission_memory=4 * 2**30)


def test_when_it_is_killed_the_next_knows_no_more_than_it_did(folder, monkeypatch):
    monkeypatch.setenv("SAFS_DATABASE", "postgresql://me:secret@example.org/x")
    admission = Admission(Limits(), runs_here=False)
    first = forked_from()
    first.kill()
    eventually(lambda: first.status() == psutil.STATUS_ZOMBIE)
    assert "device: cuda" in check(admission, folder)
    second = forked_from()
    assert second.pid != first.pid
    known = Path(f"/proc/{second.pid}/environ").read_bytes()
    assert b"PATH=" in known
    assert b"SAFS_DATABASE" not in known
    assert os.environ["SAFS_DATABASE"].endswith("/x"), "this process knows it still"
