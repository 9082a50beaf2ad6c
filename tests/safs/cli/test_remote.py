"""The commands on a service, against a stub of it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from safs.client.token import store_token
from tests.safs.client.stub import ID, TOKEN, Stub, answer, drop, events, logged, problem, ranges, study

ROOT = Path(__file__).parents[3]
PATH = f"/studies/{ID}"
VERBS = ("submit", "list", "status", "logs", "cancel", "resume", "delete", "fetch")
SUMMARY = {"rows": [{"name": "safs", "test_accuracy": {"mean": 61.63, "std": 1.2, "n": 3}}]}
TRIAL = {"n": 1, "id": "0" * 16, "phase": "stage1", "status": "SUCCEEDED", "cost": 0.93, "seconds": 1.2}
PROGRESS = {"phase": "stage1", "done": 0.4, "seconds_left": 95.0, "trials": 1, "running": [{"id": "1" * 16}]}


@pytest.fixture
def stub(monkeypatch, tmp_path):
    with Stub() as server:
        monkeypatch.setenv("SAFS_SERVER", server.url)
        monkeypatch.setenv("SAFS_TOKEN", TOKEN)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        yield server


_HELP_OF_EACH = """
import os, sys
from safs.cli import main
for verb in sys.argv[1:]:
    if (child := os.fork()) == 0:
        sys.argv = ["safs", verb, "--help"]
        try:
            main()
        finally:
            print(verb, "has loaded", *sorted(sys.modules), flush=True)
            os._exit(0)
    os.waitpid(child, 0)
"""


def test_help_loads_nothing_heavy():
    command = [sys.executable, "-c", _HELP_OF_EACH, *VERBS]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.count("--token-file") == len(VERBS), done.stderr
    loaded = dict(re.findall(r"^(\w+) has loaded (.*)$", done.stdout, re.MULTILINE))
    heavy = {"torch", "ray", "httpx2", "fastapi", "sqlalchemy", "yaml"}
    assert {verb: heavy & set(modules.split()) for verb, modules in loaded.items()} == {verb: set() for verb in VERBS}


@pytest.mark.parametrize("arguments", [[verb, ID] for verb in VERBS[2:7]] + [["list"], ["fetch", ID, "--out", "x"]])
def test_an_error_of_the_service_is_its_sentence(stub, refused, arguments):
    for method in ("GET", "POST", "DELETE"):
        for path in (PATH, "/studies", f"{PATH}/log", f"{PATH}/cancel", f"{PATH}/resume"):
            stub.on(path, problem(403, "The scope of your token is read."), method=method)
    assert refused(*arguments) == "Error: The scope of your token is read.\n"


def test_nobody_there_is_a_failure(call_safs, monkeypatch, stub):
    monkeypatch.setattr("safs.client.patience.Patience.after", lambda self, error: (_ for _ in ()).throw(error))
    stub.on("/studies", drop)
    code, out, err = call_safs("list")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "safs serve" in err


def test_without_a_token_nothing_is_asked(stub, refused, monkeypatch):
    monkeypatch.delenv("SAFS_TOKEN")
    assert "SAFS_TOKEN" in refused("list")
    monkeypatch.setenv("SAFS_TOKEN", TOKEN)
    assert "--insecure" in refused("list", "--server", "http://192.0.2.1")
    assert stub.requests == []


def test_a_token_that_is_refused_is_named_by_where_it_comes_from(stub, refused, monkeypatch, tmp_path):
    stub.on("/studies", problem(401, "A token is needed that is good here."))
    assert "The token in $SAFS_TOKEN is not known" in refused("list")
    file = tmp_path / "mine"
    file.write_text(TOKEN)
    assert f"The token in {file} is not known" in refused("list", "--token-file", file)
    monkeypatch.delenv("SAFS_TOKEN")
    stored = store_token(TOKEN, 1).file
    assert f"The token in {stored} is not known" in refused("list")


# submit


@pytest.fixture
def config(tmp_path, stub):
    """The path of a config that is still to be written; the service takes it."""
    stub.on("/me", answer({"limits": {}}))
    stub.on("/studies", answer(study("QUEUED"), 201), method="POST")
    return tmp_path / "digits.yaml"


def sent(stub):
    """Return the parts of the latest form by name."""
    (*_, request) = stub.asked("/studies", "POST")
    text = request.body.decode().replace("\r\n", "\n")
    return dict(re.findall(r'name="(\w+)".*?\n\n(.*?)\n--', text, re.DOTALL))


def test_a_config_is_sent_as_it_was_written(stub, config, call_safs):
    config.write_text("# mine\nmodel: {name: lenet5, pretrain: {epochs: 1}}\n")
    code, out, err = call_safs("submit", "--config", config)
    assert (code, out) == (0, f"{ID}\n")
    assert f"safs status {ID} --watch" in err
    assert sent(stub) == {"config": config.read_text(), "priority": "0", "name": "digits"}


def test_settings_are_laid_over_and_files_take_the_place_of_paths(stub, config, call_safs, tmp_path):
    (tmp_path / "pruned.pt").write_text("weights")
    (tmp_path / "mask.pt").write_text("mask")
    config.write_text(f"model: {{name: lenet5, checkpoint: {tmp_path}/pruned.pt, mask: {tmp_path}/none.pt}}\n")
    arguments = ["--set", "stage1.iterations=5", "--mask", tmp_path / "mask.pt", "--name", "é", "--priority", "7"]
    code, out, _ = call_safs("submit", "--config", config, *arguments, "-o", "json")
    assert (code, json.loads(out)["id"]) == (0, ID)
    expected = {"config": "model:\n  name: lenet5\nstage1:\n  iterations: 5\n", "priority": "7", "name": "é"}
    assert sent(stub) == expected | {"checkpoint": "weights", "mask": "mask"}


def test_what_the_server_remarks_is_said(stub, config, call_safs):
    stub.on("/studies", answer(study(message="It is pruned already."), 201), method="POST")
    config.write_text("model: lenet5\n")
    code, out, err = call_safs("submit", "--config", config)
    assert (code, out) == (0, f"{ID}\n")
    assert err.startswith("It is pruned already.\n")


def test_what_cannot_be_submitted_is_one_line(stub, config, refused, tmp_path):
    assert "digits.yaml" in refused("submit", "--config", config)
    config.write_text("model: lenet5\nmodel: lenet5\n")
    assert "twice" in refused("submit", "--config", config)
    config.write_text("model: {name: lenet5, checkpoint: [1]}\n")
    assert "model.checkpoint" in refused("submit", "--config", config)
    config.write_text("model: {name: lenet5, checkpoint: none.pt}\n")
    assert "none.pt" in refused("submit", "--config", config)
    assert "--set" in refused("submit", "--config", config, "--set", "x")
    stub.on("/studies", problem(422, "stage1.iteration: unknown key."), method="POST")
    config.write_text("stage1: {iteration: 3}\n")
    assert refused("submit", "--config", config) == "Error: stage1.iteration: unknown key.\n"


def test_a_config_is_read_once(stub, config, call_safs):
    os.mkfifo(config)
    writer = threading.Thread(target=lambda: config.write_text("model: lenet5\n"))
    writer.start()
    assert call_safs("submit", "--config", config)[0] == 0
    writer.join()
    assert sent(stub)["config"] == "model: lenet5\n"


def test_a_study_is_called_after_its_file_as_far_as_that_can_be(stub, config, call_safs):
    odd = config.with_name("a\udcff\\" + "b" * 120 + ".yaml")
    odd.write_text("model: lenet5\n")
    assert call_safs("submit", "--config", odd)[0] == 0
    assert sent(stub)["name"] == ("a??" + "b" * 120)[:100]


# list and status


def test_the_list_is_a_table_or_json(stub, call_safs):
    odd = study("FAILED", reason="OOM", name="[red]\x1b[2J", created="2026-11-21T22:18:56.123Z", progress=PROGRESS)
    stub.on("/studies", answer({"studies": [odd, study(progress=PROGRESS | {"done": 0.996})], "next": None}))
    code, out, _ = call_safs("list", "--state", "failed", "--state", "RUNNING", "--name", "x", "--limit", "7")
    assert (code, out.count(ID)) == (0, 2)
    assert "\x1b" not in out
    for words in ("FAILED (OOM)", "40 %", "99 %", "[red]?[2J"):
        assert words in out
    assert stub.requests[0].query == [("state", "FAILED"), ("state", "RUNNING"), ("name", "x"), ("limit", "7")]
    code, out, _ = call_safs("list", "-o", "json", "--limit", "1")
    assert [found["reason"] for found in json.loads(out)] == ["OOM"]


def test_an_empty_list_is_said_and_an_unknown_state_refused(stub, call_safs, refused):
    stub.on("/studies", answer({"studies": [], "next": None}))
    assert call_safs("list") == (0, "", "There are no studies.\n")
    assert json.loads(call_safs("list", "-o", "json")[1]) == []
    assert "'fail'. Did you mean 'failed'?" in refused("list", "--state", "fail")
    assert "'FAIL'. Did you mean 'FAILED'?" in refused("list", "--state", "FAIL")
    assert "'nope'. Choices: canceled" in refused("list", "--state", "nope")


def test_the_status_is_a_table_or_json(stub, call_safs):
    stub.on(PATH, answer(study(progress=PROGRESS)), answer(study("SUCCEEDED", summary=SUMMARY)))
    code, out, _ = call_safs("status", ID)
    assert (code, "40 %" in out, "1 min 35 s" in out, "11111111" in out) == (0, True, True, True)
    assert "61.6 ± 1.2 %" in call_safs("status", ID)[1]
    assert json.loads(call_safs("status", ID, "-o", "json")[1])["summary"] == SUMMARY


@pytest.mark.parametrize(("end", "expected"), [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELED", 1)])
@pytest.mark.parametrize("terminal", ["", "1"])
def test_a_study_is_watched_to_its_end(stub, call_safs, monkeypatch, end, expected, terminal):
    monkeypatch.setenv("FORCE_COLOR", terminal)
    lines = [(1, "state", {"state": "RUNNING"}), (None, "progress", PROGRESS), (2, "trial", TRIAL)]
    stub.on(f"{PATH}/events", events(*lines, (None, "novelty", 3), (3, "state", {"state": end, "reason": None})))
    stub.on(PATH, answer(study("QUEUED")), answer(study(end)))
    code, out, err = call_safs("status", ID, "--watch")
    assert code == expected
    assert end in out
    if not terminal:
        assert err.splitlines() == ["RUNNING", "stage1", f"  1 stage1 {'0' * 16} SUCCEEDED cost 0.9300 in 1.2 s", end]


def test_an_event_that_is_not_understood_is_one_line(stub, call_safs):
    stub.on(f"{PATH}/events", events((1, "trial", {"id": 3})))
    stub.on(PATH, answer(study("QUEUED")))
    code, out, err = call_safs("status", ID, "--watch")
    assert (code, out, err) == (1, "", "Error: The service sent an event 'trial' that is not understood.\n")


def test_what_is_submitted_can_be_watched(stub, config, call_safs):
    config.write_text("seed: 1\n")
    stub.on(PATH, answer(study("FAILED", reason="OOM")))
    stub.on(f"{PATH}/events", events())
    code, out, err = call_safs("submit", "--config", config, "--watch", "-o", "json")
    assert (code, json.loads(out)["reason"]) == (1, "OOM")
    assert err == f"Submitted as {ID}.\n"


@pytest.mark.parametrize("command", [["status", ID, "--watch"], ["logs", ID, "-f"]])
def test_ctrl_c_leaves_the_study_running_and_says_so(stub, start_safs, command):
    waiting = []

    def wait(handler, request):
        waiting.append(1)
        time.sleep(20)

    stub.on(PATH, answer(study()))
    stub.on(f"{PATH}/events", wait)
    stub.on(f"{PATH}/log", wait)
    process = start_safs(*command)
    deadline = time.monotonic() + 60
    while not waiting and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("The study goes on without you")
    assert err.count("\n") == 1


# the rest


def test_logs(stub, call_safs, refused):
    first, rest = (answer("α 1\n".encode()[part], X_Next_Offset=n) for part, n in ((slice(1), 1), (slice(1, None), 5)))
    stub.on(f"{PATH}/log", first, rest, logged("", 5, complete=True))
    assert call_safs("logs", ID, "-f") == (0, "α 1\n", "")
    stub.on(f"{PATH}/trials/{'0' * 16}/log", logged("epoch 1\n", 8), logged("epoch 2\n", 16, complete=True))
    assert call_safs("logs", ID, "--trial", "0" * 16) == (0, "epoch 1\nepoch 2\n", "")
    assert "leave out -f" in refused("logs", ID, "-f", "--trial", "0" * 16)


def test_cancel_resume_delete(stub, call_safs, refused):
    stub.on(f"{PATH}/cancel", answer(study(cancelling=True), 202), answer(study("CANCELED"), 202), method="POST")
    assert call_safs("cancel", ID) == (0, f"{ID} RUNNING, cancelling\n", "")
    assert call_safs("cancel", ID) == (0, f"{ID} CANCELED\n", "")
    stub.on(f"{PATH}/resume", answer(study("QUEUED"), 202), method="POST")
    assert call_safs("resume", ID) == (0, f"{ID} QUEUED\n", "")
    stub.on(PATH, answer(b"", 204), method="DELETE")
    assert call_safs("delete", ID) == (0, "", f"{ID} is deleted.\n")
    assert "24 digits" in refused("delete", "../me")


def test_fetch(stub, call_safs, tmp_path):
    stub.on(PATH, answer(study("SUCCEEDED")))
    stub.on(f"{PATH}/artifacts", answer({"artifacts": [{"path": "a/b.json", "size": 2}]}))
    stub.on(f"{PATH}/artifacts/a/b.json", ranges(b"{}"))
    code, out, err = call_safs("fetch", ID, "--out", tmp_path / "out")
    assert (code, out) == (0, f"{tmp_path / 'out'}\n")
    assert "a/b.json (2 bytes)" in err
    assert (tmp_path / "out" / "a" / "b.json").read_text() == "{}"
