"""What the figures of a comparison show: groups, shares, names, and no text over another."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from safs.comparison.figures import critical_difference, looks
from safs.comparison.figures.critical_difference import groups
from safs.comparison.figures.reach import shares


def comparison(labels, ranks, searcher="lahc"):
    searchers = [{"label": a, "searcher": searcher, "rank": [rank]} for a, rank in zip(labels, ranks, strict=True)]
    return {"searchers": searchers}


def test_groups_join_exactly_the_pairs_closer_than_the_critical_difference():
    generator = np.random.default_rng(0)
    for _ in range(200):
        ranks = dict(zip("abcdefg", generator.integers(4, 28, 7) / 4, strict=True))
        distance = float(generator.choice([0.25, 0.5, 1.1, 2.0, 5.0]))
        found = groups(ranks, distance)
        joined = {frozenset(pair) for group in found for pair in itertools.combinations(group, 2)}
        pairs = itertools.combinations(ranks, 2)
        assert joined == {frozenset((a, b)) for a, b in pairs if abs(ranks[a] - ranks[b]) < distance}
        sets = [frozenset(group) for group in found]
        assert not any(one < other for one, other in itertools.permutations(sets, 2))
        assert all(len(group) > 1 for group in found)


def test_groups_by_hand():
    ranks = {"c": 3.0, "a": 1.0, "b": 2.0, "d": 4.5}
    assert groups(ranks, 1.5) == [["a", "b"], ["b", "c"]]  # d is just as far from c as the critical difference
    assert groups(ranks, 1.6) == [["a", "b"], ["b", "c"], ["c", "d"]]
    assert groups(ranks, 9.0) == [["a", "b", "c", "d"]]
    assert groups(ranks, 0.5) == []


def test_shares_are_the_empirical_distribution():
    assert shares([0, 2, 2, None], 3) == [0.25, 0.25, 0.75, 0.75]
    assert shares([None, None], 2) == [0, 0, 0]
    assert shares([3.0], 3) == [0, 0, 0, 1]


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize("length", [4, 60])
@pytest.mark.parametrize("spread", [0.0, 0.05, 1.0])
def test_no_text_of_the_diagram_lies_over_another_or_outside(count, length, spread):
    labels = [f"searcher {'x' * length}"[: length - 3] + f" {number:02}" for number in range(count)]
    middle = (count + 1) / 2
    ranks = {label: middle + spread * (number + 1 - middle) for number, label in enumerate(labels)}
    known = looks.looks(comparison(labels, ranks.values()))
    for distance in (0.3, 1.2, 20.0):
        close = groups(ranks, distance)
        figure = critical_difference.diagram(ranks, distance, close, known)
        canvas = FigureCanvasAgg(figure)
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.axes[0].texts]
        assert len(boxes) == 2 * count + 1
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        width, height = canvas.get_width_height()
        for box in boxes:
            assert 0 <= box.x0 <= box.x1 <= width
            assert 0 <= box.y0 <= box.y1 <= height


def test_a_bar_spans_its_group():
    ranks = {"a": 1.0, "b": 1.5, "c": 3.0}
    known = looks.looks(comparison(ranks, ranks.values()))
    lines = critical_difference.diagram(ranks, 0.6, [["a", "b"]], known).axes[0].lines
    bars = [line for line in lines if line.get_linewidth() == 3]
    (bar,) = bars
    markers = {line.get_color(): line.get_xdata()[0] for line in lines if line.get_marker() not in ("None", "", "|")}
    left, right = bar.get_xdata()
    assert left < markers[known["a"].colour] < markers[known["b"].colour] < right < markers[known["c"].colour]


def test_searchers_look_different_without_their_colours_too():
    labels = [f"s{number}" for number in range(30)]
    known = looks.looks(comparison(labels, range(30)))
    assert len({(str(look.dash), look.marker) for look in known.values()}) == 30
    assert len({look.colour for look in list(known.values())[:9]}) == 9


def test_random_search_is_grey_once():
    result = comparison(["rs", "again"], [1, 2], searcher="rs")
    first, second = looks.looks(result).values()
    assert first.colour == looks.style.MUTED != second.colour


def test_names_that_shortening_makes_alike_get_their_places():
    labels = [f"{'a' * 25}{letter}{'b' * 25}" for letter in "xyz"]
    known = looks.looks(comparison(labels, [2, 3, 1]))
    assert [known[label].name[:3] for label in labels] == ["2: ", "3: ", "1: "]
    assert looks.looks(comparison(["lahc", "a$b\n名"], [1, 2]))["a$b\n名"].name == r"a\$b □"
