"""Trainings of some of a protocol's epochs: where iterative pruning rewinds to, and goes on from."""

import pytest
import torch

from safs.models.registry import make_model
from safs.optim.schedules import SCHEDULES, make_schedule
from safs.protocol import Protocol
from safs.spec import TrialSpec
from safs.training import Callback, train
from spaces.errors import SafsError

PROTOCOL = Protocol(epochs=4, batch_size=64, optimizer="sgd", lr=0.05)
SPEC = TrialSpec(network="dense", assignment=("relu",) * 4, protocol=PROTOCOL, study_seed=0)


class States(Callback):
    """Remembers a network's weights after every epoch."""

    def __init__(self, network):
        self.network, self.after = network, {}

    def on_epoch(self, epoch, loss):
        self.after[epoch] = ({name: tensor.clone() for name, tensor in self.network.state_dict().items()}, loss)


def trained(data, protocol, start=None, span=None):
    network = make_model("lenet5", seed=0)
    network.load_state_dict(start or network.state_dict())
    states = States(network)
    history = train(network, {}, data, torch.arange(len(data)), protocol, seed=5, span=span, callbacks=[states])
    return states.after, history


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_parts_of_a_training_make_the_whole(few_digits):
    """With plain SGD, which remembers nothing, and a cosine that moves every epoch: examples and rates are the same."""
    whole, history = trained(few_digits, PROTOCOL)
    begun, first = trained(few_digits, PROTOCOL, span=(0, 1))
    ended, rest = trained(few_digits, PROTOCOL, start=begun[1][0], span=(1, 4))
    assert list(begun) == [1]
    assert list(ended) == [2, 3, 4]
    assert first + rest == history
    for epoch in (1, 2, 3, 4):
        state, loss = (begun | ended)[epoch]
        assert same(state, whole[epoch][0])
        assert loss == whole[epoch][1]


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("skipped", [0, 1, 3, 7])
def test_skipped_epochs_set_the_rate_that_stepping_through_them_does(name, skipped, recwarn):
    rates = []
    for skip in (True, False):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
        schedule = make_schedule(name, optimizer, 8)
        if skip:
            schedule.skip(skipped)
        else:
            for epoch in range(skipped):
                optimizer.step()
                schedule.step(1 / (epoch + 1))
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] == rates[1]
    assert not [warning for warning in recwarn if "lr_scheduler" in str(warning.message)]


def test_a_span_has_an_id_and_the_seed_of_the_whole():
    part = TrialSpec(**{**vars(SPEC), "span": [1, 4]})
    assert part.span == (1, 4)
    assert part.to_json()["span"] == [1, 4]
    assert "span" not in SPEC.to_json()
    assert part.id != SPEC.id
    assert part.seed == SPEC.seed
    assert TrialSpec(**{**vars(SPEC), "span": (1, 3)}).id != part.id


@pytest.mark.parametrize("span", [(0, 0), (2, 1), (-1, 2), (0, 5), (4, 4)])
def test_a_span_must_lie_within_the_protocol(span):
    with pytest.raises(SafsError, match="span must lie within the 4 epochs"):
        TrialSpec(**{**vars(SPEC), "span": span})
