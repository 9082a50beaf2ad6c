"""The pictures of a study: the curve, the map of operators, the hyperparameters."""

import pytest
from playwright.sync_api import expect

OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll(".panel-tuning .marks text")].map((text) => text.getBoundingClientRect());
  const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => !apart(a, b))).length;
}"""


@pytest.fixture
def page(open_page, token, ended):
    return open_page(token, at=f"#/studies/{ended}")


def test_the_curve_has_the_trials_of_both_kinds(page, picture):
    trials = picture["stage1"]
    everywhere = [trial for trial in trials if trial["phase"] == "uniform"]
    assert len(everywhere) == len(picture["operators"])
    assert everywhere == trials[:3]
    best = min(trials, key=lambda trial: trial["cost"])
    panel = page.locator(".panel-curve")
    expect(panel.locator("figcaption")).to_contain_text(f"{len(trials)} trials, 3 with one operator everywhere, best")
    expect(panel.locator("figcaption")).to_contain_text(f"at trial {best['n']}")
    expect(panel.locator(".chart .dot.hollow")).to_have_count(3)
    expect(panel.locator(".chart .dot:not(.hollow)")).to_have_count(len(trials) - 3)
    panel.locator("summary").click()
    expect(panel.locator("tbody tr td:first-child")).to_have_text([str(trial["n"]) for trial in trials])


def test_the_map_of_operators(page, picture):
    trials, operators = picture["stage1"], picture["operators"]
    panel = page.locator(".panel-operators")
    rows = panel.locator("tbody tr")
    expect(rows).to_have_count(len(picture["sites"]))
    for site, (row, chosen) in enumerate(zip(rows.all(), picture["chosen"], strict=True)):
        for operator, cell in zip(operators, row.locator("td").all(), strict=True):
            times = sum(trial["assignment"][site] == operator for trial in trials)
            said = "not tried" if times == 0 else "tried 1 time" if times == 1 else f"tried {times} times"
            said += "; chosen" if operator == chosen else ""
            said += "; the original" if operator == picture["sites"][site]["original"] else ""
            expect(cell.locator(".hidden")).to_have_text(said)
            expect(cell.locator("[aria-hidden]")).to_have_text(str(times or ""))
    slider = panel.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    expect(panel.locator("output")).to_have_text(f"{trials[0]['n']} (1 of {len(trials)})")
    expect(panel.locator("td.on .hidden")).to_have_text(["tried 1 time; incumbent; the original"] * len(rows.all()))
    panel.locator("td.on").first.hover()
    expect(panel.locator(".readout")).to_contain_text(f"in trial {trials[0]['n']}, best cost")


def test_the_hyperparameters(page, picture):
    panel = page.locator(".panel-tuning")
    expect(panel.locator("g.trial")).to_have_count(len(picture["stage2"]))
    expect(panel.locator("g.grade-best")).to_have_count(1)
    names = ["learning rate", "optimiser", "schedule", "weight decay", "momentum", "cost"]
    expect(panel.locator(".axis-name")).to_have_text(names)
    panel.locator("g.grade-best").dispatch_event("pointerover", {"bubbles": True})
    expect(panel.locator(".readout")).to_contain_text("#1, cost")
    assert page.evaluate(OVERLAPS) == 0


def test_labels_of_close_values_lie_apart(open_page, token, ended, picture, shot):
    page = open_page(token)
    close = [trial | {"lr": 0.01 + n / 1e5, "cost": 0.3 + n / 1e6} for n, trial in enumerate(picture["stage2"][:4])]
    close[0]["weight_decay"] = 0
    page.route("**/picture", lambda route: route.fulfill(json=picture | {"stage2": close}))
    page.evaluate(f"location.hash = '#/studies/{ended}'")
    expect(page.locator("g.trial")).to_have_count(4)
    page.locator(".panel-tuning").scroll_into_view_if_needed()
    shot(page, "close-labels")
    assert page.evaluate(OVERLAPS) == 0


def test_trials_that_diverged_or_failed_leave_room_for_the_others(open_page, token, ended, picture, shot):
    page = open_page(token)
    trials = [trial | {"n": n + 1} for n, trial in enumerate([*picture["stage1"], *picture["stage1"][-2:]])]
    trials[1] |= {"cost": 1e34}
    trials[-2] |= {"cost": 5e4, "phase": "stage1"}
    trials[-1] |= {"cost": None, "status": "FAILED", "reason": "NOT_FINITE", "phase": "stage1"}
    page.route("**/picture", lambda route: route.fulfill(json=picture | {"stage1": trials}))
    page.evaluate(f"location.hash = '#/studies/{ended}'")
    panel = page.locator(".panel-curve")
    expect(panel.locator(".chart path.dot")).to_have_count(2)
    expect(panel.locator(".chart path.dot.hollow")).to_have_count(1)
    expect(panel.locator(".chart path.cross")).to_have_count(1)
    expect(panel.locator(".chart circle.dot")).to_have_count(len(trials) - 3)
    panel.scroll_into_view_if_needed()
    shot(page, "off-the-scale")
    box = panel.locator(".chart").bounding_box()
    dots = [dot.bounding_box() for dot in panel.locator(".chart circle.dot").all()]
    assert max(dot["y"] for dot in dots) - min(dot["y"] for dot in dots) > box["height"] / 2, "none is pressed flat"
    triangles = [triangle.bounding_box() for triangle in panel.locator(".chart path.dot").all()]
    assert all(triangle["y"] < min(dot["y"] for dot in dots) for triangle in triangles)
