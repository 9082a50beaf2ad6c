"""The run directory of a study: its config, its journal, and what came of it."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from safs.config.schema import Config
from safs.files import is_leftover, remove_leftovers, write_atomically
from safs.journal import Journal
from safs.spec import TrialSpec
from spaces.errors import SafsError

_CONFIG = "config.yaml"
_JOURNAL = "journal.jsonl"


def open_run_directory(folder: Path, config: Config, *, resume: bool) -> Journal:
    """Make a run directory, or check that it may be continued; return its journal, held by this process.

    What a killed process had not finished to write is removed. Only the config's section `compare` may differ from that
    of before; it is written anew.

    Raises:
        SafsError: if it is not empty and `resume` was not asked for, if it is no run directory, if it is of another
            config (with the difference), or if another process holds it. Resuming where there is nothing yet begins.
    """
    text = config.to_yaml()
    _check(folder, text, resume)
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / _JOURNAL)
    try:
        _check(folder, text, resume)  # again: another process may have begun here before this one held the journal
        if not (folder / _CONFIG).exists() or (folder / _CONFIG).read_text(encoding="utf-8") != text:
            write_atomically(folder / _CONFIG, text)
        remove_leftovers(folder)
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
    before = recorded.read_text(encoding="utf-8", errors="replace")
    if _binding(before) != _binding(text):
        raise SafsError(
            f"The run directory {folder} is of another config, and is left as it is; the difference "
            f"(- there, + now):\n{_difference(_binding(before), _binding(text))}"
        )


def _binding(text: str) -> str:
    """Return the config without its section `compare`: which searchers are compared, and how often, may change.

    Each of their runs is stored with all that it depends on.
    """
    return re.sub(r"^compare:\n(?:[ -].*\n)*", "", text, flags=re.MULTILINE)


def _holds_nothing(path: Path) -> bool:
    """Return whether a file is all that a process left that was killed before it had written anything."""
    return is_leftover(path) or (path.name == _JOURNAL and path.stat().st_size == 0)


def _difference(recorded: str, now: str) -> str:
    lines = difflib.unified_diff(recorded.splitlines(), now.splitlines(), lineterm="", n=1)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def log_path(folder: Path, spec: TrialSpec) -> Path:
    """Return where the log of a trial lies."""
    return folder / "trials" / spec.id / "log.txt"
