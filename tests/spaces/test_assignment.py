from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.assignment import AssignmentSpace
from spaces.errors import SafsError, UnknownNameError
from spaces.operators import OPERATORS

SITES = ("relu", "layer1.0.relu#1", "layer1.0.relu#2", "fc")
SPACE = AssignmentSpace(SITES, ("elu", "srs", "tanh"))

spaces = st.builds(
    lambda sites, operators: AssignmentSpace([f"s{i}" for i in range(sites)], list(OPERATORS)[:operators]),
    st.integers(1, 6),
    st.integers(1, 5),
)


@given(spaces, st.integers(0, 2**32 - 1))
def test_a_mutation_is_a_swap_and_a_change(space, seed):
    rng = np.random.default_rng(seed)
    parent = space.sample(rng)
    child = space.mutate(parent, rng)
    assert space.check(child) == child
    n = len(space.sites)
    swapped = {tuple(swap(parent, i, j)) for i in range(n) for j in range(i)} or {parent}
    distance = min(sum(a != b for a, b in zip(child, genes, strict=True)) for genes in swapped)
    exact = any(sum(a != b for a, b in zip(child, genes, strict=True)) == 1 for genes in swapped)
    if len(space.operators) == 1:
        assert child == parent
    else:
        assert exact, (parent, child, distance)


def swap(genes, i, j):
    genes = list(genes)
    genes[i], genes[j] = genes[j], genes[i]
    return genes


def test_mutation_draws_swaps_and_changes_uniformly():
    space = AssignmentSpace("abcd", ("elu", "srs", "tanh", "gelu", "relu"))
    parent = ("elu", "srs", "tanh", "gelu")  # "relu" comes from a change alone, so where it lands is the change
    rng = np.random.default_rng(0)
    swaps, changes = Counter(), Counter()
    for _ in range(12000):
        child = space.mutate(parent, rng)
        if "relu" not in child:
            continue
        changed = child.index("relu")
        changes[changed] += 1
        moved = frozenset(i for i in range(4) if i != changed and child[i] != parent[i])
        if len(moved) == 2:
            swaps[moved] += 1
    assert len(swaps) == 6
    assert min(swaps.values()) > 0.8 * max(swaps.values())
    assert set(changes) == {0, 1, 2, 3}
    assert sum(changes.values()) == pytest.approx(12000 / 4, rel=0.1)  # one of the four other operators
    assert min(changes.values()) > 0.8 * max(changes.values())


def test_one_site_changes_to_another_operator():
    space = AssignmentSpace(["only"], ("elu", "srs", "tanh"))
    rng = np.random.default_rng(1)
    drawn = Counter(space.mutate(("elu",), rng) for _ in range(300))
    assert set(drawn) == {("srs",), ("tanh",)}
    assert min(drawn.values()) > 100


def test_mutation_leaves_its_parent_and_follows_its_seed():
    parent = ["elu", "srs", "tanh", "elu"]
    children = [SPACE.mutate(parent, np.random.default_rng(5)) for _ in range(2)]
    assert parent == ["elu", "srs", "tanh", "elu"]
    assert children[0] == children[1]


def test_samples_are_uniform():
    space = AssignmentSpace("ab", ("elu", "srs", "tanh"))
    rng = np.random.default_rng(0)
    drawn = Counter(space.sample(rng) for _ in range(9000))
    assert len(drawn) == 9
    assert max(drawn.values()) < 1150
    assert min(drawn.values()) > 850


@given(spaces)
def test_size_is_the_number_of_assignments(space):
    if space.size <= 1000:
        everything = list(space)
        assert len(set(everything)) == len(everything) == space.size
    assert space.size == len(space.operators) ** len(space.sites)
    uniform = space.uniform()
    assert [set(assignment) for assignment in uniform] == [{name} for name in space.operators]
    assert all(space.check(assignment) == assignment for assignment in uniform)


@given(spaces, st.integers(0, 1000))
def test_configspace_round_trip(space, seed):
    converted = space.to_configspace(seed)
    assert set(converted) == set(space.sites)
    assert all(tuple(converted[site].choices) == space.operators for site in space.sites)
    configuration = converted.sample_configuration()
    assignment = space.from_values(dict(configuration))
    assert assignment == tuple(configuration[site] for site in space.sites)


def test_configspace_takes_the_names_of_sites():
    configuration = SPACE.to_configspace(0).sample_configuration()
    assert len(SPACE.from_values(dict(configuration))) == len(SITES)
    first, again = (SPACE.to_configspace(3).sample_configuration(5) for _ in range(2))
    assert first == again


def test_optuna_round_trip():
    import optuna

    distributions = SPACE.to_optuna()
    assert list(distributions) == list(SITES)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask(distributions)
    assert SPACE.from_values(trial.params) == tuple(trial.params[site] for site in SITES)
    for name in SPACE.operators:
        assert distributions["fc"].to_external_repr(distributions["fc"].to_internal_repr(name)) == name


@pytest.mark.parametrize(
    ("sites", "operators", "message"),
    [
        ([], ["elu"], "needs at least one site"),
        (["a"], [], "needs at least one operator"),
        (["a", "b", "a"], ["elu"], "'a' stands there twice"),
        (["a"], ["elu", "elu"], "'elu' stands there twice"),
    ],
)
def test_bad_space(sites, operators, message):
    with pytest.raises(SafsError, match=message):
        AssignmentSpace(sites, operators)


def test_bad_assignment():
    with pytest.raises(SafsError, match="each of the 4 sites, but got 3"):
        SPACE.check(["elu"] * 3)
    with pytest.raises(UnknownNameError, match=r"'srz'. Did you mean 'srs'\? Choices: elu, srs, tanh"):
        SPACE.check(["elu", "srz", "elu", "elu"])
    with pytest.raises(UnknownNameError):
        SPACE.from_values(dict.fromkeys(SITES, "relu"))
