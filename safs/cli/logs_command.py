"""`safs logs`: what a study of a service, or one of its trials, has logged."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from safs.cli.remote_options import (
    DEFAULT_SERVER,
    InsecureOption,
    ServerOption,
    StudyArgument,
    TokenFileOption,
    connect,
)
from safs.interrupts import INTERRUPTED, raising
from spaces.errors import SafsError


def logs(
    study: StudyArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the study has ended.")] = False,
    trial: Annotated[str | None, typer.Option("--trial", metavar="ID", help="The log of one trial.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    token_file: TokenFileOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Print the log of a study of a service, or of one of its trials."""
    if trial is not None and follow:
        raise SafsError("The log of a trial is there when it has ended; leave out -f, which is for a study's log.")
    with connect(server, token_file, insecure) as client:
        if trial is not None:
            _print([client.trial_log(study, trial)])
            return
        try:
            with raising():
                _print(client.follow_log(study, wait=follow))
        except KeyboardInterrupt:
            typer.echo(f"The study goes on without you; read on: safs logs {study} -f", err=True)
            raise typer.Exit(INTERRUPTED) from None


def _print(pieces: Iterable[bytes]) -> None:
    """Print a log as it comes; on a terminal, which obeys what is printed, only what is text of it."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for piece in pieces:
        text = decoder.decode(piece)
        if sys.stdout.isatty():
            text = "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)
        sys.stdout.write(text)
        sys.stdout.flush()
