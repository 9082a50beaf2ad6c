"""Configs as files."""

import pytest
import yaml

from safs.config.schema import Config


@pytest.fixture
def read(tmp_path, tiny_values):
    """Returns the config that a text, or the small study's values with these changes, gives."""

    def check(text=None, settings=(), **changes):
        path = tmp_path / "study.yaml"
        content = yaml.safe_dump(tiny_values(**changes)) if text is None else text
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Config.from_yaml(path, settings)

    return check
