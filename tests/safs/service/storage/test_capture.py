"""What is taken of files that are being written."""

import json
import threading

from safs.service.storage import capture as module
from safs.service.storage.capture import capture, look
from tests.safs.service.storage.conftest import write


def everything(path, seen):
    return 0


def test_what_is_taken_was_so_at_one_moment(tmp_path):
    """A process writes a result, and then that it has it; who has the one must have the other."""
    folder, stop = tmp_path / "study", threading.Event()
    (folder / "run").mkdir(parents=True)

    def work():
        n = 0
        while not stop.wait(0.002):
            n += 1
            write(folder / "run" / f"result{n % 7}", str(n))
            with (folder / "run" / "journal.jsonl").open("ab", buffering=0) as journal:
                journal.write(b"%d\n" % n)
            write(folder / "run" / "summary.json", json.dumps(n))
            with (folder / "log.txt").open("a") as log:
                log.write("x" * 100)

    thread = threading.Thread(target=work)
    thread.start()
    taken = 0
    try:
        for _ in range(60):
            found = capture(folder, tmp_path / "aside", everything)
            if found is None or "run/summary.json" not in found[0]:
                continue
            taken += 1
            seen, aside = found
            lines = aside["run/journal.jsonl"].read_bytes()
            last = int(lines.split()[-1])
            assert lines.endswith(b"\n")
            assert json.loads(aside["run/summary.json"].read_bytes()) in (last, last - 1)
            results = {int(path.read_bytes()) for name, path in aside.items() if "result" in name}
            assert last in results or last + 1 in results
            assert max(results) <= last + 1
            assert all(path.stat().st_size == seen[name].size for name, path in aside.items())
    finally:
        stop.set()
        thread.join()
    assert taken > 10


def test_files_that_never_stand_still_are_left_for_later(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    count = iter(range(10_000))
    real = look

    def looks(folder):
        write(folder / "run" / "changing", str(next(count)))
        return real(folder)

    monkeypatch.setattr(module, "look", looks)
    assert capture(tmp_path / "study", tmp_path / "aside", everything) is None


def test_a_disk_without_hard_links_is_copied_from(tmp_path, monkeypatch):
    def refuses(*arguments):
        raise PermissionError

    monkeypatch.setattr(module.os, "link", refuses)
    write(tmp_path / "study" / "run" / "a", "content")
    _, aside = capture(tmp_path / "study", tmp_path / "aside", everything)
    assert aside["run/a"].read_text() == "content"
