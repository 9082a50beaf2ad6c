"""The section `prune` of a config."""

import re

import pytest
import yaml

from safs.config.schema import Config, PruneConfig
from spaces.errors import SafsError


@pytest.mark.parametrize(
    ("given", "scope"),
    [
        ({}, "layer"),
        ({"scope": None}, "layer"),
        ({"scope": "global"}, "global"),
        ({"method": "random"}, "layer"),
        ({"method": "erk"}, None),
        ({"method": "imp", "options": {"rounds": 3, "rewind_epoch": 0}}, None),
        ({"method": "synflow", "scope": None, "options": {"rounds": 10}}, None),
    ],
)
def test_the_scope_is_the_one_given_or_the_methods_own_and_is_written_out(given, scope, tiny_values):
    values = tiny_values()
    values["prune"] = {"ratio": 0.9, **given}
    config = Config.from_mapping(values)
    assert config.prune.scope == scope
    assert yaml.safe_load(config.to_yaml())["prune"]["scope"] == scope
    assert Config.from_mapping(yaml.safe_load(config.to_yaml())) == config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "snipp"}, "Unknown pruning method 'snipp'. Did you mean 'snip'?"),
        ({"method": "snip", "scope": "layer"}, "'snip' decides itself how much of each layer goes"),
        ({"scope": "globl"}, "'prune.scope'"),
        ({"method": "imp", "options": {"round": 3}}, "'imp' has no option 'round'; known: rounds, rewind_epoch."),
        ({"method": "imp", "options": {"rounds": 0}}, "'rounds' must be an integer of at least 1, but got 0"),
        ({"method": "erk", "options": {"criterion": ["a"]}}, "Unknown criterion ['a']"),
        ({"options": {"rounds": 3}}, "'magnitude' has no option 'rounds'; known: none."),
        ({"options": [3]}, "prune.options"),
        ({"option": {}}, "did you mean 'options'"),
    ],
)
def test_what_does_not_fit_is_one_line(given, message, tiny_values):
    with pytest.raises(SafsError, match=re.escape(message)) as caught:
        Config.from_mapping({**tiny_values(), "prune": given})
    assert "\n" not in str(caught.value)


def test_the_options_are_those_of_the_method():
    assert PruneConfig(method="imp", options={"rounds": 4}).options == {"rounds": 4}
