"""How the tests share a machine: several processes (`pytest -n auto --dist loadgroup`), one thread each."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Give what shares fixtures to one process: a file's, the page's, those of one of torchvision's networks."""
    for item in items:
        network = item.callspec.params.get("case", "") if hasattr(item, "callspec") else ""
        place = item.path.parent if item.path.parent.name == "page" else item.path  # its tests look at one study
        group = f"torchvision {network}" if item.path.stem == "test_torchvision" else str(place)
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish(session):
    """Check that xdist groups them: it does not with pytest 9.2, and every fixture would be made in every process."""
    if "PYTEST_XDIST_WORKER" in os.environ and session.config.getoption("loadgroup", False):
        assert all("@" in item.nodeid for item in session.items), "this pytest-xdist does not group with this pytest"
