import pytest

from searchers.registry import SEARCHERS, make_searcher, option_names
from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError, UnknownNameError

SPACE = AssignmentSpace(["first", "second"], ["a", "b", "c"])


@pytest.mark.parametrize("name", sorted(SEARCHERS))
def test_every_searcher_is_made_by_its_own_name(name):
    searcher = make_searcher(name, SPACE, 0, start=[("c", "a")])
    assert type(searcher) is SEARCHERS[name]
    assert searcher.name == name
    assert searcher.ask().assignment == ("c", "a")
    assert set(option_names(name)) <= searcher.options().keys()


def test_the_names_are_frozen_because_stored_configurations_use_them():
    assert {"lahc", "rs"} <= SEARCHERS.keys()


def test_options_reach_the_searcher():
    assert option_names("lahc") == ["history"]
    assert make_searcher("lahc", SPACE, 0, options={"history": 7}).options()["history"] == 7


def test_an_unknown_searcher_raises_and_lists_the_choices():
    with pytest.raises(UnknownNameError, match=r"Unknown searcher 'lach'. Did you mean 'lahc'\? Choices: .*rs"):
        make_searcher("lach", SPACE, 0)


@pytest.mark.parametrize(("name", "known"), [("lahc", "history"), ("rs", "none")])
def test_an_unknown_option_raises_and_lists_the_known_ones(name, known):
    with pytest.raises(SafsError, match=f"{name!r} has no option 'temperature'; known: {known}"):
        make_searcher(name, SPACE, 0, options={"temperature": 1.0})


@pytest.mark.parametrize("option", ["start", "seed", "space", "name", "self"])
@pytest.mark.parametrize("name", sorted(SEARCHERS))
def test_an_option_called_like_an_argument_is_unknown_too(name, option):
    with pytest.raises(SafsError, match=f"{name!r} has no option {option!r}"):
        make_searcher(name, SPACE, 0, options={option: []})
