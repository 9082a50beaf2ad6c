"""Tokens: made, found, revoked, and stored nowhere."""

import math

import pytest

from safs.service.scopes import Scope
from safs.service.store import tokens
from safs.service.store.database import Database
from spaces.errors import SafsError


def test_tokens(database):
    with database.writing() as connection:
        secret = tokens.create(connection, "a", Scope.READ, most_gpus=0.5)
        assert secret.startswith("safs_")
        found = tokens.find(connection, secret)
        assert (found.name, found.scope, found.most_gpus) == ("a", Scope.READ, 0.5)
        assert tokens.find(connection, secret + "x") is None
    with (
        pytest.raises(SafsError, match="is or was a token of the name 'a'"),
        database.writing() as connection,
    ):
        tokens.create(connection, "a", Scope.ADMIN)
    for name in ("", " ", "x" * 101, "a\nb"):
        with pytest.raises(SafsError, match="printable"), database.writing() as connection:
            tokens.create(connection, name, Scope.READ)
    with database.writing() as connection:
        tokens.revoke(connection, "a")
        assert tokens.find(connection, secret) is None
    with pytest.raises(SafsError, match="no token 'a' to revoke; there are: none"), database.writing() as connection:
        tokens.revoke(connection, "a")


def test_a_secret_is_stored_nowhere(tmp_path):
    database = Database.in_folder(tmp_path)
    database.migrate()
    with database.writing() as connection:
        secret = tokens.create(connection, "a", Scope.READ)
    database.close()
    assert not [path for path in tmp_path.iterdir() if secret.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "limits",
    [{"most_queued": 10**23}, {"most_queued": -1}, {"most_bytes": 2**63}]
    + [{"most_gpus": gpus} for gpus in (math.inf, math.nan, -1.0)],
    ids=str,
)
def test_limits_that_are_none_are_refused(database, limits):
    with pytest.raises(SafsError, match=r"A token's limit of .* must be 0 to "), database.writing() as connection:
        tokens.create(connection, "a", Scope.READ, **limits)
    with database.reading() as connection:
        assert tokens.every(connection) == []
