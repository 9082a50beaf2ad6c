"""YAML as people write it into configs and `--set`: read strictly, and laid over one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from spaces.errors import SafsError

_DEEPEST = 50
_LARGEST = 1_000_000


def named(value: Any) -> Any:
    """Read `model: lenet5` as `model: {name: lenet5}`."""
    return {"name": value} if isinstance(value, str) else value


def read_text(path: Path) -> str:
    """Return the text of a YAML file; SafsError if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SafsError(f"There is no config at {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SafsError(f"The config {path} cannot be read: {error}.") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; SafsError if there is none."""
    return parse_mapping(read_text(path), f"The config {path}")


def parse_mapping(text: str, what: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds.

    Raises:
        SafsError: if there is none; it begins with `what`, the name of the text.
    """
    values = parse_yaml(text, what)
    if not isinstance(values, dict):
        kind = "empty" if values is None else f"a {type(values).__name__}"
        raise SafsError(f"{what} must be a YAML mapping of keys to values, but is {kind}.")
    return values


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML's own loader silently takes the last, and depths.

    Also values that are small only as they are written: aliases of lists of aliases grow exponentially, and so do
    mappings merged (`<<`) from merged mappings.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self._depth == _DEEPEST:
            raise yaml.MarkedYAMLError(None, None, f"it is nested more than {_DEEPEST} deep", mark)
        self._depth += 1
        again = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if again and node not in self._sizes:
            raise yaml.MarkedYAMLError(None, None, "it holds itself", mark)
        if node is not None and self._size(node) > _LARGEST:
            problem = f"it is larger than {_LARGEST:,} characters and values, with what its aliases stand for"
            raise yaml.MarkedYAMLError(None, None, problem, mark)
        return node

    def _size(self, node: yaml.Node) -> int:
        """Return how many characters and values a node holds, those of its aliases among them."""
        if node not in self._sizes:
            if isinstance(node, yaml.ScalarNode):
                inner = len(node.value)
            else:
                parts = (
                    node.value if isinstance(node, yaml.SequenceNode) else [part for two in node.value for part in two]
                )
                inner = sum(self._sizes[part] for part in parts)
            self._sizes[node] = 1 + inner
        return self._sizes[node]

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {key.value!r} stands there twice", key.start_mark)
            seen.add((key.tag, key.value))
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in node.value):
            raise yaml.MarkedYAMLError(None, None, "a character that no text holds stands there", node.start_mark)
        return node


def parse_yaml(text: str, what: str) -> Any:
    """Return the value that a YAML text holds.

    Raises:
        SafsError: if there is none; it begins with `what`, the name of the text.
    """
    try:
        return yaml.load(text, _Loader)
    except Exception as error:  # PyYAML reads dates, numbers and tags by functions that raise anything
        said = " ".join(str(error).replace('"<unicode string>", ', "").split())
        raise SafsError(f"{what} is not valid YAML: {said[:300]}.") from error


def lay_over(values: dict[str, Any], setting: str) -> None:
    """Set one value of a config in place, by a setting such as "stage1.iterations=5".

    Raises:
        SafsError: if it is no key=value, its value is no YAML, or it goes into something that is no section.
    """
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise SafsError(f"--set takes key=value, such as stage1.iterations=5, but got {setting!r}.")
    *path, last = key.split(".")
    for part in path:
        inner = named(values.get(part))
        if inner is None:
            inner = {}
        if not isinstance(inner, dict):
            raise SafsError(f"--set {setting}: {part!r} is a value, not a section.")
        values[part] = dict(inner)
        values = values[part]
    values[last] = parse_yaml(text, f"The value of --set {key}")
