"""Where the real data lie, for the tests that need them."""

import os
from pathlib import Path

import pytest

from safs.data.roots import VARIABLE


@pytest.fixture(scope="session")
def real_root() -> Path:
    candidates = [Path(__file__).parents[4] / "shared" / "data"]
    if os.environ.get(VARIABLE):
        candidates.insert(0, Path(os.environ[VARIABLE]))
    for root in candidates:
        if root.is_dir():
            return root
    pytest.skip(f"no real data: {VARIABLE} is not set and {candidates[-1]} does not exist")
