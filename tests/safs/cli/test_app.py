import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from safs.version import __version__

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "torchvision", "ray", "smac", "optuna", "ConfigSpace", "numpy", "sklearn", "matplotlib")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["inspect", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    command = [sys.executable, "-X", "importtime", "-m", "safs", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert {"safs.cli.app", "typer"} <= imported
    assert {name.partition(".")[0] for name in imported} & set(HEAVY) == set()


def test_importing_the_package_loads_nothing_heavy_and_its_names_load_on_use():
    code = (
        f"import sys, safs, safs.cli\nassert not set({HEAVY}) & set(sys.modules)\n"
        "for name in safs.__all__: getattr(safs, name)\n"
        "try: safs.Stduy\nexcept AttributeError as error: print(error)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no attribute 'Stduy'" in done.stdout


def test_help_lists_every_command(call_safs):
    code, out, _ = call_safs("--help")
    assert code == 0
    for command in ("demo", "inspect", "prune", "run", "report", "export"):
        assert command in out


def test_the_version_is_the_packages(call_safs):
    assert call_safs("--version") == (0, f"{__version__}\n", "")
