"""A running `davy demo`, as a program sees it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_S = 60.0
"""Seven processes import their libraries at once."""
END_S = 100.0
"""On a machine that does other things, too; alone it takes a third."""
Line = dict[str, Any]


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
        """Lines that are verdicts."""
        return [line for line in self.lines if "action" in line]

    def drain(self) -> None:
        """Read on, whoever waits for something else: a demo whose lines nobody takes stands still."""
        threading.Thread(
            target=lambda: self.lines.extend(map(json.loads, self.process.stdout or ())), daemon=True
        ).start()

    def end(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        self.lines += [json.loads(text) for text in self.process.stdout]
        return self.process.wait(30)


@contextmanager
def running(scenario: str, data_dir: Path) -> Generator[Demo]:
    """A demo in `data_dir` that lasts until it is ended."""
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
    """Whether it is the verdict that ends a rollout."""
    return line.get("action") in ("PROMOTE", "ROLLBACK")


def carried_out(line: Line) -> bool:
    """Whether it is the decision that ends a rollout, done."""
    return line.get("decision") in ("promote", "rollback") and line["outcome"] == "DONE"


def to_its_end(demo: Demo, data_dir: Path, action: str) -> None:
    """From its start until its final verdict is carried out, all as it should be."""
    ready = demo.until(lambda line: True, START_S)
    assert ready == {
        "kind": "ready", "http": ready["http"], "kafka": ready["kafka"], "data_dir": str(data_dir),
    }  # fmt: skip
    with urllib.request.urlopen(f"{ready['http']}/healthz", timeout=5) as answer:
        assert answer.status == 200
    assert demo.until(final, END_S)["action"] == action
    if not any(map(carried_out, demo.lines)):
        demo.until(carried_out, END_S)
