"""`safs status`: one study of a service, now or until it has ended."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from safs.cli.options import Output, OutputOption
from safs.cli.remote_options import (
    DEFAULT_SERVER,
    InsecureOption,
    ServerOption,
    StudyArgument,
    TokenFileOption,
    connect,
)

if TYPE_CHECKING:
    from safs.client import Client, Study


def status(
    study: StudyArgument,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Show what happens until it has ended; exit code 1 unless it succeeded."),
    ] = False,
    output: OutputOption = Output.TABLE,
    server: ServerOption = DEFAULT_SERVER,
    token_file: TokenFileOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Show how a study of a service stands."""
    with connect(server, token_file, insecure) as client:
        found = client.study(study)
        if watch:
            watch_to_its_end(client, found, output)
        else:
            _print(found, output)


def watch_to_its_end(client: Client, study: Study, output: Output) -> None:
    """Watch a study, print what became of it, and end the command with exit code 1 unless it succeeded."""
    from safs.cli.remote_watch import watch
    from safs.service.states import State

    ended = watch(client, study)
    _print(ended, output)
    if ended.state != State.SUCCEEDED:
        raise typer.Exit(1)


def _print(study: Study, output: Output) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps(asdict(study), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from safs.cli.remote_tables import study_view

    Console().print(study_view(study))
