import pytest

from spaces.errors import SafsError, UnknownNameError, lookup, nearest_name


def test_lookup():
    assert lookup("thing", "a", {"a": 1}) == 1
    with pytest.raises(
        UnknownNameError, match=r"^Unknown thing 'relo'. Did you mean 'relu'\? Choices: elephant, relu.$"
    ) as e:
        lookup("thing", "relo", {"relu": 1, "elephant": 2})
    assert isinstance(e.value, SafsError)
    assert e.value.choices == ["elephant", "relu"]


@pytest.mark.parametrize("name", [None, 3, ["a"], {}])
def test_lookup_of_what_is_no_name(name):
    with pytest.raises(UnknownNameError, match="Unknown thing"):
        lookup("thing", name, {"a": 1})


def test_nearest_name():
    assert nearest_name("momentun", ["momentum", "lr"]) == "momentum"
    assert nearest_name("zzz", ["momentum", "lr"]) is None
