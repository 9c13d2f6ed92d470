"""The demo as a program sees it: each scenario ends as it says."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from davy.commands.demo import free_port
from schemas.errors import UserError

START_S = 60.0
"""Seven processes import their libraries at once."""
END_S = 100.0
"""On a machine that does other things, too; alone it takes a third."""
Line = dict[str, Any]
pytestmark = pytest.mark.usefixtures("alone")


class Demo:
    """A running demo and its lines so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[Line] = []

    def until(self, condition: Callable[[Line], bool], timeout_s: float) -> Line:
        """The first new line that fulfils it."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout_s
        for text in self.process.stdout:
            line = json.loads(text)
            self.lines.append(line)
            if condition(line):
                return line
            assert time.monotonic() < deadline, f"it never came; the last line was {text}"
        raise AssertionError(f"the demo ended with {self.process.wait()}")

    @property
    def verdicts(self) -> list[Line]:
        return [line for line in self.lines if "action" in line]

    def end(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        self.lines += [json.loads(text) for text in self.process.stdout]
        return self.process.wait(30)


@contextmanager
def running(scenario: str, data_dir: Path) -> Generator[Demo]:
    command = [sys.executable, "-m", "davy", "demo", "--scenario", scenario, "--json", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--duration", "300", "--dir", str(data_dir)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield Demo(process)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def final(line: Line) -> bool:
    return line.get("action") in ("PROMOTE", "ROLLBACK")


def carried_out(line: Line) -> bool:
    return line.get("decision") in ("promote", "rollback") and line["outcome"] == "DONE"


@pytest.mark.parametrize(
    ("scenario", "action", "code"),
    [("healthy", "PROMOTE", 0), ("errors", "ROLLBACK", 1), ("blip", "PROMOTE", 0)],
)
def test_a_scenario_that_ends(tmp_path: Path, scenario: str, action: str, code: int) -> None:
    with running(scenario, tmp_path) as demo:
        ready = demo.until(lambda line: True, START_S)
        assert ready == {
            "kind": "ready", "http": ready["http"], "kafka": ready["kafka"], "data_dir": str(tmp_path),
        }  # fmt: skip
        with urllib.request.urlopen(f"{ready['http']}/healthz", timeout=5) as answer:
            assert answer.status == 200
        last = demo.until(final, END_S)
        assert last["action"] == action
        if not any(map(carried_out, demo.lines)):
            demo.until(carried_out, END_S)
        assert demo.end() == code
    assert all(("action" in line) != ("kind" in line) for line in demo.lines)
    assert len({line["verdict_id"] for line in demo.verdicts}) == len(demo.verdicts)
    assert (tmp_path / "logs" / "judge.log").is_file()


@pytest.mark.parametrize(("scenario", "conclusion"), [("no-traffic", "NO_DATA"), ("mismatch", "INVALID")])
def test_a_scenario_that_holds(tmp_path: Path, scenario: str, conclusion: str) -> None:
    with running(scenario, tmp_path) as demo:
        demo.until(lambda line: line.get("conclusion") == conclusion, START_S + END_S)
        for _ in range(5):
            line = demo.until(lambda line: "action" in line, END_S)
            assert (line["action"], line["conclusion"]) == ("HOLD", conclusion)
        assert demo.end() == 3


def test_the_demo_ends_by_itself(tmp_path: Path) -> None:
    begun = time.monotonic()
    command = [sys.executable, "-m", "davy", "demo", "--json", "--port", "0", "--duration", "12"]
    command += ["--dir", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 10 < time.monotonic() - begun < 40
    assert result.returncode in (1, 3)
    assert json.loads(result.stdout.splitlines()[0])["kind"] == "ready"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "storm"], "there is no scenario named 'storm'"),
        (["--speed", "0"], "--speed 0"),
        (["--duration", "-1"], "--duration -1"),
    ],
)
def test_nonsense_is_a_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", "davy", "demo", "--dir", str(tmp_path / "d"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert not (tmp_path / "d").exists()


def test_a_taken_port_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be used"):
            free_port(port)
    assert free_port(port) == port
    assert 0 < free_port(0) < 65536
    with pytest.raises(UserError, match="port 70000 cannot be used"):
        free_port(70_000)
