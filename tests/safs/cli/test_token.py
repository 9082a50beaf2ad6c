"""`safs token`: made, listed, revoked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from safs.service.store import tokens
from safs.service.store.database import Database
from tests.safs.conftest import ROOT


@pytest.fixture
def token(call_safs, monkeypatch, tmp_path):
    """Calls `safs token` on a database of its own and returns what it says."""
    monkeypatch.setenv("SAFS_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        code, out, err = call_safs("token", *arguments)
        assert (code, err[:27]) in ((0, ""), (0, "It is the first token of th"))
        return out

    return call


def found(folder, secret):
    database = Database.in_folder(folder)
    with database.reading() as connection:
        token = tokens.find(connection, secret)
    database.close()
    return token


def test_a_token_is_made_listed_and_revoked(token, refused, tmp_path):
    Database.in_folder(tmp_path).close()
    assert json.loads(token("list", "-o", "json")) == []
    assert "no tokens" in token("list")
    secret = token(
        "create", "me", "--scope", "read", "--queued", "3", "--upload-bytes", "1000", "--gpus", "0.5"
    ).strip()
    other = token("create", "another").strip()
    assert found(tmp_path, secret).name == "me"
    (me, another) = json.loads(token("list", "-o", "json"))
    assert me | {"created": None} == {
        "name": "me", "scope": "read", "queued": 3, "upload_bytes": 1000, "gpus": 0.5, "created": None, "revoked": None
    }  # fmt: skip
    assert (another["name"], another["scope"], another["queued"]) == ("another", "submit", None)
    assert "is or was a token of the name 'me'" in refused("token", "create", "me")

    assert token("revoke", "me") == ""
    assert found(tmp_path, secret) is None
    assert found(tmp_path, other).name == "another"
    assert "no token 'me' to revoke; there are: another" in refused("token", "revoke", "me")
    assert "is or was a token of the name 'me'" in refused("token", "create", "me")
    (me, another) = json.loads(token("list", "-o", "json"))
    assert me["revoked"] > me["created"]
    assert another["revoked"] is None


def test_the_list_is_a_table_without_secrets(token):
    secrets = [token("create", name, "--gpus", "0.5").strip() for name in ("me", "another")]
    table, values = token("list"), token("list", "-o", "json")
    for words in ("name", "scope", "revoked", "me", "another", "submit", "0.5"):
        assert words in table
    for secret in secrets:
        for part in (secret, secret[:12], secret[-12:]):
            assert part not in table + values


def test_limits_of_tokens_are_numbers_that_fit(tmp_path, refused):
    for option, value in (("--queued", "9" * 23), ("--upload-bytes", "9" * 23), ("--gpus", "inf")):
        error = refused("token", "create", "x", option, value, "--home", tmp_path)
        assert "A token's limit of" in error
    (tmp_path / "safs.db").write_bytes(b"no database" * 1000)
    assert "The database cannot be used" in refused("token", "list", "--home", tmp_path)


def test_names_are_no_markup(token, refused):
    names = ["[/x]", "ci[prod] :smile:"]
    for name in names:
        token("create", name)
    table = token("list")
    assert all(name in table for name in names)
    token("revoke", names[1])
    assert "There is no token '\\udcff' to revoke" in refused("token", "revoke", "\udcff")


def test_a_token_that_nobody_sees_is_not_made(tmp_path):
    command = [sys.executable, "-m", "safs", "token", "create", "lost", "--home", str(tmp_path)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    assert done.stderr.startswith("Error: The token cannot be printed (No space left on device); none was made.")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    database = Database.in_folder(tmp_path)
    with database.reading() as connection:
        assert tokens.every(connection) == []
    database.close()


@pytest.mark.parametrize("command", [("token", "list"), ("token", "revoke", "me"), ("worker",)])
def test_a_home_that_is_none_is_said_and_not_made(tmp_path, refused, command):
    typo = tmp_path / "typo"
    assert f"No service has been in {typo}; set --home" in refused(*command, "--home", typo)
    assert not typo.exists()
    for path, why in ((tmp_path / ("x" * 300), "File name too long"), (tmp_path / "file" / "home", None)):
        (tmp_path / "file").touch()
        said = refused(*command, "--home", path)
        assert (f"cannot be read ({why})" if why else "No service has been in") in said


def test_a_database_that_is_named_needs_no_home(tmp_path, call_safs, monkeypatch):
    monkeypatch.setenv("SAFS_DATABASE", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    home = tmp_path / "none"
    for command in (("create", "me"), ("list",), ("revoke", "me")):
        assert call_safs("token", *command, "--home", home)[0] == 0
    assert not home.exists()


def test_the_first_token_says_what_it_is_for(tmp_path, call_safs):
    said = [call_safs("token", "create", name, "--home", tmp_path / "home")[2] for name in ("one", "two")]
    assert said == [f"It is the first token of the database {tmp_path / 'home' / 'safs.db'}.\n", ""]
