"""What a program, or the command line, can ask of the service."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from safs.client.connection import Connection
from safs.client.download import fetch_artifacts
from safs.client.events import follow_events
from safs.client.patience import FOLLOWING, USUAL
from safs.client.records import Artifact, Event, LogPart, Study, Trial
from safs.client.upload import upload
from spaces.errors import SafsError, shown

T = TypeVar("T")

_STUDY_ID = re.compile(r"[0-9a-f]{24}")
_EVENT_ID = re.compile(r"[0-9]{1,18}")
_TRIAL_ID = re.compile(r"[0-9a-f]{16}")
_PAGE = 200
_POLL = 1.0
"""Seconds between two looks at a log that has not grown."""


class Client:
    """The studies of a service. Close it after use, or use it in a `with`; it belongs to one thread.

    Every method raises ServiceError with the service's own sentence where it refuses something, Unreachable where no
    answer comes, and SafsError for what cannot be right. What only reads, and `submit`, is tried again for a while.

    Args:
        server: its address.
        token: what `safs serve` or `safs token create` printed.
        timeout: seconds to wait for the next piece of an answer.
        insecure: whether the token may go to another machine over plain http.
        origin: where the token comes from, which is said if it is refused.
    """

    def __init__(
        self,
        server: str,
        token: str | None,
        *,
        timeout: float = 30.0,
        insecure: bool = False,
        origin: str | None = None,
    ) -> None:
        self._connection = Connection(server, token, timeout, insecure=insecure, origin=origin)

    def __repr__(self) -> str:
        return f"Client({self.server!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    @property
    def server(self) -> str:
        """The address of the service."""
        return self._connection.server

    def me(self) -> dict[str, Any]:
        """Return the name, the scope and the limits of the token."""
        return self._json("/v1/me", dict)

    def submit(
        self,
        config: str,
        *,
        checkpoint: Path | str | None = None,
        mask: Path | str | None = None,
        name: str | None = None,
        priority: int = 0,
        key: str | None = None,
    ) -> Study:
        """Submit a study and return it. Whatever happens on the way, it is submitted once.

        Args:
            config: YAML, without `model.checkpoint` and `model.mask`.
            checkpoint, mask: the files that stand for these.
            name: for people.
            priority: -100 to 100; higher ones run first.
            key: the Idempotency-Key, of a program that submits again after it was killed; None for a new one.
        """
        fields = [("config", config), ("priority", str(priority))] + ([] if name is None else [("name", name)])
        files = {"checkpoint": checkpoint, "mask": mask}
        given = {part: Path(file) for part, file in files.items() if file is not None}
        return upload(self._connection, fields, given, key)

    def studies(self, *, states: Sequence[str] = (), name: str | None = None, page: int = _PAGE) -> Iterator[Study]:
        """Yield the studies, newest first.

        Args:
            states: those to yield; none for all.
            name: a part of the name.
            page: how many are asked for at a time, 1 to 200.
        """
        filters = [("state", state) for state in states] + ([] if name is None else [("name", name)])
        return self._pages("/v1/studies", "studies", Study.from_json, filters, page)

    def study(self, study: str) -> Study:
        """Return one study by its id."""
        return self._json(_path(study), Study.from_json)

    def config(self, study: str) -> str:
        """Return the resolved config, as YAML."""
        return self._connection.get(f"{_path(study)}/config").text

    def trials(self, study: str) -> Iterator[Trial]:
        """Yield the trials that have ended, oldest first."""
        return self._pages(f"{_path(study)}/trials", "trials", Trial.from_json, [], _PAGE)

    def events(self, study: str, after: str | None = None) -> Iterator[Event]:
        """Yield what happens until the study has ended; a lost connection is made anew, and no stored event is missed.

        Args:
            after: the id of the last event that is known, or None for all from the beginning.
        """
        if after is not None and not _EVENT_ID.fullmatch(after):
            raise SafsError(f"An event's id is a number of at most 18 digits, but got {shown(after)}.")
        return follow_events(self._connection, f"{_path(study)}/events", lambda: self.study(study), after)

    def log(self, study: str, offset: int = 0) -> LogPart:
        """Return a piece of the log.

        Args:
            offset: the byte it begins with; a negative one counts from the end.
        """
        return self._log_part(f"{_path(study)}/log", offset)

    def follow_log(self, study: str, *, wait: bool = True) -> Iterator[bytes]:
        """Yield the log piece by piece.

        Args:
            wait: whether to go on until the study has ended, or else only to what is there now.
        """
        path, offset = f"{_path(study)}/log", 0
        while True:
            part = self._log_part(path, offset, FOLLOWING if wait else USUAL)
            if part.content:
                yield part.content
            if part.complete or not (part.content or wait):
                return
            if not part.content:
                time.sleep(_POLL)
            offset = part.next

    def trial_log(self, study: str, trial: str) -> bytes:
        """Return the log of one trial, all that there is of it."""
        if not _TRIAL_ID.fullmatch(trial):
            raise SafsError(f"A trial's id has 16 digits of 0-9 and a-f, but got {shown(trial)}.")
        pieces, offset = [], 0
        while True:
            part = self._log_part(f"{_path(study)}/trials/{trial}/log", offset)
            pieces.append(part.content)
            if part.complete or not part.content:
                return b"".join(pieces)
            offset = part.next

    def cancel(self, study: str) -> Study:
        """Ask a study to stop, and return it; one that runs takes a moment."""
        return self._change(f"{_path(study)}/cancel")

    def resume(self, study: str) -> Study:
        """Queue a study again that failed or was canceled, and return it; its finished trials are kept."""
        return self._change(f"{_path(study)}/resume")

    def delete(self, study: str) -> None:
        """Remove a study that has ended, with its files."""
        self._connection.send("DELETE", _path(study))

    def artifacts(self, study: str) -> list[Artifact]:
        """Return the files of a study."""
        return self._json(
            f"{_path(study)}/artifacts", lambda page: [Artifact.from_json(file) for file in page["artifacts"]]
        )

    def fetch(
        self, study: str, folder: Path | str, told: Callable[[Artifact], None] = lambda artifact: None
    ) -> list[Artifact]:
        """Fetch the files of a study that has ended, and return what they are.

        Args:
            folder: a new or empty one, or one of a previous fetch of the same study, which is gone on with.
            told: is called before each file that is fetched.
        """
        found = self.study(study)
        if not found.has_ended:
            raise SafsError(
                f"Study {study} is {found.state}, and its files may still change; wait for its end: "
                f"safs status {study} --watch"
            )
        artifacts = self.artifacts(study)
        if not artifacts:
            raise SafsError(f"Study {study} is {found.state} and has made no files; `safs status {study}` says why.")
        fetch_artifacts(self._connection, study, artifacts, Path(folder), told)
        return artifacts

    def _log_part(self, path: str, offset: int, attempts: int = USUAL) -> LogPart:
        response = self._connection.get(path, {"offset": offset}, attempts)
        following = response.headers.get("X-Next-Offset", "")
        if not (following.isascii() and following.isdigit()):
            raise self._connection.misunderstood()
        return LogPart(response.content, int(following), response.headers.get("X-Complete") == "true")

    def _json(self, path: str, read: Callable[[Any], T]) -> T:
        return self._connection.json(self._connection.get(path), read)

    def _change(self, path: str) -> Study:
        return self._connection.json(self._connection.send("POST", path), Study.from_json)

    def _pages(
        self, path: str, key: str, read: Callable[[Any], Any], filters: list[tuple[str, str]], size: int
    ) -> Iterator[Any]:
        after = None
        while True:
            query = [*filters, ("limit", str(size))] + ([] if after is None else [("after", str(after))])
            response = self._connection.get(path, query)
            records, following = self._connection.json(
                response, lambda page: ([read(values) for values in page[key]], page.get("next"))
            )
            yield from records
            if following is None or following == after:
                return
            after = following


def _path(study: str) -> str:
    if not _STUDY_ID.fullmatch(study):
        raise SafsError(
            f"A study's id has 24 digits of 0-9 and a-f, as `safs list` shows them, but got {shown(study)}."
        )
    return f"/v1/studies/{study}"
