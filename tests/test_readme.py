"""The README's recipes and commands work as they are printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import searchers.base
import spaces.assignment
import spaces.operators
from safs import Config
from safs.cli.app import app
from searchers.testing import SearcherConformance
from spaces.activation import Activation

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(containing: str, language: str) -> str:
    """Return the README's one code block that holds a text."""
    blocks = [code for code in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in code]
    assert len(blocks) == 1
    return blocks[0]


def run(code: str) -> dict[str, Any]:
    """Run a recipe with the names that its file would have."""
    names = {**vars(searchers.base), **vars(spaces.assignment), **vars(spaces.operators)}
    exec(code, names)
    return names


Greedy = run(block("class Greedy", "python"))["Greedy"]


class TestTheSearcherOfTheRecipe(SearcherConformance):
    def make(self, space: Any, seed: int, **options: Any) -> Any:
        return Greedy(space, seed, **options)


def test_the_operator_of_the_recipe_is_one() -> None:
    code = block("bent_identity", "python")
    operator = run(f"operator = {code}")["operator"]
    x = torch.linspace(-3, 3, 7)
    expected = (np.sqrt(x.numpy() ** 2 + 1) - 1) / 2 + x.numpy()
    torch.testing.assert_close(Activation(operator, learn=True)(x).detach(), torch.from_numpy(expected))


def test_the_config_of_the_readme_is_valid() -> None:
    values = yaml.safe_load(block("mypackage.networks", "yaml"))
    assert Config.from_mapping(values).train.epochs == 20


@pytest.mark.parametrize("line", re.findall(r"^safs .*$", block("safs inspect torchvision", ""), re.MULTILINE))
def test_every_command_of_the_readme_exists_with_its_options(line: str) -> None:
    words = line.split("#")[0].split()[1:]
    shown = CliRunner().invoke(app, [words[0], "--help"]).output
    for option in (word for word in words if word.startswith("--")):
        assert option in shown
