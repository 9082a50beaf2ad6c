import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from safs.data.dataset import Data
from safs.gradient_flow import GradientFlow
from safs.models.lenet import LeNet5
from safs.models.registry import make_model
from safs.protocol import Protocol
from safs.pruning import prune
from safs.surgery import apply_assignment
from safs.training import Callback, NonFiniteLossError, Score, evaluate, split_parameters, train

OPTIMIZERS = [
    Protocol(epochs=2, batch_size=64, optimizer="sgd", lr=0.05),
    Protocol(epochs=2, batch_size=64, optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=0.01),
    Protocol(epochs=2, batch_size=64, optimizer="adam", lr=0.01),
    Protocol(epochs=2, batch_size=64, optimizer="adam", lr=0.01, weight_decay=0.1),
    Protocol(epochs=2, batch_size=64, optimizer="fromage", lr=0.01),
    Protocol(epochs=2, batch_size=64, optimizer="tadam", lr=0.01),
    Protocol(epochs=2, batch_size=64, optimizer="tadam", lr=0.01, weight_decay=0.1),
]
every_optimizer = pytest.mark.parametrize(
    "protocol", OPTIMIZERS, ids=lambda protocol: f"{protocol.optimizer}-{protocol.momentum}-{protocol.weight_decay}"
)


def everything(data):
    return torch.arange(len(data.labels))


def lenet(operator="srs", learn=True):
    return apply_assignment(make_model("lenet5", seed=0), (operator,) * 4, input_shape=(1, 28, 28), learn=learn)


def parameters(network):
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class WithDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(784, 16), nn.Linear(16, 10)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        return self.second(self.dropout(torch.relu(self.first(images.flatten(1)))))


class WithBatchNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.Linear(4, 10)

    def forward(self, images):
        return self.head(torch.relu(self.norm(self.conv(images))).mean((2, 3)))


class MaskWatcher(Callback):
    """At every step: the masked weights are zero, as the last step left them, and so are their gradients."""

    def __init__(self, network, mask):
        self.named, self.mask = dict(network.named_parameters()), mask
        self.steps = 0

    def on_gradients(self, weights):
        self.steps += 1
        for name, kept in self.mask.items():
            weight = self.named[name]
            assert (weight.detach()[~kept] == 0).all(), f"step {self.steps - 1} moved masked weights of {name}"
            assert (weight.grad[~kept] == 0).all(), f"step {self.steps} sees gradients of masked weights of {name}"
            assert weight.grad.isfinite().all()


@every_optimizer
def test_masked_weights_are_exactly_zero_after_every_step(protocol, few_digits):
    network = lenet()
    mask = prune(network, 0.9)
    before = parameters(network)
    watcher = MaskWatcher(network, mask)
    train(network, mask, few_digits, everything(few_digits), protocol, seed=1, callbacks=[watcher])
    after = parameters(network)
    assert watcher.steps == 2 * (240 // 64)
    for name, kept in mask.items():
        assert (after[name][~kept] == 0).all()
        assert before[name][~kept].any()
        assert not torch.equal(after[name][kept], before[name][kept])


@every_optimizer
def test_the_optimizer_sees_no_gradient_of_a_masked_weight(protocol, few_digits):
    """Fromage and TAdam read norms, which such gradients would spoil."""
    network = lenet()
    mask = prune(network, 0.9)
    named = dict(network.named_parameters())
    seen = []

    def look(optimizer, *_):
        ours = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for name, kept in mask.items():
            assert id(named[name]) in ours
            seen.append(bool((named[name].grad[~kept] == 0).all() and (named[name].detach()[~kept] == 0).all()))

    handle = register_optimizer_step_pre_hook(look)
    try:
        train(network, mask, few_digits, everything(few_digits), protocol, seed=1)
    finally:
        handle.remove()
    assert len(seen) == 6 * len(mask)
    assert all(seen)


def test_weights_are_masked_after_the_step_too(few_digits):
    """Whatever an optimiser does with them: here every gradient is replaced after it has been masked."""

    class Spoils(Callback):
        def on_gradients(self, weights):
            for weight in weights:
                assert all((named[name].detach()[~kept] == 0).all() for name, kept in mask.items())
                weight.grad.fill_(1.0)

    network = lenet()
    mask = prune(network, 0.9)
    named = dict(network.named_parameters())
    train(network, mask, few_digits, everything(few_digits), OPTIMIZERS[2], seed=1, callbacks=[Spoils()])
    assert all((named[name].detach()[~kept] == 0).all() for name, kept in mask.items())


def test_without_a_mask_every_weight_is_trained(few_digits):
    network = LeNet5()
    before = parameters(network)
    train(network, {}, few_digits, everything(few_digits), OPTIMIZERS[2], seed=1)
    assert all((after != before[name]).float().mean() > 0.5 for name, after in parameters(network).items())


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "tadam"])
def test_scales_get_no_weight_decay(optimizer, few_digits):
    one_step = [
        Protocol(epochs=1, batch_size=240, optimizer=optimizer, lr=0.01, weight_decay=decay) for decay in (0.0, 0.5)
    ]
    ends = []
    for protocol in one_step:
        network = lenet()
        before = parameters(network)
        train(network, {}, few_digits, everything(few_digits), protocol, seed=1)
        weights, scales = split_parameters(network)
        assert len(scales) == 4 * 4, "α, β, a and b of srs at every site"
        ends.append(([w.detach() for w in weights], [s.detach() for s in scales]))
    assert all(torch.equal(*pair) for pair in zip(ends[0][1], ends[1][1], strict=True))
    assert not any(torch.equal(*pair) for pair in zip(ends[0][0], ends[1][0], strict=True) if pair[0].dim() > 1)
    assert any(not torch.equal(after, before[name]) for name, after in parameters(network).items() if "site" in name)


def test_scales_have_their_own_learning_rate(few_digits):
    moves = []
    for scale_lr in (1.0, 10.0):
        network = lenet("relu")
        protocol = Protocol(epochs=1, batch_size=240, optimizer="sgd", lr=0.01, scale_lr=scale_lr)
        train(network, {}, few_digits, everything(few_digits), protocol, seed=1)
        weights, scales = split_parameters(network)
        moves.append((weights[0].detach(), torch.stack([scale.detach() - 1 for scale in scales])))
    assert torch.equal(moves[0][0], moves[1][0])
    torch.testing.assert_close(10 * moves[0][1], moves[1][1], rtol=1e-3, atol=1e-6)


class FailsAt(nn.Module):
    """A linear network whose loss is not finite at one call."""

    def __init__(self, call, value):
        super().__init__()
        self.linear = nn.Linear(1, 2)
        self.calls, self.call, self.value = 0, call, value

    def forward(self, images):
        self.calls += 1
        logits = self.linear(images.flatten(1))
        return logits * self.value if self.calls == self.call else logits


@pytest.fixture(scope="module")
def dots():
    """230 examples of one pixel: at a batch size of 1 an epoch has 230 steps."""
    values = torch.linspace(-1, 1, 230)
    return Data(values.view(-1, 1, 1, 1), (values > 0).long(), 2)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("call", [1, 57, 99, 100, 101, 200, 229, 230, 231, 380])
def test_the_first_step_without_a_finite_loss_is_named(call, value, dots):
    network = FailsAt(call, value)
    with pytest.raises(NonFiniteLossError) as caught:
        train(network, {}, dots, everything(dots), Protocol(epochs=3, batch_size=1, optimizer="sgd"), seed=0)
    assert (caught.value.epoch, caught.value.step) == ((call - 1) // 230 + 1, (call - 1) % 230 + 1)
    assert f"epoch {caught.value.epoch} at step {caught.value.step}" in str(caught.value)
    assert network.calls <= call + 99, "the training stops at the next look"


def test_a_last_step_that_breaks_the_weights_is_noticed(dots):
    class Breaks(Callback):
        steps = 0

        def on_gradients(self, weights):
            self.steps += 1
            if self.steps == 230:
                weights[0].grad.fill_(math.nan)

    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    protocol = Protocol(epochs=1, batch_size=1, optimizer="sgd")
    with pytest.raises(NonFiniteLossError) as caught:
        train(network, {}, dots, everything(dots), protocol, seed=0, callbacks=[Breaks()])
    assert (caught.value.epoch, caught.value.step) == (1, 230)


class Watch(TorchDispatchMode):
    """Counts the operations that wait for the device, and remembers the largest tensor that one made."""

    WAITING = ("_local_scalar_dense", "item", "nonzero", "masked_select", "equal", "is_nonzero", "unique")

    def __init__(self):
        super().__init__()
        self.waits = 0
        self.largest = 0
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        self.waits += func.__name__.split(".")[0] in self.WAITING
        for made in result if isinstance(result, list | tuple) else [result]:
            if isinstance(made, torch.Tensor):
                shared = any(isinstance(a, torch.Tensor) and a.data_ptr() == made.data_ptr() for a in args)
                self.largest = max(self.largest, 0 if shared else made.numel())
        return result


@every_optimizer
def test_no_step_waits_for_the_device(protocol, few_digits):
    """240 examples: 24 steps with 10 each, 80 with 3 each; both within one look at the losses."""
    waits = []
    for size in (10, 3):
        network = lenet()
        mask = prune(network, 0.9)
        one_epoch = Protocol(**{**protocol.to_json(), "epochs": 1, "batch_size": size, "lr": 1e-3})
        with Watch() as watch:
            train(network, mask, few_digits, everything(few_digits), one_epoch, seed=0, callbacks=[GradientFlow()])
        assert watch.calls > 20 * 240 / size
        waits.append(watch.waits)
    assert waits[0] == waits[1] > 0


def test_the_data_are_not_copied(few_digits):
    images = few_digits.images
    before = images.data_ptr(), images.clone(), few_digits.labels.clone()
    with Watch() as watch:
        train(LeNet5(), {}, few_digits, everything(few_digits), Protocol(epochs=2, batch_size=4), seed=0)
        evaluate(LeNet5(), few_digits, batch_size=4)
    assert watch.largest < images.numel() / 2
    assert images.data_ptr() == before[0]
    assert torch.equal(images, before[1])
    assert torch.equal(few_digits.labels, before[2])


@pytest.mark.parametrize("make", [LeNet5, WithDropout, WithBatchNorm, lenet])
def test_the_seed_decides_everything(make, few_digits):
    ends = []
    for seed, noise in ((5, 0), (5, 1), (6, 0)):
        torch.manual_seed(0)
        network = make()
        torch.manual_seed(noise)
        history = train(network, {}, few_digits, everything(few_digits), Protocol(epochs=2, batch_size=64), seed=seed)
        ends.append((history, parameters(network)))
    assert ends[0][0] == ends[1][0]
    assert same(ends[0][1], ends[1][1])
    assert ends[0][0] != ends[2][0]
    assert not same(ends[0][1], ends[2][1])


def test_dropout_is_drawn_from_the_seed(few_digits):
    """One step with all examples: their order does not matter, so that only dropout tells two seeds apart."""
    losses = []
    for seed in (5, 5, 6):
        torch.manual_seed(0)
        network = WithDropout()
        protocol = Protocol(epochs=1, batch_size=240)
        losses += train(network, {}, few_digits, everything(few_digits), protocol, seed=seed)
    assert losses[0] == losses[1]
    assert abs(losses[0] - losses[2]) > 1e-4


def test_global_random_state_is_neither_read_nor_written(few_digits):
    torch.manual_seed(3)
    network, failing = WithDropout(), FailsAt(1, math.nan)
    two = Data(torch.ones(2, 1, 1, 1), torch.tensor([0, 1]), 2)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    train(network, {}, few_digits, everything(few_digits), Protocol(epochs=1, batch_size=64), seed=0)
    with pytest.raises(NonFiniteLossError):
        train(failing, {}, two, torch.arange(2), Protocol(epochs=1), seed=0)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())


def test_the_history_is_the_mean_loss_of_every_epoch(dots):
    class Losses(Callback):
        def __init__(self):
            self.epochs = []

        def on_epoch(self, epoch, loss):
            self.epochs.append((epoch, loss))

    network, watcher = nn.Sequential(nn.Flatten(), nn.Linear(1, 2)), Losses()
    before = evaluate(network, dots)
    protocol = Protocol(epochs=3, batch_size=23, optimizer="sgd", lr=1e-12)
    history = train(network, {}, dots, everything(dots), protocol, seed=0, callbacks=[watcher])
    assert watcher.epochs == list(enumerate(history, start=1))
    assert history == pytest.approx([before.loss] * 3, rel=1e-6)


def test_training_lowers_the_loss(few_digits):
    network = LeNet5()
    history = train(network, {}, few_digits, everything(few_digits), Protocol(epochs=8, batch_size=32), seed=0)
    assert history[-1] < 0.5 * history[0]
    assert evaluate(network, few_digits).accuracy > 0.7


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ({"schedule": "linear"}, (0.04, 0.03, 0.02, 0.01)),
        ({"schedule": "cosine_restarts", "restart_period": 2}, (0.04, 0.020025, 0.04, 0.020025)),
    ],
    ids=["linear", "restarts"],
)
def test_the_schedule_moves_once_per_epoch(schedule, rates, few_digits):
    seen = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: seen.append([group["lr"] for group in optimizer.param_groups])
    )
    try:
        protocol = Protocol(epochs=4, batch_size=120, lr=0.04, scale_lr=0.5, **schedule)
        train(lenet(), {}, few_digits, everything(few_digits), protocol, seed=0)
    finally:
        handle.remove()
    expected = [[rate, pytest.approx(rate / 2, rel=2e-3)] for rate in rates for _ in range(2)]
    assert [[pytest.approx(weights), scales] for weights, scales in expected] == seen


class Seen(nn.Module):
    """Remembers which examples it was shown: their one pixel is their number."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 2)
        self.batches = []

    def forward(self, images):
        if self.training:
            self.batches.append(images.flatten().tolist())
        return self.linear(images.flatten(1) / 100)


def numbered(count):
    return Data(torch.arange(float(count)).view(-1, 1, 1, 1), torch.arange(count) % 2, 2)


@pytest.mark.parametrize(("count", "size", "steps"), [(10, 4, 2), (8, 4, 2), (3, 128, 1), (1, 1, 1), (5, 5, 1)])
def test_every_batch_is_whole_and_holds_no_example_twice(count, size, steps):
    network, data = Seen(), numbered(count)
    train(network, {}, data, everything(data), Protocol(epochs=30, batch_size=size), seed=0)
    assert len(network.batches) == 30 * steps
    assert {len(batch) for batch in network.batches} == {min(count, size)}
    for epoch in range(30):
        shown = [number for batch in network.batches[epoch * steps : (epoch + 1) * steps] for number in batch]
        assert len(set(shown)) == len(shown)
    assert {example for batch in network.batches for example in batch} == set(range(count))
    if count > 1:
        assert len({tuple(batch) for batch in network.batches}) > 1, "the order changes from epoch to epoch"


def test_only_the_given_examples_are_trained_on():
    network, data, chosen = Seen(), numbered(20), torch.tensor([1, 4, 7, 19])
    train(network, {}, data, chosen, Protocol(epochs=5, batch_size=2), seed=0)
    assert {example for batch in network.batches for example in batch} == {1, 4, 7, 19}


def test_batch_norm_learns_its_statistics_in_training_and_not_in_evaluation(few_digits):
    network = WithBatchNorm()
    train(network, {}, few_digits, everything(few_digits), Protocol(epochs=2, batch_size=64), seed=0)
    trained = parameters(network)
    assert trained["norm.num_batches_tracked"] == 6
    one, other = evaluate(network, few_digits), evaluate(network, few_digits, batch_size=7)
    assert same(parameters(network), trained)
    assert one.accuracy == other.accuracy
    assert one.loss == pytest.approx(other.loss, rel=1e-5)


def test_evaluate_is_the_mean_over_the_examples_asked_for():
    data = Data(torch.tensor([[[[1.0]]], [[[2.0]]], [[[4.0]]]]), torch.tensor([1, 0, 1]), 2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[0.0], [1.0]]))
    losses = [math.log(1 + math.exp(-1)), math.log(1 + math.exp(2)), math.log(1 + math.exp(-4))]
    assert evaluate(network, data) == Score(pytest.approx(sum(losses) / 3), pytest.approx(2 / 3))
    chosen = evaluate(network, data, torch.tensor([0, 1]), batch_size=1)
    assert chosen == Score(pytest.approx(sum(losses[:2]) / 2), 0.5)


def test_gradient_flow_is_the_mean_squared_norm_of_the_masked_gradient(few_digits):
    class Norms(Callback):
        def __init__(self):
            self.squares = []

        def on_gradients(self, weights):
            self.squares.append(sum(float(weight.grad.double().square().sum()) for weight in weights))

    network, flow, norms = lenet(), GradientFlow(), Norms()
    mask = prune(network, 0.9)
    protocol = Protocol(epochs=2, batch_size=80)
    train(network, mask, few_digits, everything(few_digits), protocol, seed=0, callbacks=[flow, norms])
    expected = [sum(norms.squares[:3]) / 3, sum(norms.squares[3:]) / 3]
    assert flow.epochs == pytest.approx(expected, rel=1e-5)


def test_gradient_flow_of_huge_gradients_is_finite():
    """Adam copes with gradients of 1e25, whose squares single precision does not hold; JSON has no infinity."""
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.full((3,), 1e25)
    flow = GradientFlow()
    flow.on_gradients([weight])
    flow.on_epoch(1, 0.5)
    assert flow.epochs == pytest.approx([3e50])
