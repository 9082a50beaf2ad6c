import time
from dataclasses import replace

import pytest
import torch

from safs import step_time
from safs.protocol import Protocol
from safs.spec import TrialSpec
from safs.step_time import FEWEST, MOST, WARM_UP, step_seconds
from spaces.errors import SafsError

SPEC = TrialSpec(
    network="pruned", assignment=("srs",) * 4, protocol=Protocol(epochs=1, batch_size=1000), study_seed=0, learn=True
)
"""Trained as it is, it would take one step on the 240 examples, which leaves nothing to time."""


@pytest.fixture
def slowed(make_problem):
    """A problem whose forward pass sleeps for as long as is asked, and the lengths of the batches it was given."""

    def slow(seconds):
        problem, batches = make_problem(), []

        def hook(module, inputs, output):
            batches.append(len(output))
            time.sleep(seconds)

        problem.model.conv1.register_forward_hook(hook)
        return problem, batches

    return slow


def test_the_forward_pass_is_timed_and_a_slow_one_only_a_few_times(slowed, monkeypatch):
    monkeypatch.setattr(step_time, "ENOUGH", 0.02)
    problem, batches = slowed(0.02)
    assert step_seconds(SPEC, problem, 32) >= 0.02
    assert batches == [32] * (WARM_UP + FEWEST)


def test_a_fast_step_is_timed_many_times(slowed, monkeypatch):
    monkeypatch.setattr(step_time, "ENOUGH", 600.0)
    problem, batches = slowed(0)
    assert step_seconds(SPEC, problem, 8) > 0
    assert batches == [8] * (WARM_UP + MOST)


def test_nothing_is_changed(make_problem):
    problem = replace(make_problem(), threads=2)
    before = {name: tensor.clone() for name, tensor in problem.model.state_dict().items()}
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    step_seconds(SPEC, problem, 16)
    assert all(torch.equal(tensor, before[name]) for name, tensor in problem.model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert torch.get_num_threads() == threads == 1


def test_a_loss_that_is_not_finite_has_a_time_too(make_problem):
    protocol = Protocol(epochs=1, optimizer="sgd", lr=1e30, schedule="constant")
    spec = replace(SPEC, assignment=("symexp",) * 4, protocol=protocol)
    assert step_seconds(spec, make_problem(), 240) > 0


def test_a_step_that_fails_is_one_line(make_problem):
    problem = make_problem()

    def fail(*_):
        raise RuntimeError("no room\nat all")

    problem.model.fc1.register_forward_hook(fail)
    with pytest.raises(SafsError, match=r"step of 32 examples failed on cpu \(RuntimeError: no room\), as it would"):
        step_seconds(SPEC, problem, 32)
