"""The commands on a service and its Python client, against a real server with its worker."""

import json

import pytest
import yaml

from benchmarks.service_kinds import SMALLEST
from benchmarks.service_server import Server
from safs.checkpoints import save_checkpoint
from safs.client import Client
from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.pruning import prune


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A server with a worker."""
    home = tmp_path_factory.mktemp("home")
    (home / "settings.yaml").write_text(yaml.safe_dump({"lease_seconds": 2, "niceness": 0}))
    with Server(home, "--settings", home / "settings.yaml") as made:
        yield made.start()
        assert made.stop() == 130, made.said()


@pytest.fixture
def client(running, request, monkeypatch):
    """Somebody who may submit, by this and by the command line."""
    token = running.make_token(request.node.name)
    monkeypatch.setenv("SAFS_SERVER", running.url)
    monkeypatch.setenv("SAFS_TOKEN", token)
    with Client(running.url, token) as made:
        yield made


@pytest.fixture
def arguments(tmp_path):
    """What `safs submit` is given: a config with `prune` and `pretrain`, and a checkpoint that is pruned already."""
    config, checkpoint = tmp_path / "tiny.yaml", tmp_path / "pruned.pt"
    config.write_text(yaml.safe_dump(SMALLEST))
    network = make_model("lenet5", seed=0)
    mask = prune(network, 0.9)
    apply_mask(network, mask)
    save_checkpoint(checkpoint, network, mask)
    return "submit", "--config", config, "--checkpoint", checkpoint


@pytest.fixture
def study(call_safs, client, arguments):
    """The id of a study that was submitted."""
    code, out, err = call_safs(*arguments)
    assert code == 0, err
    assert "pruned already" in err
    return out.strip()


def up_to(events, is_last):
    """Return the events up to one."""
    seen = []
    for event in events:
        seen.append(event)
        if is_last(event):
            return seen
    pytest.fail("it has ended without such an event")


def test_a_study_from_submit_to_delete(client, study, call_safs, refused, start_safs, snapshot, tmp_path):
    known = [found["id"] for found in json.loads(call_safs("list", "-o", "json")[1])]
    assert known == [study]
    assert study in call_safs("list", "--state", "queued", "--state", "running", "--name", "tiny")[1]
    assert "wait for its end" in refused("fetch", study, "--out", tmp_path / "early")

    up_to(client.events(study), lambda event: event.type == "state" and event.data["state"] == "RUNNING")
    code, out, _ = call_safs("cancel", study)
    assert (code, out.split(maxsplit=1)[0]) == (0, study)
    code, out, _ = call_safs("status", study, "--watch", "-o", "json")
    assert (code, json.loads(out)["state"]) == (1, "CANCELED")

    assert call_safs("resume", study) == (0, f"{study} QUEUED\n", "")
    following = start_safs("logs", study, "-f")
    code, out, err = call_safs("status", study, "--watch")
    assert (code, "SUCCEEDED" in out) == (0, True), err
    trials = list(client.trials(study))
    assert [line.split()[2] for line in err.splitlines() if line.startswith("  ")] == [trial.id for trial in trials]
    told, complaints = following.communicate(timeout=30)
    assert (following.returncode, complaints) == (0, "")
    assert call_safs("logs", study) == (0, told, "")
    assert client.log(study, -10).content == told.encode()[-10:]
    assert client.log(study, -10).next == len(told.encode())

    found = json.loads(call_safs("status", study, "-o", "json")[1])
    assert found["summary"]["rows"]
    assert (found["state"], found["progress"]["trials"]) == ("SUCCEEDED", len(trials))

    folder = tmp_path / "fetched"
    code, out, err = call_safs("fetch", study, "--out", folder)
    assert (code, out) == (0, f"{folder}\n"), err
    assert {"journal.jsonl", "report.html", "summary.json"} <= {path.name for path in folder.iterdir()}
    log = folder / "trials" / trials[0].id / "log.txt"
    assert call_safs("logs", study, "--trial", trials[0].id) == (0, log.read_text(), "")
    assert log.read_text()
    whole = snapshot(folder)
    code, out, err = call_safs("fetch", study, "--out", folder)
    assert (code, err.count("\n"), snapshot(folder)) == (0, 1, whole)

    assert call_safs("delete", study) == (0, "", f"{study} is deleted.\n")
    assert "no such study" in refused("status", study)
    assert json.loads(call_safs("list", "-o", "json")[1]) == []


@pytest.mark.thorough
def test_no_stored_event_is_missed_or_doubled_while_the_server_is_killed_and_started_again(running, client, study):
    events = client.events(study)
    seen = up_to(events, lambda event: event.type == "trial")
    running.kill()
    running.start()
    seen += events
    stored = [event for event in client.events(study) if event.type in ("state", "trial")]
    assert [event for event in seen if event.type in ("state", "trial")] == stored
    assert len({event.id for event in stored}) == len(stored)
    assert stored[-1].data["state"] == "SUCCEEDED"
    assert [event.data["n"] for event in stored if event.type == "trial"] == [trial.n for trial in client.trials(study)]
