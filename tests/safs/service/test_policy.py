"""The GPUs that a study may take: those of its token."""

import pytest

from safs.config.schema import Config
from safs.service import policy
from safs.service.fields import FieldError
from tests.safs.conftest import TINY

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
