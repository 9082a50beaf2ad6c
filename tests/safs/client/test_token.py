import pwd

import pytest

from safs.client.address import read_address
from safs.client.token import StoredToken, default_token_file, find_token, store_token
from safs.service.home import home
from spaces.errors import SafsError

HERE, THERE = read_address("http://localhost:8000"), read_address("https://safs.example.org")


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    monkeypatch.delenv("SAFS_TOKEN", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def default():
    file = default_token_file()
    file.parent.mkdir(parents=True)
    file.write_text("safs_default\n")
    file.chmod(0o600)
    return file


def test_the_option_comes_before_the_environment_and_that_before_the_default_file(default, monkeypatch, tmp_path):
    assert find_token(HERE, None).secret == "safs_default"
    monkeypatch.setenv("SAFS_TOKEN", "safs_environment")
    assert find_token(HERE, None).secret == "safs_environment"
    (tmp_path / "own").write_text(" safs_own\r\n")
    assert find_token(HERE, tmp_path / "own").secret == "safs_own"


def test_where_a_token_comes_from_is_known_and_its_text_is_not_shown(default, monkeypatch, tmp_path):
    assert find_token(HERE, None).origin == f"in {default}"
    assert "safs_default" not in repr(find_token(HERE, None))
    monkeypatch.setenv("SAFS_TOKEN", "safs_environment")
    assert find_token(HERE, None).origin == "in $SAFS_TOKEN"
    assert find_token(HERE, default).origin == f"in {default}"


def test_each_service_of_this_machine_has_its_token_and_none_is_lost():
    default = default_token_file()
    own = default.parent / "tokens" / "8001"
    assert store_token("safs_first", 8000) == StoredToken(default, None)
    assert store_token("safs_second", 8001) == StoredToken(own, None)

    def found(port):
        return find_token(read_address(f"http://127.0.0.1:{port}"), None).secret

    assert [found(8000), found(8001), found(9000)] == ["safs_first", "safs_second", "safs_first"]
    assert store_token("safs_third", 8001) == StoredToken(own, own.with_name("8001.1"))
    assert store_token("safs_fourth", 8001) == StoredToken(own, own.with_name("8001.2"))
    assert [found(8000), found(8001)] == ["safs_first", "safs_fourth"]
    files = [default, *sorted(own.parent.iterdir())]
    assert [file.read_text() for file in files] == [f"safs_{n}\n" for n in ("first", "fourth", "second", "third")]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_token_that_cannot_be_stored_is_one_sentence(tmp_path):
    (tmp_path / "config").write_text("")
    with pytest.raises(SafsError, match="XDG_CONFIG_HOME"):
        store_token("safs_first", 8000)


def test_a_token_for_a_port_is_for_this_machine_and_nobody_else(default):
    own = store_token("safs_second", HERE.port).file
    with pytest.raises(SafsError, match="SAFS_TOKEN"):
        find_token(read_address("http://safs.example.org:8000"), None)
    own.chmod(0o644)
    with pytest.raises(SafsError, match="chmod 600"):
        find_token(HERE, None)


def test_the_default_file_is_for_this_machine(default):
    with pytest.raises(SafsError, match="SAFS_TOKEN"):
        find_token(THERE, None)


def test_no_token_says_where_one_belongs():
    with pytest.raises(SafsError, match=str(default_token_file())):
        find_token(HERE, None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_default_file_that_others_may_read_is_refused(default, mode):
    default.chmod(mode)
    with pytest.raises(SafsError, match="chmod 600") as caught:
        find_token(HERE, None)
    assert "safs_default" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"two words", b"a\nb", b"\xff", b"x" * 600, "ü".encode()])
def test_what_holds_no_token_is_refused_and_not_shown(tmp_path, content):
    (tmp_path / "own").write_bytes(content)
    with pytest.raises(SafsError, match="own") as caught:
        find_token(HERE, tmp_path / "own")
    assert "words" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(SafsError, match="No such file"):
        find_token(HERE, tmp_path / "none")


def test_a_relative_xdg_folder_is_none(monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert default_token_file().parts[-3:] == (".config", "safs", "token")


def test_whoever_has_no_home_is_told_what_to_set(monkeypatch):
    def nobody(_):
        raise KeyError

    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for act in (lambda: find_token(HERE, None), lambda: store_token("safs_x", 8000)):
        with pytest.raises(SafsError, match=r"no home folder.*set XDG_CONFIG_HOME"):
            act()
    with pytest.raises(SafsError, match="no home folder; set --home or SAFS_HOME"):
        home(None)


def test_a_folder_that_cannot_be_looked_into_is_one_sentence(monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", f"/{'a' * 300}")
    for act in (lambda: find_token(HERE, None), lambda: store_token("safs_x", 8000)):
        with pytest.raises(SafsError, match=r"cannot be.*\(File name too long\); set XDG_CONFIG_HOME"):
            act()
