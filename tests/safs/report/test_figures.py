import math
import subprocess
import sys

import pytest
import torch

from safs.report.collect import SiteResult, collect
from safs.report.figures.gradient_flow import flows
from safs.report.figures.search import incumbents
from safs.report.figures.shapes import curves
from safs.report.figures.style import literal
from safs.report.figures.time import phases
from safs.report.figures.tuning import configurations


def test_incumbents():
    found = incumbents([None, 3.0, None, 4.0, 2.0])
    assert math.isnan(found[0])
    assert found[1:] == [3.0, 3.0, 3.0, 2.0]


def test_curve_of_a_site():
    x = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    site = SiteResult("relu1", "relu", "relu", 2.0, 0.5, {})
    assert curves(site, x).tolist() == [[0.0, 0.0, 2.0]]


def test_curves_of_channels_match_the_activation():
    from spaces.activation import Activation
    from spaces.operators import get_operator

    x = torch.linspace(-3, 3, 7)
    alpha, constants = [1.0, 2.0, -1.0], {"a": [5.0, 4.0, 3.0], "b": 3.0}
    site = SiteResult("relu1", "relu", "srs", alpha, 1.5, constants)
    activation = Activation(get_operator("srs"), alpha=alpha, beta=1.5, constants=constants, channels=3)
    with torch.no_grad():
        expected = activation(x.expand(1, 3, 7))[0]
    torch.testing.assert_close(curves(site, x.double()).float(), expected)


def test_an_operator_of_another_version_has_no_curve():
    assert curves(SiteResult("relu1", "relu", "unheard_of", 1.0, 1.0, {}), torch.zeros(3)) is None


@pytest.mark.parametrize(("name", "shown"), [("a$b", r"a\$b"), ("x" * 50, "x" * 16 + "…" + "x" * 17), ("relu", "relu")])
def test_literal(name, shown):
    assert literal(name) == shown


def test_gradient_flow_is_of_the_two_rows(fake, tmp_path):
    found = flows(collect(fake(failing=("safs",)).write(tmp_path / "study")))
    assert found == {"vanilla": [[0.0, 0.2, 40.0]] * 3, "safs": []}


def test_a_configuration_counts_only_with_all_its_folds(run_folder):
    run = collect(run_folder)
    assert configurations(run, "safs") == [None, 75.0]
    assert configurations(run, "stage2") == [None, 75.0]


def test_phases_count_trials_time_and_failures(run_folder):
    found = {phase.name: phase for phase in phases(collect(run_folder))}
    assert list(found) == ["dense", "uniform", "stage1", "safs", "stage2", "final"]
    assert (found["uniform"].trials, found["uniform"].failures) == (3, {"NAN": 1})
    assert found["uniform"].seconds == pytest.approx(2 * 1.25 + 0.5)


def test_importing_the_report_loads_nothing_heavy():
    heavy = "{'torch', 'matplotlib', 'jinja2', 'rich'}"
    code = f"import sys, safs.report, safs.report.table; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
