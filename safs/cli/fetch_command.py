"""`safs fetch`: the files of a study that a service has finished."""

from __future__ import annotations

from pathlib import Path
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


def fetch(
    study: StudyArgument,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="A new folder, or one of the same study's fetch that broke off."),
    ],
    server: ServerOption = DEFAULT_SERVER,
    token_file: TokenFileOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Fetch the files of a study of a service that has ended: the best network, the report, the journal."""
    with connect(server, token_file, insecure) as client:
        files = client.fetch(study, out, lambda file: typer.echo(f"{file.path} ({file.size:,} bytes)", err=True))
    typer.echo(f"{len(files)} files are in {out.resolve()}", err=True)
    typer.echo(out.resolve())
