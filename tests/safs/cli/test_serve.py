"""`safs serve`: where it listens, and the first token."""

import os
import re
import socket
import subprocess
import sys

import pytest

from safs.client.token import default_token_file
from safs.service.store import tokens
from safs.service.store.database import Database
from tests.safs.conftest import ROOT


@pytest.fixture
def serve(call_safs, monkeypatch, tmp_path):
    """Returns what starts a service of a home at a port, and ends it as soon as it would serve."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("SAFS_DATA_ROOT", "")  # it is set for the processes that a service starts
    monkeypatch.setattr("safs.service.serving.serve", lambda settings, database, storage, listening, worker: None)
    return lambda home, port, *options: call_safs("serve", "--home", tmp_path / home, "--port", port, *options)


def token_names(home):
    database = Database.in_folder(home)
    database.migrate()
    with database.reading() as connection:
        names = [token.name for token in tokens.every(connection)]
    database.close()
    return names


def test_the_first_token_waits_for_a_free_port(serve, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = serve("home", port)
    assert (code, out) == (2, "")
    assert "--port" in err
    assert not (tmp_path / "home").exists()
    assert not default_token_file().exists()
    code, out, _ = serve("home", port)
    assert code == 0
    assert f"stored in {default_token_file()}: {default_token_file().read_text()}" in out
    assert token_names(tmp_path / "home") == ["first"]
    assert serve("home", port) == (0, f"The page: http://127.0.0.1:{port}/\n", "")


def test_the_first_token_is_good_only_once_it_is_stored(serve, tmp_path):
    (tmp_path / "config").write_text("no folder")
    code, out, err = serve("home", 0)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert token_names(tmp_path / "home") == []


@pytest.mark.parametrize(("said", "meant"), [("", "data"), ("sets", "sets"), ("/sets", "/sets")])
def test_the_data_folder_stays_the_one_where_it_was_started(said, meant, serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAFS_DATA_ROOT", said)
    assert serve("home", 0)[0] == 0
    assert os.environ["SAFS_DATA_ROOT"] == str(tmp_path / meant)


def test_a_second_service_leaves_the_token_of_the_first(serve, tmp_path):
    serve("one", 0)
    first = default_token_file().read_text()
    _, out, err = serve("two", 0)
    port = int(re.search(r"The page: http://127.0.0.1:(\d+)/#token=", out)[1])
    own = default_token_file().parent / "tokens" / str(port)
    assert f"stored in {own}: {own.read_text()}" in out
    assert (default_token_file().read_text(), err) == (first, "")
    second = own.read_text()
    _, _, err = serve("three", port)
    assert err == f"{own} held the token of another service; it is now in {own}.1.\n"
    assert own.with_name(f"{port}.1").read_text() == second


def test_without_a_token_nobody_elsewhere_is_let_in(serve, call_safs, tmp_path):
    code, out, err = serve("home", 0, "--host", "0.0.0.0")
    assert (code, out) == (2, "")
    assert err.startswith("Error: There is no token yet, and --host 0.0.0.0 can be reached from elsewhere; make one")
    assert token_names(tmp_path / "home") == []
    assert not default_token_file().exists()
    assert call_safs("token", "create", "me", "--home", tmp_path / "home")[0] == 0
    code, out, _ = serve("home", 0, "--host", "0.0.0.0")
    assert code == 0
    assert re.fullmatch(r"The page: http://0\.0\.0\.0:\d+/\n", out)
    assert token_names(tmp_path / "home") == ["me"]


@pytest.mark.parametrize("host", ["a..b", "x" * 100, "\udcff"])
def test_what_is_no_name_of_a_machine_is_nothing_to_listen_at(host, tmp_path, refused):
    assert "--host must be an address" in refused("serve", "--host", host, "--home", tmp_path)


def test_it_listens_before_it_loads_what_takes_seconds(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-X", "importtime", "-m", "safs", "serve", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(
            [*command, "--home", tmp_path / "home"],
            env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert "Address already in use" in done.stderr
    loaded = set(re.findall(r"\| +(\w+)$", done.stderr, re.MULTILINE))
    assert "pydantic" in loaded
    assert not loaded & {"torch", "fastapi", "sqlalchemy"}
