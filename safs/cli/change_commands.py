"""`safs cancel`, `safs resume`, `safs delete`: what changes a study of a service."""

from __future__ import annotations

import typer

from safs.cli.remote_options import (
    DEFAULT_SERVER,
    InsecureOption,
    ServerOption,
    StudyArgument,
    TokenFileOption,
    connect,
)


def cancel(
    study: StudyArgument,
    server: ServerOption = DEFAULT_SERVER,
    token_file: TokenFileOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Ask a study of a service to stop; one that runs takes a moment, and may be resumed."""
    with connect(server, token_file, insecure) as client:
        changed = client.cancel(study)
    typer.echo(f"{changed.id} {changed.state}{'' if changed.has_ended else ', cancelling'}")


def resume(
    study: StudyArgument,
    server: ServerOption = DEFAULT_SERVER,
    token_file: TokenFileOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Queue a study of a service again that failed or was canceled; its finished trials are kept."""
    with connect(server, token_file, insecure) as client:
        changed = client.resume(study)
    typer.echo(f"{changed.id} {changed.state}")


def delete(
    study: StudyArgument,
    server: ServerOption = DEFAULT_SERVER,
    token_file: TokenFileOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Remove a study of a service that has ended, with all its files."""
    with connect(server, token_file, insecure) as client:
        client.delete(study)
    typer.echo(f"{study} is deleted.", err=True)
