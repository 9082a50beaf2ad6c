import pytest

from safs.client import Client
from safs.client.connection import Connection
from safs.client.patience import USUAL, Patience
from tests.safs.client.stub import TOKEN, Stub


@pytest.fixture
def stub():
    with Stub() as server:
        yield server


@pytest.fixture
def pauses(monkeypatch):
    """The seconds that a client would have waited between attempts."""
    waited = []
    monkeypatch.setattr(Connection, "patience", lambda self, attempts=USUAL: Patience(attempts, sleep=waited.append))
    return waited


@pytest.fixture
def client(stub, pauses):
    with Client(stub.url, TOKEN, timeout=5.0) as made:
        yield made
