import sys

import pytest

from safs.factories import find_factory, users_code
from spaces.errors import SafsError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The current directory, which holds modules of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    (tmp_path / "their_module.py").write_text("number = 3\ndef make(n):\n    return [n]\n")
    (tmp_path / "their_program.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "their_mistake.py").write_text("def make(:\n")
    yield tmp_path
    sys.modules.pop("their_module", None)


def test_a_factory_is_found_in_the_current_directory_after_all_packages(here):
    assert find_factory("Model", "their_module:make")(2) == [2]
    assert sys.path[-1] == str(here)
    assert find_factory("Model", "their_module:make")(2) == [2]
    assert sys.path.count(str(here)) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_x:make", "cannot import 'no_such_module_x': ModuleNotFoundError: No module named"),
        ("their_mistake:make", "cannot import 'their_mistake': SyntaxError: invalid syntax"),
        ("their_program:make", r"cannot import 'their_program': it called sys\.exit\(3\); do that under `if __name__"),
        ("their_module:made", "'made' does not exist in .*their_module.py"),
        ("their_module:number", "'number' is not callable in .*their_module.py"),
        ("their_module", "'' does not exist in .*their_module.py"),
        (":make", "cannot import ''"),
        (".relative:make", "cannot import '.relative': TypeError"),
    ],
)
def test_what_is_no_factory_is_one_line(name, message):
    with pytest.raises(SafsError, match=f"^Dataset {name!r}: {message}") as error:
        find_factory("Dataset", name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ValueError("first\nsecond"), "it failed: ValueError: first"),
        (KeyError("a"), "it failed: KeyError: 'a'"),
        (MemoryError(), "it failed: there is not enough memory for it here"),
        (SystemExit(), 'it failed: it called sys.exit(None); do that under `if __name__ == "__main__":` only.'),
        (
            SystemExit("a\nb"),
            "it failed: it called sys.exit('a\\nb'); do that under `if __name__ == \"__main__\":` only.",
        ),
    ],
)
def test_whatever_it_raises_is_one_line_with_its_cause(raised, message):
    with pytest.raises(SafsError) as error, users_code("it failed"):
        raise raised
    assert str(error.value) == message
    assert error.value.__cause__ is raised


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SafsError("One line, with a remedy.")])
def test_an_interrupt_and_an_error_that_is_one_line_go_through(raised):
    with pytest.raises(type(raised)) as error, users_code("it failed"):
        raise raised
    assert error.value is raised
