"""Settings laid over a config: `--set key=value`."""

from pathlib import Path

import pytest

from safs.config.schema import (
    DataConfig,
    ModelConfig,
    PruneConfig,
)
from spaces.errors import SafsError


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
