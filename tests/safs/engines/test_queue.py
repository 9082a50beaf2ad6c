from safs.engines.queue import TrialQueue


def test_the_background_waits_for_all_others_and_what_is_put_back_goes_first():
    queue = TrialQueue()
    queue.put("rows", background=True)
    queue.put("a")
    queue.put("b")
    queue.put_back("again")
    assert len(queue) == 4
    assert [queue.take() for _ in range(4)] == ["again", "a", "b", "rows"]
    assert not queue
    for name in "xyz":
        queue.put(name, background=True)
    queue.put("a")
    queue.hurry(lambda name: name == "y")
    assert [queue.take() for _ in range(4)] == ["a", "y", "x", "z"]
    queue.put("c", background=True)
    queue.put("d")
    queue.clear()
    assert len(queue) == 0
