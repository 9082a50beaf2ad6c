"""The check of what is true finds what is not."""

import pytest
from sqlalchemy import delete, update

from benchmarks.service_truth import differences, falsehoods
from safs.service.ids import new_id
from safs.service.states import State
from safs.service.store import events, leases, lifecycle, studies, submissions
from safs.service.store.tables import EventRow, StudyRow


@pytest.fixture
def sqlite_workers(make_workers, tmp_path):
    yield from make_workers(f"sqlite:///{tmp_path / 'safs.db'}", tmp_path)


@pytest.fixture
def told(sqlite_workers, smallest):
    """Returns what is not true of a study that waits, after a change of the database or of its folder."""
    study = sqlite_workers.submit(smallest)
    folder = sqlite_workers.storage.folder(study)
    sqlite_workers.true()

    def tell(change=None, file=None):
        if change is not None:
            with sqlite_workers.database.writing() as connection:
                change(connection, study)
        if file is not None:
            file(folder)
        return " ".join(falsehoods(sqlite_workers.database, folder.parent))

    return tell


def row(**values):
    return lambda connection, study: connection.execute(update(StudyRow).where(StudyRow.id == study).values(**values))


def forget_events(connection, study):
    connection.execute(delete(EventRow).where(EventRow.study_id == study))


def forget_study(connection, study):
    lifecycle.cancel(connection, studies.get(connection, study))
    assert lifecycle.remove(connection, study)
    submissions.submit(connection, 1, SUBMISSION, id=new_id(), most_queued=None)


SUBMISSION = submissions.Submission("a", 0, "x", "m", "d", "s", 0.0, None, None, None, "0" * 64)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (row(state=State.RUNNING), "its lease is None"),
        (row(state=State.SUCCEEDED), "its summary is None"),
        (row(state=State.CANCELED), "was told last"),
        (row(lease="a", leased_until=1.0, worker="b"), "ran out"),
        (row(config="other"), "its config is another"),
        (row(checkpoint={"sha256": "a", "bytes": 1}), "its checkpoint is another"),
        (row(cancelling=True), "still to be canceled"),
        (forget_events, "first state"),
        (forget_study, "listed without its files"),
        (lambda c, id: events.add(c, id, "state", {"state": "SUCCEEDED"}), "SUCCEEDED was told after QUEUED"),
        (lambda c, id: events.add(c, id, "trial", {"n": 1}), "1 trials were told"),
    ],
)
def test_a_database_that_lies(told, change, sentence):
    assert sentence in told(change)


def test_files_that_are_left_or_changed(told):
    assert "stranger is left" in told(file=lambda folder: (folder.parent / "stranger").mkdir())
    assert "its config is another" in told(file=lambda folder: (folder / "config.yaml").write_text("other"))
    assert "listed without its files" in told(file=lambda folder: (folder / "config.yaml").unlink())


def test_a_lease_that_runs_is_true(sqlite_workers, smallest):
    sqlite_workers.submit(smallest)
    assert leases.claim(sqlite_workers.database, "here", 60) is not None
    sqlite_workers.true()


def test_a_run_that_came_to_something_else(sorts, tmp_path):
    first, second = (kind.undisturbed for kind in sorts)
    assert differences(first, first) == []
    assert "the summary is another" in differences(first, second)
    assert differences(tmp_path, first) == ["there is no summary"]
