"""Wrong keys and values, each refused in one line that names it."""

import datetime
import math
import re

import pytest

from safs.config.schema import Config
from safs.config.section import ConfigError
from spaces.errors import SafsError

LAUGHS = {"a": 1}


for _ in range(40):
    LAUGHS = {"x": LAUGHS, "y": LAUGHS}


CIRCULAR = {}


CIRCULAR["self"] = CIRCULAR


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (LAUGHS, "at most 10,000 values"),
        (CIRCULAR, "at most 10,000 values"),
        ({"a": b"bytes"}, "not a bytes"),
        ({"a": datetime.date(2020, 1, 1)}, "not a date"),
        ({"a": {1: 2}}, "only strings for keys"),
    ],
)
@pytest.mark.parametrize(
    ("section", "key"), [("model", "kwargs"), ("data", "kwargs"), ("prune", "options"), ("stage1", "options")]
)
def test_values_of_the_users_own_are_plain_and_small(tiny_values, section, key, value, problem):
    values = tiny_values()
    given = values[section]
    values[section] = {**({"name": given} if isinstance(given, str) else given), key: value}
    with pytest.raises(SafsError, match=rf"{section}\.{key}.*{problem}"):
        Config.from_mapping(values)


@pytest.mark.parametrize(
    ("section", "key", "meant"),
    [
        ((), "stage3", "stage2"),
        ((), "modle", "model"),
        (("model",), "pretain", "pretrain"),
        (("model", "pretrain"), "epoch", "epochs"),
        (("prune",), "ration", "ratio"),
        (("train",), "learning", None),
        (("train",), "batchsize", "batch_size"),
        (("stage1",), "iteration", "iterations"),
        (("stage2",), "trial", "trials"),
        (("resources",), "gpus_per_trail", None),
        (("resources",), "thread", "threads"),
        (("report",), "seed", "seeds"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(section, key, meant, tiny_values):
    values = tiny_values(resources={})
    inner = values
    for part in section:
        inner = inner[part]
    inner[key] = 1
    with pytest.raises(SafsError, match="known here: ") as caught:
        Config.from_mapping(values)
    message = str(caught.value)
    assert f"Unknown key {'.'.join([*section, key])!r}" in message
    if meant:
        assert f"did you mean {meant!r}?" in message
    assert "\n" not in message
    assert "__" not in message, "no key, but what pydantic calls one"


def test_a_key_that_is_no_text_is_refused(tiny_values):
    with pytest.raises(SafsError, match="'1'"):
        Config.from_mapping(tiny_values() | {1: 2})


def test_an_unknown_key_of_data_is_named(tiny_values):
    with pytest.raises(SafsError, match=r"Unknown key 'data.rot'.*did you mean 'root'"):
        Config.from_mapping(tiny_values() | {"data": {"name": "digits", "rot": "x"}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage1": {"operators": ["relu", "geluu"]}}, "Unknown operator 'geluu'. Did you mean 'gelu'?"),
        ({"stage1": {"searcher": "lach"}}, "Unknown searcher 'lach'. Did you mean 'lahc'?"),
        ({"stage1": {"options": {"histroy": 3}}}, "has no option 'histroy'; known: history. Did you mean 'history'?"),
        (
            {"stage1": {"options": {"history": 0}}},
            "'history' must be an integer of at least 1 and at most 1000000, but got 0",
        ),
        ({"stage1": {"searcher": "rs", "options": {"history": 3}}}, "'rs' has no option 'history'"),
        ({"train": {"optimizer": "adma"}}, "Unknown optimizer 'adma'. Did you mean 'adam'?"),
        ({"model": {"pretrain": {"schedule": "cosin"}}}, "Unknown schedule 'cosin'. Did you mean 'cosine'?"),
        ({"resources": {"engine": "inlin"}}, "Unknown engine 'inlin'. Did you mean 'inline'?"),
        ({"stage1": {"options": {"start": []}}}, "'lahc' has no option 'start'; known: history."),
        ({"stage1": {"options": {"seed": 1}}}, "'lahc' has no option 'seed'"),
        ({"stage1": {"options": {"space": 1}}}, "'lahc' has no option 'space'"),
        ({"stage1": {"options": {"name": "x"}}}, "'lahc' has no option 'name'"),
        ({"data": {"name": "digit"}}, "Unknown dataset 'digit'. Did you mean 'digits'?"),
        ({"prune": {"method": "magnitud"}}, "Unknown pruning method 'magnitud'. Did you mean 'magnitude'?"),
    ],
)
def test_an_unknown_name_is_refused_at_once_with_the_nearest(changes, message, tiny_values):
    with pytest.raises(SafsError, match=re.escape(message)) as caught:
        Config.from_mapping(tiny_values(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        *[
            ({"prune": {"ratio": value}}, "prune.ratio")
            for value in (1.0, -0.1, 1.5, math.nan, math.inf, "most", None, [])
        ],
        *[({"train": {"epochs": value}}, "epochs") for value in (0, -3, 2.5, "many", None, [2], {"n": 2})],
        *[({"train": {"lr": value}}, "lr") for value in (0, -1, math.nan, math.inf, "fast")],
        *[({"seed": value}, "seed") for value in (-1, 1.5, "x", 10**30, 2**32, None)],
        *[({"stage1": {"iterations": value}}, "stage1.iterations") for value in (0, -1, "x")],
        *[({"stage1": {"epochs": value}}, "stage1.epochs") for value in (0, None)],
        *[({"stage1": {"operators": value}}, "stage1.operators") for value in ([], ["relu", "relu"], "relu", None)],
        ({"stage1": {"fitness": "test_loss"}}, "stage1.fitness"),
        ({"stage1": {"start": "zero"}}, "stage1.start"),
        ({"stage1": {"options": [3]}}, "stage1.options"),
        ({"stage1": None}, "stage1"),
        *[({"stage2": {"folds": value}}, "stage2.folds") for value in (1, 0, -3)],
        *[({"stage2": {"trials": value}}, "stage2.trials") for value in (0, math.inf)],
        ({"stage2": {"scales": "layer"}}, "stage2.scales"),
        ({"prune": {"scope": "both"}}, "prune.scope"),
        ({"resources": {"device": "tpu"}}, "resources.device"),
        ({"resources": {"threads": 0}}, "resources.threads"),
        ({"seed": True}, "'seed'"),
        ({"schema": True}, "schema"),
        ({"prune": {"ratio": False}}, "'prune.ratio'"),
        ({"train": {"epochs": True}}, "'train.epochs'"),
        ({"train": {"lr": True}}, "'train.lr'"),
        ({"model": {"pretrain": {"epochs": True}}}, "'model.pretrain.epochs'"),
        ({"stage1": {"iterations": True}}, "'stage1.iterations'"),
        ({"stage2": {"epochs": True}}, "'stage2.epochs'"),
        ({"report": {"seeds": True}}, "'report.seeds'"),
        ({"train": {"lr": -1}}, "section 'train'"),
        ({"model": {"pretrain": {"lr": -1}}}, "section 'model.pretrain'"),
        ({"train": {"optimizer": "adma"}}, "section 'train'"),
        ({"resources": {"engine": 3}}, "resources.engine"),
        ({"report": {"seeds": 0}}, "report.seeds"),
        ({"model": None}, "model"),
        ({"model": ["lenet5"]}, "model"),
        ({"data": 3}, "data"),
        ({"train": "adam"}, "train"),
        ({"schema": 2}, "schema"),
    ],
    ids=str,
)
def test_a_wrong_value_is_one_line_that_names_its_key(changes, key, tiny_values):
    with pytest.raises(SafsError) as caught:
        Config.from_mapping(tiny_values(**changes))
    message = str(caught.value)
    assert key in message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize("key", ["model", "data", "train"])
def test_what_has_no_default_must_be_there(key, tiny_values):
    with pytest.raises(SafsError, match=f"lacks '{key}'"):
        Config.from_mapping({name: value for name, value in tiny_values().items() if name != key})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"stage1": {"options": {"histroy": 1}}}, "stage1.options"),
        ({"prune": {"options": {"rounds": 1}}}, "prune.options"),
        ({"prune": {"method": "snip", "scope": "layer"}}, "prune.scope"),
        ({"compare": {"searchers": ["hill"]}}, "compare.searchers"),
        ({"compare": {"searchers": [{"searcher": "lahc", "options": {"x": 1}}]}}, "compare.searchers"),
        ({"compare": {"searchers": [{"searcher": "lahc", "opts": {}}]}}, "compare.searchers.0.opts"),
        ({"resources": {"workers": -1}}, "resources.workers"),
        ({"resources": {"workers": "many"}}, "resources.workers"),
    ],
)
def test_the_key_of_an_error_is_one_that_the_config_has(changes, key, tiny_values):
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(tiny_values(**changes))
    assert caught.value.key == key
