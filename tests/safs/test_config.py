import dataclasses
import datetime
import math
import re
from pathlib import Path

import pytest
import yaml

from safs.config.schema import (
    Config,
    DataConfig,
    ModelConfig,
    PruneConfig,
    ReportConfig,
    ResourcesConfig,
    Stage1Config,
    Stage2Config,
)
from safs.config.yaml_input import parse_yaml
from safs.engines.base import Engine
from safs.engines.registry import ENGINES, find_engine
from safs.protocol import Protocol
from spaces.errors import SafsError

ROOT = Path(__file__).parents[2]


def merging(levels, times):
    """Return a config in which each mapping merges many of the one before."""
    lines = ["a0: &a0 {k0: 1}"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} {{k{level}: 1, <<: [{', '.join([f'*a{level - 1}'] * times)}]}}")
    return "\n".join(lines)


@pytest.fixture
def read(tmp_path, tiny_values):
    """Returns the config that a text, or the small study's values with these changes, gives."""

    def check(text=None, settings=(), **changes):
        path = tmp_path / "study.yaml"
        content = yaml.safe_dump(tiny_values(**changes)) if text is None else text
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Config.from_yaml(path, settings)

    return check


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("configs/*.yaml"), ROOT / "safs" / "demo.yaml"]), ids=lambda p: p.name
)
def test_every_config_that_ships_is_valid_and_opens_with_its_launch_command(path):
    Config.from_yaml(path)
    assert path.read_text(encoding="utf-8").startswith("# Launch: safs ")


def test_a_config_comes_back_from_the_yaml_that_it_writes(read, tmp_path):
    changes = {
        "seed": 5,
        "model": {"kwargs": {"num_classes": 10}},
        "train": {"lr": 1e-5, "weight_decay": 1e-10, "optimizer": "sgd", "momentum": 1 / 3},
        "prune": {"ratio": 0.98765432109876},
        "stage1": {"options": {"history": 7}, "start": "random", "fitness": "validation_loss"},
        "stage2": {"epochs": None, "scales": "channel"},
        "data": {"name": "digits", "root": "dätä/with space"},
    }
    config = read(**changes)
    path = tmp_path / "again.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    again = Config.from_yaml(path)
    assert again == config
    assert again.to_yaml() == config.to_yaml()
    assert again.train.momentum == 1 / 3


def test_every_default_is_written_out(read):
    values = yaml.safe_load(read().to_yaml())
    assert values["schema"] == 1
    assert values["stage1"]["options"] == {}
    assert values["model"] == {
        "name": "lenet5",
        "kwargs": {},
        "checkpoint": None,
        "mask": None,
        "min_zero_share": 0.01,
        "trust_pickle": False,
        "pretrain": Protocol(epochs=1, batch_size=128, lr=0.005).to_json(),
    }


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


def test_every_field_is_read_by_something():
    """A field that nothing reads is a promise that is not kept."""
    modules = [path for path in (ROOT / "safs").rglob("*.py") if path.parent.name != "config"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    places = {
        "model": ModelConfig,
        "data": DataConfig,
        "prune": PruneConfig,
        "stage1": Stage1Config,
        "stage2": Stage2Config,
        "resources": ResourcesConfig,
        "report": ReportConfig,
    }
    unread = [
        f"{place}.{name}"
        for place, section in places.items()
        for name in section.model_fields
        if not re.search(rf"\b{place}\.{name}\b", code)
    ]
    unread += [
        f"protocol.{field.name}"
        for field in dataclasses.fields(Protocol)
        if not re.search(rf"protocol\.{field.name}\b", code)
    ]
    unread += [name for name in Config.model_fields if name != "schema_version" and f"config.{name}" not in code]
    assert unread == []


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


def test_weights_come_from_a_checkpoint_or_from_a_training(tiny_values):
    for model in ({"name": "lenet5"}, {**tiny_values()["model"], "checkpoint": "x.pt"}):
        with pytest.raises(SafsError, match=r"`checkpoint`.*or `pretrain`"):
            Config.from_mapping(tiny_values() | {"model": model})


@pytest.mark.parametrize("missing", [True, False])
def test_a_network_trained_here_must_be_pruned_here(missing, tiny_values):
    values = tiny_values() | {"prune": None}
    if missing:
        del values["prune"]
    with pytest.raises(SafsError, match=r"^The config: a network .* must be pruned too; set `prune.ratio`"):
        Config.from_mapping(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a YAML mapping.*NoneType"),
        ("# only a comment\n", "must be a YAML mapping"),
        ("- a\n- b\n", "must be a YAML mapping.*list"),
        ("lenet5", "must be a YAML mapping.*str"),
        ("3", "must be a YAML mapping.*int"),
        ("a: [1, 2", "not valid YAML"),
        ("a: b: c", "not valid YAML"),
        ("\tmodel: x", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
        (b"\x80\x81\xfe\x00PK", "cannot be read"),
        (b"\x00\x01\x02", "not valid YAML"),
        ("{}", "lacks 'model'"),
        ("seed: 2020-13-45", "not valid YAML: month must be"),
        ("seed: !!int abc", "not valid YAML"),
        ("seed: !!int ''", "not valid YAML"),
        ("seed: !!bool abc", "not valid YAML"),
        ("seed: !!timestamp abc", "not valid YAML"),
        ("seed: " + "9" * 5000, "not valid YAML"),
        ("seed: " + "[" * 5000, "not valid YAML"),
        ("seed: 1\nmodel: lenet5\nseed: 2", "not valid YAML: the key 'seed' stands there twice.*line 3"),
        ("model: {name: lenet5, 'name': vgg}", "the key 'name' stands there twice"),
        ("model: " + "[" * 30_000, "nested more than 50 deep"),
        ("{a: " * 10_000, "nested more than 50 deep"),
        (merging(levels=9, times=10), "`<<` brings in more than 10,000 keys.*line 5"),
        (merging(levels=3, times=8000), "`<<` brings in more than 10,000 keys.*line 3"),
    ],
)
def test_what_is_no_config_is_refused_in_one_line(text, message, read):
    with pytest.raises(SafsError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_key_that_overrides_a_merged_one_stands_there_once():
    text = """
        a: {deep: &b {<<: &c {epochs: 1, lr: 0.1}, epochs: 2}}
        train: {<<: *b, lr: 0.2}
    """
    assert parse_yaml(text, "it")["train"] == {"epochs": 2, "lr": 0.2}


def test_every_engine_that_a_config_may_name_is_one():
    assert "inline" in ENGINES
    for name in ENGINES:
        assert issubclass(find_engine(name), Engine)
        assert ResourcesConfig(engine=name).engine == name


def test_flags_are_still_true_or_false(tiny_values):
    values = tiny_values(model={"trust_pickle": True, "kwargs": {"bias": True}})
    model = Config.from_mapping(values).model
    assert (model.trust_pickle, model.kwargs) == (True, {"bias": True})


def test_a_config_that_is_a_folder_or_missing_is_refused(tmp_path):
    with pytest.raises(SafsError, match=r"config .* cannot be read: .*directory"):
        Config.from_yaml(tmp_path)
    with pytest.raises(SafsError, match=r"There is no config at .*absent\.yaml"):
        Config.from_yaml(tmp_path / "absent.yaml")


def test_settings_are_laid_over_the_file(read):
    config = read(settings=["stage1.iterations=5", "seed=3", "stage1.options.history=2", "train.lr=1e-3"])
    assert (config.stage1.iterations, config.seed, config.train.lr) == (5, 3, 0.001)
    assert config.stage1.options == {"history": 2}
    assert config.stage2.trials == 3, "the rest stays"


def test_settings_of_sections_that_are_short_absent_or_null(read):
    text = "model: {name: lenet5, checkpoint: a.pt}\ndata: digits\ntrain: {epochs: 1}\nprune: null\n"
    config = read(
        text, settings=["data.root=/data", "prune.ratio=0.5", "resources.threads=2", "stage1.operators=[srs]"]
    )
    assert config.data == DataConfig(name="digits", root=Path("/data"))
    assert config.prune == PruneConfig(ratio=0.5)
    assert config.resources.threads == 2
    assert config.stage1.operators == ("srs",)


def test_a_setting_of_a_model_given_by_name_keeps_the_name(read):
    text = "model: lenet5\ndata: digits\ntrain: {epochs: 1}\n"
    config = read(text, settings=["model.checkpoint=a=b.pt"])
    assert config.model == ModelConfig(name="lenet5", checkpoint=Path("a=b.pt"))


def test_the_later_setting_wins_and_null_is_null(read):
    config = read(settings=["seed=1", "seed=2", "stage2.epochs=null"])
    assert config.seed == 2
    assert config.stage2.epochs is None
    assert read(settings=["model.pretrain=null", "model.checkpoint=a.pt", "prune=null"]).prune is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed", "--set takes key=value"),
        ("=3", "--set takes key=value"),
        ("", "--set takes key=value"),
        ("seed=[1", "The value of --set seed is not valid YAML"),
        ("seed=2020-13-45", "The value of --set seed is not valid YAML"),
        ("seed=!!int abc", "not valid YAML"),
        ("seed=" + "9" * 5000, "not valid YAML"),
        ("seed=0x" + "f" * 5000, "'seed'.*thousands of digits"),
        ("seed=" + "[" * 5000, "not valid YAML"),
        ("seed=true", "'seed': must not be true or false, but got True"),
        ("prune={ratio: 0.1, ratio: 0.2}", "the key 'ratio' stands there twice"),
        ("report.seeds.more=1", "'seeds' is a value, not a section"),
        ("train.lr.x=1", "'lr' is a value, not a section"),
        ("stage1.operators.x=1", "'operators' is a value, not a section"),
        ("stage1.iteration=5", "Unknown key 'stage1.iteration'.*did you mean 'iterations'"),
        (".seed=1", "Unknown key"),
        ("stage1..iterations=1", "Unknown key"),
        ("stage1.=1", "Unknown key"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(setting, message, read):
    with pytest.raises(SafsError, match=message) as caught:
        read(settings=[setting])
    assert "\n" not in str(caught.value)
