"""What a study takes of memory and disk."""

import os
import signal
import sys

import psutil

from safs.service.worker import usage
from tests.safs.service.worker.conftest import started

ALLOCATES = """
import os, sys, time
taken = bytearray(os.urandom(1) * (40 << 20))
if len(sys.argv) == 1:
    os.system(f"{sys.executable} code.py orphan &")
print("ready", flush=True)
time.sleep(60)
"""


def test_memory_is_that_of_all_processes_and_disk_that_of_all_files(tmp_path):
    (tmp_path / "code.py").write_text(ALLOCATES)
    process = started(ALLOCATES, tmp_path)
    try:
        for _ in range(2):
            assert process.stdout.readline() == b"ready\n"
        both = usage.memory(process.pid, 1 << 50)
        assert 80 << 20 < both < 160 << 20
        assert 80 << 20 < usage.memory(process.pid, 1) <= both
        assert psutil.Process(process.pid).children() == [], "the other one's parent has ended"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert usage.memory(process.pid, 1) == 0
    (tmp_path / "deep").mkdir()
    before = usage.disk(tmp_path)
    (tmp_path / "deep" / "file").write_bytes(os.urandom(1 << 20))
    (tmp_path / "link").symlink_to(sys.executable)
    assert 1 << 20 <= usage.disk(tmp_path) - before < 2 << 20
