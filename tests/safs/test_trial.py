import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import safs.trial
from safs.data.dataset import Data
from safs.masks import violations
from safs.outcome import Reason, Status
from safs.protocol import Protocol
from safs.spec import TrialSpec
from safs.storage import StorageError
from safs.training import Callback
from safs.trial import run_trial

ROOT = Path(__file__).parents[2]
SPEC = TrialSpec(
    network="pruned",
    assignment=("relu", "srs", "tanh", "gelu"),
    protocol=Protocol(epochs=2, batch_size=64),
    study_seed=3,
)
LEARNED = replace(
    SPEC,
    learn=True,
    per_channel=True,
    folds=3,
    fold=1,
    cost="validation_error",
    protocol=Protocol(epochs=2, batch_size=64, optimizer="tadam", weight_decay=0.01),
)
NAN = replace(SPEC, assignment=("symexp",) * 4, protocol=Protocol(epochs=2, batch_size=64, optimizer="sgd", lr=100.0))


@pytest.fixture(scope="module")
def problem(make_problem):
    return make_problem()


def result(spec, problem, callbacks=()):
    """Return an outcome without the time it took."""
    outcome, trained = run_trial(spec, problem, callbacks)
    return replace(outcome, seconds=0.0), trained


ELSEWHERE = """
import json, sys
import torch
torch.set_num_threads(2)
from dataclasses import replace
from safs.data import digits
from safs.data.dataset import Data
from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.protocol import Protocol
from safs.pruning import prune
from safs.sites import find_sites
from safs.spec import TrialSpec
from safs.trial import Problem, run_trial

data = digits.load("train", None)
data = Data(data.images[:240], data.labels[:240], 10)
model = make_model("lenet5", seed=0)
mask = prune(model, 0.9)
apply_mask(model, mask)
problem = Problem(model=model, mask=mask, sites=find_sites(model, (1, 28, 28)), data=data)
for values in json.loads(sys.argv[1]):
    protocol = Protocol(**values["protocol"])
    spec = TrialSpec(**{**values, "assignment": tuple(values["assignment"]), "protocol": protocol})
    outcome, _ = run_trial(spec, problem)
    same = {**outcome.to_json(), "seconds": 0, "traceback": None, "peak_memory": None}
    print(json.dumps({"id": spec.id, "outcome": same}))
"""


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_trial_is_the_same_in_every_process_and_after_any_others(hash_seed, problem):
    """Invariant 3: bit-equal, with other trials before it, a failed one among them, and another default of threads."""
    specs = [SPEC, LEARNED, NAN, replace(SPEC, study_seed=4)]
    here = {}
    for spec in specs:
        outcome, _ = run_trial(spec, problem)
        here[spec.id] = {**outcome.to_json(), "seconds": 0, "traceback": None, "peak_memory": None}
    assert [here[spec.id]["reason"] for spec in specs] == [None, None, "NAN", None]
    order = specs[::-1] if hash_seed == "1" else [LEARNED, SPEC, LEARNED, SPEC]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ELSEWHERE, json.dumps([spec.to_json() for spec in order])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    there = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(record["id"], record["outcome"]) for record in there] == [(spec.id, here[spec.id]) for spec in order]


def test_training_needs_neither_smac_nor_ray_nor_optuna():
    """GPU machines often have only torch."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['smac', 'ray', 'optuna', 'ConfigSpace', 'pydantic']))\n"
    command = [sys.executable, "-c", blocked + ELSEWHERE, json.dumps([SPEC.to_json()])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"]["status"] == "SUCCEEDED"


def test_the_seed_of_the_study_changes_the_outcome(problem):
    assert result(SPEC, problem)[0] == result(SPEC, problem)[0]
    assert result(SPEC, problem)[0].cost != result(replace(SPEC, study_seed=4), problem)[0].cost


def test_a_trial_that_keeps_its_network_trains_as_one_that_does_not(problem):
    outcome, trained = result(SPEC, problem)
    kept, network = result(replace(SPEC, keep=True), problem)
    assert trained is None
    assert kept.cost == outcome.cost
    assert kept.metrics["history"] == outcome.metrics["history"]
    assert len(kept.metrics["gradient_flow"]) == 2
    assert "gradient_flow" not in outcome.metrics
    assert violations(network, problem.mask) == []


@pytest.mark.parametrize(
    ("cost", "folds"), [("train_loss", 0), ("train_loss", 3), ("validation_loss", 3), ("validation_error", 3)]
)
def test_the_cost_is_what_the_spec_asks_for(cost, folds, problem):
    outcome, _ = result(replace(SPEC, cost=cost, folds=folds), problem)
    assert outcome.status is Status.SUCCEEDED
    assert outcome.cost == outcome.metrics[cost]
    assert outcome.metrics["train_loss"] == outcome.metrics["history"][-1]
    assert ("validation_loss" in outcome.metrics) == (folds > 0)
    if folds:
        assert outcome.metrics["validation_error"] == 1 - outcome.metrics["validation_accuracy"]


def test_a_trial_changes_nothing_of_its_problem(problem):
    def look():
        tensors = {**problem.model.state_dict(), **{f"mask {name}": kept for name, kept in problem.mask.items()}}
        tensors |= {"images": problem.data.images, "labels": problem.data.labels}
        flags = [(name, p.requires_grad, p.grad is None) for name, p in problem.model.named_parameters()]
        modes = [module.training for module in problem.model.modules()]
        return tensors, flags, modes, str(problem.sites.graph)

    tensors, *rest = look()
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    for spec in (replace(SPEC, keep=True), LEARNED, NAN):
        run_trial(spec, problem)
    tensors, *now = look()
    assert tensors.keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors.items())
    assert now == rest


def test_nan_is_an_outcome_and_not_a_score(problem):
    outcome, trained = result(replace(NAN, keep=True), problem)
    assert (outcome.status, outcome.reason, outcome.cost, trained) == (Status.FAILED, Reason.NAN, None, None)
    assert "NonFiniteLossError: the loss was not finite in epoch 1 at step" in outcome.traceback


def test_a_validation_loss_that_is_not_finite_is_a_failure(problem, monkeypatch):
    monkeypatch.setattr(safs.trial, "evaluate", lambda *_: safs.training.Score(float("inf"), 0.9))
    outcome, _ = result(LEARNED, problem)
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.NAN)
    assert "validation loss was not finite" in outcome.traceback


class Raises(Callback):
    def __init__(self, error):
        self.error = error

    def on_gradients(self, weights):
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("shapes do not fit"), Reason.ERROR),
        (torch.OutOfMemoryError("CUDA out of memory"), Reason.OOM),
        (MemoryError(), Reason.OOM),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), Reason.OOM),
        (RuntimeError("CUDA error: out of memory"), Reason.OOM),
        (RuntimeError("cuBLAS: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), Reason.OOM),
        (ZeroDivisionError(), Reason.ERROR),
        (OSError("a network's own file"), Reason.ERROR),
    ],
    ids=repr,
)
def test_a_training_that_raises_is_a_failure_with_its_traceback(error, reason, problem):
    outcome, trained = result(replace(SPEC, keep=True), problem, [Raises(error)])
    assert (outcome.status, outcome.reason, outcome.cost, trained) == (Status.FAILED, reason, None, None)
    assert type(error).__name__ in outcome.traceback
    assert "on_gradients" in outcome.traceback
    assert result(SPEC, problem)[0].status is Status.SUCCEEDED, "the next trial is not affected"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StorageError(Path("log.txt"), OSError(28, "No space"))])
def test_what_is_not_the_suggestions_fault_is_no_outcome(error, problem):
    with pytest.raises(type(error)):
        run_trial(SPEC, problem, [Raises(error)])


@pytest.mark.parametrize("error", [None, RuntimeError("failed"), KeyboardInterrupt()])
def test_the_number_of_threads_is_the_problems_and_is_restored(error, make_problem):
    class Look(Callback):
        threads = 0

        def on_gradients(self, weights):
            Look.threads = torch.get_num_threads()
            if error is not None:
                raise error

    torch.set_num_threads(1)
    problem = make_problem(threads=2)
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            run_trial(SPEC, problem, [Look()])
    else:
        run_trial(SPEC, problem, [Look()])
    assert Look.threads == 2
    assert torch.get_num_threads() == 1


@pytest.fixture
def split_of(monkeypatch, problem):
    """Returns which examples a trial trains and validates on."""
    seen = {}
    train, evaluate = safs.trial.train, safs.trial.evaluate

    def spy_train(network, mask, data, indices, protocol, **options):
        seen["training"] = indices.tolist()
        return train(network, mask, data, indices, protocol, **options)

    def spy_evaluate(network, data, indices):
        seen["validation"] = indices.tolist()
        return evaluate(network, data, indices)

    monkeypatch.setattr(safs.trial, "train", spy_train)
    monkeypatch.setattr(safs.trial, "evaluate", spy_evaluate)

    def split(spec):
        seen.clear()
        assert run_trial(spec, problem)[0].status is Status.SUCCEEDED
        return seen["training"], seen.get("validation")

    return split


def test_no_example_of_a_fold_is_trained_on_and_the_folds_cover_all(split_of):
    validated = []
    for fold in range(3):
        training, validation = split_of(replace(LEARNED, fold=fold))
        assert sorted(training + validation) == list(range(240))
        validated += validation
    assert sorted(validated) == list(range(240))
    assert split_of(SPEC) == (list(range(240)), None)


def test_all_suggestions_of_a_study_share_its_folds(split_of):
    first = split_of(LEARNED)
    assert split_of(replace(LEARNED, assignment=("tanh",) * 4)) == first
    assert split_of(replace(LEARNED, protocol=Protocol(epochs=1, lr=0.5))) == first
    assert split_of(replace(LEARNED, study_seed=99)) != first


def test_masks_hold_in_what_a_trial_keeps(make_problem):
    for optimizer in ("sgd", "adam", "fromage", "tadam"):
        problem = make_problem()
        spec = replace(SPEC, keep=True, learn=True, protocol=Protocol(epochs=2, batch_size=64, optimizer=optimizer))
        trained = run_trial(spec, problem)[1]
        for name, kept in problem.mask.items():
            assert (trained[name][~kept] == 0).all()
            assert (trained[name][kept] != problem.model.state_dict()[name][kept]).any()


class Normalised(nn.Module):
    """Batch normalisation, dropout, and one module called twice."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.Linear(4, 10)
        self.act, self.dropout = nn.ReLU(), nn.Dropout(0.3)

    def forward(self, images):
        x = self.act(self.norm(self.conv(images))).mean((2, 3))
        return self.head(self.dropout(self.act(x - 0.1)))


def test_a_network_with_batch_norm_and_dropout_is_as_reproducible(make_problem):
    torch.manual_seed(0)
    problem = make_problem(Normalised(), ratio=0.5)
    spec = replace(LEARNED, assignment=("srs", "tanh"), keep=True)
    (one, first), (other, second) = result(spec, problem), result(spec, problem)
    assert one == other
    assert one.status is Status.SUCCEEDED
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert problem.model.norm.num_batches_tracked == 0


def test_more_folds_than_examples_of_a_class_and_batches_larger_than_the_data(few_digits, make_problem):
    few = Data(few_digits.images[:12], few_digits.labels[:12], 10)
    spec = replace(LEARNED, folds=6, fold=5, protocol=Protocol(epochs=1, batch_size=512))
    outcome, _ = result(spec, make_problem(data=few))
    assert outcome.status is Status.SUCCEEDED


def test_a_kept_network_is_stored_contiguous_whatever_its_memory_format(problem):
    other = replace(problem, model=copy.deepcopy(problem.model).to(memory_format=torch.channels_last))
    outcome, kept = run_trial(replace(SPEC, keep=True), other)
    assert outcome.status is Status.SUCCEEDED
    assert all(tensor.is_contiguous() for tensor in kept.values())
