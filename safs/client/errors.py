"""What goes wrong between a client and the service."""

from __future__ import annotations

from spaces.errors import SafsError

_LONGEST = 4000
_TEMPORARY = frozenset({408, 500, 502, 503, 504})


class ServiceError(SafsError):
    """The service refused something, or could not do it.

    Attributes:
        status: of HTTP.
        field: the part of the request that is wrong, where the service names it.
        retry_after: after how many seconds it wants to be asked again, where it says so.
    """

    def __init__(self, detail: str, status: int, *, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(printable(detail))
        self.status, self.field, self.retry_after = status, field, retry_after
        self.exit_code = 2 if 400 <= status < 500 else 1

    @property
    def temporary(self) -> bool:
        """Whether the same request may soon succeed. A limit of which nobody says when it ends is not of that kind."""
        return self.status in _TEMPORARY or (self.status == 429 and self.retry_after is not None)


class Unreachable(SafsError):
    """No answer came, or none that is whole.

    Attributes:
        server: its address.
    """

    exit_code = 1
    temporary = True
    retry_after = None

    def __init__(self, server: str, why: str) -> None:
        super().__init__(
            f"The service at {server} cannot be reached ({printable(why)}); "
            "start it with `safs serve`, or give its address by --server."
        )
        self.server = server


def printable(text: str) -> str:
    """Return a text that came over the network as one line that does a terminal no harm."""
    line = " ".join(text.split())
    cut = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
    return "".join(character if character.isprintable() else "?" for character in cut)
