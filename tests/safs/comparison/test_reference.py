"""`safs compare --reference`: what another comparison must hold to be compared with."""

import json

import pytest

from safs.comparison.reference import read_comparison

REFERENCE = {
    "schema": 1,
    "landscape": {"name": "t"},
    "setting": {
        "seeds": [0],
        "iterations": 2,
        "epochs": 1,
        "fitness": "train_loss",
        "start": "random",
        "pending": 1,
    },
    "searchers": [
        {"label": name, "searcher": name, "options": {}, "runs": [{"incumbent": [None, 2.0]}]}
        for name in ("lahc", "rs")
    ],
}


def changed(path, value):
    """Return the text of a reference in which one value is another."""
    content = json.loads(json.dumps(REFERENCE))
    *outer, last = path
    part = content
    for key in outer:
        part = part[key]
    part[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 10**5,
        "9" * 5000,
        *(changed([key], {}) for key in REFERENCE),
        changed(["schema"], 2),
        changed(["setting", "fitness"], 1),
        changed(["landscape", "name"], 3),
        changed(["landscape", "name"], "\ud800"),
        changed(["landscape", "name"], "\x1b[31m"),
        changed(["landscape", "name"], "a\nb"),
        changed(["landscape", "name"], "x" * 1001),
        changed(["setting", "fitness"], "loss"),
        changed(["setting", "start"], "\x1b[31m"),
        changed(["setting", "pending"], 10**9 + 1),
        changed(["setting", "iterations"], 10**300),
        changed(["setting", "epochs"], 10**10),
        changed(["searchers", 0, "label"], "a\u202eb"),
        changed(["searchers", 0, "searcher"], "lahc\n"),
        changed(["setting", "seeds"], 3),
        changed(["setting", "seeds"], [0, 1]),
        changed(["setting", "iterations"], True),
        changed(["setting", "start"], None),
        changed(["setting", "pending"], 0),
        changed(["searchers", 0], "lahc"),
        changed(["searchers", 0, "label"], "rs"),
        changed(["searchers", 0, "label"], ["lahc"]),
        changed(["searchers", 0, "options"], []),
        changed(["searchers", 0, "runs"], []),
        changed(["searchers", 0, "runs", 0, "incumbent"], []),
        changed(["searchers", 0, "runs", 0, "incumbent", 1], "low"),
        changed(["searchers", 0, "runs", 0, "incumbent", 1], float("nan")),
        changed(["searchers", 0, "runs", 0, "incumbent", 1], 10**400),
    ],
    ids=lambda text: text[:20] if len(text) < 100 else None,
)
def test_a_damaged_reference_is_refused_before_anything_is_made(text, table_file, tmp_path, refused):
    (tmp_path / "comparison.json").write_text(text)
    error = refused("compare", "--table", table_file, "--reference", tmp_path, "--run-dir", tmp_path / "run")
    assert f"{tmp_path / 'comparison.json'} is no comparison, or damaged" in error
    assert not (tmp_path / "run").exists()


def test_a_whole_reference_is_read(tmp_path):
    (tmp_path / "comparison.json").write_text(json.dumps(REFERENCE))
    assert read_comparison(tmp_path) == REFERENCE


def test_a_reference_says_whether_the_two_agree(table_file, live, tmp_path, call_safs, comparison):
    common = ["--searchers", "lahc,rs", "--seeds", "5", "--set", "stage1.iterations=5"]
    code, out, _ = call_safs(
        "compare", "--table", table_file, *common, "--reference", live, "--run-dir", tmp_path / "run"
    )
    assert code == 0
    assert "lenet5 on digits (2 seeds; 5 seeds here): no pair is significant in both" in out
    assert comparison(tmp_path / "run")["agreement"]["with"] == "lenet5 on digits"
