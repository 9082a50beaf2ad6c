import pytest
import torch
from safetensors.torch import save_file
from torch.nn.utils import prune

from safs.checkpoints import load, read_checkpoint, read_mask
from safs.masks import violations
from spaces.errors import SafsError


@pytest.fixture
def dense(tmp_path, small):
    """A checkpoint of weights that are nowhere zero, and half of it as a mask."""
    model = small(1)
    generator = torch.Generator().manual_seed(0)
    state = model.state_dict()
    mask = {name: torch.rand(state[name].shape, generator=generator) < 0.5 for name in ("0.weight", "4.weight")}
    torch.save(state, tmp_path / "dense.pt")
    return tmp_path / "dense.pt", state, mask


NAMES = {
    "weight": "{}",
    "weight_mask": "{}_mask",
    "weight.mask": "{}.mask",
    "prefix": "module._orig_mod.{}_mask",
    "within": "_orig_mod.{}",
}


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.float16])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", ["pt", "safetensors", "wrapped.pt"])
def test_every_way_to_write_a_mask(tmp_path, small, dense, name, kind, suffix):
    path, state, mask = dense
    written = {NAMES[name].format(key): kept.to(kind) for key, kept in mask.items()}
    file = tmp_path / f"mask.{suffix}"
    if suffix == "safetensors":
        save_file(written, file)
    else:
        torch.save({"mask": written, "ratio": 0.5} if suffix == "wrapped.pt" else written, file)
    model = small()
    loaded = load(model, read_checkpoint(path), mask=read_mask(file))
    assert loaded.mask_origin == "file"
    assert loaded.zero_share == 0
    assert all(torch.equal(loaded.mask[key], kept) for key, kept in mask.items())
    assert violations(model.state_dict(), loaded.mask) == []
    assert torch.equal(model[4].weight[mask["4.weight"]], state["4.weight"][mask["4.weight"]])


def test_a_layer_that_a_mask_does_not_name_keeps_its_zeros(tmp_path, small):
    """`torch.nn.utils.prune` on some layers, `prune.remove` on others: the zeros of the others are a mask, too."""
    model = small(1)
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    prune.l1_unstructured(model[4], "weight", amount=0.5)
    prune.remove(model[4], "weight")
    torch.save(model.state_dict(), tmp_path / "a.pt")
    loaded = load(small(), read_checkpoint(tmp_path / "a.pt"))
    assert loaded.mask_origin == "own"
    assert torch.equal(loaded.mask["0.weight"], model[0].weight_mask.bool())
    assert torch.equal(loaded.mask["4.weight"], model[4].weight != 0)


def test_the_mask_file_goes_before_the_checkpoints_own_mask(tmp_path, small, dense):
    path, state, mask = dense
    torch.save({"state_dict": state, "mask": {name: ~kept for name, kept in mask.items()}}, path)
    torch.save(mask, tmp_path / "mask.pt")
    loaded = load(small(), read_checkpoint(path), mask=read_mask(tmp_path / "mask.pt"))
    assert torch.equal(loaded.mask["4.weight"], mask["4.weight"])


def test_a_pruned_checkpoint_as_a_mask_file(tmp_path, small, dense):
    path, _, mask = dense
    other = small(5)
    prune.custom_from_mask(other[4], "weight", mask["4.weight"])
    torch.save({"state_dict": other.state_dict()}, tmp_path / "mask.pt")
    loaded = load(small(), read_checkpoint(path), mask=read_mask(tmp_path / "mask.pt"))
    assert torch.equal(loaded.mask["4.weight"], mask["4.weight"])
    assert loaded.mask["0.weight"].all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"4.weight": torch.ones(4, 11)},
            r"mask of '4.weight' must have its weight's shape \(4, 12\), but has \(4, 11\)",
        ),
        ({"4.weight": torch.full((4, 12), 0.5)}, "mask of '4.weight' must hold only 0 and 1"),
        ({"4.weight": torch.full((4, 12), torch.nan)}, "must hold only 0 and 1"),
        ({"fc.weight": torch.ones(4, 12)}, "holds 'fc.weight', which Sequential does not have"),
        ({"1.running_mean": torch.ones(3)}, "holds '1.running_mean', which Sequential does not have"),
        ({"4.weight": torch.ones(4, 12), "module.4.weight": torch.ones(4, 12)}, "holds both '4.weight' and"),
        ({"4.weight_mask": torch.ones(4, 12), "4.weight.mask": torch.ones(4, 12)}, "more than one mask of '4.weight'"),
        ({"4.weight": torch.eye(3).to_sparse()}, "must hold plain tensors, but '4.weight' is sparse"),
        ({"4.weight": [1, 0]}, "holds no tensor"),
        ([1], "must hold a state dict, but holds a list"),
    ],
)
def test_a_mask_that_does_not_fit_names_its_file_and_changes_nothing(tmp_path, small, dense, content, message):
    torch.save(content, tmp_path / "mask.pt")
    model = small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(SafsError, match=message) as caught:
        load(model, read_checkpoint(dense[0]), mask=read_mask(tmp_path / "mask.pt"))
    assert str(caught.value).startswith(f"The mask file {tmp_path / 'mask.pt'}")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_missing_mask_file(tmp_path):
    with pytest.raises(SafsError, match="There is no mask file at"):
        read_mask(tmp_path / "mask.pt")


# The mask in the checkpoint itself


def test_the_files_own_mask_is_not_inferred(tmp_path, pruned, loads):
    model, mask = pruned
    wider = {name: kept.clone() for name, kept in mask.items()}
    position = tuple((~mask["4.weight"]).nonzero()[0])
    wider["4.weight"][position] = True  # a weight that is kept, and happens to be zero
    torch.save({"state_dict": model.state_dict(), "mask": wider}, tmp_path / "a.pt")
    loads(tmp_path / "a.pt", model.state_dict(), wider)


def test_a_mask_is_applied_where_weights_are_not_zero(tmp_path, small, dense):
    path, state, mask = dense
    torch.save({"state_dict": state, "mask": mask}, path)
    model = small()
    loaded = load(model, read_checkpoint(path))
    assert loaded.mask_origin == "own"
    assert violations(model.state_dict(), mask) == []


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([1], "has a `mask` that is a list"),
        (torch.ones(3), "has a `mask` that is a Tensor"),
        (1, "has a `mask` that is a int"),
        ("", "has a `mask` that is a str"),
        ({4: torch.ones(4, 12)}, "has a `mask` that is not by the names of weights"),
        ({"4.weight": torch.ones(3, 12)}, "mask of '4.weight' must have its weight's shape"),
        ({"9.weight": torch.ones(3, 12)}, "holds '9.weight', which"),
        ({"4.weight": torch.full((4, 12), 0.3)}, "mask of '4.weight' must hold only 0 and 1"),
        ({"4.weight": 1}, "mask of '4.weight' must be a tensor"),
        ({"4.weight": torch.eye(3).to_sparse()}, "must hold plain tensors, but '4.weight' is sparse"),
    ],
)
def test_a_mask_of_its_own_that_does_not_fit_changes_nothing(tmp_path, pruned, rejects, mask, message):
    torch.save({"state_dict": pruned[0].state_dict(), "mask": mask}, tmp_path / "a.pt")
    rejects(tmp_path / "a.pt", message)
