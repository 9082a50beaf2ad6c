"""The files of studies: artifacts, logs, and what the page draws of them."""

import http.client
import json

import pytest

from safs.service.states import State
from tests.safs.service.api.submitting import refused, trial


@pytest.fixture
def files(server, study):
    """The folder of a study, with a few files."""
    folder = server.home / "studies" / study
    (folder / "run" / "figures").mkdir(parents=True)
    (folder / "run" / "summary.json").write_text('{"rows": []}')
    (folder / "run" / "figures" / "curve.png").write_bytes(bytes(range(256)) * 40)
    (folder / "run" / ".hidden").write_text("x")
    (folder / "run" / "link").symlink_to("/etc/passwd")
    (folder / "run" / "away").symlink_to(server.home)
    (folder / "log.txt").write_text("hello\n" * 3)
    return folder


def test_artifacts_are_listed_and_downloaded_in_ranges(client, study, run, files):
    summary = f"/v1/studies/{study}/artifacts/summary.json"
    assert "The study is QUEUED" in refused(client.get(summary), 409)
    proceed = run(study)
    assert "The study is RUNNING" in refused(client.get(summary), 409)
    proceed(state=State.SUCCEEDED)
    found = client.get(f"/v1/studies/{study}/artifacts").json()["artifacts"]
    assert [(one["path"], one["size"]) for one in found] == [("summary.json", 12), ("figures/curve.png", 10240)]
    url = f"/v1/studies/{study}/artifacts/figures/curve.png"
    whole = client.get(url)
    assert whole.content == (files / "run" / "figures" / "curve.png").read_bytes()
    assert whole.headers["content-type"] == "application/octet-stream"
    assert "attachment" in whole.headers["content-disposition"]
    part = client.get(url, headers={"Range": "bytes=100-199", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert client.get(url, headers={"Range": "bytes=100-", "If-Range": '"other"'}).status_code == 200
    for wanted in ("bytes=20000-", f"bytes={'9' * 30}-", "bytes=-0"):
        assert client.get(url, headers={"Range": wanted}).status_code == 416
    for none in ("bytes=5-2", "bytes=-", "bytes=0-1,4-5", "lines=1-2"):
        assert client.get(url, headers={"Range": none}).content == whole.content
    assert client.get(url, headers={"Range": f"Bytes=10000-{'9' * 30}"}).content == whole.content[10_000:]
    tag = whole.headers["etag"]
    for tags in (f'"other", {tag}', f"W/{tag}", "*"):
        known = client.get(url, headers={"If-None-Match": tags})
        assert (known.status_code, known.content) == (304, b"")
    assert client.get(url, headers={"If-None-Match": '"other", W/"*"'}).status_code == 200
    head = client.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10240")


OUTSIDE = [
    "../config.yaml", "../../safs.db", "%2e%2e/config.yaml", "..%2fconfig.yaml", "/etc/passwd", "%2fetc%2fpasswd",
    "link", "away/safs.db", ".hidden", "figures", "", "nothing", "summary.json/x", "a%00b", "figures/../../log.txt",
]  # fmt: skip


def test_no_path_leaves_the_folder(server, client, study, files):
    client.post(f"/v1/studies/{study}/cancel")
    for path in OUTSIDE:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)  # which leaves paths as they are
        connection.request("GET", f"/v1/studies/{study}/artifacts/{path}", headers=dict(client.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status in (404, 422), (path, content)
        assert json.loads(content)["status"] == answer.status


def test_the_log_is_read_in_parts(client, study, files):
    first = client.get(f"/v1/studies/{study}/log")
    assert (first.text, first.headers["x-next-offset"], first.headers["x-complete"]) == ("hello\n" * 3, "18", "false")
    assert client.get(f"/v1/studies/{study}/log", params={"offset": 12}).text == "hello\n"
    assert client.get(f"/v1/studies/{study}/log", params={"offset": -6}).text == "hello\n"
    past = client.get(f"/v1/studies/{study}/log", params={"offset": 1000})
    assert (past.text, past.headers["x-next-offset"]) == ("", "18")
    (files / "log.txt").write_bytes(b"x" * 300_000)
    first = client.get(f"/v1/studies/{study}/log")
    assert (len(first.content), first.headers["x-next-offset"]) == (256 * 1024, str(256 * 1024))
    client.post(f"/v1/studies/{study}/cancel")
    last = client.get(f"/v1/studies/{study}/log", params={"offset": 256 * 1024})
    assert last.headers["x-complete"] == "true"
    refused(client.get(f"/v1/studies/{study}/trials/{'0' * 16}/log"), 404)
    refused(client.get(f"/v1/studies/{study}/trials/..%2f..%2f/log"), 404)


def test_the_picture(client, study, run, files):
    proceed = run(study)
    (files / "run" / "journal.jsonl").write_text(
        '{"kind": "inputs"}\n{"kind": "problem", "sites": [{"name": "relu1", "operator": "relu", "shape": [6]}]}\n'
    )
    nan = {"status": "FAILED", "reason": "NAN", "cost": None}
    folds = [trial(n, "safs", protocol={"lr": 0.1, "optimizer": "sgd"}, cost=n / 2, fold=n % 2) for n in (5, 6)]
    everywhere = [trial(2, "uniform", cost=0.75), trial(3, "uniform", **nan)]
    searched = [trial(4, cost=3.0), trial(7, cost=0.5), trial(8, **nan)]
    proceed(trial(1, "dense"), *everywhere, searched[0], *folds, *searched[1:], trial(9, "stage2", **nan))
    drawn = client.get(f"/v1/studies/{study}/picture").json()
    assert drawn["sites"] == [{"name": "relu1", "original": "relu"}]
    assert drawn["operators"] == ["relu", "srs", "tanh"]
    assert [(one["n"], one["phase"], one["cost"], one["best"], one["reason"]) for one in drawn["stage1"]] == [
        (2, "uniform", 0.75, 0.75, None), (3, "uniform", None, 0.75, "NAN"), (4, "stage1", 3.0, 0.75, None),
        (7, "stage1", 0.5, 0.5, None), (8, "stage1", None, 0.5, "NAN"),
    ]  # fmt: skip
    assert [(one["phase"], one["cost"], one["folds"], one["lr"], one["reason"]) for one in drawn["stage2"]] == [
        ("safs", 2.75, 2, 0.1, None), ("stage2", None, 1, 0.01, "NAN")
    ]  # fmt: skip
    assert (drawn["chosen"], drawn["rows"]) == (None, None)
