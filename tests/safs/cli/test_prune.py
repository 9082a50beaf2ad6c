import pytest
import torch

from safs.checkpoints import load_into, save_checkpoint
from safs.masks import sparsity, violations
from safs.models.registry import make_model


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
