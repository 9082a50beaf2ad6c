import random

import pytest

from safs.client import ServiceError, Unreachable
from safs.client.artifact_paths import MARKER, PART
from spaces.errors import SafsError
from tests.safs.client.stub import ID, answer, drop, half, ranges, study

PATH = f"/studies/{ID}"
TIME = "2026-11-21T22:18:56.123Z"
BODY = random.Random(0).randbytes(100_000)  # the same in all processes of the tests


@pytest.fixture
def serve(stub):
    """Serves a succeeded study with these files."""

    def set_up(files, **more):
        listed = [{"path": path, "size": len(body), "modified": TIME} | more for path, body in files.items()]
        stub.on(PATH, answer(study("SUCCEEDED")))
        stub.on(f"{PATH}/artifacts", answer({"artifacts": listed}))
        for path, body in files.items():
            stub.on(f"{PATH}/artifacts/{path}", ranges(body))

    return set_up


def contents(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if not path.name.startswith(".safs")}


def test_all_files_come_and_nothing_is_fetched_twice(stub, client, serve, tmp_path):
    files = {"summary.json": b"{}", "trials/0a/log.txt": b"", "best/model.safetensors": BODY, "a b%#?.txt": b"x"}
    serve(files)
    stub.on(f"{PATH}/artifacts/a%20b%25%23%3F.txt", ranges(b"x"))
    told = []
    client.fetch(ID, tmp_path / "new" / "out", told.append)
    assert contents(tmp_path / "new" / "out") == files
    assert [file.path for file in told] == list(files)
    (tmp_path / "new" / "out" / "summary.json").write_text("[]")
    client.fetch(ID, tmp_path / "new" / "out", told.append)
    assert contents(tmp_path / "new" / "out") == files
    assert len(told) == 5


def test_a_broken_download_goes_on_in_the_same_call(stub, client, serve, tmp_path):
    serve({"model": BODY})
    stub.on(f"{PATH}/artifacts/model", half(BODY, 60_000, ETag='"v1"'), drop, ranges(BODY))
    client.fetch(ID, tmp_path / "out")
    assert contents(tmp_path / "out") == {"model": BODY}
    last = stub.requests[-1].headers
    assert (last["Range"], last["If-Range"]) == ("bytes=60000-", '"v1"')


def test_a_broken_download_goes_on_in_the_next_call_and_not_with_another_version(stub, client, serve, tmp_path):
    serve({"model": BODY})
    stub.on(f"{PATH}/artifacts/model", half(BODY, 60_000, ETag='"v1"'), drop)
    with pytest.raises(Unreachable):
        client.fetch(ID, tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    stub.on(f"{PATH}/artifacts/model", ranges(BODY[::-1], '"v2"'))
    client.fetch(ID, tmp_path / "out")
    assert stub.requests[-1].headers["Range"] == "bytes=60000-"
    assert contents(tmp_path / "out") == {"model": BODY[::-1]}


def test_without_an_etag_a_download_begins_anew_and_not_for_ever(stub, client, serve, tmp_path):
    serve({"model": BODY})
    stub.on(f"{PATH}/artifacts/model", half(BODY, 60_000))
    with pytest.raises(Unreachable):
        client.fetch(ID, tmp_path / "out")
    asked = stub.asked(f"{PATH}/artifacts/model")
    assert len(asked) == 7
    assert {request.headers["Range"] for request in asked} == {None}


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"more", b""], ids=["shorter", "longer", "nothing"])
def test_a_file_of_another_size_is_not_kept(stub, client, serve, tmp_path, body):
    serve({"model": BODY})
    stub.on(f"{PATH}/artifacts/model", answer(body))
    with pytest.raises(SafsError, match="100,000 bytes"):
        client.fetch(ID, tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    stub.on(f"{PATH}/artifacts/model", ranges(BODY))
    client.fetch(ID, tmp_path / "out")
    assert contents(tmp_path / "out") == {"model": BODY}


@pytest.mark.parametrize(
    "path",
    [
        "/etc/x",
        "../x",
        "a/../../x",
        "a//b",
        "a/",
        ".",
        "",
        "a\\..\\b",
        "C:x",
        "a\0",
        "a\n",
        "x" * 300,
        MARKER,
        PART,
        3,
        None,
    ],
)
def test_a_path_out_of_the_folder_is_refused_before_anything_is_written(stub, client, tmp_path, path):
    stub.on(PATH, answer(study("FAILED")))
    stub.on(f"{PATH}/artifacts", answer({"artifacts": [{"path": "good", "size": 1}, {"path": path, "size": 1}]}))
    with pytest.raises(SafsError, match="refused"):
        client.fetch(ID, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [-1, "1", None, 1.5, True])
def test_a_size_is_a_number_of_bytes(stub, client, tmp_path, size):
    stub.on(PATH, answer(study("FAILED")))
    stub.on(f"{PATH}/artifacts", answer({"artifacts": [{"path": "good", "size": size}]}))
    with pytest.raises(SafsError, match="bytes"):
        client.fetch(ID, tmp_path / "out")


def test_nothing_is_written_through_a_link(client, serve, tmp_path):
    serve({"best/model": b"new", "summary.json": b"new"})
    client.fetch(ID, tmp_path / "out")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("old")
    out = tmp_path / "out"
    (out / "summary.json").unlink()
    (out / "summary.json").symlink_to(outside / "victim")
    (out / PART).symlink_to(outside / "victim")
    with pytest.raises(SafsError, match=r"safs-fetch\.part"):
        client.fetch(ID, out)
    (out / PART).unlink()
    client.fetch(ID, out)
    assert (out / "summary.json").read_text() == "new"
    (out / "best" / "model").unlink()
    (out / "best").rmdir()
    (out / "best").symlink_to(outside)
    with pytest.raises(SafsError, match="link"):
        client.fetch(ID, out)
    assert contents(outside) == {"victim": b"old"}


def test_a_folder_of_something_else_is_left_alone(stub, client, serve, tmp_path):
    serve({"summary.json": b"{}"})
    (tmp_path / "mine").write_text("mine")
    for folder in (tmp_path, tmp_path / "mine"):
        with pytest.raises(SafsError, match=r"not empty|File exists"):
            client.fetch(ID, folder)
    assert contents(tmp_path) == {"mine": b"mine"}
    out = tmp_path / "out"
    client.fetch(ID, out)
    marker = out / MARKER
    marker.write_text(marker.read_text().replace(ID, "f" * 24))
    with pytest.raises(SafsError, match="holds study ffff"):
        client.fetch(ID, out)
    marker.write_text("{")
    with pytest.raises(SafsError, match="damaged"):
        client.fetch(ID, out)


def test_two_fetches_do_not_write_into_one_folder(client, serve, tmp_path):
    serve({"summary.json": b"{}"})

    def fetch_again(artifact):
        with pytest.raises(SafsError, match="Another process"):
            client.fetch(ID, tmp_path / "out")

    client.fetch(ID, tmp_path / "out", fetch_again)
    assert contents(tmp_path / "out") == {"summary.json": b"{}"}


def test_a_running_study_is_not_fetched(stub, client, tmp_path):
    stub.on(PATH, answer(study("RUNNING")))
    with pytest.raises(SafsError, match="--watch"):
        client.fetch(ID, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_study_without_files_makes_no_folder(client, serve, tmp_path):
    serve({})
    with pytest.raises(SafsError, match="has made no files; `safs status"):
        client.fetch(ID, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_gone_is_the_servers_sentence(stub, client, serve, tmp_path):
    serve({"summary.json": b"{}"})
    stub.on(f"{PATH}/artifacts/summary.json")
    with pytest.raises(ServiceError, match="no such thing"):
        client.fetch(ID, tmp_path / "out")


def test_a_full_disk_is_one_sentence(client, serve, small_disk):
    serve({"model": BODY})
    with pytest.raises(SafsError, match="No space left"):
        client.fetch(ID, small_disk(16) / "out")
