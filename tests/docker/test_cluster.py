"""The files in docker/ for a Ray cluster: that they hold together, that `safs run` takes what they say."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from safs.cli.app import app
from safs.config.schema import Config
from tests.docker.files import DOCKER, IMAGES, ROOT, declared_arguments, documents, executable, instructions

FILES = sorted(path for path in DOCKER.iterdir() if path.is_file())
PAGE = ROOT / "docs" / "cluster.md"
SPEC_KEYS = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
GROUP_KEYS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
JOB_KEYS = {
    "submissionMode", "entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
    "rayClusterSpec",
}  # fmt: skip
"""Those of KubeRay's ray.io/v1 that are used; another one is to be looked up there first: it may be misspelt."""


def cluster_spec(name: str) -> dict[str, Any]:
    (document,) = documents(name)
    spec = document["spec"]
    return spec["rayClusterSpec"] if document["kind"] == "RayJob" else spec


def pods(name: str) -> list[dict[str, Any]]:
    """Return the specs of the pods of a cluster, the head's first."""
    spec = cluster_spec(name)
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


# --- all of them


@pytest.mark.parametrize("path", [*FILES, PAGE], ids=lambda path: path.name)
def test_no_file_holds_a_registrys_address_or_a_secret(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://127.0.0.1"}
    assert not re.search(r"pytorch\.org|pypi\.|docker\.io|ghcr\.|quay\.|nvcr\.", text)
    assert not re.search(r"\b[0-9a-fA-F]{24,}\b", text), "this looks like a token"
    assert not re.search(r"RAY_AUTH_TOKEN\b\s*[:=]\s*[\"']?\w", text), "a token comes from a secret"


def commands(text: str) -> list[list[str]]:
    """Return the words of every `safs run` with settings in a text: in code, comments, and YAML's folded lines."""
    lines = re.sub(r"\s*\\\n[ \t]*(?:#\s*)?", " ", text)
    lines = re.sub(r"\n\s+(?=--(?:set|run-dir) )", " ", lines)
    found = re.findall(r"safs run (?:/opt/safs/)?(configs/[^\n`]*|\"\$config\"[^\n]*)", lines)
    return [shlex.split(command, comments=True) for command in found]


COMMANDS = [
    pytest.param(words, id=f"{path.name}-{number}")
    for path in [*FILES, PAGE]
    for number, words in enumerate(commands(path.read_text(encoding="utf-8")))
]


def test_the_commands_are_found() -> None:
    found = {path.name: len(commands(path.read_text(encoding="utf-8"))) for path in [*FILES, PAGE]}
    assert {name for name, count in found.items() if count} == {
        "cluster.md", "compose.yaml", "raycluster.yaml", "rayjob.yaml", "slurm.sh",
    }  # fmt: skip
    assert found["cluster.md"] == 4


@pytest.mark.parametrize("words", COMMANDS)
def test_safs_run_takes_what_a_file_tells_it(words: list[str]) -> None:
    config = "configs/lenet5-mnist.yaml" if words[0] == "$config" else words[0]
    settings = [word for flag, word in itertools.pairwise(words) if flag == "--set"]
    checked = Config.from_yaml(ROOT / config, settings)
    assert checked.resources.engine == "ray"
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output
    assert all(word in shown for word in words if word.startswith("--"))
    if len(settings) > 1:  # on a cluster that stands, which may be lost
        assert checked.resources.address in ("auto", "$RAY_ADDRESS")
        assert words[-1] == "--resume"
        assert "--run-dir" in words


def test_the_page_names_every_setting_of_the_resources() -> None:
    table = PAGE.read_text(encoding="utf-8").split("<!-- resources: begin -->")[1].split("<!-- resources: end -->")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    resources = set(type(Config.from_yaml(ROOT / "configs" / "lenet5-mnist.yaml").resources).model_fields)
    assert named <= resources
    assert resources - named <= {"device", "threads"}, "those of every engine"


# --- the image


def test_the_dockerfile_is_one() -> None:
    found = instructions()
    assert {name for name, _ in found} <= {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "USER", "ENV", "ENTRYPOINT", "CMD"}
    assert found[0] == ("FROM", "python:3.11-slim")
    assert ("ARG", "DEVICE=cpu") in found
    assert [value for name, value in found if name == "USER"] == ["1000:1000"]
    assert max(k for k, (name, _) in enumerate(found) if name == "RUN") < found.index(("USER", "1000:1000"))
    assert "RAY_AUTH_MODE=token" in next(value for name, value in found if name == "ENV")
    assert json.loads(found[-2][1]) == ["safs"]
    for name, value in found:
        if name == "RUN":
            subprocess.run(["sh", "-n", "-c", value], check=True)


def test_what_the_image_copies_enters_the_context_and_nothing_else_does() -> None:
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignore
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = {source for name, value in instructions() if name == "COPY" for source in value.split()[:-1]}
    assert allowed == copied
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize(
    ("device", "index", "expected"),
    [
        ("cuda", "", "install --no-cache-dir torch torchvision"),
        ("cuda", "file:///wheels", "install --no-cache-dir torch torchvision"),
        ("cpu", "", "install --no-cache-dir torch torchvision"),
        ("cpu", "file:///wheels", "install --no-cache-dir --index-url file:///wheels torch torchvision"),
        ("gpu", "", None),
    ],
)
def test_the_device_decides_which_torch_is_installed(
    device: str, index: str, expected: str | None, tmp_path: Path
) -> None:
    executable(tmp_path / "pip", '#!/bin/sh\necho "$@"\n')
    command = next(value for name, value in instructions() if name == "RUN" and "torch torchvision" in value)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DEVICE": device, "TORCH_INDEX": index}
    done = subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, check=False)
    if expected is None:
        assert done.returncode == 2
        assert "DEVICE must be cpu or cuda" in done.stderr
        return
    assert (done.returncode, done.stdout.strip()) == (0, expected)
    assert ("No TORCH_INDEX" in done.stderr) == (device == "cpu" and not index)


# --- Docker Compose


def test_the_nodes_of_compose_have_the_token_and_no_open_port() -> None:
    (compose,) = documents("compose.yaml")
    assert compose.keys() == {"name", "x-node", "services", "secrets"}
    assert set(compose["services"]) == {"head", "worker"}
    (secret,) = compose["secrets"]
    assert compose["secrets"][secret]["file"].startswith("${SAFS_TOKEN_FILE:?")
    for service in compose["services"].values():
        assert service["image"] in IMAGES
        assert service["secrets"] == [secret]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == f"/run/secrets/{secret}"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert any(volume.endswith(":/data:ro") for volume in service["volumes"])
        assert any(volume.endswith(":/runs") for volume in service["volumes"])
        assert (DOCKER / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert {"DEVICE"} <= service["build"]["args"].keys() <= declared_arguments()


def test_the_overlay_for_gpus_changes_the_image_of_both_and_gives_them_to_the_worker() -> None:
    (overlay,) = documents("compose.cuda.yaml")
    assert {name: service["image"] for name, service in overlay["services"].items()} == {
        "head": "safs:cuda", "worker": "safs:cuda",
    }  # fmt: skip
    assert all(service["build"]["args"] == {"DEVICE": "cuda"} for service in overlay["services"].values())
    (device,) = overlay["services"]["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert "deploy" not in overlay["services"]["head"]


@pytest.mark.parametrize("names", [["compose.yaml"], ["compose.yaml", "compose.cuda.yaml"]], ids=len)
def test_docker_takes_the_compose_files(names: list[str], tmp_path: Path) -> None:
    client = shutil.which("docker")
    if client is None or subprocess.run([client, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("this machine has no `docker compose`")
    (tmp_path / "token").write_text("x", encoding="utf-8")
    flags = [flag for name in names for flag in ("-f", str(DOCKER / name))]
    env = {**os.environ, "SAFS_TOKEN_FILE": str(tmp_path / "token")}
    subprocess.run([client, "compose", *flags, "config", "--quiet"], env=env, check=True)


# --- KubeRay

both_manifests = pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])


@both_manifests
def test_a_manifest_has_the_fields_of_its_kind(name: str) -> None:
    (document,) = documents(name)
    assert document.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert document["apiVersion"] == "ray.io/v1"
    assert document["kind"] == {"raycluster.yaml": "RayCluster", "rayjob.yaml": "RayJob"}[name]
    if document["kind"] == "RayJob":
        assert document["spec"].keys() == JOB_KEYS
        assert document["spec"]["shutdownAfterJobFinishes"] is True
    spec = cluster_spec(name)
    assert spec.keys() == SPEC_KEYS
    assert f"\nray=={spec['rayVersion']}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"].keys() == {"rayStartParams", "template"}
    for group in spec["workerGroupSpecs"]:
        assert group.keys() == GROUP_KEYS
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


@both_manifests
def test_its_pods_are_bounded_and_not_root(name: str) -> None:
    claims = {document["metadata"]["name"] for document in documents("volumes.yaml")}
    for pod in pods(name):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000, "the user of the image"
        mounted = {volume["name"]: volume.get("persistentVolumeClaim") for volume in pod["volumes"]}
        assert {claim["claimName"] for claim in mounted.values() if claim} == claims
        (container,) = pod["containers"]
        assert container["image"] in IMAGES
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]} == {
            "data": "/data", "runs": "/runs", "shm": "/dev/shm",
        }  # fmt: skip
        assert mounted.keys() == {"data", "runs", "shm"}


def test_one_group_has_gpus_and_one_has_none() -> None:
    groups = cluster_spec("raycluster.yaml")["workerGroupSpecs"]
    gpus = {
        group["groupName"]: group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
        for group in groups
    }
    assert gpus == {"cpu": None, "gpu": "1"}


def test_the_job_runs_on_a_cluster_like_the_one_that_stands() -> None:
    assert cluster_spec("rayjob.yaml") == cluster_spec("raycluster.yaml")
