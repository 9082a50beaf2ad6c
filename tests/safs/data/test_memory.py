import pytest

from safs.data import memory
from safs.data.memory import check_room, free_host_memory, no_memory
from spaces.errors import SafsError


@pytest.fixture
def group(tmp_path):
    """A control group with a limit of 1,000 bytes, 900 of them used: 500 by files, of which 30 are temporary."""
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 400\nfile 500\nshmem 30\ninactive_file 300\nactive_file 170\n")
    return tmp_path


def test_free_is_what_the_machine_or_the_container_has_left(monkeypatch):
    assert 2**20 < free_host_memory() < 2**50
    monkeypatch.setattr(memory, "_container_memory", lambda group: 12345)
    assert free_host_memory() == 12345
    monkeypatch.setattr(memory, "_machine_memory", lambda: 123)
    assert free_host_memory() == 123


def test_files_that_a_container_has_read_give_way(group):
    assert memory._container_memory(group) == 1000 - 900 + 470


@pytest.mark.parametrize("name", ["memory.max", "memory.current", "memory.stat"])
def test_a_container_without_a_limit_has_all(group, name):
    text = "max\n" if name == "memory.max" else ""
    (group / name).write_text(text)
    assert memory._container_memory(group) == 2**63
    (group / name).unlink()
    assert memory._container_memory(group) == 2**63


def test_images_may_take_what_is_free(monkeypatch):
    monkeypatch.setattr(memory, "free_host_memory", lambda: 2_400_000_000)
    check_room((1000, 3, 100, 1000), 8)
    check_room((1000, 3, 100, 1000), 4, beside=1_200_000_000)
    message = (
        r"^Reading 1,000 images of 3×100×1001 takes 2\.4 GB of the host's memory, but only 2\.4 GB are free; "
        r"make them smaller by `data\.image_size`, or use fewer\.$"
    )
    with pytest.raises(SafsError, match=message):
        check_room((1000, 3, 100, 1001), 8)
    with pytest.raises(SafsError, match=r"takes 3\.6 GB"):
        check_room((1000, 3, 100, 1000), 8, beside=1_200_000_000)


def test_only_errors_of_memory_are_taken_for_such():
    assert no_memory(RuntimeError("a shape that does not fit")) is None
    assert no_memory(RuntimeError("CUDA error: out of memory")) is None
    assert no_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    assert "`data.image_size`" in str(no_memory(MemoryError()))
