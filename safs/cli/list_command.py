"""`safs list`: the studies of a service."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from safs.cli.options import Output, OutputOption
from safs.cli.remote_options import DEFAULT_SERVER, InsecureOption, ServerOption, TokenFileOption, connect

if TYPE_CHECKING:
    from safs.service.states import State


def list_studies(
    states: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="Only those that are QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELED; may be repeated.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="Only those with this in their name.")] = (
        None
    ),
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 50,
    output: OutputOption = Output.TABLE,
    server: ServerOption = DEFAULT_SERVER,
    token_file: TokenFileOption = None,
    insecure: InsecureOption = False,
) -> None:
    """List the studies of a service, newest first."""
    wanted = [_state(state) for state in states or ()]
    with connect(server, token_file, insecure) as client:
        studies = list(islice(client.studies(states=wanted, name=name, page=min(limit, 200)), limit))
    if output is Output.JSON:
        typer.echo(json.dumps([asdict(study) for study in studies], indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from safs.cli.remote_tables import studies_table

    if studies:
        Console().print(studies_table(studies))
    else:
        typer.echo("There are no such studies." if wanted or name else "There are no studies.", err=True)


def _state(typed: str) -> State:
    from safs.service.states import State
    from spaces.errors import UnknownNameError

    if typed.upper() in State.__members__:
        return State[typed.upper()]
    raise UnknownNameError("state", typed, [state.value if typed.isupper() else state.value.lower() for state in State])
