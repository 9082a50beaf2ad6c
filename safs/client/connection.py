"""HTTP to one service: the token goes nowhere else, what is safe is tried again, and errors are sentences."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx2

from safs.client.address import check_confidential, read_address
from safs.client.errors import ServiceError, Unreachable
from safs.client.patience import USUAL, Patience
from safs.client.token import checked
from safs.version import __version__
from spaces.errors import SafsError, shown

T = TypeVar("T")


class Connection:
    """Requests to one service.

    Args:
        server: its address.
        token: sent with every request; None for none.
        timeout: seconds to wait for the next piece of an answer.
        insecure: whether a token may go to another machine over plain http.
        origin: where the token comes from, for people.

    Raises:
        SafsError: if the address is none, or must not be given the token.
    """

    def __init__(
        self, server: str, token: str | None, timeout: float, *, insecure: bool, origin: str | None = None
    ) -> None:
        address = read_address(server)
        if token is not None:
            token = checked(token, "The token" if origin is None else f"The token {origin}")
            check_confidential(address, insecure)
        try:
            httpx2.URL(address.url)
        except httpx2.InvalidURL as error:
            raise SafsError(f"{address.url} is no address: {error}.") from None
        self.server = address.url
        self._token = token
        self._origin = origin or "that was given"
        headers = {"User-Agent": f"safs/{__version__}", "Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        # A proxy would read what is not encrypted, and cannot reach this machine's own services: given a transport,
        # httpx2 looks for none in the environment.
        direct = address.loopback or not address.encrypted
        self._http = httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0)),
            transport=httpx2.HTTPTransport() if direct else None,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close what is open."""
        self._http.close()

    def patience(self, attempts: int = USUAL) -> Patience:
        """Return a new count of failures for one piece of work."""
        return Patience(attempts)

    def repeat(self, attempt: Callable[[], T], attempts: int = USUAL) -> T:
        """Return what an attempt returns, made again while it fails in a way that may pass."""
        patience = self.patience(attempts)
        while True:
            try:
                return attempt()
            except (ServiceError, Unreachable) as error:
                patience.after(error)

    def get(self, path: str, params: Any = None, attempts: int = USUAL) -> httpx2.Response:
        """Return the whole answer to a GET, tried again where that may help.

        Raises:
            ServiceError, Unreachable: if there is none, or it is an error.
        """
        return self.repeat(lambda: self.send("GET", path, params=params), attempts)

    def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Return the whole answer to one request, tried once."""
        with self.stream(method, path, **options) as response:
            response.read()
            return response

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx2.Response]:
        """Give the answer to one request, whose body is still to be read.

        Raises:
            ServiceError: if it is an error, or a redirect, which is not followed.
            Unreachable: if there is none; also for what goes wrong while the body is read.
        """
        try:
            with self._http.stream(method, f"{self.server}{path}", **options) as response:
                if not response.is_success:
                    response.read()
                    raise self._error(response)
                yield response
        except httpx2.LocalProtocolError:  # headers are checked before: it is a length that is not as announced
            raise SafsError("A file has changed while it was sent; submit it again.") from None
        except UnicodeEncodeError as error:
            what = shown(error.object[error.start : error.end])
            raise SafsError(f"The request holds {what}, a character that no text holds.") from None
        except httpx2.InvalidURL as error:
            raise SafsError(f"No such request can be made: {error}.") from None
        except httpx2.TimeoutException:
            raise Unreachable(self.server, "it does not answer in time") from None
        except httpx2.HTTPError as error:
            raise Unreachable(self.server, str(error) or type(error).__name__) from None

    def json(self, response: httpx2.Response, read: Callable[[Any], T]) -> T:
        """Return what `read` makes of the JSON in an answer; ServiceError if it is not the service's."""
        try:
            return read(response.json())
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self.misunderstood() from None

    def misunderstood(self) -> ServiceError:
        """Return the error that an answer is not the service's."""
        return ServiceError(f"{self.server} does not answer as the service of safs does; is the address right?", 502)

    def _error(self, response: httpx2.Response) -> ServiceError:
        problem: Mapping[str, Any] = {}
        with contextlib.suppress(ValueError):  # a proxy's page, for example
            answer = response.json()
            problem = answer if isinstance(answer, dict) else {}
        detail, field = problem.get("detail"), problem.get("field")
        if response.is_redirect:
            detail = f"{self.server} redirects to another address, which is not followed; give the right one."
        if not isinstance(detail, str) or not detail:
            detail = f"{self.server} answers {response.status_code} {response.reason_phrase}."
        if self._token is not None:
            if response.status_code == 401:
                detail = (
                    f"The token {self._origin} is not known at {self.server}, or was revoked; give another one by "
                    "SAFS_TOKEN or --token-file, or make one there: safs token create NAME"
                )
            detail = detail.replace(self._token, "[token]")
        return ServiceError(
            detail,
            response.status_code,
            field=field if isinstance(field, str) else None,
            retry_after=_seconds(response.headers.get("Retry-After", "")),
        )


def _seconds(retry_after: str) -> float | None:
    """Return a Retry-After, which is a number of seconds or a date."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)
