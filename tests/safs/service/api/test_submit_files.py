"""Submitted checkpoints and masks: taken as they are, or refused with the sentence of the command line."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from safs.config.schema import Config
from tests.safs.conftest import TINY
from tests.safs.service.api.submitting import pretrained, refused, saved, submitted


@pytest.mark.parametrize("how", ["torch", "safetensors"])
def test_a_pruned_checkpoint_whatever_it_is_called(how, client, pruned, server):
    content = saved(pruned) if how == "torch" else save(pruned)
    answer = submitted(
        client, pretrained(), files={"checkpoint": ("../../etc/passwd\n", content)}, name="first", priority=3
    )
    assert answer.status_code == 201, answer.text
    study = answer.json()
    assert answer.headers["location"] == f"/v1/studies/{study['id']}"
    assert (study["name"], study["state"], study["priority"]) == ("first", "QUEUED", 3)
    assert (study["model"], study["data"], study["searcher"]) == ("lenet5", "digits", "lahc")
    assert study["checkpoint"]["bytes"] == len(content)
    assert client.get(answer.headers["location"]).json() == study
    folder = server.home / "studies" / study["id"]
    suffix = {"torch": "pt", "safetensors": "safetensors"}[how]
    assert (folder / "input" / f"checkpoint.{suffix}").read_bytes() == content
    stored = Config.from_yaml(folder / "config.yaml")
    assert str(stored.model.checkpoint) == f"input/checkpoint.{suffix}"
    assert client.get(f"/v1/studies/{study['id']}/config").text == stored.to_yaml()


class Harm:
    def __reduce__(self):
        return (exec, ("open('/tmp/safs-harm', 'w')",))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", " is empty."),
        (b"\x00" * 100, " is damaged or no PyTorch checkpoint."),
        (b"PK\x03\x04" + b"x" * 100, " is damaged or no PyTorch checkpoint: File is not a zip file."),
        (saved({"conv1.weight": torch.zeros(1)}), " is of another network than LeNet5: it lacks 'conv1.bias' (6,)"),
        (saved(Harm()), " contains pickled code ('builtins.exec'), which is not run; save its state dict instead."),
        (pickle.dumps(Harm()), " is damaged or no PyTorch checkpoint: it holds the pickle instruction FRAME"),
        ((2**40).to_bytes(8, "little") + b"{" + b"x" * 100, " is damaged or no safetensors file: its header does not"),
    ],
    ids=["empty", "zeros", "cut zip", "of another network", "hostile", "bare pickle", "claims a terabyte"],
)
def test_bad_checkpoints_are_refused(content, sentence, client, untouched):
    answer = submitted(client, pretrained(), files={"checkpoint": ("x.pt", content)})
    assert refused(answer).startswith(f"The checkpoint that was uploaded{sentence}")
    assert answer.json()["field"] == "checkpoint"
    assert not Path("/tmp/safs-harm").exists()
    assert "/" not in answer.json()["detail"], "where it lies is the server's own"


def test_a_checkpoint_stands_for_what_it_would_be_made_by(client, pruned, server):
    answer = submitted(client, {}, files={"checkpoint": ("x.pt", saved(pruned))})  # `pretrain` and `prune` are there
    assert answer.status_code == 201, answer.text
    assert "keeps its mask" in answer.json()["message"]
    stored = Config.from_yaml(server.home / "studies" / answer.json()["id"] / "config.yaml")
    assert (stored.model.pretrain, stored.prune) == (None, None)
    assert client.get(f"/v1/studies/{answer.json()['id']}/config").text == stored.to_yaml()


def test_a_dense_checkpoint_is_pruned_as_the_config_says(client, server, dense):
    answer = submitted(client, {}, files={"checkpoint": ("x.pt", dense)})
    assert answer.json()["message"] is None
    stored = Config.from_yaml(server.home / "studies" / answer.json()["id"] / "config.yaml")
    assert stored.model.pretrain is None
    assert stored.prune.ratio == TINY["prune"]["ratio"]


def test_a_dense_checkpoint_that_nothing_prunes(client, dense, untouched):
    assert "is dense" in refused(submitted(client, pretrained(), files={"checkpoint": ("x.pt", dense)}))


def test_a_dense_checkpoint_with_a_mask(client, server, dense, mask):
    answer = submitted(client, pretrained(), files={"checkpoint": ("x.pt", dense), "mask": ("y", saved(mask))})
    assert answer.status_code == 201, answer.text
    folder = server.home / "studies" / answer.json()["id"]
    assert (folder / "input" / "mask.pt").read_bytes() == saved(mask)
    stored = Config.from_yaml(folder / "config.yaml")
    assert (str(stored.model.checkpoint), str(stored.model.mask)) == ("input/checkpoint.pt", "input/mask.pt")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", " is empty."),
        (b"\x00" * 100, " is damaged or no PyTorch checkpoint."),
        (saved({"conv1.weight": torch.ones(1)}), ": the mask of 'conv1.weight' must have its weight's shape"),
        (saved({"fc9.weight": torch.ones(1)}), " holds 'fc9.weight', which LeNet5 does not have"),
    ],
    ids=["empty", "zeros", "of other shapes", "of another network"],
)
def test_bad_masks_are_refused(content, sentence, client, dense, untouched):
    answer = submitted(client, pretrained(), files={"checkpoint": ("x.pt", dense), "mask": ("y.pt", content)})
    assert refused(answer).startswith(f"The mask file that was uploaded{sentence}")
    assert answer.json()["field"] == "mask"
    assert "/" not in answer.json()["detail"], "where it lies is the server's own"


def test_a_mask_without_a_checkpoint_is_refused(client, mask, untouched):
    answer = submitted(client, {}, files={"mask": ("x.pt", saved(mask))})
    assert "give `checkpoint`, too" in refused(answer)
    assert answer.json()["field"] == "model"
