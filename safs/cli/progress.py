"""What a running study shows, on stderr: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from safs.cli.live import live
from safs.cli.options import Verbosity
from safs.observer import Observer
from safs.progress.lines import Lines, Warnings


@contextmanager
def progress(verbosity: Verbosity = Verbosity.NORMAL) -> Iterator[Observer]:
    """Give an observer that suits stderr and what was asked for."""
    console = Console(stderr=True)
    if verbosity is Verbosity.QUIET:
        yield Warnings(console)
    elif verbosity is Verbosity.VERBOSE or not console.is_interactive:
        yield Lines(console, every_epoch=verbosity is Verbosity.VERBOSE)
    else:
        with live(console) as view:
            yield view
