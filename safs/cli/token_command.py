"""`safs token`: who may use the service. These commands work on its database, not over HTTP."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safs.cli.options import Output, OutputOption
from safs.cli.serve_command import HomeOption, ServiceSettingsOption
from safs.service.scopes import Scope
from spaces.errors import SafsError

if TYPE_CHECKING:
    from safs.service.store.database import Database

app = typer.Typer(help="Make, revoke and list the tokens of the service.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="What the token is called.")]


@app.command("create")
def create(
    name: _Name,
    scope: Annotated[Scope, typer.Option("--scope", help="What it allows.")] = Scope.SUBMIT,
    queued: Annotated[int | None, typer.Option("--queued", min=0, help="How many of its studies may wait.")] = None,
    upload_bytes: Annotated[int | None, typer.Option("--upload-bytes", min=1, help="How large a file may be.")] = None,
    gpus: Annotated[float | None, typer.Option("--gpus", min=0, help="How many GPUs it may have at a time.")] = None,
    home: HomeOption = None,
    settings: ServiceSettingsOption = None,
) -> None:
    """Make a token and print it: it is stored nowhere, and cannot be shown again."""
    from safs.service.store import tokens

    limits = {"most_queued": queued, "most_bytes": upload_bytes, "most_gpus": gpus}
    with _database(home, settings, new=True) as database:
        with database.writing() as connection:
            secret = tokens.create(connection, name, scope, **limits)  # type: ignore[arg-type]
            first = len(tokens.every(connection)) == 1
            try:
                typer.echo(secret)  # before it becomes good: what is shown only once must not be lost
            except OSError as error:
                raise SafsError(f"The token cannot be printed ({error.strerror}); none was made.") from error
        if first:  # said, as it may be the wrong home
            typer.echo(f"It is the first token of the database {database.engine.url.database}.", err=True)


@app.command("revoke")
def revoke(name: _Name, home: HomeOption = None, settings: ServiceSettingsOption = None) -> None:
    """Make a token good for nothing; its studies stay."""
    from safs.service.store import tokens

    with _database(home, settings) as database, database.writing() as connection:
        tokens.revoke(connection, name)


@app.command("list")
def list_tokens(
    home: HomeOption = None, settings: ServiceSettingsOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the tokens: their names, scopes and limits."""
    from safs.service.api.schemas import iso
    from safs.service.store import tokens

    with _database(home, settings) as database, database.reading() as connection:
        found = tokens.every(connection)
    rows = [
        {
            "name": token.name,
            "scope": token.scope,
            "queued": token.most_queued,
            "upload_bytes": token.most_bytes,
            "gpus": token.most_gpus,
            "created": iso(token.created),
            "revoked": iso(token.revoked),
        }
        for token in found
    ]
    if output is Output.JSON:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*(rows[0] if rows else ("no tokens",)))
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))  # names are not markup
    Console().print(table)


def _database(home: Path | None, settings: Path | None, *, new: bool = False) -> AbstractContextManager[Database]:
    from safs.service import home as places
    from safs.service.settings import ServiceSettings

    read, place = ServiceSettings.read(settings), places.home if new else places.home_in_use
    return places.opened_database(read, place(home) if read.database is None else None)
