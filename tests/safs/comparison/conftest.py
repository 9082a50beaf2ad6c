"""A small table that was really trained, and what comparisons on it share."""

import itertools
import json

import pytest

from safs.comparison.compare import compare_live, compare_on_table
from safs.comparison.table import read_table
from safs.comparison.tabulate import tabulate
from safs.config.schema import Config
from safs.observer import Silent

OPERATORS = ["relu", "srs", "tanh"]


@pytest.fixture(scope="session")
def table_file(tmp_path_factory, tiny_values):
    """The table of the small study: 3 operators at LeNet-5's 4 sites, 81 trials of some 0.1 s."""
    folder = tmp_path_factory.mktemp("table")
    table = tabulate(Config.from_mapping(tiny_values()), folder / "run", Silent(), resume=False)
    table.write(folder / "tiny.json")
    return folder / "tiny.json"


@pytest.fixture(scope="session")
def table(table_file):
    return read_table(table_file)


@pytest.fixture(scope="session")
def comparison():
    """Returns the comparison in a run directory."""
    return lambda folder: json.loads((folder / "comparison.json").read_text(encoding="utf-8"))


@pytest.fixture
def paper_yaml(tmp_path, tiny_values):
    """The small study with the paper's random start."""
    values = tiny_values(stage1={"start": "random", "iterations": 5})
    path = tmp_path / "paper.yaml"
    path.write_text(Config.from_mapping(values).to_yaml(), encoding="utf-8")
    return path


@pytest.fixture
def replay(table, tmp_path):
    """Replays the small table and returns the result."""
    numbers = itertools.count()

    def run(*settings, folder=None, resume=False, **options):
        folder = folder or tmp_path / f"replay{next(numbers)}"
        return compare_on_table(table, "tiny", settings, folder, Silent(), resume=resume, **options)

    return run


@pytest.fixture(scope="session")
def live(tmp_path_factory, tiny_values):
    """The run directory of a comparison that was trained: two searchers, two seeds, five evaluations."""
    values = tiny_values(stage1={"start": "random", "iterations": 5}, compare={"searchers": ["lahc", "rs"], "seeds": 2})
    folder = tmp_path_factory.mktemp("live") / "run"
    compare_live(Config.from_mapping(values), folder, Silent(), resume=False)
    return folder
