"""What happens to a study elsewhere while its page is open, or before."""

import pytest
from playwright.sync_api import expect

from tests.safs.service.conftest import eventually


@pytest.fixture
def canceled(serving, token, add_study, long_config):
    """The id of a study that was canceled."""
    study = add_study(long_config, "canceled")
    with serving.client(token) as client:
        client.post(f"/v1/studies/{study}/cancel").raise_for_status()
        eventually(lambda: client.get(f"/v1/studies/{study}").json()["state"] == "CANCELED", 60)
        yield study
        client.post(f"/v1/studies/{study}/cancel")


def test_a_study_that_is_resumed_elsewhere_goes_on_here(open_page, token, serving, canceled):
    page = open_page(token)
    page.clock.install()
    page.goto(f"{serving.url}/#/studies/{canceled}")
    expect(page.locator(".mode-ended")).to_be_visible()
    with serving.client(token) as client:
        client.post(f"/v1/studies/{canceled}/resume").raise_for_status()
    page.clock.fast_forward(61_000)
    page.clock.resume()
    expect(page.locator(".mode-live")).to_be_visible()
    expect(page.locator(".badge")).not_to_have_text("Canceled")


def test_of_a_long_log_only_the_end_is_asked_for(open_page, token, serving, canceled):
    lines = "".join(f"line {number} of the log, which is as long as others are\n" for number in range(20_000))
    (serving.home / "studies" / canceled / "log.txt").write_text(lines)
    asked = []
    page = open_page(token)
    page.on("request", lambda request: asked.append(request.url) if "/log" in request.url else None)
    page.goto(f"{serving.url}/#/studies/{canceled}")
    log = page.locator("pre.log")
    expect(log).to_contain_text("line 19999 of the log")
    expect(page.get_by_text("Earlier lines are left out")).to_be_visible()
    assert log.inner_text().startswith("line 1")
    assert 150_000 < len(log.inner_text()) <= 200_000
    assert "offset=-" in asked[0]
    assert len(asked) <= 2
    assert "offset=0" not in "".join(asked)


def test_a_filter_that_is_typed_before_another_view_is_opened_does_not_change_its_address(open_page, token, canceled):
    page = open_page(token)
    page.clock.install()
    page.clock.pause_at(4_000_000_000)
    page.get_by_role("searchbox").press_sequentially("canc")
    page.get_by_role("link", name="canceled").first.click()
    expect(page.locator(".study-head")).to_be_visible()
    page.clock.run_for(1_000)
    assert page.evaluate("location.hash") == f"#/studies/{canceled}"
