"""What a worker reads of a journal that is being written."""

from safs.service.worker.mirror import Mirror
from tests.safs.service.worker.records import SPEC, line


def test_a_mirror_reads_complete_lines_and_goes_on_where_another_stopped(tmp_path):
    journal = tmp_path / "journal.jsonl"
    mirror = Mirror(journal, 1)
    mirror.read()
    assert mirror.waiting == []
    third = line(id="c")
    journal.write_bytes(line(kind="inputs") + line(id="a") + line(id="b") + b"damaged\n" + third[:20])
    mirror.read()
    assert [(trial["n"], trial["id"]) for trial in mirror.waiting] == [(2, "b")]
    mirror.has_stored(1)
    with journal.open("ab") as file:
        file.write(third[20:])
    mirror.read()
    assert (mirror.stored, [(trial["n"], trial["id"]) for trial in mirror.waiting]) == (2, [(3, "c")])


def test_a_trial_is_shown_as_the_contract_says(tmp_path):
    (tmp_path / "journal.jsonl").write_bytes(line())
    mirror = Mirror(tmp_path / "journal.jsonl", 0)
    mirror.read()
    assert mirror.waiting == [
        {
            "n": 1,
            "id": SPEC.id,
            "phase": "safs",
            "status": "SUCCEEDED",
            "reason": None,
            "cost": 0.25,
            "accuracy": 75.0,
            "seconds": 1.5,
            "assignment": ["relu", "srs"],
            "protocol": SPEC.protocol.to_json(),
            "fold": 1,
            "learn": False,
            "peak_memory": 7,
        }
    ]
