"""What a study may ask for: GPUs of its token, folders of the service, memory of the machine."""

import psutil
import pytest

from safs.config.schema import Config
from safs.service import machine, policy
from safs.service.fields import FieldError
from safs.service.policy import admitted
from safs.service.settings import Limits, ServiceSettings
from tests.safs.conftest import TINY, merged

SAME = {}


def config(**resources):
    return Config.from_mapping(TINY | {"resources": resources})


@pytest.mark.parametrize(
    ("resources", "share", "changed", "gpus"),
    [
        # one trial after the other, on a GPU if there is one
        ({}, None, SAME, 1.0),
        ({}, 2.0, SAME, 1.0),
        ({}, 0.5, {"device": "cpu"}, 0.0),
        ({"device": "cpu"}, 0.0, SAME, 0.0),
        ({"device": "cuda"}, 1.0, SAME, 1.0),
        ({"device": "cuda"}, 0.9, None, 0.0),
        # on a cluster, as many as there is room for: as many as fit into the share
        ({"engine": "ray"}, None, SAME, 1.0),
        ({"engine": "ray"}, 4.5, {"workers": 4}, 4.0),
        ({"engine": "ray", "gpus_per_trial": 0.25}, 1.5, {"workers": 6}, 1.5),
        ({"engine": "ray", "gpus_per_trial": 0.33}, 1.0, {"workers": 3}, 1.0),
        ({"engine": "ray", "gpus_per_trial": 0}, 1.0, SAME, 0.0),
        ({"engine": "ray", "device": "cpu"}, 1.0, SAME, 0.0),
        ({"engine": "ray"}, 0.9, {"device": "cpu"}, 0.0),
        ({"engine": "ray", "device": "cuda"}, 0.9, None, 0.0),
        ({"engine": "ray", "gpus_per_trial": 1}, 0.5, None, 0.0),
        # as many as it says
        ({"engine": "ray", "workers": 4}, 4.0, SAME, 4.0),
        ({"engine": "ray", "workers": 4}, 3.0, None, 0.0),
        ({"engine": "ray", "workers": 4, "gpus_per_trial": 0.5}, 2.0, SAME, 2.0),
        ({"engine": "ray", "workers": 5, "device": "cuda", "gpus_per_trial": 0.5}, 2.0, None, 0.0),
        ({"engine": "ray", "workers": 4}, 0.0, {"device": "cpu"}, 0.0),
    ],
)
def test_a_study_takes_no_more_gpus_than_its_token_may_have(resources, share, changed, gpus):
    if changed is None:
        with pytest.raises(FieldError, match="GPUs at a time, and your token may have") as refused:
            policy.within_share(config(**resources), share)
        assert refused.value.field == "resources"
        return
    capped = policy.within_share(config(**resources), share)
    assert capped == config(**resources | changed)
    assert policy.gpus(capped) == pytest.approx(gpus)


@pytest.mark.parametrize("usual", ["", None])
def test_no_usual_data_folder_allows_no_folder(usual, monkeypatch, tmp_path):
    monkeypatch.chdir("/")
    monkeypatch.delenv("SAFS_DATA_ROOT", raising=False)
    if usual is not None:
        monkeypatch.setenv("SAFS_DATA_ROOT", usual)
    values = merged(TINY, {"data": {"name": "mnist", "root": str(tmp_path)}})
    with pytest.raises(FieldError, match="must lie in a data folder"):
        admitted(values, {}, ServiceSettings())
    monkeypatch.setenv("SAFS_DATA_ROOT", str(tmp_path))
    assert admitted(values, {}, ServiceSettings()).data.root == tmp_path


def test_what_a_check_and_a_study_may_take_goes_by_the_container(monkeypatch, tmp_path):
    whole = Limits()
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(machine, "_LIMITS", (tmp_path / "memory.max", tmp_path / "none"))
    assert machine.memory() == psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text("1000000\n")
    small = Limits()
    assert (small.study_memory, small.admission_memory) == (800_000, 250_000)
    assert whole.study_memory > small.study_memory
