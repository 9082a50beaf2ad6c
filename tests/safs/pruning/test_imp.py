import math

import pytest
import torch

from safs.masks import violations
from safs.models.registry import make_model
from safs.outcome import Reason, Status
from safs.pipeline.trainer import TrialTrainer
from safs.protocol import Protocol
from safs.pruning import prune
from safs.pruning.imp import IterativeMagnitude
from safs.sites import find_sites
from safs.training import Callback, train
from safs.trial import Problem, run_trial
from spaces.errors import SafsError

PROTOCOL = Protocol(epochs=3, batch_size=64, lr=0.005)


class Trainings:
    """Trains by trials, and remembers each: its spec, where it began, its mask, and what came of it."""

    def __init__(self, model, data, protocol=PROTOCOL):
        initial = Problem(model=model, mask={}, sites=find_sites(model, data.shape), data=data)
        self.train = TrialTrainer(initial, protocol, seed=3, run=self.run)
        self.seen = []

    def run(self, spec, problem):
        start = {name: tensor.clone() for name, tensor in problem.model.state_dict().items()}
        outcome, trained = run_trial(spec, problem)
        assert outcome.status is Status.SUCCEEDED, outcome.traceback
        self.seen.append((spec, start, dict(problem.mask), trained))
        return trained


@pytest.fixture
def imp(few_digits):
    """Returns the mask that imp finds for LeNet-5, its trainings, and the network that it leaves."""

    def run(ratio=0.95, **options):
        model = make_model("lenet5", seed=1)
        trainings = Trainings(model, few_digits)
        mask = prune(model, ratio, method="imp", options=options, train=trainings.train)
        return mask, trainings.seen, model

    return run


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def kept(mask):
    return sum(int(tensor.sum()) for tensor in mask.values())


def largest(trained, mask, count):
    """Return the mask of the weights of largest magnitude among those that a mask keeps, by sorting."""
    values = torch.cat([trained[name].abs().masked_fill(~mask[name], -1).flatten() for name in mask])
    stays = torch.zeros_like(values, dtype=torch.bool)
    stays[values.argsort(descending=True)[:count]] = True
    parts = stays.split([tensor.numel() for tensor in mask.values()])
    return {name: part.reshape(mask[name].shape) for name, part in zip(mask, parts, strict=True)}


def test_rounds_train_prune_the_smallest_of_all_layers_and_rewind(imp):
    mask, seen, model = imp(0.95, rounds=3, rewind_epoch=1)
    specs, starts, masks, trained = zip(*seen, strict=True)
    assert [spec.network for spec in specs] == ["dense", "dense", "round2", "round3"]
    assert [spec.span for spec in specs] == [None, (0, 1), (1, 3), (1, 3)]
    assert {spec.seed for spec in specs} == {specs[0].seed}, "every training sees the examples in the same order"
    initial = make_model("lenet5", seed=1).state_dict()
    assert same(starts[0], initial)
    assert same(starts[1], initial)
    rewound = trained[1]
    assert same(starts[2], rewound)
    assert same(starts[3], rewound)
    assert same(model.state_dict(), rewound), "the network is left at the weights that it rewinds to"
    total = 44_190
    counts = [math.floor(total * (2210 / total) ** (k / 3)) for k in (1, 2)] + [2210]
    everything = {name: torch.ones_like(tensor) for name, tensor in mask.items()}
    assert same(masks[2], largest(trained[0], everything, counts[0]))
    assert same(masks[3], largest(trained[2], masks[2], counts[1]))
    assert same(mask, largest(trained[3], masks[3], counts[2]))
    assert kept(mask) == total - math.floor(0.95 * total) == 2210
    assert violations(trained[3], masks[3]) == []


def test_the_rewound_weights_are_those_of_the_dense_training_after_that_epoch(imp, few_digits):
    _, seen, _ = imp(0.5, rounds=1, rewind_epoch=2)

    class Note(Callback):
        def on_epoch(self, epoch, loss):
            self.states[epoch] = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    note = Note()
    note.states = {}
    network = make_model("lenet5", seed=1)
    train(network, {}, few_digits, torch.arange(240), PROTOCOL, seed=seen[0][0].seed, callbacks=[note])
    assert same(seen[0][3], note.states[3])
    assert same(seen[1][3], note.states[2])


def test_one_round_without_rewinding_is_magnitude_pruning_of_the_trained_network(imp):
    mask, seen, model = imp(0.9, rounds=1, rewind_epoch=0)
    assert len(seen) == IterativeMagnitude(rounds=1, rewind_epoch=0).trainings == 1
    assert same(model.state_dict(), make_model("lenet5", seed=1).state_dict())
    model.load_state_dict(seen[0][3])
    assert same(mask, prune(model, 0.9, scope="global"))


def test_nothing_to_remove_trains_nothing(imp):
    mask, seen, model = imp(0.0)
    assert seen == []
    assert kept(mask) == 44_190
    assert same(model.state_dict(), make_model("lenet5", seed=1).state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rewind_epoch": 3}, "'rewind_epoch' must be below the 3 epochs of a training, but got 3"),
        ({"rewind_epoch": -1}, "'rewind_epoch' must be an integer of at least 0, but got -1"),
        ({"rounds": 0}, "'rounds' must be an integer of at least 1, but got 0"),
        ({"rounds": "5"}, "'rounds' must be an integer of at least 1, but got '5'"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_trained(options, message, few_digits):
    model = make_model("lenet5", seed=1)
    trainings = Trainings(model, few_digits)
    with pytest.raises(SafsError, match=message):
        prune(model, 0.9, method="imp", options=options, train=trainings.train)
    assert trainings.seen == []


def test_a_training_that_fails_is_an_error_of_whoever_trains(few_digits):
    model = make_model("lenet5", seed=1)
    overflowing = Protocol(epochs=2, batch_size=64, optimizer="sgd", lr=1e6)
    initial = Problem(model=model, mask={}, sites=find_sites(model, few_digits.shape), data=few_digits)

    def run(spec, problem):
        outcome, trained = run_trial(spec, problem)
        assert (outcome.reason, trained) == (Reason.NAN, None)
        raise SafsError("it failed")

    with pytest.raises(SafsError, match="it failed"):
        prune(model, 0.9, method="imp", train=TrialTrainer(initial, overflowing, seed=0, run=run))
