"""The address of a service, and whether a token may be sent there."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from spaces.errors import SafsError, shown


@dataclass(frozen=True)
class Address:
    """Where a service is.

    Attributes:
        url: without a slash at its end.
        port: given, or that of its scheme.
        loopback: whether it is this machine, by a name or number that no resolver decides.
        encrypted: whether it speaks TLS.
    """

    url: str
    port: int
    loopback: bool
    encrypted: bool


def read_address(server: str) -> Address:
    """Return the address that a person gave.

    Raises:
        SafsError: if it is none, or holds more than an address.
    """
    if any(character in server for character in "@?# "):
        # Not shown: it may hold a password.
        raise SafsError("A server's address holds no user, password, query or space; the token is in SAFS_TOKEN.")
    try:
        parts = urlsplit(server)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https") or not server.isascii() or not server.isprintable():
        example = "http://127.0.0.1:8000 or https://safs.example.org"
        raise SafsError(f"A server's address is such as {example}, but got {shown(server)}.")
    encrypted = parts.scheme == "https"
    return Address(server.rstrip("/"), port or (443 if encrypted else 80), is_loopback(host), encrypted)


def check_confidential(address: Address, insecure: bool) -> None:
    """Raise SafsError if everybody on the way could read a token that is sent to this address."""
    if not (address.encrypted or address.loopback or insecure):
        raise SafsError(
            f"{address.url} is another machine, to which plain http would carry your token for everybody on the way to "
            "read; use https, a tunnel (ssh -L), or --insecure in a network that you trust."
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
