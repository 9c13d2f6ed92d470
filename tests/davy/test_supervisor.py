"""The supervisor with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from davy import supervisor as supervising
from davy.supervisor import Child, Supervisor, last_line
from schemas.errors import InfrastructureError, UserError

DEADLINE_S = 20.0
WAITS = "import time\nprint('up', flush=True)\ntime.sleep(60)"
PARENT = """
import sys, time
from davy.supervisor import Child, Supervisor
code = "import time; from davy.supervisor import die_with_parent; die_with_parent(); "
code += "print('up', flush=True); time.sleep(60)"
from pathlib import Path
with Supervisor([Child("child", [sys.executable, "-c", code], Path(sys.argv[1]))]) as s:
    print(s.children[0].process.pid, flush=True)
    time.sleep(60)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def said(path: Path, text: str) -> Callable[[], bool]:
    return lambda: path.is_file() and text in path.read_text()


def gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_children_run_write_their_logs_and_end_together(tmp_path: Path) -> None:
    children = [Child(name, python(WAITS), tmp_path / "logs" / f"{name}.log") for name in ("a", "b")]
    with Supervisor(children) as supervisor:
        for child in children:
            until(said(tmp_path / "logs" / f"{child.name}.log", "up"))
        supervisor.watch()
        processes = [child.process for child in children if child.process is not None]
        assert [process.poll() for process in processes] == [None, None]
    assert [process.poll() for process in processes] == [-signal.SIGTERM] * 2
    assert supervisor.restarts == 0


def test_a_child_that_ends_is_started_again(tmp_path: Path) -> None:
    child = Child("a", python("print('hello')"), tmp_path / "a.log")
    with Supervisor([child]) as supervisor:

        def twice() -> bool:
            supervisor.watch()
            return supervisor.restarts >= 2

        until(twice)
        gaps = [b - a for a, b in zip(child.starts, child.starts[1:], strict=False)]
    assert gaps[0] >= supervising.PAUSE_FIRST_S
    assert gaps[1] >= 2 * supervising.PAUSE_FIRST_S


def test_a_spare_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "SPARE_AFTER_S", 0.0)
    monkeypatch.setattr(supervising, "STEADY_S", 0.0)
    code = "import sys, time; print(sys.argv[1:], flush=True); "
    code += "'--spare' in sys.argv and print('told:', sys.stdin.readline(), flush=True); time.sleep(60)"
    child = Child("a", python(code), tmp_path / "a.log", spare=True)
    with Supervisor([child]) as supervisor:
        supervisor.watch()
        until(said(tmp_path / "a.log", "['--spare']"))
        assert child.process is not None
        assert child.waiting is not None
        spare = child.waiting
        child.process.kill()
        child.process.wait()
        supervisor.watch()
        assert child.process is spare
        until(said(tmp_path / "a.log", "told: begin"))
        supervisor.watch()
        another = child.waiting
        assert another is not None
        assert another is not spare
    assert another.poll() is not None
    assert spare.poll() is not None


def test_a_spare_that_is_gone_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "SPARE_AFTER_S", 0.0)
    monkeypatch.setattr(supervising, "STEADY_S", 0.0)
    child = Child("a", python(WAITS), tmp_path / "a.log", spare=True)
    with Supervisor([child]) as supervisor:
        supervisor.watch()
        for process in (child.waiting, child.process):
            assert process is not None
            process.kill()
            process.wait()
        supervisor.watch()
        assert child.running


def test_a_child_that_never_stays_ends_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "PAUSE_FIRST_S", 0.0)
    child = Child("ingest", python("import sys; sys.exit('no broker at all')"), tmp_path / "ingest.log")
    with (
        Supervisor([child]) as supervisor,
        pytest.raises(InfrastructureError, match=r"ingest .* no broker at all"),
    ):
        until(lambda: bool(supervisor.watch()))


def test_a_refused_configuration_is_not_tried_again(tmp_path: Path) -> None:
    code = "import sys; print('davy.yaml:1:1: wrong'); sys.exit(2)"
    child = Child("judge", python(code), tmp_path / "judge.log")
    with (
        Supervisor([child]) as supervisor,
        pytest.raises(UserError, match=r"judge process refuses .*1:1: wrong"),
    ):
        until(lambda: bool(supervisor.watch()))
    assert supervisor.restarts == 0


def test_a_child_that_will_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "STOP_TIMEOUT_S", 0.3)
    code = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WAITS}"
    child = Child("a", python(code), tmp_path / "a.log")
    with Supervisor([child]):
        until(said(tmp_path / "a.log", "up"))
        process = child.process
        assert process is not None
    assert process.poll() == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
def test_children_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(log)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    until(said(log, "up"))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until(lambda: gone(pid))


def test_ctrl_c_in_the_terminal_reaches_only_the_supervisor(tmp_path: Path) -> None:
    child = Child("a", python(WAITS), tmp_path / "a.log")
    with Supervisor([child]):
        assert child.process is not None
        assert os.getpgid(child.process.pid) != os.getpgid(0)


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert last_line(path) == "it said nothing"
    path.write_text("first\n\nlast words\n\n")
    assert last_line(path) == f"last words (see {path})"
