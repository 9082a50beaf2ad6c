"""The service's files in docker/, and their page: that they hold together. What they start is tested elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from safs.service.settings import ServiceSettings
from safs.service.worker.job import GRACE_S
from tests.docker.files import (
    DOCKER,
    IMAGES,
    ROOT,
    SERVICE,
    SERVICE_PAGE,
    blocks,
    declared_arguments,
    documents,
    instructions,
    make_secrets,
    place,
    services,
)

KINDS = [
    ("PersistentVolumeClaim", "safs-studies"), ("Service", "safs-server"), ("Deployment", "safs-server"),
    ("Deployment", "safs-worker"), ("Service", "safs-database"), ("StatefulSet", "safs-database"),
    ("NetworkPolicy", "safs-database"),
]  # fmt: skip


# --- Docker Compose


def mounts(service: dict[str, Any]) -> set[str]:
    return {place(volume) for volume in service.get("volumes", ())}


def test_the_compose_file_holds_together() -> None:
    (compose,) = documents(SERVICE)
    assert compose.keys() == {"name", "x-service", "services", "networks", "volumes", "configs", "secrets"}
    assert set(compose["services"]) == {"server", "runner", "database", "head", "worker"}
    for name, service in services().items():
        assert set(service["secrets"]) <= set(compose["secrets"])
        assert set(service.get("networks", ())) <= {*compose["networks"], "default"}
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        assert all(needed["condition"] == "service_healthy" for needed in service.get("depends_on", {}).values())
        named = {str(volume).partition(":")[0] for volume in service["volumes"] if str(volume)[0] not in "{.$"}
        assert named <= set(compose["volumes"]), name
    for config in compose["configs"].values():
        assert (DOCKER / config["file"]).is_file()
    for secret in compose["secrets"].values():
        assert re.match(r"\$\{SAFS_(TOKEN_FILE|SECRETS):\?", secret["file"]), "the user's own, or nothing starts"


def test_every_container_is_watched_bounded_and_has_no_privileges() -> None:
    for name, service in services().items():
        assert service["image"] in {*IMAGES, "safs:${SAFS_DEVICE:-cpu}", "postgres:17"}, name
        assert service["user"] == "${SAFS_USER:-1000:1000}"
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"
        assert "mem_limit" in service
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service.get("read_only", False) == (name in ("server", "runner", "database")), name
        if "build" in service:
            assert (DOCKER / service["build"]["context"]).resolve() == ROOT
            assert {"DEVICE"} <= service["build"]["args"].keys() <= declared_arguments()


def test_secrets_and_studies_are_where_they_are_needed_alone() -> None:
    found = services()
    assert {name: set(service["secrets"]) for name, service in found.items()} == {
        "server": {"passfile"}, "runner": {"passfile", "ray_token"}, "database": {"database_password"},
        "head": {"ray_token"}, "worker": {"ray_token"},
    }  # fmt: skip
    assert {name for name, service in found.items() if "/studies" in mounts(service)} == {"server", "runner"}
    assert {name for name, service in found.items() if "database" in service.get("networks", ())} == {
        "server", "runner", "database",
    }  # fmt: skip
    for name in ("head", "worker", "runner"):
        assert {"type": "tmpfs", "target": "/runs"} in found[name]["volumes"], "runs of others are none of its business"
        assert "${SAFS_RUNS:-../runs}:/runs" not in found[name]["volumes"]
        assert found[name]["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
    for service in found.values():
        for variable, value in service["environment"].items():
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), "`docker inspect` shows it"
            assert make_url(value).password is None if "://" in value else True


def test_a_worker_has_time_to_give_its_studies_back() -> None:
    assert services()["runner"]["stop_grace_period"] == "1m"
    assert pod("Deployment", "safs-worker")["terminationGracePeriodSeconds"] == 60 > GRACE_S + 15


def test_the_settings_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAFS_DATABASE", raising=False)
    file = tmp_path / "settings.yaml"
    file.write_text((DOCKER / "service-settings.yaml").read_text("utf-8").replace("/data", str(tmp_path)), "utf-8")
    read = ServiceSettings.read(file)
    assert (read.engine, read.address, read.database, read.data_roots) == ("ray", "auto", None, (tmp_path,))


def test_docker_takes_the_compose_files(tmp_path: Path) -> None:
    client = shutil.which("docker")
    if client is None or subprocess.run([client, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("this machine has no `docker compose`")
    for name in ("ray-token", "passfile", "database-password"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    env = {**os.environ, "SAFS_TOKEN_FILE": str(tmp_path / "ray-token"), "SAFS_SECRETS": str(tmp_path)}
    for names in ([SERVICE], [SERVICE, "compose.cuda.yaml"]):
        flags = [flag for name in names for flag in ("-f", str(DOCKER / name))]
        subprocess.run([client, "compose", *flags, "config", "--quiet"], env=env, check=True)


# --- Kubernetes


def manifest(kind: str, name: str) -> dict[str, Any]:
    return next(
        document
        for document in documents("service.yaml")
        if (document["kind"], document["metadata"]["name"]) == (kind, name)
    )


def pod(kind: str, name: str) -> dict[str, Any]:
    return manifest(kind, name)["spec"]["template"]["spec"]


PODS = [pair for pair in KINDS if pair[0] in ("Deployment", "StatefulSet")]
every_pod = pytest.mark.parametrize(("kind", "name"), PODS)


def test_the_manifest_has_its_parts() -> None:
    found = documents("service.yaml")
    assert [(document["kind"], document["metadata"]["name"]) for document in found] == KINDS
    for document in found:
        version = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "NetworkPolicy": "networking.k8s.io/v1"}
        assert document["apiVersion"] == version.get(document["kind"], "v1")
        assert document.keys() == {"apiVersion", "kind", "metadata", "spec"}


@every_pod
def test_a_pod_is_watched_bounded_and_has_no_privileges(kind: str, name: str) -> None:
    spec = manifest(kind, name)["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"] == {"app": name}
    found = pod(kind, name)
    assert found["automountServiceAccountToken"] is found["enableServiceLinks"] is False
    user = found["securityContext"]
    assert (user["runAsNonRoot"], user["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert user["runAsUser"] == (999 if name == "safs-database" else 1000)
    (container,) = found["containers"]
    assert container["image"] in {*IMAGES, "postgres:17"}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"].get("readOnlyRootFilesystem", False) == (name != "safs-worker")
    claims = {template["metadata"]["name"] for template in spec.get("volumeClaimTemplates", ())}
    assert {mount["name"] for mount in container["volumeMounts"]} == {v["name"] for v in found["volumes"]} | claims


def test_its_pods_find_what_they_name() -> None:
    claims = {d["metadata"]["name"] for name in ("service.yaml", "volumes.yaml") for d in documents(name)}
    for kind, name in PODS:
        used = [volume.get("persistentVolumeClaim") for volume in pod(kind, name)["volumes"]]
        assert {claim["claimName"] for claim in used if claim} <= claims
        ports = {port["name"] for port in pod(kind, name)["containers"][0].get("ports", ())}
        for service in (d for d in documents("service.yaml") if d["kind"] == "Service"):
            if service["spec"]["selector"] == {"app": name}:
                assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    server = pod("Deployment", "safs-server")["containers"][0]
    assert server["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert server["livenessProbe"]["httpGet"]["path"] == "/healthz"


def variables(name: str) -> dict[str, Any]:
    (container,) = pod("Deployment", name)["containers"]
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}


def test_no_secret_lies_in_the_manifest() -> None:
    for name in ("safs-server", "safs-worker"):
        secret = {"secretKeyRef": {"name": "safs-database", "key": "url"}}
        assert variables(name)["SAFS_DATABASE"] == secret, "which studies do not inherit"
    (cluster,) = documents("raycluster.yaml")
    token = {"secretKeyRef": {"name": cluster["metadata"]["name"], "key": "auth_token"}}
    assert variables("safs-worker")["RAY_AUTH_TOKEN"] == token, "where KubeRay puts it"
    assert not any(key.startswith("RAY_AUTH") for key in variables("safs-server"))


def test_both_manifests_start_the_same() -> None:
    found = services()
    for name, deployment in (("server", "safs-server"), ("runner", "safs-worker")):
        (container,) = pod("Deployment", deployment)["containers"]
        assert container["command"] == found[name]["entrypoint"]
        theirs = [word.replace("safs-head-svc:6379", "head:6379") for word in container["args"]]
        assert theirs == found[name]["command"]
        assert variables(deployment)["SAFS_HOME"] == found[name]["environment"]["SAFS_HOME"]
    (database,) = pod("StatefulSet", "safs-database")["containers"]
    ours = found["database"]["environment"]
    theirs = {variable["name"]: variable["value"] for variable in database["env"]}
    assert theirs | {"POSTGRES_PASSWORD_FILE": ours["POSTGRES_PASSWORD_FILE"]} == ours
    assert database["readinessProbe"]["exec"]["command"] == found["database"]["healthcheck"]["test"][1:]


def test_the_image_holds_what_is_started() -> None:
    copied = {value.split()[-1] + Path(source).name for name, value in instructions() if name == "COPY"
              for source in value.split()[:-1]}  # fmt: skip
    assert services()["runner"]["entrypoint"][0] in copied
    assert os.access(DOCKER / "runner.sh", os.X_OK)
    install = next(value for name, value in instructions() if name == "RUN" and "constraints.txt" in value)
    assert ' "." ' in install
    for module in re.findall(r"safs[\w.]*", install.split("import ")[1]):
        assert (ROOT / module.replace(".", "/")).is_dir() or (ROOT / f"{module.replace('.', '/')}.py").is_file()
    assert any("mkdir -m 1777 /studies" in value for name, value in instructions() if name == "RUN")


# --- the page


def test_the_page_is_sound() -> None:
    page = SERVICE_PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[\w.]+", page)) <= {"http://127.0.0.1"}
    assert not re.search(r"pytorch\.org|pypi\.|docker\.io|ghcr\.|quay\.|nvcr\.|\b[0-9a-fA-F]{24,}\b", page)
    for link in re.findall(r"\]\(([\w.-]+)\)", page):
        assert (SERVICE_PAGE.parent / link).is_file()
    for file in re.findall(r"(?:docker|configs)/[\w.-]+\.(?:yaml|sh)", page):
        assert (ROOT / file).is_file()
    for block in blocks():
        subprocess.run(["bash", "-n", "-c", block], check=True)
    compose = (DOCKER / SERVICE).read_text("utf-8") + (DOCKER / "compose.yaml").read_text("utf-8")
    known = set(re.findall(r"\$\{(SAFS_\w+)", compose))
    table = "".join(line for line in page.splitlines() if line.startswith("| `SAFS"))
    named = set(re.findall(r"`(SAFS_\w+)`", table))
    assert named <= known
    assert known - named <= {"SAFS_RUNS"} | {re.sub("_CPUS", "_MEMORY", name) for name in named}


def test_the_page_says_kubectl_what_it_takes() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("this machine has no `kubectl`")
    (block,) = blocks("kubernetes")
    dry = re.sub(r"\\\n\s*", "", block).replace("kubectl create", "kubectl create --dry-run=client -o json")
    done = subprocess.run(["bash", "-ec", dry], capture_output=True, text=True, check=True, cwd=ROOT)
    first, second = json.JSONDecoder().raw_decode(done.stdout), done.stdout
    made = [first[0], json.loads(second[first[1] :])]
    found = {(one["kind"], one["metadata"]["name"]): set(one["data"]) for one in made}
    assert found == {
        ("Secret", "safs-database"): {"password", "url"},
        ("ConfigMap", "safs-settings"): {"settings.yaml"},
    }


@pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine has no `openssl`")
def test_the_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path)
    (compose,) = documents(SERVICE)
    needed = {Path(secret["file"]).name for secret in compose["secrets"].values() if "SECRETS" in secret["file"]}
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
        {*needed, "ray-token"}, 0o600
    )
    assert folder.stat().st_mode & 0o777 == 0o700
    password = (folder / "database-password").read_text().strip()
    assert re.fullmatch(r"[0-9a-f]{64}", password)
    assert (folder / "passfile").read_text() == f"*:*:*:*:{password}\n"
