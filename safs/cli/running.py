"""What commands share that train for long: they show progress, and say after Ctrl-C how to go on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from safs.cli.options import Verbosity
from safs.interrupts import INTERRUPTED, raising

if TYPE_CHECKING:
    from safs.observer import Observer


@contextmanager
def watched(folder: Path, command: Sequence[str], verbosity: Verbosity) -> Iterator[Observer]:
    """Give an observer that shows what happens; an interrupt ends the command and says which one goes on.

    Args:
        folder: the run directory.
        command: the arguments of `safs` that go on with it, without `--run-dir` and `--resume`.
        verbosity: how much it shows.
    """
    from safs.cli.progress import progress

    try:
        with raising(), progress(verbosity) as observer:
            yield observer
    except KeyboardInterrupt:
        if (folder / "config.yaml").exists():
            words = ["safs", *command, "--run-dir", str(folder), "--resume"]
            typer.echo(f"Interrupted; finished trials are kept. Go on with: {shlex.join(words)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
