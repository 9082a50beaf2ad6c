"""A service that is killed again and again, at moments of its clients and at random ones, loses nothing."""

import pytest

from benchmarks.service_faults import disturb


@pytest.mark.thorough
@pytest.mark.parametrize(("kills", "seed", "keep"), [(16, 2, 3)])
def test_nothing_that_was_acknowledged_is_lost_and_all_is_true(tmp_path, kills, seed, keep):
    found = disturb(tmp_path, kills, seed, keep=keep)
    assert found.kills.total() == kills
    assert found.acknowledged >= kills // 3
    assert found.finished
    assert (found.lost, found.false, found.different) == ([], [], []), f"seed {seed}"
