"""`safs worker`: run the studies that wait in the service."""

from __future__ import annotations

import os
import socket
import threading
from typing import Annotated

import typer

from safs.cli.serve_command import HomeOption, ServiceSettingsOption
from safs.interrupts import INTERRUPTED, noting


def worker(
    home: HomeOption = None,
    settings: ServiceSettingsOption = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="How many studies run at a time [default: as the settings say].")
    ] = None,
    tied: Annotated[bool, typer.Option("--tied", hidden=True, help="Leave when the standard input ends.")] = False,
) -> None:
    """Run the studies that wait in the service, until it is interrupted; then they go on with another worker."""
    from safs.data.roots import settle_data_root
    from safs.service import home as places
    from safs.service.settings import ServiceSettings
    from safs.service.storage.belonging import check_belongs
    from safs.service.store import studies
    from safs.service.worker.tie import when_input_ends
    from safs.service.worker.worker import Worker

    settle_data_root()
    chosen = ServiceSettings.read(settings)
    if concurrency is not None:
        chosen = chosen.model_copy(update={"concurrency": concurrency})
    folder = places.home_in_use(home) if chosen.database is None else places.home(home)
    with places.opened_database(chosen, folder) as database:
        storage = places.open_storage(chosen, folder)
        with database.reading() as connection:
            known = studies.every_id(connection)
        check_belongs(storage, database.service(), known, may_be_new=False)
        name = f"{socket.gethostname()}:{os.getpid()}"
        alone = threading.Event()
        if tied:
            when_input_ends(alone.set)
        with noting() as interrupted:
            _say(f"{name} waits for studies, up to {chosen.concurrency} at a time")
            Worker(database, storage, chosen, name, _say).run(lambda: interrupted() or alone.is_set())
    raise typer.Exit(INTERRUPTED)


def _say(line: str) -> None:
    typer.echo(f"Worker: {line}", err=True)
