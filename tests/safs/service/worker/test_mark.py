"""The note of which process runs a study."""

import json
import os
import signal
import socket

from safs.service.worker.mark import MARK, kill_leftover, leave_mark, remove_mark
from tests.safs.service.worker.conftest import started


def test_a_leftover_process_is_killed_but_no_other_with_its_number(tmp_path):
    (tmp_path / "other").mkdir()
    process = started("import time; time.sleep(60)", tmp_path)
    try:
        leave_mark(tmp_path, process.pid)
        mark = json.loads((tmp_path / MARK).read_text())
        assert mark["host"] == socket.gethostname()
        for wrong in ({"host": "elsewhere"}, {"started": mark["started"] - 100}, {"pid": os.getpid()}, {"pid": "1"}):
            (tmp_path / MARK).write_text(json.dumps(mark | wrong))
            kill_leftover(tmp_path)
        (tmp_path / "other" / MARK).write_text(json.dumps(mark))
        kill_leftover(tmp_path / "other")
        (tmp_path / MARK).write_text("torn")
        kill_leftover(tmp_path)
        assert process.poll() is None
        leave_mark(tmp_path, process.pid)
        kill_leftover(tmp_path)
        assert process.wait(10) == -signal.SIGKILL
        remove_mark(tmp_path, os.getpid())
        assert (tmp_path / MARK).exists()
        remove_mark(tmp_path, process.pid)
        assert not (tmp_path / MARK).exists()
    finally:
        process.kill()
        process.wait()
