"""Where a user's token comes from: the environment, or a file that nobody else may read. Never the command line.

`safs serve` stores the token of its first start here: the first of all in the default file, which is for any service on
this machine, and that of another service in a file for its port, which is looked for before.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

from safs.client.address import Address
from spaces.errors import SafsError

_TOKEN = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True)
class FoundToken:
    """A token.

    Attributes:
        secret: the token itself.
        origin: where it comes from, for people.
    """

    secret: str = field(repr=False)
    origin: str


class StoredToken(NamedTuple):
    """The file that a token was written to, and to which one that was there before was renamed, if there was one."""

    file: Path
    earlier: Path | None


def default_token_file() -> Path:
    """Return the file of the token for any service on this machine: the token and a newline, readable by its owner."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(folder) if Path(folder).is_absolute() else _user_home() / ".config") / "safs" / "token"


def store_token(token: str, port: int) -> StoredToken:
    """Write the token of a service on this machine to where `find_token` finds it; no other token is lost.

    Args:
        port: of the service.

    Raises:
        SafsError: if it cannot be written.
    """
    default, own = default_token_file(), _token_file(port)
    file, earlier = default, None
    try:
        file = own if default.exists() else default
        own.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if file.exists():
            earlier = next(free for n in count(1) if not (free := file.with_name(f"{file.name}.{n}")).exists())
            file.rename(earlier)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(f"{token}\n")
    except OSError as error:
        raise SafsError(
            f"The token file {file} cannot be written ({error.strerror}); set XDG_CONFIG_HOME to a folder of yours."
        ) from None
    return StoredToken(file, earlier)


def find_token(address: Address, file: Path | None) -> FoundToken:
    """Return the token for a service.

    Args:
        address: of the service. What `safs serve` stored is only for one on this machine: no other machine is to see
            it.
        file: the one to read it from, or None to take `SAFS_TOKEN`, else the file for the port, else the default file.

    Raises:
        SafsError: if there is none, or the file cannot be read, holds none, or is none of the caller's own choice and
            open to others.
    """
    if file is not None:
        return FoundToken(_read(file), f"in {file}")
    if token := os.environ.get("SAFS_TOKEN"):
        return FoundToken(checked(token, "SAFS_TOKEN"), "in $SAFS_TOKEN")
    default = default_token_file()
    for stored in (_token_file(address.port), default):
        if address.loopback and _is_there(stored):
            return FoundToken(_read_private(stored), f"in {stored}")
    where = f", give --token-file, or put it into {default}" if address.loopback else " or give --token-file"
    raise SafsError(
        f"There is no token for {address.url}; set SAFS_TOKEN{where}. "
        "`safs serve` prints one at its first start, `safs token create` makes more."
    )


def _user_home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise SafsError("You have no home folder for the token; set XDG_CONFIG_HOME to a folder of yours.") from None


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError as error:
        raise SafsError(
            f"The token file {file} cannot be looked at ({error.strerror}); set XDG_CONFIG_HOME to a folder of yours."
        ) from None


def _token_file(port: int) -> Path:
    return default_token_file().with_name("tokens") / str(port)


def _read_private(file: Path) -> str:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise SafsError(f"Others may read the token in {file} (mode {mode:o}); keep it to yourself: chmod 600 {file}")
    return _read(file)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(4096).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SafsError(f"The token file {file} cannot be read: {why}.") from None
    return checked(text, str(file))


def checked(text: str, where: str) -> str:
    """Return the token in a text that comes from somewhere; SafsError if it holds anything else."""
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise SafsError(f"{where} must hold a token and nothing else, such as safs_..., but holds something else.")
    return token
