"""Options that the commands on a service share, and the client that they come to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from safs.client import Client

DEFAULT_SERVER = "http://127.0.0.1:8000"

StudyArgument = Annotated[str, typer.Argument(metavar="ID", help="The study's id, as `safs list` shows it.")]
ServerOption = Annotated[
    str, typer.Option("--server", envvar="SAFS_SERVER", metavar="URL", help="The address of the service.")
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="The file that holds your token [default: the environment's SAFS_TOKEN; for a service on this machine "
        "also what `safs serve` stored in ~/.config/safs].",
    ),
]
InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure", help="Send the token to another machine over plain http, which is refused without this option."
    ),
]


def connect(server: str, token_file: Path | None, insecure: bool) -> Client:
    """Return a client of the service with the user's token; SafsError if there is none, or it must not go there."""
    from safs.client import Client
    from safs.client.address import read_address
    from safs.client.token import find_token

    token = find_token(read_address(server), token_file)
    return Client(server, token.secret, insecure=insecure, origin=token.origin)
