"""Submissions: what is refused, and with which sentence; nothing of what is refused is left."""

import copy
import io
import itertools
import pickle
import socket
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save

from safs.config.schema import Config
from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.pruning import prune
from safs.service.scopes import Scope
from tests.safs.conftest import TINY, merged
from tests.safs.service.conftest import eventually, until_its_end


def as_yaml(config):
    return config if isinstance(config, str) else yaml.safe_dump(merged(TINY, config))


def submitted(client, config, headers=None, files=None, **texts):
    """Submit a config, as YAML or as changes to the small study's."""
    parts = {
        "config": (None, as_yaml(config)),
        **{name: (None, str(value)) for name, value in texts.items()},
        **(files or {}),
    }
    return client.post("/v1/studies", files=parts, headers=headers)


def refused(answer, status=400):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["detail"].isprintable()
    return problem["detail"]


@pytest.fixture
def untouched(server):
    """Checks that a test has left no study and no file."""

    def look():
        return sorted(path.name for path in (server.home / "studies").iterdir())

    before = look()
    yield
    assert look() == before


@pytest.fixture(scope="module")
def pruned():
    """A pruned LeNet-5, its weights by name."""
    model = make_model("lenet5", {}, seed=0)
    apply_mask(model, prune(model, 0.9))
    return model.state_dict()


@pytest.fixture(scope="module")
def dense():
    """A checkpoint of a LeNet-5 that is not pruned."""
    return saved(make_model("lenet5", {}, seed=0).state_dict())


@pytest.fixture(scope="module")
def mask():
    """A mask of a LeNet-5."""
    return prune(make_model("lenet5", {}, seed=0), 0.9)


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def pretrained(**more):
    """What makes of the small study one that starts from a checkpoint."""
    values = copy.deepcopy(merged(TINY, more))
    del values["model"]["pretrain"], values["prune"]
    return yaml.safe_dump(values)


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


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x07b"}, "name"),
        ({"priority": "high"}, "priority"),
        ({"priority": "101"}, "priority"),
        ({"name": "../../etc/passwd"}, "name"),
        ({"name": "a\\b"}, "name"),
        ({"priority": "1.5"}, "priority"),
        ({"priority": "9" * 19}, "priority"),
    ],
)
def test_bad_texts(texts, field, client, untouched):
    answer = submitted(client, {}, **texts)
    refused(answer, 422)
    assert answer.json()["field"] == field


def test_a_name_is_only_shown(client):
    study = submitted(client, {}, name="<script>alert(1)< script>").json()
    assert study["name"] == "<script>alert(1)< script>"


PART = b"--x\r\nContent-Disposition: form-data; name=%b\r\n\r\na"


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("text/plain", b"", 415),
        ("", b"", 415),
        ("multipart/form-data", b"", 415),
        (f"multipart/form-data; boundary={'x' * 300}", b"", 400),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=x", b"--x\r\n", 400),
        ("multipart/form-data; boundary=x", b"nonsense", 400),
        ("multipart/form-data; boundary=x", PART % b"config", 400),
        ("multipart/form-data; boundary=x", PART % b"nobody's" + b"\r\n--x--\r\n", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nX: " + b"y" * 10_000 + b"\r\n\r\na\r\n--x--\r\n", 400),
    ],
)
def test_other_bodies(kind, body, status, client, untouched):
    refused(client.post("/v1/studies", content=body, headers={"content-type": kind}), status)


def test_parts_that_are_too_large_or_stand_there_twice(client, server, untouched):
    refused(submitted(client, "x: " + "a" * 70_000), 413)
    with server.client(server.make_token("small", most_bytes=1000)) as small:
        answer = submitted(small, pretrained(), files={"checkpoint": ("x.pt", b"x" * 1001)})
        assert "larger than 1,000 bytes" in refused(answer, 413)
        answer = small.post(
            "/v1/studies", content=b"x" * 10_000_000, headers={"content-type": "multipart/form-data; boundary=x"}
        )
        refused(answer, 413)
    twice = b"".join(b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n' for _ in range(2))
    answer = client.post(
        "/v1/studies", content=twice + b"--x--\r\n", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert "twice" in refused(answer)


def test_half_an_upload_leaves_nothing(server, client, untouched):
    token = server.make_token("cut off")
    head = (
        f"POST /v1/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="checkpoint"; filename="x"\r\n\r\n'
    )

    def arriving():
        return any(path.name.startswith(".incoming") for path in (server.home / "studies").iterdir())

    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + b"x" * 10_000)
        eventually(arriving)
    eventually(lambda: not arriving())
    assert client.get("/v1/studies").status_code == 200


def test_idempotency(client, server):
    first = submitted(client, {}, {"Idempotency-Key": "k"}, name="same")
    again = submitted(client, {}, {"Idempotency-Key": "k"}, name="same")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    assert "another request" in refused(submitted(client, {}, {"Idempotency-Key": "k"}, name="other"), 409)
    refused(submitted(client, {}, {"Idempotency-Key": "k" * 201}), 422)
    with server.client(server.make_token("somebody else")) as other:
        assert submitted(other, {}, {"Idempotency-Key": "k"}, name="same").json()["id"] != first.json()["id"]


def test_one_key_with_another_checkpoint_is_another_request(client, pruned):
    def send(content):
        return submitted(client, pretrained(), {"Idempotency-Key": "file"}, {"checkpoint": ("x.pt", content)})

    other = saved(pruned | {"conv1.bias": torch.ones(6)})
    assert [send(saved(pruned)).status_code for _ in range(2)] == [201, 200]
    assert "another request" in refused(send(other), 409)


def test_a_token_may_have_only_so_many_waiting(server):
    with server.client(server.make_token("patient", most_queued=1)) as client:
        assert submitted(client, {}).status_code == 201
        answer = submitted(client, {})
        assert "1 of your studies wait already" in refused(answer, 429)
        assert answer.headers["retry-after"]


def test_who_may_have_no_more_waiting_need_not_send_a_file(server, untouched):
    token = server.make_token("full", most_queued=0)
    head = (
        f"POST /v1/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert until_its_end(connection, b"}").startswith(b"HTTP/1.1 429")


def test_the_share_of_gpus_is_in_the_config_that_runs(server):
    with server.client(server.make_token("no gpus", most_gpus=0.0)) as client:
        study = submitted(client, {}).json()["id"]
        assert "device: cpu" in client.get(f"/v1/studies/{study}/config").text
        cuda = submitted(client, {"resources": {"device": "cuda"}})
        assert "your token may have 0" in refused(cuda)
        assert cuda.json()["field"] == "resources"


def test_who_may_submit(server, untouched):
    with server.client(server.make_token("reader", Scope.READ)) as reader, server.client(None) as nobody:
        assert "scope submit" in refused(submitted(reader, {}), 403)
        answer = submitted(nobody, {})
        assert "A token is needed" in refused(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for wrong in ("safs_wrong", "x" * 1000):
        with server.client(wrong) as stranger:
            refused(stranger.get("/v1/studies"), 401)
