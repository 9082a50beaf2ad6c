"""A study is watched while it runs."""

import pytest
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def running(serving, token, add_study, long_config):
    """The id of a study that goes on."""
    study = add_study(long_config, "running")
    yield study
    with serving.client(token) as client:
        assert client.post(f"/v1/studies/{study}/cancel").status_code in (202, 409)


@pytest.fixture
def page(open_page, token, running):
    page = open_page(token, at=f"#/studies/{running}")
    expect(page.locator(".mode-live")).to_be_visible()
    return page


def grows(locator):
    """Wait until a text is another one."""
    expect(locator).not_to_have_text("")
    expect(locator).not_to_have_text(locator.inner_text(), use_inner_text=True)


def test_everything_goes_on(page, shot):
    expect(page.locator(".badge")).to_have_text("Running")
    expect(page.locator(".panel-progress")).to_contain_text(" left")  # how long it will take
    caption = page.locator(".panel-curve figcaption")
    expect(caption).to_contain_text(", best ")
    grows(caption)
    grows(page.locator(".panel-operators output"))
    shot(page, "running", full_page=True)


LINES = "document.querySelector('pre.log').textContent.split('\\n').length"
TO_END = "(log => log.scrollHeight - log.scrollTop - log.clientHeight)(document.querySelector('pre.log'))"


def test_the_log_grows(page):
    expect(page.locator("pre.log")).to_contain_text("uniform")
    page.wait_for_function(f"before => {LINES} > before + 3", arg=page.evaluate(LINES))
    assert page.evaluate(TO_END) < 24  # it follows


def test_files_wait_for_the_end(page, running):
    files = page.locator(".panel-artifacts")
    expect(files.get_by_role("rowheader", name="journal.jsonl")).to_be_visible()
    expect(files.get_by_text("when the study has ended")).to_be_visible()
    expect(files.get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("link", name="Open report")).to_have_count(0)
    page.evaluate(f"location.hash = '#/studies/{running}/report'")
    expect(page.get_by_text("when the study has ended")).to_be_visible()
    expect(page.get_by_role("button", name="Download")).to_have_count(0)
    page.go_back()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the study").click()
    expect(page.locator(".badge")).to_have_text("Canceled")
    expect(files.get_by_role("button", name="Download journal.jsonl")).to_be_visible()
    expect(files.get_by_text("when the study has ended")).to_be_hidden()
