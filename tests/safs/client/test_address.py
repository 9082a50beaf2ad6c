import pytest

from safs.client import Client
from safs.client.address import read_address
from spaces.errors import SafsError


def test_addresses():
    for url in ("http://127.0.0.1:8000", "http://localhost", "http://[::1]:80/", "http://127.3.2.1/"):
        assert read_address(url).loopback
    for url in ("https://safs.example.org/team/", "http://127.0.0.1.example.org", "http://0.0.0.0:8000"):
        assert not read_address(url).loopback
    assert read_address("https://a.example/team/").url == "https://a.example/team"
    ports = {"http://a": 80, "https://a": 443, "http://a:81/": 81, "http://[::1]:8000": 8000}
    assert {url: read_address(url).port for url in ports} == ports


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "127.0.0.1:8000", "ftp://a", "http://", "http://a:99999", "http://a:b", "http://a\n", "http://[a"],
)
def test_what_is_no_address(url):
    with pytest.raises(SafsError, match="address is such as"):
        Client(url, None)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hush@a",
        "me:hush@a:8000",
        "ftp://me:hush@a",
        "http://me:hush@a:99999",
        "http://a/?token=hush",
        "http://a/#hush",
        "http://a b",
        "http://a?",
        "http://a/#",
    ],
)
def test_an_address_holds_no_secret_and_none_is_shown(url):
    with pytest.raises(SafsError) as caught:
        Client(url, None)
    assert "hush" not in str(caught.value)


def test_plain_http_to_another_machine_needs_a_word():
    with pytest.raises(SafsError, match="--insecure"):
        Client("http://safs.example.org", "safs_x")
    Client("http://safs.example.org", "safs_x", insecure=True).close()
    Client("https://safs.example.org", "safs_x").close()
