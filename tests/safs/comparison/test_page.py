"""`comparison.html`: holds what the result holds, for people, and asks the network for nothing."""

import base64
import copy
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from safs.comparison import figures
from safs.comparison.compare import compare_on_table
from safs.comparison.page import write_page
from safs.comparison.render import friedman, p_value, partial_means
from safs.comparison.table import Table
from safs.comparison.text import too_few_seeds
from safs.config.schema import Config
from safs.observer import Silent
from safs.outcome import Reason
from safs.report.figures import style
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError
from tests.safs.html_page import Page

pytestmark = pytest.mark.filterwarnings("error")
FIGURES = {"anytime", "rank", "beats-random", "reach", "critical-difference"}
HOSTILE = [
    '$x^2$ <b>bold</b> & "quoted", sixty characters, or nearly',
    "$\\\\frac{ <script>alert(1)</script> __",
    "a_b^c 名",
]


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Draws with few dots, which is faster."""
    monkeypatch.setattr(style, "DPI", 50)


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves the figures out, which is faster yet."""
    monkeypatch.setattr(figures, "draw_all", lambda result: [])


@pytest.fixture
def compared(tmp_path, tiny_values):
    """Compares searchers on a table of random costs, all failed but every `spared`-th; returns folder and result."""

    def run(searchers, *settings, spared=1, name="run", **options):
        values = tiny_values(stage1={"start": "random", "iterations": 6, "operators": ["relu", "srs", "tanh"]})
        space = AssignmentSpace(["a", "b", "c"], ["relu", "srs", "tanh"])
        costs = np.random.default_rng(0).uniform(1, 2, space.size)
        outcomes = [float(cost) if i % spared == 0 else Reason.NAN for i, cost in enumerate(costs)]
        table = Table(space, tuple(outcomes), Config.from_mapping(values).model_dump(mode="json", by_alias=True), {})
        given = [f"compare.searchers=[{searchers}]", "compare.seeds=4", *settings]
        folder = tmp_path / name
        return folder, compare_on_table(table, "costs", given, folder, Silent(), resume=False, **options)

    return run


def read(folder):
    source = (folder / "comparison.html").read_text(encoding="utf-8")
    return source, Page(source)


def test_the_page_holds_the_numbers_of_every_searcher(compared, undrawn):
    folder, result = compared("lahc,sa,rs,ga", spared=2)
    _, page = read(folder)
    for each in result["searchers"]:
        assert each["label"] in page.text
        for number in (f"{each['final']['mean']:.4f} ± {each['final']['std']:.4f}", f"{each['rank'][-1]:.2f}"):
            assert number in page.text
        assert f"{100 * each['reach']['best_5']['reached']:.0f} %)" in page.text
        assert f"{each['failed']['NAN']}\u00a0NAN" in page.text
    for pair in result["significance"]["pairs"]:
        assert page.text.count(p_value(pair["p"])) >= 2  # in either order
    assert "the numbers overflowed" in page.text
    for words in ("6 evaluations of 1 epoch", "4 seeds", "Mode: sequential", "96 evaluations charged", "Holm"):
        assert words in page.text
    assert "Agreement" not in page.text
    assert (folder / "config.yaml").read_text(encoding="utf-8") in page.text


def test_the_best_mean_rank_comes_first(compared, undrawn):
    folder, result = compared("exhaustive,rs,ga,lahc")
    text = read(folder)[1].text.partition("1. All searchers")[2]
    ordered = sorted(result["significance"]["ranks"].items(), key=lambda each: each[1])
    places = [re.search(rf"^{label}$|{label}{label}", text, re.MULTILINE).start() for label, _ in ordered]
    assert places == sorted(places)


def test_the_figures_are_embedded_and_written(compared):
    folder, _ = compared("lahc,rs,ga")
    _, page = read(folder)
    written = {path.stem: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert set(written) == FIGURES
    embedded = [base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) for image in page.all("img")]
    assert sorted(embedded) == sorted(written.values())
    assert all(content.startswith(b"\x89PNG\r\n\x1a\n") for content in embedded)


def test_the_page_is_accessible_and_asks_the_network_for_nothing(compared):
    folder, result = compared("lahc,rs,ga")
    source, page = read(folder)
    assert page.all("html")[0]["lang"] == "en"
    for image in page.all("img"):
        assert all(each["label"] in image["alt"] for each in result["searchers"])
    assert all(header["scope"] in ("row", "col") for header in page.all("th"))
    assert all(each["tabindex"] == "0" for each in page.all("div") if each.get("class") in ("scroll", "card"))
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link["href"].removeprefix("#") for link in page.all("a")} == anchors - {"about"}
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert not re.search(r"https?://|@import|url\(", source)
    assert "prefers-color-scheme: dark" in source


def test_hostile_labels_are_harmless(compared):
    named = ",".join(
        f"{{searcher: lahc, options: {{history: {n}}}, label: {json.dumps(label)}}}"
        for n, label in enumerate(HOSTILE, 1)
    )
    folder, _ = compared(f"{named},rs")
    source, page = read(folder)
    assert not page.all("script")
    assert "<b>bold" not in source
    for label in HOSTILE:
        assert page.text.count(label) >= 3


TEN = "lahc,sa,rs,ga,exhaustive," + ",".join(f"{{searcher: lahc, options: {{history: {n}}}}}" for n in (1, 5, 7, 8, 9))


@pytest.mark.parametrize(
    ("searchers", "settings", "spared", "missing"),
    [
        ("lahc", (), 1, ("rank", "beats-random", "critical-difference")),
        ("rs", (), 1, ("rank", "beats-random", "critical-difference")),
        ("lahc,sa", (), 1, ("beats-random",)),
        ("lahc,rs", ("compare.seeds=1",), 1, ()),
        ("lahc,rs,ga", ("stage1.iterations=1",), 2, ()),
        ("lahc,rs,ga", (), 9, ()),
        ("lahc,rs", ("stage1.iterations=2",), 27, ("anytime",)),
        ("lahc,sa,rs", ("stage1.start=uniform",), 1, ()),
        ("lahc,sa,rs", ("stage1.pending=4",), 1, ()),
        ("lahc,rs,exhaustive", ("stage1.iterations=150",), 2, ()),
        (TEN, (), 1, ()),
    ],
    ids=str,
)
def test_hard_cases(compared, searchers, settings, spared, missing):
    folder, result = compared(searchers, *settings, spared=spared)
    _, page = read(folder)
    assert {path.stem for path in (folder / "figures").iterdir()} == FIGURES - set(missing)
    shown = page.text.partition("schema: 1")[0]
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", shown)
    assert all(each["label"] in shown for each in result["searchers"])
    assert ("did not take part" in shown) == ("rs" not in searchers)


def test_all_failed_is_said(compared, undrawn):
    folder, result = compared("lahc,rs", "stage1.iterations=2", spared=27)
    assert {each["final"]["mean"] for each in result["searchers"]} == {None}
    text = read(folder)[1].text
    assert "Every evaluation failed" in text
    assert "all failed" in text
    assert "A tie" in text


def test_what_was_given_and_what_was_pending_is_said(compared, undrawn):
    text = read(compared("lahc,rs", "stage1.start=uniform", "stage1.pending=3")[0])[1].text
    assert "the 3 single operators everywhere, free of charge" in text
    assert "Mode: 3 suggestions pending" in text


def test_the_agreement_shows_both_mean_ranks(compared, undrawn):
    _, other = compared("lahc,rs,ga", "compare.seeds=3", name="other")
    folder, result = compared("ga,rs,lahc,sa", reference=other)
    text = read(folder)[1].text.partition("7. Agreement")[2].partition("8. What")[0]
    assert "Kendall's τ" in text
    for label in ("ga", "rs", "lahc"):
        ranks = result["agreement"]["ranks"][label]
        assert re.search(rf"{label}\s*" + r"\s*".join(f"{rank:.2f}" for rank in ranks), text)


def test_it_can_be_written_twice(compared):
    folder, result = compared("lahc,rs")
    first = read(folder)[0]
    assert write_page(folder, result) == folder / "comparison.html"
    assert read(folder)[0] == first


def test_a_page_that_cannot_be_written(compared, undrawn):
    folder, result = compared("lahc")
    (folder / "config.yaml").unlink()
    with pytest.raises(SafsError, match=r"comparison\.html cannot be written: No such file.*config\.yaml"):
        write_page(folder, result)


def test_importing_the_page_loads_nothing_heavy():
    code = "import sys, safs.comparison.page; print([m for m in ('matplotlib', 'jinja2', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_headline_is_sure_only_if_all_others_are_worse(compared, undrawn):
    folder, result = compared("lahc,rs,ga")
    result = copy.deepcopy(result)
    for each, rank in zip(result["searchers"], (1.1, 2.2, 2.7), strict=True):
        each["rank"][-1] = rank
    for p, sure in ((0.01, True), (0.2, False)):
        for pair in result["significance"]["pairs"]:
            pair["p"] = 0.001 if "ga" in pair["searchers"] else p
            pair["significant"] = pair["p"] < 0.05
        page = Page(write_page(folder, result).read_text(encoding="utf-8"))
        assert [each["class"] for each in page.all("p") if "winner" in each.get("class", "")] == [
            f"winner {'sure' if sure else 'unsure'}"
        ]
        assert ("All others are significantly worse." in page.text) == sure
        assert ("Not sure: 1 of the 2 others may be as good." in page.text) != sure


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([[4, 4, 4], [4, 4, 4]], []),
        ([[3, 4, 4], [3, 4, 4]], ["all searchers at evaluation 1 (3 of 4 seeds)"]),
        (
            [[1, 3, 4], [0, 0, 0]],
            ["a at evaluations 1 to 2 (1 to 3 of 4 seeds)", "b at evaluations 1 to 3 (0 of 4 seeds)"],
        ),
    ],
)
def test_means_over_fewer_seeds_are_named(counts, told):
    searchers = [{"label": label, "curve": {"seeds": seeds}} for label, seeds in zip("ab", counts, strict=True)]
    assert partial_means({"setting": {"seeds": [0, 1, 2, 3]}, "searchers": searchers}) == told


@pytest.mark.parametrize(
    ("seeds", "significant", "warned"),
    [(5, [False], True), (6, [False], False), (6, [False] * 3, True), (5, [True], False), (3, [], False)],
)
def test_too_few_seeds_are_warned_of(seeds, significant, warned):
    pairs = [{"p": 0.04, "significant": each} for each in significant]
    result = {"setting": {"seeds": list(range(seeds))}, "significance": {"pairs": pairs}}
    assert bool(too_few_seeds(result)) == warned


def test_a_star_stands_where_a_pair_is_significant(compared, undrawn):
    """Not where its p-value alone is low."""
    folder, result = compared("lahc,rs,ga")
    result = copy.deepcopy(result)
    for pair, significant in zip(result["significance"]["pairs"], (True, False, False), strict=True):
        pair.update(p=0.01, significant=significant)
    source = write_page(folder, result).read_text(encoding="utf-8")
    assert source.count("<strong>0.010*</strong>") == 2  # in either order
    assert source.count('<td class="num">0.010</td>') == 4


def test_a_negative_lowest_cost_has_a_minus(compared, undrawn):
    folder, result = compared("lahc,rs")
    result["landscape"]["best"] = -1.25
    assert "Lowest cost of all−1.2500" in "".join(Page(write_page(folder, result).read_text()).text.split("\n"))


def test_friedman_in_words():
    assert "says nothing" in friedman(None)
    assert "not all alike (p < 0.001)" in friedman(1e-9)
    assert "not all alike (p = 0.049)" in friedman(0.049)
    assert "may all be alike (p = 0.050), so that no pair is called significant" in friedman(0.05)
