"""The run directory of a study: its config, its journal, and what came of it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from safs.config.schema import Config
from safs.config.yaml_input import parse_yaml
from safs.files import is_leftover, remove_leftovers, write_atomically
from safs.journal import Journal
from safs.spec import TrialSpec
from spaces.errors import SafsError

_CONFIG = "config.yaml"
_JOURNAL = "journal.jsonl"
_BINDING_RESOURCES = ("device", "threads")


def open_run_directory(
    folder: Path, config: Config, *, resume: bool, inputs: Mapping[str, Any] | None = None
) -> Journal:
    """Make a run directory, or check that it may be continued; return its journal, held by this process.

    What a killed process had not finished to write is removed. Of the config, the section `compare` may differ from
    that of before, and so may the resources that decide no outcome; it is written anew.

    Args:
        folder: made if it does not exist.
        config: what is to run there.
        resume: whether it may have been begun before; where there is nothing yet, it begins.
        inputs: what identifies all that is read and the config only names; journalled at the beginning.

    Raises:
        SafsError: if it is not empty and `resume` was not asked for, if it is no run directory, if it is of another
            config (with the difference) or other inputs, or if another process holds it. Nothing in it was touched.
    """
    text = config.to_yaml()
    _check(folder, text, resume)
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / _JOURNAL)
    try:
        _check(folder, text, resume)  # again: another process may have begun here before this one held the journal
        begun = _check_inputs(journal, inputs or {})
        if not (folder / _CONFIG).exists() or (folder / _CONFIG).read_text(encoding="utf-8") != text:
            write_atomically(folder / _CONFIG, text)
        remove_leftovers(folder)
        if inputs and not begun:
            journal.append({"kind": "inputs", **inputs})
    except BaseException:
        journal.close()
        raise
    return journal


def _check(folder: Path, text: str, resume: bool) -> None:
    """Check that a study of the config `text` may run in a folder, and touch nothing."""
    if folder.exists() and not folder.is_dir():
        raise SafsError(f"The run directory {folder} must be a folder, but is a file.")
    if not folder.is_dir() or all(_holds_nothing(path) for path in folder.iterdir()):
        return
    if not resume:
        raise SafsError(f"The run directory {folder} is not empty; continue it with --resume, or name another.")
    recorded = folder / _CONFIG
    if not recorded.exists():
        raise SafsError(f"{folder} is no run directory: it has no {_CONFIG}.")
    before = _binding(recorded.read_text(encoding="utf-8", errors="replace"), recorded)
    now = _binding(text, recorded)
    if before != now:
        raise SafsError(
            f"The run directory {folder} is of another config, and is left as it is; the difference "
            f"(- there, + now):\n{_difference(before, now)}"
        )


def _binding(text: str, path: Path) -> str:
    """Return a config as YAML without what may change: where trials run, and which searchers are compared, how often.

    Each run of a searcher is stored with all that it depends on; a trial's outcome depends on its device and threads.

    Raises:
        SafsError: if the text, which is that of a file `path`, is no config.
    """
    values = parse_yaml(text, f"{path} is damaged: it")
    if not isinstance(values, dict):
        raise SafsError(f"{path} is damaged: it is no YAML mapping, but a {type(values).__name__}.")
    values.pop("compare", None)
    if isinstance(resources := values.get("resources"), dict):
        values["resources"] = {name: resources[name] for name in _BINDING_RESOURCES if name in resources}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _check_inputs(journal: Journal, inputs: Mapping[str, Any]) -> bool:
    """Check that these inputs are those that the journal holds, and return whether it holds any."""
    recorded = next((record for record in journal.records if record["kind"] == "inputs"), None)
    if recorded is None:
        return False
    if recorded.get("purpose") == inputs.get("purpose") and ("table" in recorded) != ("table" in inputs):
        does, remedy = ("replays a table", "give") if "table" in recorded else ("trains", "give its config, not")
        raise SafsError(
            f"The run directory holds a comparison that {does}; "
            f"{remedy} --table, or start anew in another run directory."
        )
    for name, value in inputs.items():
        if recorded.get(name) != value:
            raise SafsError(
                f"The run directory was begun with {name} {recorded.get(name)}, but now finds {value}; "
                "restore it, or start anew in another run directory."
            )
    return True


def _holds_nothing(path: Path) -> bool:
    """Return whether a file is all that a process left that was killed before it had written anything."""
    return is_leftover(path) or (path.name == _JOURNAL and path.stat().st_size == 0)


def _difference(recorded: str, now: str) -> str:
    lines = difflib.unified_diff(recorded.splitlines(), now.splitlines(), lineterm="", n=1)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def log_path(folder: Path, spec: TrialSpec) -> Path:
    """Return where the log of a trial lies."""
    return folder / "trials" / spec.id / "log.txt"
