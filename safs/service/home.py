"""Where the service's own things lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safs.service.settings import ServiceSettings
from safs.service.storage import opening
from safs.service.storage.base import Storage
from safs.service.store.database import FILE, Database, unusable_said
from spaces.errors import SafsError

VARIABLE = "SAFS_HOME"


def home(folder: Path | None) -> Path:
    """Return `folder`, else that of the environment variable SAFS_HOME, else ~/.local/share/safs; made if need be."""
    path = _place(folder)
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SafsError(f"The folder {path} cannot be made ({error.strerror}); set --home or {VARIABLE}.") from error
    return path


def home_in_use(folder: Path | None) -> Path:
    """Return the home as `home` does, but make none.

    Raises:
        SafsError: if it has no database, or none can be seen there.
    """
    path = _place(folder)
    try:
        (path / FILE).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise SafsError(
            f"No service has been in {path}; set --home or {VARIABLE}, or name its database by --settings."
        ) from None
    except OSError as error:
        raise SafsError(f"The folder {path} cannot be read ({error.strerror}); set --home or {VARIABLE}.") from error
    return path


@contextmanager
def opened_database(settings: ServiceSettings, folder: Path | None) -> Iterator[Database]:
    """Give the database that the settings name, else that of a home, with this version's tables; close it after use.

    Args:
        settings: of the service.
        folder: the home; None will do if the settings name a database.

    Raises:
        SafsError: if it cannot be used, also later.
    """
    url = settings.database
    if url is not None:
        database = Database(url.get_secret_value())
    else:
        assert folder is not None, "the settings name no database"
        database = Database.in_folder(folder)
    try:
        database.migrate()
        with unusable_said():
            yield database
    finally:
        database.close()


def open_storage(settings: ServiceSettings, folder: Path) -> Storage:
    """Return the storage that the settings name, else that of the home.

    Raises:
        SafsError: if it cannot be used.
    """
    place = settings.storage.get_secret_value() if settings.storage else None
    return opening.open_storage(place, folder, settings.carry_seconds)


def _place(folder: Path | None) -> Path:
    try:
        return (folder or Path(os.environ.get(VARIABLE) or Path.home() / ".local" / "share" / "safs")).absolute()
    except RuntimeError:
        raise SafsError(f"You have no home folder; set --home or {VARIABLE}.") from None
