import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from safs.cli.live import LiveView, live
from safs.cli.options import Verbosity
from safs.cli.progress import progress
from safs.outcome import Reason, Status, TrialOutcome
from safs.progress.lines import Lines, Warnings
from safs.protocol import Protocol
from safs.spec import TrialSpec

ROOT = Path(__file__).parents[3]
SMALL = ["stage1.iterations=1", "stage2.trials=1", "stage1.operators=[relu,srs]", "report.seeds=1"]
"""Settings that make the small study smaller."""
ERASE = re.compile(r"(?:\r|\x1b\[2K|\x1b\[1A)+")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def trial(number, epochs=15, span=None):
    return TrialSpec("pruned", ("relu",), Protocol(epochs=epochs), number, span=span)


def success(cost=0.5):
    return TrialOutcome(Status.SUCCEEDED, cost=cost, seconds=2.0)


FAILURE = TrialOutcome(Status.FAILED, reason=Reason.NAN, traceback="")


@pytest.fixture
def drawn():
    """Returns what is drawn of a view on a terminal of so many columns and lines."""

    def draw(view, width=100, height=40):
        console = Console(file=StringIO(), force_terminal=True, width=width, height=height, color_system=None)
        view._console = console
        console.print(view.draw())
        lines = console.file.getvalue().splitlines()
        assert max(map(len, lines), default=0) <= width
        return [line.rstrip() for line in lines]

    return draw


@pytest.fixture
def view():
    return LiveView(Console(file=StringIO()))


@pytest.fixture
def printed():
    """Returns the lines that were printed by an observer in plain lines, without the time."""

    def make(every_epoch=False):
        console = Console(file=StringIO(), width=40)
        lines = Lines(console, every_epoch)
        return lines, lambda: [line[11:] for line in console.file.getvalue().splitlines()]

    return make


def pictures(written):
    """Return what stood on a terminal, one text for each time that it was drawn anew."""
    return [CONTROL.sub("", picture) for picture in ERASE.split(written.replace("\r\n", "\n"))]


def line_with(lines, text):
    found = [line for line in lines if text in line]
    assert len(found) == 1, lines
    return found[0].split()


def test_a_running_trial_has_a_row_until_it_ends(view, drawn):
    spec = trial(1)
    view.phase("stage 1", 20)
    view.queued("stage1", spec)
    assert "1 waiting" in drawn(view)
    assert not any(spec.id[:8] in line for line in drawn(view))
    view.started(spec, "node-3")
    assert line_with(drawn(view), spec.id[:8])[1:-1] == ["stage", "1", "0/15", "node-3"]
    view.epoch(spec, 4, 1.23456)
    assert line_with(drawn(view), spec.id[:8])[1:-1] == ["stage", "1", "4/15", "1.2346", "node-3"]
    assert not any("waiting" in line for line in drawn(view))
    view.trial("stage1", spec, success(0.75), cached=False)
    assert len(drawn(view)) == 1, "no table without a trial"
    assert line_with(drawn(view), "stage 1")[-5] == "1/20"
    assert drawn(view)[0].endswith("best cost 0.7500")


def test_a_part_of_a_protocol_counts_its_epochs_up_to_its_own_last(view, drawn):
    spec = trial(1, epochs=20, span=(5, 12))
    view.started(spec, "here")
    view.epoch(spec, 6, 1.0)
    assert "6/12" in line_with(drawn(view), spec.id[:8])


def test_a_lost_trial_waits_and_begins_anew(view, drawn):
    spec = trial(1)
    view.expect(1.0, lambda spec: 1.0)
    view.queued("stage1", spec)
    view.started(spec, "node-3")
    view.epoch(spec, 4, 1.5)
    view.lost(spec, "node-3 [b]died[/b]")
    assert f"Trial {spec.id} was lost, and runs again: node-3 [b]died[/b]" in view._console.file.getvalue()
    view.epoch(spec, 5, 1.4)
    assert "1 waiting" in drawn(view)
    assert line_with(drawn(view), "all")[-3:-1] == ["0", "%"], "whatever the lost worker may say"
    view.started(spec, "node-4")
    assert line_with(drawn(view), spec.id[:8])[1:-1] == ["stage", "1", "0/15", "node-4"]


def test_phases_go_on_side_by_side(view, drawn):
    """Each has its own trials, whichever was announced last, and its own best cost."""
    view.phase("stage 2, safs", 6)
    view.queued("safs", trial(1))
    view.phase("stage 2, stage2", 8)
    view.queued("stage2", trial(2))
    view.trial("stage2", trial(2), success(0.25), cached=False)
    view.trial("safs", trial(1), success(0.75), cached=False)
    view.trial("safs", trial(3), success(0.875), cached=True)
    view.trial("safs", trial(4), FAILURE, cached=False)
    lines = drawn(view)
    assert line_with(lines, "safs")[-5] == "3/6"
    assert line_with(lines, "safs")[-1] == "0.7500"
    assert line_with(lines, "stage2")[-5] == "1/8"
    assert line_with(lines, "stage2")[-1] == "0.2500"


def test_a_phase_that_took_less_than_announced_is_full_when_the_next_begins(view, drawn):
    view.phase("stage 1", 20)
    view.queued("stage1", trial(1))
    view.trial("stage1", trial(1), success(), cached=False)
    assert line_with(drawn(view), "stage 1")[-5] == "1/20"
    view.phase("final rows", 3)
    assert line_with(drawn(view), "stage 1")[-5] == "1/1"
    view.queued("stage1", trial(2))
    assert line_with(drawn(view)[:2], "stage 1")[-5] == "1/20", "it had not ended after all"


def test_trials_that_nobody_announced_are_counted_with_the_latest_phase(view, drawn):
    view.queued("dense", trial(0))
    view.trial("dense", trial(0), success(), cached=False)
    view.phase("lahc", 4)
    view.queued("compare", trial(1))
    view.phase("sa", 4)
    view.queued("compare", trial(2))
    view.trial("compare", trial(1), success(), cached=False)
    view.trial("compare", trial(3), success(), cached=True)
    view.trial("compare", trial(2), success(), cached=False)
    lines = drawn(view)
    assert line_with(lines, "dense network")[-5] == "1/1"
    assert line_with(lines, "lahc")[-5] == "1/4", "where it was queued"
    assert line_with(lines, "sa ")[-5] == "2/4"


@pytest.mark.parametrize(("height", "rows"), [(60, 16), (20, 14), (12, 6), (3, 1)])
def test_more_trials_than_there_is_room_for_are_counted(height, rows, view, drawn):
    view.phase("stage 1", 100)
    for number in range(64):
        view.queued("stage1", trial(number))
        view.started(trial(number), f"node-{number}")
    view.queued("stage1", trial(64))
    lines = drawn(view, height=height)
    assert sum("node-" in line for line in lines) == rows
    assert lines[-1] == f"and {64 - rows} more, 1 waiting"
    assert len(lines) < height or height == 3


@pytest.mark.parametrize("width", [12, 40, 60, 80, 120])
def test_a_narrow_terminal_shows_as_much_as_goes_in(width, view, drawn):
    spec = trial(1)
    view.expect(2.0, lambda spec: 1.0)
    view.phase("a phase with quite a long name", 20)
    view.queued("a phase with quite a long name", spec)
    view.started(spec, "a worker with quite a long name")
    view.epoch(spec, 14, 0.125)
    lines = drawn(view, width)
    assert len(lines) == 5, "no cell has two lines"
    if width >= 40:
        assert line_with(lines, spec.id[:8])
        assert "14/15" in lines[-1]
    if width >= 60:
        assert "0.1250" in lines[-1]
        assert lines[1].endswith("left")


def test_the_work_and_the_time_left_stand_below_the_phases(view, drawn):
    view.phase("stage 1", 4)
    assert len(drawn(view)) == 1
    view.expect(4.0, lambda spec: 1.0)
    assert line_with(drawn(view), "all")[-3:-1] == ["0", "%"], "nothing to base an estimate on"
    view.started(trial(1), "here")
    view.trial("stage1", trial(1), success(), cached=False)
    assert re.search(r"25 % \S+ about \S+ s left$", drawn(view)[-1])


def test_text_is_no_markup(view, drawn):
    view.phase("stage [b]1[/b]", 4)
    view.queued("stage1", trial(1))
    view.started(trial(1), "[red]node[/] :smile:")
    lines = drawn(view)
    assert "[red]node[/] :smile:" in lines[-1]
    assert "stage [b]1[/b]" in lines[0]
    for make in (LiveView, Warnings, lambda console: Lines(console, every_epoch=False)):
        console = Console(file=StringIO(), force_terminal=True, width=20)
        make(console).warning("a [b]long[/oops] warning of [1, 2] :smile:")
        assert console.file.getvalue().endswith("Warning: a [b]long[/oops] warning of [1, 2] :smile:\n")


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_the_last_picture_has_no_running_trials_and_the_terminal_is_as_before(error):
    console = Console(file=StringIO(), force_terminal=True, width=100, height=30)
    stdout, stderr = sys.stdout, sys.stderr

    def work():
        with live(console) as view:
            view.expect(20.0, lambda spec: 1.0)
            view.phase("stage 1", 20)
            view.queued("stage1", trial(1))
            view.started(trial(1), "node-1")
            view.trial("stage1", trial(0), success(), cached=True)
            if error:
                raise error

    if error:
        with pytest.raises(error):
            work()
    else:
        work()
    written = console.file.getvalue()
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is shown again"
    last = pictures(written)[-1].splitlines()
    assert line_with(last, "stage 1")[-5] == ("1/20" if error else "1/1")
    assert line_with(last, "all")[-3:-1] == (["5", "%"] if error else ["100", "%"])
    assert not any("node-1" in line for line in last)
    assert (sys.stdout, sys.stderr) == (stdout, stderr)


@pytest.fixture
def _restless():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_restless")
def test_drawing_while_trials_come_and_go(view):
    """Another thread draws all the time, as the live view's does."""
    console = Console(file=StringIO(), force_terminal=True, width=100, height=30)
    view._console = console
    failures, over = [], threading.Event()

    def draw():
        try:
            while not over.is_set():
                view.draw()
        except Exception as error:  # noqa: BLE001 - whatever it is
            failures.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    view.expect(300.0, lambda spec: 1.0)
    for number in range(300):
        if number % 50 == 0:
            view.phase(f"phase {number}", 50)
        view.queued("x", trial(number))
        view.started(trial(number), "here")
        view.epoch(trial(number), 1, 0.5)
        if number >= 20:
            view.trial("x", trial(number - 20), success(), cached=False)
    over.set()
    thread.join()
    assert failures == []
    assert len(view.open) == 20


def test_plain_lines(printed):
    lines, read = printed()
    spec = trial(1)
    lines.phase("stage 1", 20)
    lines.queued("stage1", spec)
    lines.started(spec, "here")
    lines.epoch(spec, 1, 0.5)
    lines.lost(spec, "the worker died")
    lines.trial("stage1", spec, FAILURE, cached=False)
    lines.trial("stage1", trial(2), success(0.5), cached=True)
    lines.phase("test", 0)
    assert read() == [
        "stage 1: up to 20 trials",
        f"  stage1 {spec.id} lost, and runs again: the worker died",
        f"  stage1 {spec.id} FAILED NAN in 0.0 s",
        f"  stage1 {trial(2).id} SUCCEEDED cost 0.5000, known already; best cost 0.5000",
        "test",
    ]


def test_plain_lines_with_every_epoch(printed):
    lines, read = printed(every_epoch=True)
    spec = trial(1)
    lines.queued("stage1", spec)
    lines.started(spec, "[node] 3")
    lines.epoch(spec, 2, 0.12345)
    lines.trial("stage1", spec, success(), cached=False)
    assert read() == [
        f"  stage1 {spec.id} started on [node] 3",
        f"  stage1 {spec.id} epoch 2/15 train loss 0.1235",
        f"  stage1 {spec.id} SUCCEEDED cost 0.5000 in 2.0 s; best cost 0.5000",
    ]


def test_plain_lines_say_the_time_left_where_it_is_known(printed):
    lines, read = printed(every_epoch=True)
    lines.expect(2.0, lambda spec: 1.0)
    lines.phase("stage 1", 2)
    lines.started(trial(1), "here")
    lines.epoch(trial(1), 1, 0.5)
    lines.trial("stage1", trial(1), success(), cached=False)
    lines.phase("test", 0)
    assert [" left" in line for line in read()] == [False, False, True, True, True]


def test_where_there_is_no_terminal_there_are_lines(capsys):
    for verbosity, shown in ((Verbosity.QUIET, 0), (Verbosity.NORMAL, 1), (Verbosity.VERBOSE, 2)):
        with progress(verbosity) as observer:
            observer.phase("stage 1", 2)
            observer.started(trial(1), "here")
        assert len(capsys.readouterr().err.splitlines()) == shown


def test_quiet_shows_the_warnings_and_the_result(tiny_yaml, tmp_path, call_safs):
    settings = [*SMALL, "prune={ratio: 0.99, scope: layer}"]
    flags = [word for setting in settings for word in ("--set", setting)]
    code, out, err = call_safs("run", tiny_yaml, "--run-dir", tmp_path / "run", "-q", *flags)
    assert code == 0, err
    assert out.splitlines()[-1].startswith("Report: ")
    assert err.splitlines()
    assert all(line.startswith("Warning: ") for line in err.splitlines()), err


def test_verbose_has_a_line_for_every_start_and_epoch(tiny_yaml, tmp_path, call_safs, records):
    folder = tmp_path / "run"
    flags = [word for setting in SMALL for word in ("--set", setting)]
    code, _, err = call_safs("run", tiny_yaml, "--run-dir", folder, "--verbose", *flags)
    assert code == 0, err
    trained = [record for record in records(folder) if record["kind"] == "trial"]
    assert len(trained) > 5
    assert err.count(" started on ") == len(trained)
    for record in trained:
        epochs = record["spec"]["protocol"]["epochs"]
        said = [line for line in err.splitlines() if f"{record['phase']} {record['id']} epoch " in line]
        assert [f"/{epochs} train loss " in line for line in said] == [True] * epochs


@pytest.mark.parametrize("command", ["run", "demo", "compare", "tabulate"])
def test_quiet_and_verbose_contradict_each_other(command, tiny_yaml, tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = [] if command == "demo" else [tiny_yaml]
    assert "--quiet and --verbose contradict each other" in refused(command, *config, "-q", "-v")
    assert sorted(tmp_path.iterdir()) == [tiny_yaml]


def test_a_study_on_a_terminal(tiny_yaml, tmp_path):
    """A real process on a pseudo-terminal of 90 columns: what it draws in between, and what it leaves."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 90, 0, 0))
    command = [sys.executable, "-m", "safs", "run", str(tiny_yaml), "--run-dir", str(tmp_path / "run")]
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = _read_to_the_end(ours)
    os.close(ours)
    assert process.wait(timeout=60) == 0, written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is shown again"
    assert "train loss" in written
    drawn = pictures(written)
    assert max(len(line) for picture in drawn for line in picture.splitlines() if "━" in line) <= 90
    left = drawn[-1]
    assert "train loss" not in left
    phases = {"best single operator": 3, "stage 2, safs": 6, "stage 2, stage2": 6, "final rows": None, "test": None}
    for phase, trials in phases.items():
        (line,) = [line for line in left.splitlines() if line.startswith(phase)]
        count = re.search(r"━ +(\d+)/(\d+) ", line)
        if phase == "test":
            assert count is None
        else:
            assert count is not None, line
            assert count[1] == count[2] == str(trials or count[1]), line
    assert "Report: " in left
    assert "up to" not in written, "no plain lines"


def _read_to_the_end(terminal):
    """Return all that is written to a pseudo-terminal until nobody has it open any more."""
    parts = []
    with contextlib.suppress(OSError):  # that is how it ends on Linux
        while part := os.read(terminal, 65536):
            parts.append(part)
    return b"".join(parts).decode()
