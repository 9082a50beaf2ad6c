import base64
import json
import re
import stat

import pytest

from safs.report import write_report
from spaces.errors import SafsError
from tests.safs.html_page import Page

PNG = b"\x89PNG\r\n\x1a\n"
FIGURES = {"baselines", "shapes", "search", "frequency", "gradient-flow", "tuning", "time"}


def report(folder):
    return write_report(folder).read_text(encoding="utf-8")


def pictures(folder):
    return {path.stem: path.read_bytes() for path in (folder / "figures").iterdir()}


def test_the_figures_are_pngs_and_embedded(run_folder):
    page = Page(report(run_folder))
    written = pictures(run_folder)
    assert set(written) == FIGURES
    assert all(content.startswith(PNG) and len(content) > 2000 for content in written.values())
    embedded = [base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) for image in page.all("img")]
    assert sorted(embedded) == sorted(written.values())


def test_the_page_asks_the_network_for_nothing(run_folder):
    page = Page(text := report(run_folder))
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert not re.search(r"https?://|@import|url\(", text)
    assert not page.all("script")


def test_the_page_is_accessible(run_folder):
    page = Page(report(run_folder))
    assert page.all("html")[0]["lang"] == "en"
    assert all(image["alt"] for image in page.all("img"))
    assert page.all("th")
    assert all(header["scope"] in ("row", "col") for header in page.all("th"))
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= anchors


def test_the_page_says_what_was_gained(run_folder):
    text = report(run_folder)
    assert "+23.0" in text
    assert "Mind." not in text
    for words in ("Stage 2 only", "Dense FLOPs", "NAN (the numbers overflowed)", "load_best", "1.20"):
        assert words in text


def test_it_can_be_written_twice(run_folder):
    first = report(run_folder)
    assert report(run_folder) == first
    assert {path.name for path in run_folder.iterdir()} == {
        "config.yaml",
        "journal.jsonl",
        "summary.json",
        "best",
        "figures",
        "report.html",
    }


def test_a_ceiling_is_stated(fake, tmp_path):
    text = report(fake(ceiling=70.0).write(tmp_path / "study"))
    assert "ceiling of about 70\u00a0%" in text or "ceiling of about 70 %" in text


def test_hostile_names_are_escaped(fake, tmp_path):
    site, model = "<script>alert(1)</script>$x", '"><img src=x onerror=alert(2)>$'
    text = report(fake(sites=(site, "a$b$c_{"), model=model).write(tmp_path / "a&<b>"))
    assert "<script" not in text
    assert not any("onerror" in attributes for attributes in Page(text).all("img"))
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"failing": ("safs",)},
        {"failing": ("vanilla", "safs")},
        {"failing": ("dense", "pruned", "vanilla", "srelu", "best_single", "stage1", "stage2", "safs")},
        {"missing": ("dense",)},
        {"missing": ("dense", "srelu", "vanilla", "best_single")},
        {"seeds": 1},
        {"sites": ("only",)},
        {"sites": ("one", "two", "three"), "channels": 7},
        {"stage1_costs": ()},
        {"stage1_costs": (None, None), "uniform_costs": (None, None, None)},
        {"uniform_costs": (1e-3, 1e6, 0.5)},
        {"uniform_costs": (0.0, 0.0, 0.0), "stage1_costs": (0.0,)},
        {"operators": ("srelu", "prelu", "relu"), "channels": 3},
    ],
    ids=str,
)
def test_hard_cases(fake, tmp_path, changes):
    folder = fake(**changes).write(tmp_path / "study")
    text = report(folder)
    Page(text)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text.partition("<body>")[2].partition('id="config"')[0])


def test_fifty_sites_take_three_figures(fake, tmp_path):
    folder = fake(sites=tuple(f"layer{number}.relu" for number in range(50)), channels=4).write(tmp_path / "study")
    text = report(folder)
    assert {"shapes-1", "shapes-2", "shapes-3"} <= set(pictures(folder))
    assert text.count("<img") == len(pictures(folder))
    assert "layer49.relu" in text


def test_without_a_seed_of_safs_there_is_nothing_to_load(fake, tmp_path):
    text = report(fake(failing=("safs",)).write(tmp_path / "study"))
    assert "Every seed of SAFS failed" in text
    assert "There is no network to load" in text


def test_a_torn_last_line_of_the_journal_is_left_alone(run_folder):
    journal = run_folder / "journal.jsonl"
    content = journal.read_bytes() + b'{"kind": "tri'
    journal.write_bytes(content)
    journal.chmod(stat.S_IRUSR)
    report(run_folder)
    assert journal.read_bytes() == content


def rewrite(folder, name, change):
    path = folder / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def without(key):
    def change(text):
        values = json.loads(text)
        del values[key]
        return json.dumps(values)

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("summary.json", lambda text: text[:50], "summary.json is damaged"),
        ("summary.json", lambda _: "[]", "must have schema 1"),
        ("summary.json", without("rows"), "no 'rows'"),
        ("summary.json", lambda text: text.replace('"mean"', '"median"'), "summary.json is damaged"),
        ("journal.jsonl", lambda text: "garbage\n" + text, "Line 1 of"),
        ("journal.jsonl", lambda text: "[1]\n" + text, "Line 1 of"),
        ("journal.jsonl", lambda text: text.replace('"protocol"', '"recipe"'), "journal.jsonl is damaged"),
        ("journal.jsonl", lambda text: text.replace('"kind": "test"', '"kind": "other"'), "has not ended"),
        ("journal.jsonl", lambda _: "", "has not ended"),
        ("config.yaml", lambda _: "- a list", "must be a YAML mapping"),
        ("best/activations.json", lambda text: text[:50], "activations.json is damaged"),
        ("best/activations.json", lambda _: "{}", "activations.json is damaged"),
    ],
)
def test_damage_is_one_clear_line(run_folder, name, change, message):
    rewrite(run_folder, name, change)
    with pytest.raises(SafsError, match=re.escape(message)) as raised:
        write_report(run_folder)
    assert "\n" not in str(raised.value)
    assert not (run_folder / "report.html").exists()
    assert not (run_folder / "figures").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("summary.json", "the study has not ended"),
        ("journal.jsonl", "needs the whole run directory"),
        ("config.yaml", "There is no config"),
    ],
)
def test_a_missing_file_is_named(run_folder, name, message):
    (run_folder / name).unlink()
    with pytest.raises(SafsError, match=message):
        write_report(run_folder)


def test_no_folder(tmp_path):
    with pytest.raises(SafsError, match="There is no run directory"):
        write_report(tmp_path / "nowhere")


def test_a_report_that_cannot_be_written(run_folder):
    (run_folder / "figures").write_text("a file in the way")
    with pytest.raises(SafsError, match="cannot be written"):
        write_report(run_folder)


def test_a_network_with_many_sites_and_operators_gets_a_colour_bar(fake, tmp_path):
    from spaces.operators import PAPER_OPERATORS

    folder = fake(sites=tuple(f"s{number}" for number in range(70)), operators=PAPER_OPERATORS).write(
        tmp_path / "study"
    )
    report(folder)
    assert pictures(folder)["frequency"].startswith(PNG)
