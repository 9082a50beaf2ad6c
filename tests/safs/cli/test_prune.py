import numpy as np
import pytest
import torch
from PIL import Image

from safs.checkpoints import load_into, save_checkpoint
from safs.data import digits
from safs.masks import sparsity, violations
from safs.models.registry import make_model
from safs.protocol import Protocol
from safs.pruning import prune
from safs.sites import find_sites
from safs.spec import TrialSpec
from safs.trial import Problem, run_trial


@pytest.fixture
def dense(tmp_path):
    save_checkpoint(tmp_path / "dense.pt", make_model("lenet5", seed=1), {})
    return tmp_path / "dense.pt"


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_file_holds_the_kept_weights_and_the_mask(suffix, scope, dense, tmp_path, call_safs):
    out = tmp_path / "deep" / f"pruned.{suffix}"
    before = dense.read_bytes()
    flags = ["--checkpoint", dense, "--ratio", "0.95", "--scope", scope, "--out", out]
    code, printed, _ = call_safs("prune", "lenet5", *flags)
    assert code == 0
    assert printed.startswith(f"{out}: 2,2")
    assert "sparsity 95.0" in printed
    assert dense.read_bytes() == before
    model = make_model("lenet5", seed=9)
    mask = load_into(model, out)
    assert sparsity(mask) == pytest.approx(0.95, abs=1e-3)
    assert violations(model.state_dict(), mask) == []
    original = make_model("lenet5", seed=1).state_dict()
    for name, kept in mask.items():
        assert torch.equal(model.state_dict()[name][kept], original[name][kept])
        if scope == "layer":
            assert float((~kept).float().mean()) == pytest.approx(0.95, abs=0.01)


def test_a_file_that_exists_is_left_alone(dense, tmp_path, refused):
    out = tmp_path / "out.pt"
    out.write_bytes(b"mine")
    assert "exists already" in refused("prune", "lenet5", "--checkpoint", dense, "--out", out)
    assert out.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ratio", "1"], "ratio must lie in [0, 1)"),
        (["--ratio", "-0.5"], "ratio must lie in [0, 1)"),
        (["--ratio", "nan"], "ratio must lie in [0, 1)"),
        (["--method", "magnitud"], "Did you mean 'magnitude'"),
        (["--scope", "globl"], "Did you mean 'global'"),
        (["--checkpoint", "absent.pt"], "no checkpoint"),
        (["--input", "1,x"], "--input takes"),
        (["--input", "3,28,28"], "does not take input of shape"),
        (["--method", "snipp"], "Did you mean 'snip'"),
        (["--method", "snip", "--scope", "global", "--data", "digits"], "leave the scope out"),
        (["--method", "snip"], "needs training data; name them with --data"),
        (["--method", "imp", "--data", "digits"], "say for how long with --epochs"),
        (["--method", "imp", "--epochs", "3"], "needs training data; name them with --data"),
        (["--method", "imp", "--data", "digit", "--epochs", "3"], "Did you mean 'digits'"),
        (["--method", "imp", "--data", "digits", "--epochs", "0"], "epochs must be at least 1"),
        (["--method", "imp", "--data", "digits", "--epochs", "1"], "'rewind_epoch' must be below the 1 epochs"),
        (["--method", "imp", "--data", "digits", "--epochs", "3", "--train", "lrr=1"], "did you mean 'lr'"),
        (
            ["--method", "imp", "--data", "digits", "--epochs", "3", "--train", "lr=fast"],
            "A value of --train does not fit",
        ),
        (["--method", "imp", "--data", "digits", "--epochs", "3", "--train", "lr=-1"], "lr must be above 0"),
        (["--method", "imp", "--data", "digits", "--epochs", "3", "--train", "lr"], "--train takes key=value"),
        (["--method", "imp", "--data", "digits", "--epochs", "3", "--option", "round=2"], "Did you mean 'rounds'"),
        (["--method", "erk", "--option", "criterion=size"], "Unknown criterion 'size'"),
        (["--method", "erk", "--option", "criterion"], "--option takes key=value"),
        (["--method", "synflow", "--option", "rounds=0"], "'rounds' must be an integer of at least 1"),
        (["--data", "digits"], "'magnitude' reads no data; leave out --data"),
        (["--epochs", "3"], "'magnitude' trains nothing; leave out --epochs and --train"),
    ],
)
def test_bad_arguments_are_one_line_and_write_nothing(flags, message, dense, tmp_path, refused):
    out = tmp_path / "out.pt"
    assert message in refused("prune", "lenet5", "--checkpoint", dense, "--out", out, *flags)
    assert not out.exists()


def test_a_pruned_checkpoint_is_refused(dense, tmp_path, call_safs, refused):
    once, twice = tmp_path / "once.pt", tmp_path / "twice.pt"
    assert call_safs("prune", "lenet5", "--checkpoint", dense, "--out", once)[0] == 0
    message = refused("prune", "lenet5", "--checkpoint", once, "--ratio", "0.5", "--out", twice)
    assert "pruned already" in message
    assert not twice.exists()


def test_the_input_of_a_network_of_ones_own_can_be_given(tmp_path, call_safs):
    """Only with the shape of its input is it known what the mask leaves connected."""
    model, path = make_model("safs.models.lenet:LeNet5", seed=1), tmp_path / "dense.pt"
    save_checkpoint(path, model, {})
    flags = ["safs.models.lenet:LeNet5", "--checkpoint", path, "--ratio", "0.999"]
    assert "logits" not in call_safs("prune", *flags, "--out", tmp_path / "a.pt")[2]
    code, _, err = call_safs("prune", *flags, "--out", tmp_path / "b.pt", "--input", "1,28,28")
    assert code == 0
    assert "logits" in err


def test_a_full_disk_is_one_line(dense, small_disk, fill, refused):
    disk = small_disk(64)
    fill(disk)
    assert "The disk is full" in refused("prune", "lenet5", "--checkpoint", dense, "--out", disk / "out.pt")
    assert [path.name for path in disk.iterdir()] == [".filler"]


def test_a_folder_that_cannot_be_made_is_one_line(dense, tmp_path, refused):
    (tmp_path / "file").touch()
    message = refused("prune", "lenet5", "--checkpoint", dense, "--out", tmp_path / "file" / "out.pt")
    assert "Writing failed" in message


def test_before_anything_is_trained_it_is_known_that_the_result_can_be_written(dense, tmp_path, refused, monkeypatch):
    monkeypatch.setattr("safs.trial.train", lambda *_, **__: pytest.fail("trained"))
    (tmp_path / "file").touch()
    (tmp_path / "link.pt").symlink_to(tmp_path / "nowhere")
    flags = ["--method", "imp", "--data", "digits", "--epochs", "3"]
    for out, message in ((tmp_path / "file" / "out.pt", "Writing failed"), (tmp_path / "link.pt", "exists already")):
        assert message in refused("prune", "lenet5", "--checkpoint", dense, "--out", out, *flags)


def test_before_anything_is_trained_logits_and_classes_are_compared(tmp_path, refused, monkeypatch):
    monkeypatch.setattr("safs.trial.train", lambda *_, **__: pytest.fail("trained"))
    path = tmp_path / "dense.pt"
    save_checkpoint(path, make_model("lenet5", {"num_classes": 5}, seed=1), {})
    flags = ["--method", "imp", "--data", "digits", "--epochs", "3", "--kwarg", "num_classes=5"]
    message = refused("prune", "lenet5", "--checkpoint", path, "--out", tmp_path / "out.pt", *flags)
    assert "one logit for each of the 10 classes" in message


def test_data_may_be_all_that_a_config_says_of_them(dense, tmp_path, refused, call_safs):
    for label in range(10):
        folder = tmp_path / "images" / "train" / str(label)
        folder.mkdir(parents=True)
        for size in (28, 30):
            pixels = np.full((size, size), 20 * label + size, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{size}.png")
    flags = ["--checkpoint", dense, "--out", tmp_path / "out.pt", "--method", "snip", "--ratio", "0.5"]
    data = f"name: imagefolder, root: {tmp_path / 'images'}"
    assert "data.image_size" in refused("prune", "lenet5", *flags, "--data", f"{{{data}}}")
    assert "did you mean 'image_size'" in refused("prune", "lenet5", *flags, "--data", f"{{{data}, image_siz: 28}}")
    code, _, err = call_safs("prune", "lenet5", *flags, "--data", f"{{{data}, image_size: 28}}")
    assert code == 0, err
    assert load_into(make_model("lenet5", seed=0), tmp_path / "out.pt") is not None


def test_what_is_pruned_can_be_inspected_and_run(dense, tmp_path, tiny_values, call_safs, few, monkeypatch):
    import safs.study
    from safs.config.schema import Config
    from safs.study import Study

    monkeypatch.setattr(safs.study, "write_report", lambda folder: None)
    out = tmp_path / "pruned.pt"
    call_safs("prune", "lenet5", "--checkpoint", dense, "--ratio", "0.9", "--out", out)
    model = {"pretrain": None, "checkpoint": str(out)}
    values = tiny_values(model=model, prune=None, data="few", stage2={"trials": 1}, report={"seeds": 1})
    summary = Study(Config.from_mapping(values), tmp_path / "run").run()
    assert summary["rows"][0]["name"] == "pruned"
    assert [row["sparsity"] for row in summary["rows"]] == [pytest.approx(0.9, abs=1e-3)] * 7


@pytest.mark.parametrize(
    "flags",
    [
        ["--method", "random", "--scope", "global", "--seed", "3"],
        ["--method", "erk", "--option", "criterion=random", "--seed", "3"],
        ["--method", "snip", "--data", "digits", "--option", "examples_per_class=4", "--seed", "3"],
        ["--method", "synflow", "--option", "rounds=10"],
    ],
    ids=lambda flags: flags[1],
)
def test_every_method_writes_the_mask_that_it_finds(flags, dense, tmp_path, call_safs):
    out = tmp_path / "pruned.pt"
    code, printed, err = call_safs("prune", "lenet5", "--checkpoint", dense, "--ratio", "0.9", "--out", out, *flags)
    assert code == 0, err
    assert "4,419 of 44,190 weights kept, sparsity 90.00 %" in printed
    original = make_model("lenet5", seed=1)
    options = dict(pair.split("=") for pair in flags if "=" in pair)
    expected = prune(
        original,
        0.9,
        method=flags[1],
        scope="global" if "--scope" in flags else None,
        options={name: int(value) if value.isdigit() else value for name, value in options.items()},
        seed=3,
        data=digits.load("train", None),
        input_shape=(1, 28, 28),
    )
    model = make_model("lenet5", seed=9)
    mask = load_into(model, out)
    assert all(torch.equal(mask[name], kept) for name, kept in expected.items())
    for name, kept in mask.items():
        assert torch.equal(model.state_dict()[name], original.state_dict()[name] * kept)


def test_imp_trains_shows_its_progress_and_writes_the_rewound_weights(dense, tmp_path, few, few_digits, call_safs):
    out = tmp_path / "ticket.pt"
    flags = ["--method", "imp", "--data", "few", "--epochs", "3", "--train", "lr=0.005", "--train", "batch_size=64"]
    flags += ["--option", "rounds=2", "--option", "rewind_epoch=1", "--seed", "5", "--ratio", "0.9", "--out", out]
    code, printed, err = call_safs("prune", "lenet5", "--checkpoint", dense, *flags)
    assert code == 0, err
    assert few == ["train"]
    assert "4,419 of 44,190 weights kept" in printed
    assert err.count("SUCCEEDED") == 3
    assert "pruning: up to 3 trials" in err
    model = make_model("lenet5", seed=9)
    mask = load_into(model, out)
    original = make_model("lenet5", seed=1)
    spec = TrialSpec("dense", ("relu",) * 4, Protocol(epochs=3, lr=0.005, batch_size=64), 5, keep=True, span=(0, 1))
    _, rewound = run_trial(spec, Problem(original, {}, find_sites(original, (1, 28, 28)), few_digits))
    for name, kept in mask.items():
        assert torch.equal(model.state_dict()[name], rewound[name] * kept), "early weights, as a seed gives them"


def test_a_training_of_imp_that_fails_is_one_line(dense, tmp_path, few, call_safs):
    flags = ["--method", "imp", "--data", "few", "--epochs", "2"]
    for value in ("optimizer=sgd", "lr=1.0e+6", "batch_size=32"):
        flags += ["--train", value]
    code, out, err = call_safs("prune", "lenet5", "--checkpoint", dense, *flags, "--out", tmp_path / "out.pt")
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("Error: Training the network 'dense' failed: ")
    assert not (tmp_path / "out.pt").exists()


def test_a_layer_that_loses_everything_is_warned_of_whatever_is_known_of_the_input(tmp_path, call_safs):
    path = tmp_path / "dense2.pt"
    model = make_model("safs.models.lenet:LeNet5", seed=1)
    model.fc3.weight.data.mul_(1e-6)
    save_checkpoint(path, model, {})
    for name in ("safs.models.lenet:LeNet5", "lenet5"):  # the shape of its input is known of the second alone
        flags = ["--checkpoint", path, "--scope", "global", "--ratio", "0.99", "--out", tmp_path / f"{name[:4]}.pt"]
        code, _, err = call_safs("prune", name, *flags)
        assert code == 0
        assert sum("fc3 " in line and "the signal is cut there" in line for line in err.splitlines()) == 1
