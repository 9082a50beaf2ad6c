"""Files that are no config."""

import pytest

from safs.config.schema import Config
from safs.config.yaml_input import parse_yaml
from spaces.errors import SafsError


def merging(levels, times):
    """Return a config in which each mapping merges many of the one before."""
    lines = ["a0: &a0 {k0: 1}"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} {{k{level}: 1, <<: [{', '.join([f'*a{level - 1}'] * times)}]}}")
    return "\n".join(lines)


def aliasing(levels):
    """Return a list in which each list holds the one before nine times."""
    lists = [f"&z{level} [{', '.join([f'*z{level - 1}'] * 9)}]" for level in range(1, levels)]
    return f"[{', '.join(['&z0 [1, 1, 1, 1, 1, 1, 1, 1, 1]', *lists])}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a YAML mapping.*but is empty"),
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
        (merging(levels=9, times=10), "larger than 1,000,000 characters and values.*line 7"),
        (merging(levels=3, times=8000), "larger than 1,000,000 characters and values.*line 3"),
        (f"seed: {aliasing(12)}", "larger than 1,000,000 characters and values"),
        (f"resources: {aliasing(12)}", "larger than 1,000,000 characters and values"),
        (f"data: {{name: digits, kwargs: {aliasing(12)}}}", "larger than 1,000,000 characters and values"),
        (f"compare: {{searchers: [{{searcher: rs, options: {{a: {aliasing(12)}}}}}]}}", "larger than 1,000,000"),
        (f"? {aliasing(12)}\n: 1", "larger than 1,000,000 characters and values"),
        (f"a: &a {'y' * 50_000}\nseed: [{', '.join(['*a'] * 1000)}]", "larger than 1,000,000 characters"),
        (f"{aliasing(4)}: 1", "unhashable key"),
        ("seed: &a [*a]", "it holds itself"),
        ("seed: &a {<<: *a}", "it holds itself"),
        ("seed: &a {b: [{<<: *a}]}", "it holds itself"),
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


def test_a_config_that_is_a_folder_or_missing_is_refused(tmp_path):
    with pytest.raises(SafsError, match=r"config .* cannot be read: .*directory"):
        Config.from_yaml(tmp_path)
    with pytest.raises(SafsError, match=r"There is no config at .*absent\.yaml"):
        Config.from_yaml(tmp_path / "absent.yaml")
