"""The database: opened, brought to this version's tables, and asked in transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from spaces.errors import SafsError, brief

FILE = "safs.db"
"""What the database of a home is called."""
_ANSWER_S = 15
"""How long PostgreSQL may not answer before a connection counts as lost."""
_GONE = ("25006", "57P01", "57P02", "57P03")
"""PostgreSQL's codes of a server that only reads now, as another has taken its place, or that ends or begins."""
# SQLite's own: what fails while a connection is made ready does not come as SQLAlchemy's.
_AWAY = (OperationalError, InterfaceError, DisconnectionError, PoolTimeoutError, sqlite3.OperationalError)
_BUSY_S = 30
"""How long a transaction waits for its turn to write."""


class Database:
    """A connection pool.

    Args:
        url: SQLAlchemy's, such as sqlite:////absolute/path or postgresql+psycopg://user:password@host/name.

    Attributes:
        engine: SQLAlchemy's.

    Raises:
        SafsError: if the URL is none, or its database is of another kind.
    """

    def __init__(self, url: str | URL) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise SafsError(
                "The database's URL is none; give sqlite:////path or postgresql://user@host/name."
            ) from None
        kind = parsed.get_backend_name()
        if kind == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
            waiting = {"connect_timeout": _ANSWER_S, "tcp_user_timeout": 1000 * _ANSWER_S}
            self.engine = create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20, connect_args=waiting)
            _leave_servers_that_are_gone(self.engine)
        elif kind == "sqlite" and parsed.database and parsed.database != ":memory:":
            self.engine = create_engine(parsed, connect_args={"timeout": _BUSY_S}, pool_size=10, max_overflow=20)
            _prepare_sqlite(self.engine)
        else:
            raise SafsError(f"The database must be a file of SQLite or PostgreSQL, but is {kind}.")
        self._kind = kind

    @classmethod
    def in_folder(cls, folder: Path) -> Database:
        """Return the SQLite database of a folder, whose file only its owner may read."""
        file = folder.resolve() / FILE
        with suppress(OSError):  # SQLite itself says what is wrong
            file.touch(mode=0o600)
        return cls(URL.create("sqlite", database=str(file)))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that only reads."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that is committed at the end, and leaves nothing if it fails."""
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def take_turns(self, connection: Connection, about: int) -> None:
        """Let only one transaction at a time go on with something; in SQLite only one writes anyway."""
        if self._kind == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": about})

    @staticmethod
    def now(connection: Connection) -> float:
        """Return the time by the database's clock, in seconds since 1970."""
        sqlite = connection.dialect.name == "sqlite"
        query = "(julianday('now') - 2440587.5) * 86400.0" if sqlite else "extract(epoch FROM clock_timestamp())"
        return float(connection.execute(text(f"SELECT {query}")).scalar_one())

    def migrate(self) -> None:
        """Make the tables, or bring older ones to this version.

        Raises:
            SafsError: if the database cannot be reached or written, or is of a later version.
        """
        from alembic import command
        from alembic.config import Config
        from alembic.util.exc import CommandError

        config = Config()
        config.set_main_option("script_location", "safs.service.store:migrations")
        config.set_main_option("path_separator", "os")
        try:
            with self.writing() as connection:
                self.take_turns(connection, _MIGRATION)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except CommandError as error:
            raise SafsError(f"The database is of another version of safs: {brief(error)}") from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _unusable(error) from error

    def service(self) -> str:
        """Return the id of the service whose database it is."""
        with self.reading() as connection:
            return str(connection.execute(text("SELECT id FROM service")).scalar_one())

    def answers(self) -> bool:
        """Return whether the database can be read."""
        try:
            with self.reading() as connection:
                connection.execute(text("SELECT 1"))
        except Exception as error:
            if not is_unusable(error):
                raise
            return False
        return True

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


_MIGRATION = 0x5AF5_0001


@contextmanager
def unusable_said() -> Iterator[None]:
    """Raise a SafsError instead of errors of a database that cannot be used; any other is a fault of ours."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        if not is_unusable(error):
            raise
        raise _unusable(error) from error


def is_away(error: BaseException) -> bool:
    """Return whether an error says that a database restarts, cannot be reached, is too busy, or has lost its place."""
    return isinstance(error, _AWAY) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def is_unusable(error: BaseException) -> bool:
    """Return whether an error says that a database is away, full or damaged."""
    return is_away(error) or type(error) in (DatabaseError, sqlite3.DatabaseError)


def _unusable(error: Exception) -> SafsError:
    return SafsError(f"The database cannot be used: {brief(getattr(error, 'orig', None) or error)}")


def _leave_servers_that_are_gone(engine: Engine) -> None:
    """Connect anew after errors that a new connection may not have: SQLAlchemy does so if it is told."""

    @event.listens_for(engine, "handle_error")
    def _failed(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) in _GONE:
            context.is_disconnect = True


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver is not to begin transactions by itself
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # what was acknowledged survives a loss of power
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # One that will write waits for its turn now: later it would fail if another had written meanwhile.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
