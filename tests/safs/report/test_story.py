import pytest

from safs.report.collect import collect
from safs.report.rows import Gain, Row, gain
from safs.report.story import tell


def row(mean, std=1.0, n=3):
    return Row("row", mean, std, n, 0, 0.98, 12, 600, 1234, 0)


def story(fake, folder, **means):
    return tell(collect(fake(means={**fake().means, **means}).write(folder / "study")))


def test_gain_by_hand():
    # Equal spreads and numbers: Welch's degrees of freedom are n1 + n2 − 2 = 4, t = 2.78.
    found = gain(row(70.0), row(60.0))
    assert found.points == 10.0
    assert found.margin == pytest.approx(2.78 * (2 / 3) ** 0.5)
    assert found.verdict == "gain"


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Gain(3.0, 2.0), "gain"),
        (Gain(-3.0, 2.0), "loss"),
        (Gain(1.0, 2.0), "noise"),
        (Gain(0.0, 0.0), "noise"),
        (Gain(9.0, None), "unknown"),
    ],
)
def test_verdict(found, verdict):
    assert found.verdict == verdict


def test_a_row_without_accuracy_has_no_gain():
    assert gain(row(None, n=0), row(60.0)) is None
    assert gain(row(60.0), None) is None


def test_equal_seeds_have_no_margin():
    assert gain(row(70.0, std=0.0), row(60.0, std=0.0)) == Gain(10.0, 0.0)


def test_two_seeds_of_which_one_row_does_not_vary():
    # Only the row that varies counts: one degree of freedom, t = 12.71.
    assert gain(row(70.0, std=2.0, n=2), row(60.0, std=0.0, n=2)).margin == pytest.approx(12.71 * 2**0.5)


def test_a_gain(fake, tmp_path):
    told = story(fake, tmp_path)
    assert (told.number, told.verdict) == ("+23.0", "gain")
    text = " ".join(told.sentences)
    assert "more than the luck of the seeds" in text
    assert "8.0 points above that." in text
    assert "wins back 64\u00a0%" in text


def test_a_loss_is_said(fake, tmp_path):
    told = story(fake, tmp_path, safs=50.0)
    assert (told.number, told.verdict) == ("−10.0", "loss")
    assert "made the network worse" in " ".join(told.sentences)
    assert "wins back" not in " ".join(told.sentences)


def test_noise_is_said(fake, tmp_path):
    told = story(fake, tmp_path, safs=61.0)
    assert told.verdict == "noise"
    assert "cannot be told from noise" in " ".join(told.sentences)


def test_a_search_that_earned_nothing_is_said(fake, tmp_path):
    assert "the search earned nothing" in " ".join(story(fake, tmp_path, best_single=90.0).sentences)


def test_one_seed_is_a_hint(fake, tmp_path):
    told = tell(collect(fake(seeds=1).write(tmp_path / "study")))
    assert told.verdict == "unknown"
    assert "single seed" in " ".join(told.sentences)


def test_no_ceiling_no_warning(fake, tmp_path):
    assert story(fake, tmp_path).warnings == []


def test_what_was_found_wrong_is_a_warning(fake, tmp_path):
    run = collect(fake(ceiling=10.0).write(tmp_path / "study"))
    run.problem["warnings"].append("Layer conv1 is cut.")
    first, second = tell(run).warnings
    assert first == "Layer conv1 is cut."
    assert "about 10 %" in second
