import io

import pytest
from rich.console import Console

from safs.report.table import baseline_table
from safs.report.text import accuracy, duration, scale, signed


def printed(summary, width=140):
    console = Console(file=io.StringIO(), width=width)
    console.print(baseline_table(summary))
    return console.file.getvalue()


def test_table(fake):
    lines = printed(fake().summary()).splitlines()
    (safs,) = (line for line in lines if "safs" in line)
    assert [cell.strip() for cell in safs.strip("│┃ ").split("│")] == [
        "safs",
        "84.0 ± 1.0 %",
        "+23.0",
        "12",
        "98.0 %",
        "1,234",
        "4",
    ]


def test_eighty_columns_cut_nothing(fake):
    assert printed(fake().summary(), width=80).split() == printed(fake().summary()).split()


def test_failed_rows_and_absent_rows(fake):
    text = printed(fake(failing=("safs", "vanilla"), missing=("dense",)).summary())
    assert "– (3 failed)" in text
    assert "dense" not in text


def test_a_row_of_a_later_version_is_shown_by_its_name(fake):
    summary = fake().summary()
    summary["rows"][0]["name"] = "[red]new"
    assert "[red]new" in printed(summary)


@pytest.mark.parametrize(("value", "shown"), [(1.25, "+1.2"), (-3.0, "−3.0"), (0.04, "0.0"), (-0.04, "0.0")])
def test_signed(value, shown):
    assert signed(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.0, "1.00"), ([1.0, -2.0], "−0.50 (−2.00 to 1.00)"), ([], "–"), (None, "–"), ([3], "3.00 (3.00 to 3.00)")],
)
def test_scale(value, shown):
    assert scale(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 01 s"), (3599, "59 min 59 s"), (7290, "2 h 02 min")],
)
def test_duration(seconds, shown):
    assert duration(seconds) == shown


def test_accuracy_of_nothing():
    assert accuracy(None) == "–"
