"""What happens when a lease is lost."""

import threading

from safs.service.worker.keeper import Held


def test_what_is_to_be_done_when_a_lease_is_lost_is_done_once():
    done = []
    held = Held(None, 0.0)
    held.when_lost(lambda: done.append("first"))
    threads = [threading.Thread(target=held.lose) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == ["first"]
    held.when_lost(lambda: done.append("late"))
    assert done == ["first", "late"]
    held = Held(None, 0.0)
    held.when_lost(lambda: done.append("never"))
    held.forget()
    held.lose()
    assert done == ["first", "late"]
