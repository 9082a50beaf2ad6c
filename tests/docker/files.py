"""What the tests of docker/ share: its files, as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
IMAGES = {"safs:cpu", "safs:cuda"}
SERVICE = "service.compose.yaml"
SERVICE_PAGE = ROOT / "docs" / "service-cluster.md"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DOCKER / name).read_text(encoding="utf-8")))


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile and their arguments, continued lines joined."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def declared_arguments() -> set[str]:
    """Return what `docker build --build-arg` takes."""
    return {value.split("=")[0] for name, value in instructions() if name == "ARG"}


def executable(path: Path, text: str) -> None:
    """Write a program."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def extended(base: Any, own: Any, key: str = "") -> Any:
    """Return what `extends` makes of a service: Compose merges mappings and joins lists, but for these."""
    if isinstance(base, dict) and isinstance(own, dict):
        keys = [*base, *(name for name in own if name not in base)]
        return {name: extended(base[name], own[name], name) if name in base and name in own
                else own.get(name, base.get(name)) for name in keys}  # fmt: skip
    if key in ("entrypoint", "command", "test") or not isinstance(base, list):
        return own
    if key == "volumes":  # one for each place
        return list({place(volume): volume for volume in [*base, *own]}.values())
    return [*base, *own]


def place(volume: Any) -> str:
    """Return where a volume is mounted."""
    return volume["target"] if isinstance(volume, dict) else re.sub(r":ro$", "", volume).rpartition(":")[2]


def services() -> dict[str, dict[str, Any]]:
    """Return the services of the compose file, with what they extend."""
    (compose,) = documents(SERVICE)
    found = {}
    for name, service in compose["services"].items():
        own = dict(service)
        if "extends" in own:
            base = own.pop("extends")
            (file,) = documents(base["file"])
            own = extended(file["services"][base["service"]], own)
        found[name] = own
    return found


def blocks(name: str = "") -> list[str]:
    """Return the shell commands of the page, or those between the marks of a name."""
    page = SERVICE_PAGE.read_text(encoding="utf-8")
    if name:
        page = page.split(f"<!-- {name}: begin -->")[1].split(f"<!-- {name}: end -->")[0]
    return [block for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) if "-->" not in block]


def make_secrets(home: Path) -> Path:
    """Make the secrets as the page says, and return their folder."""
    (block,) = blocks("secrets")
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    subprocess.run(["bash", "-ec", block], check=True, env=environment, capture_output=True)
    return home / ".safs" / "service"
