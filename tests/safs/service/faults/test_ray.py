"""A service whose studies run on Ray: the same results, and nothing is left of its clusters."""

import pytest
import yaml

from benchmarks.service_kinds import SMALLEST
from benchmarks.service_place import HURRIED, Place
from benchmarks.service_truth import differences, falsehoods
from safs.service.store import leases
from tests.safs.service.conftest import eventually
from tests.safs.service.store.conftest import age


@pytest.fixture
def left(left_behind):
    """Returns what clusters have left: the server's own folder, for the processes that check studies, is none of it."""
    return lambda: {one for one in left_behind() if "/safs-temporary-" not in str(one)}


def test_a_study_on_ray_whose_worker_dies_ends_as_one_on_the_inline_engine(tmp_path, sorts, left):
    with Place(tmp_path / "home", engine="ray", niceness=0) as place, place.client(place.token) as client:
        place.start()
        files = {"config": (None, sorts[0].config), "checkpoint": ("a.pt", sorts[0].checkpoint)}
        study = client.post("/v1/studies", files=files).raise_for_status().json()["id"]
        assert place.wait_for_a_trial(150)
        cluster = left()
        assert cluster
        assert place.strike("worker") == "worker"
        eventually(lambda: not cluster & left(), 60, lambda: cluster & left())
        age(place.database, study, 3600)
        eventually(lambda: client.get(f"/v1/studies/{study}").json()["state"] == "SUCCEEDED")
        assert client.get(f"/v1/studies/{study}").json()["attempts"] == 2
        assert differences(place.run_of(study), sorts[0].undisturbed) == []
        assert falsehoods(place.database, place.studies) == []
        eventually(lambda: not left(), 60, left)
        assert "engine: ray" in client.get(f"/v1/studies/{study}/config").text


def test_studies_that_ask_for_gpus_wait_for_their_tokens_share(tmp_path):
    with Place(tmp_path / "home", **HURRIED, engine="ray", limits={"queued": 10}) as place:
        place.start(worker=False)
        resources = {"engine": "ray", "device": "cuda", "gpus_per_trial": 0.5, "workers": 2}
        config = yaml.safe_dump(SMALLEST | {"resources": resources})
        few, many = place.client(place.make_token("few", most_gpus=1.5)), place.client(place.token)
        with few, many:
            assert few.get("/v1/me").json()["limits"]["gpus"] == 1.5

            def submit(client, text=config, **parts):
                files = {"config": (None, text)} | {name: (None, value) for name, value in parts.items()}
                answer = client.post("/v1/studies", files=files)
                assert answer.status_code == 201, answer.text
                return answer.json()["id"]

            first, second = submit(few), submit(few)
            none = submit(few, yaml.safe_dump(SMALLEST | {"resources": {"device": "cpu"}}))
            others = [submit(many), submit(many, priority="-1"), submit(many, priority="2")]

        def claim():
            lease = leases.claim(place.database, "here", 60)
            return lease.study_id if lease is not None else None

        assert [claim() for _ in range(6)] == [others[2], first, none, others[0], others[1], None]
        assert second not in (first, none)
