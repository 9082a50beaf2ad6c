"""The page in a real browser, in front of a real server and a real worker."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from benchmarks.service_server import Server
from safs.config.schema import Config
from safs.service.scopes import Scope
from spaces.operators import PAPER_OPERATORS
from tests.safs.conftest import ROOT
from tests.safs.service.conftest import eventually

SHOTS = Path(os.environ.get("SAFS_SCREENSHOTS", ROOT / "screenshots"))
"""Where pictures go for people to look at; not committed."""

PATIENCE = 120_000
"""Milliseconds that anything may take on a busy machine."""

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def serving(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("page")) as made:
        yield made.start()
        assert made.stop() == 130
        assert "Traceback" not in made.said()


@pytest.fixture(scope="module")  # while it lives, a loop runs in this thread, and no other test can run its own
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("There is no Chromium; `.ci/run` installs it, or: apt-get install chromium")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def shot():
    """Takes a picture of a page."""
    return lambda page, name, **options: page.screenshot(path=SHOTS / f"{name}.png", **options)


@pytest.fixture
def open_page(browser, serving):
    """Returns a page of its own, signed in, and fails if it has complained."""
    contexts = []

    def make(token, *, width=1280, height=900, dark=False, at="", answers=()):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: complaints.append(request.url) if serving.url not in request.url else None)
        contexts.append((context, complaints, answers))
        page.goto(f"{serving.url}/#token={token}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert token not in page.url
        if at:
            page.goto(f"{serving.url}/{at}")
        return page

    yield make
    for context, complaints, answers in contexts:
        context.close()
        assert [said for said in complaints if not any(answer in said for answer in answers)] == []


@pytest.fixture(scope="session")
def token(serving):
    return serving.make_token("page", Scope.SUBMIT)


@pytest.fixture(scope="session")
def add_study(serving, token):
    """Submits a study, not by the page, and returns its id."""

    def add(config, name):
        with serving.client(token) as client:
            return client.post("/v1/studies", files={"config": (None, config), "name": (None, name)}).json()["id"]

    return add


@pytest.fixture(scope="session")
def ended(serving, token, tiny_config, add_study):
    """The id of a study that has run to its end."""
    study = add_study(tiny_config, "ended")
    with serving.client(token) as client:

        def has_succeeded():
            state = client.get(f"/v1/studies/{study}").json()["state"]
            assert state in ("QUEUED", "RUNNING", "SUCCEEDED"), serving.said()
            return state == "SUCCEEDED"

        eventually(has_succeeded, 240)
    return study


@pytest.fixture(scope="session")
def picture(serving, token, ended):
    """What the page draws of that study."""
    with serving.client(token) as client:
        return client.get(f"/v1/studies/{ended}/picture").json()


@pytest.fixture(scope="session")
def long_config(tiny_values):
    """The config of a study that goes on until it is canceled."""
    return Config.from_mapping(tiny_values(stage1={"iterations": 10_000, "operators": list(PAPER_OPERATORS)})).to_yaml()


@pytest.fixture(scope="session")
def overflow():
    """Returns by how many pixels a page is wider than its window."""
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return lambda page: page.evaluate(width)
