"""Studies: looked at, followed, changed, deleted."""

import http.client
import json
import time

import pytest

from safs.service.scopes import Scope
from safs.service.states import Reason, State
from safs.service.store import leases, lifecycle, studies, tokens, trials
from tests.safs.service.api.submitting import refused, submitted


def trial(n, phase="stage1", **values):
    usual = {
        "n": n, "id": f"{n:016x}", "phase": phase, "status": "SUCCEEDED", "reason": None, "cost": 1.0 / n,
        "accuracy": None, "seconds": 0.1, "assignment": ["relu", "srs", "relu", "tanh"], "protocol": {"lr": 0.01},
        "fold": None, "learn": False, "peak_memory": None,
    }  # fmt: skip
    return usual | values


@pytest.fixture
def study(client):
    return submitted(client, {}).json()["id"]


@pytest.fixture
def run(server):
    """Lets a study run, as its worker would: returns a function that stores trials, and ends it in a state."""

    def begin(id):
        lease = None
        while lease is None or lease.study_id != id:  # those of other tests are nobody's
            lease = leases.claim(server.database, "test", 600)
            assert lease is not None

        def proceed(*ended, state=None, reason=None, message=None, progress=None):
            with server.database.writing() as connection:
                trials.add(connection, id, ended)
                if progress is not None:
                    studies.set_progress(connection, id, progress)
                if state is not None:
                    now = server.database.now(connection)
                    assert lifecycle.transition(
                        connection, id, State.RUNNING, state,
                        lease=lease.name, reason=reason, message=message, ended=now,
                    )  # fmt: skip

        return proceed

    return begin


def followed(client, id, **options):
    """Follow a study to its end: yield its events as they come."""
    until = time.monotonic() + 60
    with client.stream("GET", f"/v1/studies/{id}/events", **options) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event = {}
        for line in answer.iter_lines():
            assert time.monotonic() < until, "nothing but heartbeats comes"
            if not line:
                if "event" in event:
                    yield event.get("id"), event["event"], json.loads(event["data"])
                event = {}
            else:
                key, _, value = line.partition(": ")
                event[key] = value


def test_a_study_from_its_queue_to_its_end(client, study, run):
    assert client.get(f"/v1/studies/{study}").json()["state"] == "QUEUED"
    proceed = run(study)
    running = client.get(f"/v1/studies/{study}").json()
    assert (running["state"], running["attempts"], running["ended"]) == ("RUNNING", 1, None)
    assert running["started"] > running["created"]
    proceed(
        trial(1), trial(2), progress={"phase": "stage1", "done": 0.5, "seconds_left": 1, "trials": 2, "running": []}
    )
    assert client.get(f"/v1/studies/{study}").json()["progress"]["done"] == 0.5
    proceed(state=State.FAILED, reason=Reason.OOM, message="It took too much.")
    ended = client.get(f"/v1/studies/{study}").json()
    assert (ended["state"], ended["reason"], ended["message"]) == ("FAILED", "OOM", "It took too much.")
    assert ended["ended"] >= ended["started"]
    found = client.get(f"/v1/studies/{study}/trials", params={"limit": 1}).json()
    assert ([one["n"] for one in found["trials"]], found["next"]) == ([1], 1)
    found = client.get(f"/v1/studies/{study}/trials", params={"after": 1}).json()
    assert ([one["n"] for one in found["trials"]], found["next"]) == ([2], None)


def test_pages_and_filters(client, server):
    with server.client(server.make_token("lister")) as mine:
        ids = [submitted(mine, {}, name=f"list {n}").json()["id"] for n in range(3)]
        page = mine.get("/v1/studies", params={"limit": 2}).json()
        assert [one["id"] for one in page["studies"]] == ids[:0:-1]
        assert page["next"] == ids[1]
        rest = mine.get("/v1/studies", params={"limit": 2, "after": page["next"]}).json()
        assert ([one["id"] for one in rest["studies"]], rest["next"]) == ([ids[0]], None)
        assert len(mine.get("/v1/studies", params={"name": "LIST 1"}).json()["studies"]) == 1
        assert mine.get("/v1/studies", params={"state": ["RUNNING", "FAILED"]}).json()["studies"] == []
        assert len(mine.get("/v1/studies", params={"state": "QUEUED"}).json()["studies"]) == 3
        for bad in ({"limit": 0}, {"limit": 201}, {"state": "DONE"}, {"after": "x"}, {"name": "x" * 101}):
            refused(mine.get("/v1/studies", params=bad), 422)


def test_misspelt_parameters_are_refused(client, server, study):
    for path in ("/v1/studies?stat=RUNNING", f"/v1/studies/{study}?limit=3", f"/v1/studies/{study}/log?ofset=0"):
        answer = client.get(path)
        assert "Unknown parameter" in refused(answer, 422)
        assert answer.json()["field"] in ("stat", "limit", "ofset")
    with server.client(None) as nobody:
        refused(nobody.get("/v1/studies?stat=RUNNING"), 401)


def test_a_study_is_its_owners_and_the_administrators(server, study):
    with (
        server.client(server.make_token("stranger")) as stranger,
        server.client(server.make_token("root", Scope.ADMIN)) as admin,
    ):
        for path in ("", "/config", "/trials", "/events", "/log", "/artifacts", "/picture", "/artifacts/summary.json"):
            refused(stranger.get(f"/v1/studies/{study}{path}"), 404)
        for path in ("/cancel", "/resume"):
            refused(stranger.post(f"/v1/studies/{study}{path}"), 404)
        refused(stranger.delete(f"/v1/studies/{study}"), 404)
        assert admin.get(f"/v1/studies/{study}").status_code == 200
        assert study in [one["id"] for one in admin.get("/v1/studies", params={"limit": 200}).json()["studies"]]


def test_a_token_that_reads_changes_nothing(server, study):
    with server.client(server.make_token("only reads", Scope.READ)) as reader:
        refused(reader.post(f"/v1/studies/{study}/cancel"), 403)
        refused(reader.post(f"/v1/studies/{study}/resume"), 403)
        refused(reader.delete(f"/v1/studies/{study}"), 403)


def test_cancel_resume_delete(client, server, study):
    assert "only one that FAILED or was CANCELED" in refused(client.post(f"/v1/studies/{study}/resume"), 409)
    assert "cancel it before" in refused(client.delete(f"/v1/studies/{study}"), 409)
    canceled = client.post(f"/v1/studies/{study}/cancel")
    assert (canceled.status_code, canceled.json()["state"]) == (202, "CANCELED")
    assert "CANCELED already" in refused(client.post(f"/v1/studies/{study}/cancel"), 409)
    resumed = client.post(f"/v1/studies/{study}/resume")
    assert (resumed.status_code, resumed.json()["state"]) == (202, "QUEUED")
    client.post(f"/v1/studies/{study}/cancel")
    assert (server.home / "studies" / study).is_dir()
    assert client.delete(f"/v1/studies/{study}").status_code == 204
    assert not (server.home / "studies" / study).exists()
    refused(client.get(f"/v1/studies/{study}"), 404)
    refused(client.delete(f"/v1/studies/{study}"), 404)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_what_has_ended_is_not_canceled_and_what_succeeded_not_resumed(state, client, study, run):
    run(study)(state=state)
    assert f"{state} already" in refused(client.post(f"/v1/studies/{study}/cancel"), 409)
    if state is State.SUCCEEDED:
        assert "only one that FAILED or was CANCELED" in refused(client.post(f"/v1/studies/{study}/resume"), 409)
    assert client.get(f"/v1/studies/{study}").json()["state"] == state


def test_a_running_study_is_neither_resumed_nor_deleted(client, study, run):
    run(study)
    assert "The study is RUNNING; only one that" in refused(client.post(f"/v1/studies/{study}/resume"), 409)
    assert "The study is RUNNING; cancel it" in refused(client.delete(f"/v1/studies/{study}"), 409)
    assert client.get(f"/v1/studies/{study}").json()["state"] == "RUNNING"


def test_a_running_study_is_canceled_by_its_worker(client, study, run):
    proceed = run(study)
    answer = client.post(f"/v1/studies/{study}/cancel").json()
    assert (answer["state"], answer["cancelling"]) == ("RUNNING", True)
    proceed(state=State.CANCELED)
    assert client.get(f"/v1/studies/{study}").json()["cancelling"] is False


def test_events_are_followed_to_the_end_and_from_anywhere(client, study, run):
    proceed = run(study)
    progress = {"phase": "stage1", "done": 0.5, "seconds_left": 1.0, "trials": 1, "running": []}
    events = []
    for event in followed(client, study):  # each comes before the next is there
        events.append(event)
        _, kind, data = event
        if data.get("state") == "RUNNING":
            proceed(trial(1))
        elif (kind, data.get("n")) == ("trial", 1):
            proceed(progress=progress)
        elif kind == "progress":
            proceed(trial(2), state=State.SUCCEEDED)
    stored = [event for event in events if event[0] is not None]
    assert [(kind, data.get("state") or data["n"]) for _, kind, data in stored] == [
        ("state", "QUEUED"), ("state", "RUNNING"), ("trial", 1), ("trial", 2), ("state", "SUCCEEDED")
    ]  # fmt: skip
    assert (None, "progress", progress) in events
    numbers = [int(number) for number, _, _ in stored]
    assert numbers == sorted(numbers)
    assert list(followed(client, study, headers={"Last-Event-ID": ""})) == list(followed(client, study))
    rest = followed(client, study, headers={"Last-Event-ID": str(numbers[2])})
    assert [event for event in rest if event[0] is not None] == stored[3:]
    rest = followed(client, study, params={"after": numbers[3]})
    assert [event for event in rest if event[0] is not None] == stored[4:]
    for bad in ("x", "-1", "9" * 30):
        refused(client.get(f"/v1/studies/{study}/events", headers={"Last-Event-ID": bad}), 422)


def test_a_revoked_token_follows_nothing_any_more(server, run):
    with server.client(server.make_token("to be revoked")) as mine:
        id = submitted(mine, {}).json()["id"]
        proceed = run(id)
        with mine.stream("GET", f"/v1/studies/{id}/events", timeout=60) as answer:
            lines = answer.iter_lines()
            while "RUNNING" not in next(lines):
                pass
            with server.database.writing() as connection:
                tokens.revoke(connection, "to be revoked")
            proceed(trial(1))
            assert "trial" not in "".join(lines), "and it ends"
        refused(mine.get(f"/v1/studies/{id}"), 401)


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


def test_names_that_are_none(client):
    for id in ("x", "A" * 24, "0" * 23, "..%2f..", "0" * 24 + "%0a"):
        assert client.get(f"/v1/studies/{id}").status_code in (404, 422)
    refused(client.get(f"/v1/studies/{'0' * 24}"), 404)
    refused(client.put("/v1/studies"), 405)
    refused(client.get("/v1/nothing"), 404)


def test_health_metrics_and_the_page(server):
    with server.client(None) as anybody:
        assert anybody.get("/healthz").json() == {"status": "ok"}
        assert anybody.get("/readyz").status_code == 200
        anybody.get(f"/v1/studies/{'0' * 24}/log")
        metrics = anybody.get("/metrics").text
        assert 'safs_studies{state="queued"}' in metrics
        assert 'safs_http_requests_total{method="GET",route="/v1/studies/{id}/log",status="401"}' in metrics
        page = anybody.get("/")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert anybody.get("/static/main.js").headers["content-type"].startswith("text/javascript")
        refused(anybody.get("/static/../settings.py"), 404)
        refused(anybody.get("/static/%2e%2e/settings.py"), 404)


def test_who_asks(server):
    with server.client(server.make_token("me", Scope.READ, most_gpus=0.5, most_queued=3)) as client:
        assert client.get("/v1/me").json() == {
            "name": "me", "scope": "read", "limits": {"queued": 3, "upload_bytes": 2 * 2**30, "gpus": 0.5}
        }  # fmt: skip
