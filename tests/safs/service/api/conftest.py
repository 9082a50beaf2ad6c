"""Checkpoints and masks that are submitted."""

import pytest

from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.pruning import prune
from tests.safs.service.api.submitting import saved


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
