"""A study that has ended: at every width, in light and dark, by keyboard."""

import pytest
from playwright.sync_api import expect

PANELS = ["baselines", "curve", "operators", "tuning", "artifacts", "log"]
STOP = """() => {
  const at = document.activeElement;
  const place = at.closest(".panel, .study-head, .crumbs, header");
  return [place ? place.className : at.localName, at.tabIndex];
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360, 320])
def test_at_every_width(width, dark, open_page, token, ended, overflow, shot):
    kind = f"{width}-{'dark' if dark else 'light'}"
    page = open_page(token, width=width, dark=dark)
    expect(page.get_by_role("link", name="ended").first).to_be_visible()
    assert overflow(page) <= 0
    shot(page, f"list-{kind}")
    page.get_by_role("link", name="ended").first.click()
    expect(page.locator(".badge")).to_have_text("Succeeded")
    expect(page.locator(".panel-baselines tbody tr")).to_have_count(8)
    expect(page.locator(".panel-tuning tbody tr")).to_have_count(6)
    expect(page.locator("pre.log")).to_contain_text("mean ± std over 2 seeds")
    expect(page.get_by_role("button", name="Download summary.json")).to_be_visible()
    assert overflow(page) <= 0
    shot(page, f"ended-{kind}", full_page=True)
    seen = page.locator(".panel-artifacts button, .panel-baselines td:not(.none)")
    boxes = [box for box in (one.bounding_box() for one in seen.all()) if box is not None]
    assert len(boxes) > 30
    assert min(box["x"] for box in boxes) >= 0
    assert max(box["x"] + box["width"] for box in boxes) <= width


def test_a_table_is_sorted_by_keyboard(open_page, token, ended):
    page = open_page(token, at=f"#/studies/{ended}")
    rates = page.locator(".panel-tuning th", has_text="Learning rate")
    rates.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(rates).to_have_attribute("aria-sort", "ascending")
    page.keyboard.press("Enter")
    expect(rates).to_have_attribute("aria-sort", "descending")


def test_the_order_of_tab(open_page, token, ended):
    page = open_page(token, at=f"#/studies/{ended}")
    expect(page.get_by_role("button", name="Download summary.json")).to_be_visible()
    page.locator("h1").focus()
    places = []
    while not places or places[-1] != "body":
        page.keyboard.press("Tab")
        place, order = page.evaluate(STOP)
        assert order <= 0 or place == "body"
        places.append(place)
        assert len(places) < 70
    once = [place for place, before in zip(places, [None, *places], strict=False) if place != before]
    assert once == ["study-head", *(f"panel panel-{name}" for name in PANELS), "body"]
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
