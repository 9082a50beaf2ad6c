import copy
import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized

from safs.data.dataset import Data
from safs.export import load_best, write_best
from safs.masks import apply_mask, violations
from safs.models.lenet import LeNet5
from safs.pruning import prune
from safs.sites import find_sites
from safs.surgery import ACTIVATIONS, apply_assignment, read_choices
from safs.trial import Problem
from spaces.errors import SafsError

MODEL = {"name": "lenet5", "kwargs": {}}


class SmallNet(nn.Module):
    """Convolutions with batch norm, and activations that have constants of their own."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.1, inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3), nn.PReLU(4), nn.AdaptiveAvgPool2d(2),
        )  # fmt: skip
        self.fc1, self.relu, self.fc2 = nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 10)

    def forward(self, x):
        return self.fc2(self.relu(self.fc1(self.features(x).flatten(1))))


def make_problem(model):
    data = Data(torch.randn(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64), 10)
    mask = prune(model, 0.8)
    apply_mask(model, mask)
    return Problem(model, mask, find_sites(model, (1, 28, 28)), data)


def train_a_little(problem, names, *, learn=True, per_channel=False):
    """Return a network whose weights, α, β, constants and statistics have all moved, and its masked state dict."""
    network = apply_assignment(problem.model, names, sites=problem.sites, learn=learn, per_channel=per_channel)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        network.train()(torch.randn(8, 1, 28, 28, generator=generator))
        for name, parameter in network.named_parameters():
            parameter.add_(0.1 * torch.rand(parameter.shape, generator=generator))
            if name in problem.mask:
                parameter.mul_(problem.mask[name]).mul_(-1)  # −0.0, as optimisers leave it
    return network.eval(), {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


@pytest.fixture
def best(tmp_path):
    torch.manual_seed(0)
    problem = make_problem(LeNet5())
    network, state = train_a_little(problem, ["srs", "acon", "elu", "relu"])
    write_best(tmp_path, problem, state, read_choices(network, problem.sites), MODEL)
    return tmp_path


CHOICES = {
    "no factors": (["srs", "relu", "tanh", "relu"], {"learn": False}),
    "srelu": (["srelu", "relu", "srelu", "relu"], {"learn": False}),
    "per site": (["srs", "acon", "elu", "relu"], {}),
    "per channel": (["srs", "acon", "softplus", "relu"], {"per_channel": True}),
    "original": (["relu"] * 4, {"learn": False}),
}


@pytest.mark.parametrize("kind", CHOICES)
def test_round_trip(tmp_path, kind):
    names, options = CHOICES[kind]
    problem = make_problem(LeNet5())
    network, state = train_a_little(problem, names, **options)
    write_best(tmp_path, problem, state, read_choices(network, problem.sites), MODEL)
    x = torch.randn(5, 1, 28, 28)
    loaded = load_best(tmp_path)
    torch.testing.assert_close(loaded(x), network(x), rtol=1e-5, atol=1e-6)
    assert torch.equal(load_best(str(tmp_path), LeNet5())(x), loaded(x))
    assert not loaded.training


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("names", [["leaky_relu", "prelu", "relu"], ["srs", "leaky_relu", "prelu"]])
def test_round_trip_of_a_network_of_ones_own(tmp_path, names, learn, per_channel):
    problem = make_problem(SmallNet())
    network, state = train_a_little(problem, names, learn=learn, per_channel=per_channel)
    write_best(tmp_path, problem, state, read_choices(network, problem.sites), {"name": "my:SmallNet", "kwargs": {}})
    x = torch.randn(5, 1, 28, 28)
    mine = SmallNet().train()
    mine.features[1].eval()
    before = copy.deepcopy(mine.state_dict())
    loaded = load_best(tmp_path, mine)
    torch.testing.assert_close(loaded(x), network(x), rtol=1e-5, atol=1e-6)
    assert all(torch.equal(tensor, before[name]) for name, tensor in mine.state_dict().items())
    assert (mine.training, mine.features[1].training) == (True, False)


@pytest.mark.parametrize("wrapper", [lambda model: model, nn.DataParallel])
def test_a_network_with_computed_weights_and_a_wrapper_is_filled_like_the_plain_one(best, wrapper):
    mine = LeNet5()
    weight_norm(mine.fc1)
    x = torch.randn(5, 1, 28, 28)
    assert torch.equal(load_best(best, wrapper(mine))(x), load_best(best)(x))
    assert is_parametrized(mine.fc1)


def test_own_operators_are_described_with_their_constants(tmp_path):
    problem = make_problem(SmallNet())
    network, state = train_a_little(problem, problem.sites.original, learn=False)
    write_best(tmp_path, problem, state, read_choices(network, problem.sites), MODEL)
    sites = json.loads((tmp_path / "activations.json").read_text())["sites"]
    assert sites[0]["constants"] == {"slope": 0.1}
    assert sites[1]["constants"]["slope"] == pytest.approx(state["features.5.weight"].tolist())


def test_the_file_of_weights_loads_without_safs(best):
    weights = load_file(best / "model.safetensors")
    model = LeNet5()
    model.load_state_dict(weights)
    mask = load_file(best / "mask.safetensors")
    assert set(mask) == {"conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight", "fc3.weight"}
    for name, kept in mask.items():
        assert kept.dtype is torch.bool
        assert (weights[name][~kept] == 0).all()
        assert not torch.signbit(weights[name][~kept]).any()
        assert (weights[name][kept] != 0).any()


def test_activations_json(best):
    content = json.loads((best / "activations.json").read_text())
    assert content["schema"] == 1
    assert content["model"] == MODEL
    assert content["input_shape"] == [1, 28, 28]
    assert [entry["site"] for entry in content["sites"]] == ["relu1", "relu2", "relu3", "relu4"]
    assert {entry["original"] for entry in content["sites"]} == {"relu"}
    assert [entry["operator"] for entry in content["sites"]] == ["srs", "acon", "elu", "relu"]
    assert set(content["sites"][1]["constants"]) == {"p1", "p2", "gamma"}
    assert all(1.0 < entry["alpha"] < 1.2 and 1.0 < entry["beta"] < 1.2 for entry in content["sites"])


def test_no_folder(tmp_path):
    with pytest.raises(SafsError, match=r"There is no .*activations\.json; give the `best` folder"):
        load_best(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(SafsError, match="is damaged"):
        load_best(tmp_path / "file")


@pytest.mark.parametrize("name", ["activations.json", "model.safetensors", "mask.safetensors"])
def test_missing_and_truncated_files(best, name):
    whole = (best / name).read_bytes()
    for cut in (0, 1, 8, 30, len(whole) // 2, len(whole) - 3):
        (best / name).write_bytes(whole[:cut])
        with pytest.raises(SafsError, match=f"{name} is damaged") as caught:
            load_best(best)
        assert "\n" not in str(caught.value)
    (best / name).unlink()
    with pytest.raises(SafsError, match=f"There is no .*{name}"):
        load_best(best)


def change(best, edit):
    path = best / "activations.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(edit(content) or content))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: [c], "must have schema 1"),
        (lambda c: c.update(schema=2), "must have schema 1"),
        (lambda c: c.pop("sites") and None, "is damaged: KeyError: 'sites'"),
        (lambda c: c.update(sites=3), "is damaged: TypeError"),
        (lambda c: c.update(model="lenet5"), "is damaged: TypeError"),
        (lambda c: c["sites"][0].pop("alpha") and None, "is damaged: KeyError: 'alpha'"),
        (lambda c: c["sites"][0].update(operator="sws"), "Unknown operator 'sws'"),
        (lambda c: c["sites"][0].update(constants={"q": 1}), r"'srs' has the constants \['a', 'b'\], not \['q'\]"),
        (lambda c: c["sites"][0].update(alpha=[1.0, 2.0]), "alpha needs one value for each of 6 channels, but got 2"),
        (lambda c: c["sites"][0].update(site="relu7"), r"with the sites \['relu7', 'relu2', .* but this one has"),
        (lambda c: c["sites"].pop() and None, "is of a network with the sites"),
        (lambda c: c["model"].update(name="lenet6"), "Unknown model 'lenet6'"),
        (lambda c: c["model"].update(kwargs={"wrong": 1}), "could not be built"),
        *[
            (lambda c, key=key, value=value: c["sites"][0].update({key: value}), "is damaged: .* expected a")
            for key in ("alpha", "beta")
            for value in ("x", "1", None, {}, True, 10**400, 1e39, [[1.0] * 6], [1.0, "x"], [10**400])
        ],
        *[
            (lambda c, value=value: c["sites"][1]["constants"].update(p1=value), "is damaged: ValueError: expected a")
            for value in ("x", None, {}, True, [[1.0]])
        ],
        *[
            (lambda c, value=value: c["sites"][0].update(constants=value), "is damaged: TypeError: expected a dict")
            for value in (None, [], "", 3)
        ],
        *[
            (lambda c, value=value: c.update(input_shape=value), "is damaged: ValueError: expected the shape")
            for value in (
                [],
                [-1, 28, 28],
                [0, 28, 28],
                [10**30, 2, 2],
                [1, 100_000, 1_000_000],
                [2**20, 2**20],
                [1.5, 28, 28],
                [1.0, 28, 28],
                [True, 28, 28],
                ["1", 28, 28],
                [None],
                [[1], 28, 28],
            )
        ],
        (lambda c: c.update(input_shape="123"), "is damaged: TypeError"),
        (lambda c: c.update(input_shape={"1": 2}), "is damaged: TypeError"),
        (lambda c: c.update(schema=True), "must have schema 1"),
        (lambda c: c["model"].update(name=["lenet5"]), "is damaged: TypeError"),
        (lambda c: c["model"].update(kwargs=[]), "is damaged: TypeError"),
        (lambda c: c["model"].update(kwargs={"seed": 1}), "could not be built"),
        (lambda c: c["model"].update(kwargs={"name": "x"}), "could not be built"),
        (lambda c: c["sites"][0].update(operator=["srs"]), "is damaged: TypeError"),
        (lambda c: c["sites"][0].update(site=None), "is damaged: TypeError"),
        (lambda c: c["sites"].__setitem__(0, 3), "is damaged: TypeError"),
        (lambda c: c.update(input_shape=[3, 28, 28]), "does not take input of shape"),
    ],
)
def test_edited_activations(best, edit, message):
    change(best, edit)
    with pytest.raises(SafsError, match=message) as caught:
        load_best(best)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_numbers_that_are_not_finite(best, number):
    path = best / "activations.json"
    text = re.sub(r'"alpha": [^,]+,', f'"alpha": {number},', path.read_text(), count=1)
    assert number in text
    path.write_text(text)
    with pytest.raises(SafsError, match="is damaged"):
        load_best(best)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_activations_that_are_nested_without_end(best, opening):
    (best / "activations.json").write_text(opening * 100_000)
    with pytest.raises(SafsError, match="is damaged") as caught:
        load_best(best)
    assert "\n" not in str(caught.value)


def test_a_folder_from_elsewhere_runs_no_code(best, tmp_path):
    made = tmp_path / "made"
    change(best, lambda c: c.update(model={"name": "builtins:open", "kwargs": {"file": str(made), "mode": "w"}}))
    with pytest.raises(SafsError, match=r"pass an instance of it: load_best\(folder, model\)"):
        load_best(best)
    assert not made.exists()
    load_best(best, LeNet5())


def test_another_network(best):
    model = SmallNet()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(
        SafsError, match=r"model\.safetensors is of another network than SmallNet: it lacks 'fe"
    ) as caught:
        load_best(best, model)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    change(best, lambda c: c["model"].update(kwargs={"num_classes": 7}))
    with pytest.raises(SafsError, match=r"'fc3.weight' of shape \(10, 84\) where the network has \(7, 84\)"):
        load_best(best)


def test_a_mask_that_is_violated_or_does_not_fit(best):
    weights, mask = load_file(best / "model.safetensors"), load_file(best / "mask.safetensors")
    position = tuple((~mask["fc2.weight"]).nonzero()[0])
    weights["fc2.weight"][position] = 1e-30
    assert violations(weights, mask) == ["fc2.weight"]
    save_file(weights, best / "model.safetensors")
    with pytest.raises(SafsError, match=r"masked weights of 'fc2\.weight' are not zero"):
        load_best(best)
    save_file({"fc2.weight": torch.ones(3, dtype=torch.bool)}, best / "mask.safetensors")
    with pytest.raises(SafsError, match=r"mask of 'fc2\.weight' must have its weight's shape"):
        load_best(best)


def test_weights_that_are_not_finite(best):
    weights = load_file(best / "model.safetensors")
    weights["fc3.bias"][0] = torch.nan
    save_file(weights, best / "model.safetensors")
    with pytest.raises(SafsError, match=r"NaN or infinite values in 'fc3\.bias'"):
        load_best(best)


def test_nothing_of_the_search_is_in_the_weights(best):
    assert not [name for name in load_file(best / "model.safetensors") if name.startswith(ACTIVATIONS)]
