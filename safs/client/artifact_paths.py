"""Where the artifacts of a study go: their paths are the server's word, and must not lead out of the folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safs.client.records import Artifact
from spaces.errors import SafsError, shown

MARKER = ".safs-fetch.json"
PART = ".safs-fetch.part"
_LONGEST_PART = 255


def check_artifacts(artifacts: Sequence[Artifact]) -> None:
    """Raise SafsError unless every path is a plain one below a folder, once, and every size a number of bytes."""
    seen = set()
    for artifact in artifacts:
        if not _is_plain(artifact.path) or artifact.path in seen:
            raise SafsError(f"The server names an artifact {shown(str(artifact.path))}, which is refused.")
        if type(artifact.size) is not int or artifact.size < 0:
            raise SafsError(f"The server says that {shown(artifact.path)} has {artifact.size!r} bytes.")
        seen.add(artifact.path)


def place(folder: Path, path: str) -> Path:
    """Return the file that an artifact becomes, with its folders made; SafsError if a link leads out of `folder`."""
    inside = folder
    *parents, name = path.split("/")
    for parent in parents:
        inside /= parent
        if inside.is_symlink():
            raise SafsError(f"{inside} is a link, through which nothing is fetched; remove it, or fetch elsewhere.")
        inside.mkdir(exist_ok=True)
    return inside / name


def _is_plain(path: object) -> bool:
    if not isinstance(path, str) or not path.isprintable() or any(character in path for character in "\\:"):
        return False
    parts = path.split("/")
    if parts[0] in (MARKER, PART):
        return False
    return all(part not in ("", ".", "..") and len(part.encode()) <= _LONGEST_PART for part in parts)
