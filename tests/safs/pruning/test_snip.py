import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from safs.data.dataset import Data
from safs.pruning import prune
from safs.pruning.snip import balanced, sensitivities
from spaces.errors import SafsError


def snip(model, ratio, data, **options):
    return prune(model, ratio, method="snip", data=data, options=options)


def test_the_score_is_weight_times_gradient(examples):
    """Against the definition: the derivative of the loss by a factor c on every weight, at c = 1 (Equation 4)."""
    torch.manual_seed(0)
    weight = torch.randn(3, 64, dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3, bias=False)).double()
    model[1].weight.data.copy_(weight)
    factors = torch.ones_like(weight, requires_grad=True)
    images = examples.images.double().flatten(1)
    F.cross_entropy(images @ (factors * weight).T, examples.labels, reduction="sum").backward()
    scores = sensitivities(model, examples, torch.arange(90).tensor_split(4))
    assert scores["1.weight"].dtype == torch.float64
    torch.testing.assert_close(scores["1.weight"], factors.grad.abs())


def test_the_weights_of_highest_score_stay(make_net, examples):
    model = make_net()
    mask = snip(model, 0.9, examples, examples_per_class=50)
    every = balanced(examples.labels, 50, seed=0)
    assert len(every) == 90
    scores = sensitivities(model, examples, [every])
    kept = torch.cat([scores[name][mask[name]] for name in mask])
    gone = torch.cat([scores[name][~mask[name]] for name in mask])
    assert kept.min() >= gone.max()
    assert len(gone) == int(0.9 * (len(kept) + len(gone)))


def test_examples_are_drawn_of_every_class_and_laid_in_turn(examples):
    chosen = balanced(examples.labels, 8, seed=3)
    labels = examples.labels[chosen]
    assert labels.bincount().tolist() == [8, 8, 5]
    assert labels[:15].tolist() == [0, 1, 2] * 5
    assert len(set(chosen.tolist())) == 21
    assert torch.equal(chosen, balanced(examples.labels, 8, seed=3))
    assert set(chosen.tolist()) != set(balanced(examples.labels, 8, seed=4).tolist())


def test_a_class_without_examples_is_left_out():
    assert balanced(torch.tensor([2, 2, 0]), 1, seed=0).sort().values.tolist()[-1] in (1, 2)
    assert len(balanced(torch.tensor([2, 2, 0]), 1, seed=0)) == 2


def test_the_split_into_batches_does_not_matter_without_batch_norm(examples):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 3)).double()
    one = snip(model, 0.8, examples)
    for batch_size in (1, 7, 1000):
        many = snip(model, 0.8, examples, batch_size=batch_size)
        assert all(torch.equal(one[name], many[name]) for name in one)


def test_batch_norm_takes_the_statistics_of_the_batch_and_the_network_stays_as_it_is(make_net, examples):
    model = make_net()
    before = copy.deepcopy(model.state_dict())
    scores = sensitivities(model, examples, [torch.arange(90)])
    model.norm.running_mean.fill_(100.0)
    other = sensitivities(model, examples, [torch.arange(90)])
    assert all(torch.equal(scores[name], other[name]) for name in scores)
    model.norm.running_mean.copy_(before["norm.running_mean"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_dropout_is_off(examples):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(64, 3)).train()
    first, second = (sensitivities(model, examples, [torch.arange(90)]) for _ in range(2))
    assert torch.equal(first["2.weight"], second["2.weight"])
    assert (first["2.weight"] > 0).all()


def test_frozen_shared_unused_and_half_precision_weights(examples):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.unused, self.head = nn.Linear(64, 64), nn.Linear(9, 9), nn.Linear(64, 3)
            self.again = self.first

        def forward(self, images):
            return self.head(torch.tanh(self.again(torch.tanh(self.first(images.flatten(1))))))

    torch.manual_seed(0)
    model = Twice().requires_grad_(False).half()
    mask = snip(model, 0.5, examples)
    assert list(mask) == ["first.weight", "unused.weight", "head.weight"]
    total = 64 * 64 + 81 + 192
    assert sum(int(kept.sum()) for kept in mask.values()) == total - total // 2
    assert not mask["unused.weight"].any(), "the loss does not depend on it"
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.head.weight.dtype == torch.float16


def test_gradients_that_are_not_finite_are_named(make_net, examples):
    model = make_net()
    model.head.weight.data[0, 0] = float("nan")
    with pytest.raises(SafsError, match=r"scores are NaN or infinite"):
        snip(model, 0.5, examples)
    overflowing = Data(examples.images * 1e38, examples.labels, 3)
    with pytest.raises(SafsError, match="scores are NaN or infinite"):
        snip(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), 0.5, overflowing)


def test_a_loss_that_depends_on_no_weight(examples):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU())
    model[1].weight.data.zero_()
    with pytest.raises(SafsError, match="depends on no weight"):
        snip(model, 0.5, examples)


def test_data_that_do_not_fit_the_network(make_net, examples):
    wrong_size = Data(torch.zeros(4, 1, 5, 5), torch.tensor([0, 1, 2, 0]), 3)
    with pytest.raises(SafsError, match=r"does not take images of shape \(1, 5, 5\)"):
        snip(make_net(), 0.5, wrong_size)
    wrong_classes = Data(examples.images, examples.labels, 7)
    with pytest.raises(SafsError, match="one logit for each of the 7 classes"):
        snip(make_net(), 0.5, wrong_classes)


@pytest.mark.parametrize(
    "options", [{"examples_per_class": 0}, {"batch_size": 0}, {"batch_size": 1.5}, {"batch_size": True}]
)
def test_options_that_are_no_counts(options, make_net, examples):
    with pytest.raises(SafsError, match="must be an integer of at least 1, but got"):
        snip(make_net(), 0.5, examples, **options)
