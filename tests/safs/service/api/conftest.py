"""Checkpoints and masks that are submitted, and studies that run."""

import pytest

from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.pruning import prune
from safs.service.states import State
from safs.service.store import leases, lifecycle, studies, trials
from tests.safs.service.api.submitting import saved, submitted


@pytest.fixture
def untouched(server):
    """Checks that a test has left no study and no file."""

    def look():
        return sorted(path.name for path in (server.home / "studies").iterdir())

    before = look()
    yield
    assert look() == before


@pytest.fixture(scope="module")
def pruned():
    """A pruned LeNet-5, its weights by name."""
    model = make_model("lenet5", {}, seed=0)
    apply_mask(model, prune(model, 0.9))
    return model.state_dict()


@pytest.fixture(scope="module")
def dense():
    """A checkpoint of a LeNet-5 that is not pruned."""
    return saved(make_model("lenet5", {}, seed=0).state_dict())


@pytest.fixture(scope="module")
def mask():
    """A mask of a LeNet-5."""
    return prune(make_model("lenet5", {}, seed=0), 0.9)


@pytest.fixture
def study(client):
    return submitted(client, {}).json()["id"]


@pytest.fixture
def run(server):
    """Lets a study run, as its worker would: returns a function that stores trials, and ends it in a state."""

    def begin(id):
        lease = None
        while lease is None or lease.study_id != id:  # those of other tests are nobody's
            lease = leases.claim(server.database, "test", 600)
            assert lease is not None

        def proceed(*ended, state=None, reason=None, message=None, progress=None):
            with server.database.writing() as connection:
                trials.add(connection, id, ended)
                if progress is not None:
                    studies.set_progress(connection, id, progress)
                if state is not None:
                    now = server.database.now(connection)
                    assert lifecycle.transition(
                        connection, id, State.RUNNING, state,
                        lease=lease.name, reason=reason, message=message, ended=now,
                    )  # fmt: skip

        return proceed

    return begin
