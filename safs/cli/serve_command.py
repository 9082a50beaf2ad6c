"""`safs serve`: the service on this machine, or in front of a cluster."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Annotated

import typer

from spaces.errors import SafsError, shown

HomeOption = Annotated[
    Path | None, typer.Option("--home", metavar="DIR", help="Where the service keeps its things [$SAFS_HOME].")
]
ServiceSettingsOption = Annotated[
    Path | None, typer.Option("--settings", metavar="FILE", help="The service's settings, YAML.")
]

_BACKLOG = 2048


def serve(
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 for any that is free.")] = 8000,
    home: HomeOption = None,
    settings: ServiceSettingsOption = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Only serve; studies run on `safs worker`s.")] = False,
) -> None:
    """Take studies over HTTP, run them, and show them in a browser."""
    from safs.data.roots import settle_data_root
    from safs.service.settings import ServiceSettings

    settle_data_root()
    read = ServiceSettings.read(settings)
    with _listen(host, port) as listening:
        # Loaded only now, as it takes seconds: who asks meanwhile waits for an answer, and is not refused.
        from safs.client.token import StoredToken, store_token
        from safs.interrupts import raising
        from safs.service.first_token import first_token
        from safs.service.home import home as home_folder
        from safs.service.home import opened_database
        from safs.service.serving import prepared_storage
        from safs.service.serving import serve as run

        folder, port = home_folder(home), listening.getsockname()[1]
        stored: list[StoredToken] = []
        with opened_database(read, folder) as database:
            storage = prepared_storage(read, folder, database)
            token = first_token(database, host, lambda new: stored.append(store_token(new, port)))
            for file, earlier in stored:
                if earlier is not None:
                    typer.echo(f"{file} held the token of another service; it is now in {earlier}.", err=True)
                typer.echo(f"A token, shown only now and stored in {file}: {token}")
            fragment = "" if token is None else f"#token={token}"
            typer.echo(f"The page: http://{_bracketed(host)}:{port}/{fragment}")
            worker = ["worker", "--tied", "--home", str(folder)]
            if settings is not None:
                worker += ["--settings", str(settings)]
            with raising():
                run(read, database, storage, listening, None if no_worker else worker)


def _listen(host: str, port: int) -> socket.socket:
    with contextlib.ExitStack() as stack:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listening = stack.enter_context(socket.socket(family, kind, protocol))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)  # at once: until then somebody else could take the port, too
        except UnicodeError:
            raise SafsError(f"--host must be an address or the name of a machine, but is {shown(host)}.") from None
        except OSError as error:
            raise SafsError(f"Nothing can listen at {host}:{port} ({error.strerror}); take another --port.") from error
        stack.pop_all()
    return listening


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
