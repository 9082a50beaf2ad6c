import pytest
import torch
from safetensors.torch import load_file

from safs.checkpoints import read_checkpoint, save_checkpoint
from safs.pruning import prune


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.safetensors"])
@pytest.mark.parametrize("dense", [False, True])
def test_save_and_load(tmp_path, small, pruned, loads, name, dense):
    model, mask = (small(2), {}) if dense else pruned
    save_checkpoint(tmp_path / name, model, mask)
    loads(tmp_path / name, model.state_dict(), mask or None)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_what_is_saved_is_masked_with_zeros_that_have_no_sign(tmp_path, small, loads, name):
    model = small()
    with torch.no_grad():
        model[4].weight.fill_(-1.0)
    mask = prune(model, 0.5)
    save_checkpoint(tmp_path / name, model, mask)
    state = read_checkpoint(tmp_path / name).content.tensors
    for key, kept in mask.items():
        assert (state[key][~kept] == 0).all()
        assert not torch.signbit(state[key][~kept]).any()
        assert torch.equal(state[key][kept], model.state_dict()[key][kept])
    loads(tmp_path / name, state, mask)
    assert (model[4].weight == -1).all()


def test_saving_replaces_atomically(tmp_path, small, pruned, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, *pruned)
    before = path.read_bytes()

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, small(5), {})
    assert path.read_bytes() == before
    assert set(load_file(path)) == set(small().state_dict())
    assert list(tmp_path.iterdir()) == [path]
