"""The conformance suite of the engines: what the engine contract promises, as tests to inherit.

class TestMyEngine(EngineConformance):
    def make(self, log_path):
        return MyEngine(log_path)
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from safs.data.dataset import Data
from safs.engines.base import Engine, Finished
from safs.masks import apply_mask, violations
from safs.models.registry import make_model
from safs.outcome import Reason, Status, TrialOutcome
from safs.protocol import Protocol
from safs.pruning import prune
from safs.sites import find_sites
from safs.spec import TrialSpec
from safs.trial import Problem, run_trial

SGD = Protocol(epochs=1, batch_size=8, optimizer="sgd")
RELU = TrialSpec(network="pruned", assignment=("relu",) * 4, protocol=SGD, study_seed=0)
TANH = replace(RELU, assignment=("tanh",) * 4)
KEPT = replace(RELU, assignment=("srs",) * 4, learn=True, keep=True)
DENSE = replace(RELU, network="dense")
NAN = replace(RELU, assignment=("symexp",) * 4, protocol=replace(SGD, lr=1e6, epochs=3))
UNKNOWN = replace(RELU, assignment=("no such operator",) * 4)
SPECS = (RELU, TANH, KEPT, DENSE, NAN, UNKNOWN)


def problems() -> dict[str, Problem]:
    """Return two problems: LeNet-5 on 32 random images, dense and 90 % pruned."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(32, 1, 28, 28, generator=generator)
    data = Data(images, torch.randint(10, (32,), generator=generator), 10)
    dense, pruned = make_model("lenet5", seed=0), make_model("lenet5", seed=0)
    mask = prune(pruned, 0.9)
    apply_mask(pruned, mask)
    return {
        "dense": Problem(dense, {}, find_sites(dense, (1, 28, 28)), data),
        "pruned": Problem(pruned, mask, find_sites(pruned, (1, 28, 28)), data),
    }


def without_time(outcome: TrialOutcome) -> TrialOutcome:
    """Return what two runs of one trial must have in common."""
    return replace(outcome, seconds=0.0, traceback=None)


class EngineConformance(abc.ABC):
    """Inherit, implement `make`, and get the contract's tests."""

    @abc.abstractmethod
    def make(self, log_path: Callable[[TrialSpec], Path]) -> Engine:
        """Return a new engine."""

    @pytest.fixture
    def logs(self, tmp_path: Path) -> Callable[[TrialSpec], Path]:
        return lambda spec: tmp_path / "trials" / spec.id / "log.txt"

    @pytest.fixture
    def problems(self) -> dict[str, Problem]:
        return problems()

    @pytest.fixture
    def engine(self, logs: Callable[[TrialSpec], Path], problems: dict[str, Problem]) -> Iterator[Engine]:
        engine = self.make(logs)
        for name, problem in problems.items():
            engine.add_problem(name, problem)
        yield engine
        engine.close()

    def drain(self, engine: Engine) -> dict[TrialSpec, Finished]:
        """Return everything that still ends, by spec; nothing may end twice."""
        ended: dict[TrialSpec, Finished] = {}
        while (finished := engine.poll()) is not None:
            assert finished.spec not in ended, "a trial ended twice"
            ended[finished.spec] = finished
        return ended

    def test_nothing_ends_where_nothing_was_submitted(self, engine: Engine) -> None:
        assert engine.poll() is None
        assert engine.poll() is None

    def test_every_trial_ends_once_with_the_outcome_of_run_trial(
        self, engine: Engine, problems: dict[str, Problem]
    ) -> None:
        for spec in SPECS:
            engine.submit(spec)
        ended = self.drain(engine)
        assert ended.keys() == set(SPECS)
        for spec in SPECS:
            expected, _ = run_trial(spec, problems[spec.network])
            assert without_time(ended[spec].outcome) == without_time(expected)
            assert ended[spec].outcome.seconds > 0
        assert engine.poll() is None

    def test_the_order_of_submission_changes_no_outcome(self, engine: Engine) -> None:
        for spec in (RELU, TANH):
            engine.submit(spec)
        one = self.drain(engine)
        for spec in (TANH, RELU):
            engine.submit(spec)
        other = self.drain(engine)
        assert {s: without_time(f.outcome) for s, f in one.items()} == {
            s: without_time(f.outcome) for s, f in other.items()
        }

    def test_trials_may_be_submitted_while_others_wait(self, engine: Engine) -> None:
        engine.submit(RELU)
        engine.submit(TANH)
        first = engine.poll()
        engine.submit(DENSE)
        assert first is not None
        assert {first.spec, *self.drain(engine)} == {RELU, TANH, DENSE}

    def test_a_failure_is_an_outcome_and_the_next_trials_are_not_affected(self, engine: Engine) -> None:
        for spec in (NAN, UNKNOWN, RELU):
            engine.submit(spec)
        ended = {spec: finished.outcome for spec, finished in self.drain(engine).items()}
        assert (ended[NAN].status, ended[NAN].reason) == (Status.FAILED, Reason.NAN)
        assert (ended[UNKNOWN].status, ended[UNKNOWN].reason) == (Status.FAILED, Reason.ERROR)
        assert "no such operator" in (ended[UNKNOWN].traceback or "")
        assert ended[RELU].status is Status.SUCCEEDED

    def test_a_network_comes_back_if_and_only_if_its_spec_keeps_it(
        self, engine: Engine, problems: dict[str, Problem]
    ) -> None:
        for spec in (RELU, KEPT):
            engine.submit(spec)
        ended = self.drain(engine)
        assert ended[RELU].trained is None
        trained = ended[KEPT].trained
        assert trained is not None
        assert all(tensor.device.type == "cpu" for tensor in trained.values())
        assert violations(trained, problems["pruned"].mask) == []

    def test_problems_stay_as_they_are(self, engine: Engine, problems: dict[str, Problem]) -> None:
        before = {name: _state(problem.model) for name, problem in problems.items()}
        for spec in SPECS:
            engine.submit(spec)
        self.drain(engine)
        for name, problem in problems.items():
            after = _state(problem.model)
            assert all(torch.equal(after[key], tensor) for key, tensor in before[name].items())

    def test_every_trial_has_a_log_that_says_what_it_was_and_how_it_ended(
        self, engine: Engine, logs: Callable[[TrialSpec], Path]
    ) -> None:
        for spec in (RELU, NAN):
            engine.submit(spec)
        self.drain(engine)
        lines = logs(RELU).read_text(encoding="utf-8").splitlines()
        assert lines[0] == f"trial {RELU.id}"
        assert lines[1].startswith("spec {")
        assert [line.split()[:3] for line in lines[2:-1]] == [["epoch", "1", "train_loss"]]
        assert lines[-1].startswith("SUCCEEDED cost ")
        failed = logs(NAN).read_text(encoding="utf-8")
        assert "FAILED reason NAN" in failed
        assert "NonFiniteLossError" in failed

    def test_cancel_drops_what_waits_and_the_engine_goes_on(self, engine: Engine) -> None:
        endless = replace(RELU, protocol=replace(SGD, epochs=10**7))
        engine.submit(TANH)
        assert engine.poll() is not None
        for spec in (endless, TANH):
            engine.submit(spec)
        engine.cancel()
        assert endless not in self.drain(engine)
        engine.submit(RELU)
        assert self.drain(engine).keys() == {RELU}

    def test_it_says_what_it_runs_on(self, engine: Engine) -> None:
        assert engine.room >= 1
        assert engine.device

    def test_close_drops_what_waits_and_may_be_called_twice(self, engine: Engine) -> None:
        engine.submit(RELU)
        engine.submit(TANH)
        engine.close()
        engine.close()
        assert engine.poll() is None


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
