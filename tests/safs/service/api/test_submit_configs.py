"""Submitted configs: what is refused, and with which sentence; nothing of what is refused is left."""

import itertools

import pytest
from PIL import Image

from tests.safs.service.api.submitting import as_yaml, refused, submitted

BAD_CONFIGS = [
    ("a: [", "config", "is not valid YAML"),
    ("- a\n", "config", "must be a YAML mapping"),
    ("", "config", "must be a YAML mapping"),
    ({"stage1": {"iteration": 3}}, "stage1.iteration", "did you mean 'iterations'"),
    ({"stage1": {"searcher": "lhac"}}, "stage1.searcher", "Did you mean 'lahc'"),
    ({"stage1": {"operators": ["rellu"]}}, "stage1.operators", "Did you mean 'relu'"),
    ({"train": {"lr": -1}}, "train", "lr must be above 0"),
    ({"train": {"optimizer": "adm"}}, "train.optimizer", "Did you mean 'adam'"),
    ({"model": {"name": "lenet6"}}, "model.name", "Unknown model 'lenet6'"),
    ({"data": "digitz"}, "data.name", "Did you mean 'digits'"),
    ({"data": "imagefolder"}, "data", "There is no folder train in"),
    ('data: {name: mnist, root: "/tmp/a\\0b"}', "config", "a character that no text holds"),
    ('model: {name: lenet5, kwargs: {"\\ud800": 3}}', "config", "a character that no text holds"),
    ({"stage2": {"trials": "many"}}, "stage2.trials", "Config key 'stage2.trials'"),
    ({"stage2": {"folds": 2000}}, "stage2.folds", "must lie between 2 and 1438 (examples), but got 2000"),
    ({"model": {"kwargs": {"num_classes": 7}}}, "model", "but returns (7,)"),
    ({"data": {"name": "digits", "kwargs": {"n_samples": 3}}}, "data", "knows no `data.kwargs.n_samples`"),
]
"""What `safs run` refuses, too."""
NOT_HERE = [
    ({"model": {"name": "os:system"}}, "model.name", "No network 'os:system' here"),
    ({"data": "os:system"}, "data.name", "No dataset 'os:system' here"),
    ({"model": {"trust_pickle": True}}, "model.trust_pickle", "never unpickled"),
    ({"model": {"name": "timm/resnet18", "kwargs": {"pretrained": True}}}, "model.kwargs.pretrained", "not fetched"),
    (
        {"model": {"name": "timm/resnet18", "kwargs": {"checkpoint_path": "/x"}}},
        "model.kwargs.checkpoint_path",
        "weights are uploaded, not fetched",
    ),
    ({"data": {"name": "mnist", "root": "/etc"}}, "data.root", "must lie in a data folder"),
    ({"data": {"name": "mnist", "root": "../.."}}, "data.root", "must be an absolute path"),
    ({"data": {"name": "parquet", "kwargs": {"train": "../x"}}}, "data.kwargs.train", "patterns of files"),
    (
        {"data": {"name": "torchvision/MNIST", "kwargs": {"download": True}}},
        "data.kwargs.download",
        "must be numbers, words, or patterns of files",
    ),
    ({"resources": {"engine": "ray", "address": "1.2.3.4:5"}}, "resources.address", "says where trials run"),
    ({"resources": {"engine": "ray", "workers": 4}}, "resources.workers", "one trial after the other"),
]


@pytest.mark.parametrize(("config", "field", "sentence"), NOT_HERE, ids=lambda value: str(value)[:40])
def test_what_the_service_does_not_allow_is_refused_naming_the_field(config, field, sentence, client, untouched):
    answer = submitted(client, config)
    assert sentence in refused(answer)
    assert answer.json()["field"] == field


@pytest.mark.parametrize(("config", "field", "sentence"), BAD_CONFIGS, ids=lambda value: str(value)[:40])
def test_bad_configs_are_refused_with_the_sentence_of_the_command_line_naming_the_field(
    config, field, sentence, server, client, tmp_path, call_safs, monkeypatch, untouched
):
    path = tmp_path / "bad.yaml"
    path.write_text(as_yaml(config))
    answer = submitted(client, config)
    assert sentence in refused(answer)
    assert answer.json()["field"] == field
    monkeypatch.setenv("SAFS_DATA_ROOT", str(server.home / "data"))
    _, _, said = call_safs("run", path, "--run-dir", tmp_path / "run")
    assert said.replace(f"The config {path} ", "The config ") == f"Error: {refused(answer)}\n"


def test_a_path_of_the_senders_is_refused(client, untouched):
    assert "part `checkpoint`" in refused(submitted(client, {"model": {"checkpoint": "/etc/passwd"}}))


def test_a_study_is_called_after_its_network_and_its_data_without_a_slash(server, client):
    pictures = server.home / "data" / "pictures"
    for split, kind, n in itertools.product(("train", "test"), "ab", range(2)):
        file = pictures / split / kind / f"{n}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(file)
    model = {"name": "torchvision/squeezenet1_1", "kwargs": {"num_classes": 2}}
    answer = submitted(client, {"model": model, "data": {"name": "imagefolder", "root": str(pictures)}})
    assert answer.status_code == 201, answer.text
    study = answer.json()
    assert (study["name"], study["model"]) == ("torchvision squeezenet1_1 imagefolder", model["name"])


def test_a_server_that_runs_nothing_takes_a_study_for_a_gpu_that_others_have(client):
    answer = submitted(client, {"resources": {"device": "cuda"}})
    assert answer.status_code == 201, answer.text
    assert "device: cuda" in client.get(f"/v1/studies/{answer.json()['id']}/config").text
