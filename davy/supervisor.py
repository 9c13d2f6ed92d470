"""One process per role: started, watched, started again, stopped together.

A child that ends unasked is started again: at once if it ran for a while, else after a pause that doubles. One that does so
too often ends the whole, and so does a configuration that it refuses (exit code 2: another start would not help). Children are
in process groups of their own, so that Ctrl-C reaches only their supervisor, which stops them in order; they
end with it even if it is killed (`die_with_parent`).

Starting a role takes a second or two, most of it Python's imports. A child with a spare has a second process that has done all
that and waits for a line on its standard input: it takes over as soon as the child's end is seen.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

import structlog

from schemas.errors import InfrastructureError, UserError

RESTARTS_MAX = 5
"""Within `RESTARTS_SPAN_S`; then something is wrong that starting again does not mend."""
RESTARTS_SPAN_S = 120.0
STEADY_S = 10.0
"""Who ran for that long is started again without a pause."""
SPARE_AFTER_S = 5.0
"""A spare is started that long after its child, which has more urgent work for the processor at first."""
PAUSE_FIRST_S = 0.5
PAUSE_MAX_S = 8.0
STOP_TIMEOUT_S = 8.0
"""How long children may take to stop before they are killed."""
WATCH_S = 0.05
PARENT_VARIABLE = "DAVY_PARENT"
_PR_SET_PDEATHSIG = 1

log = structlog.get_logger("supervisor")


@dataclass(slots=True)
class Child:
    """One role. `log_path` takes what it writes; without one it writes where its supervisor does."""

    name: str
    command: Sequence[str]
    log_path: Path | None = None
    spare: bool = False
    """Whether a process waits to take its place: `command` takes --spare."""
    process: subprocess.Popen[bytes] | None = None
    waiting: subprocess.Popen[bytes] | None = None
    starts: list[float] = field(default_factory=list[float])
    """When it was started, in monotonic seconds, lately."""
    due: float = 0.0
    """When it is to be started again."""
    spare_due: float = 0.0

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Children that live and end together."""

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = list(children)
        self.restarts = 0

    def __enter__(self) -> Self:
        for child in self.children:
            self._start(child)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self) -> None:
        """Start again what ended. Raises `UserError` or `InfrastructureError` when that is no use."""
        now = time.monotonic()
        for child in self.children:
            if child.running:
                self._keep_spare(child, now)
                continue
            if child.process is not None:
                self._ended(child, child.process.wait(), now)
            if now >= child.due:
                self.restarts += 1
                self._start(child)

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set."""
        while not stop.wait(WATCH_S):
            self.watch()

    def stop(self) -> None:
        """End all children, the last started first; returns when they are gone."""
        for child in self.children:
            if child.waiting is not None:
                child.waiting.kill()  # it does nothing yet
                child.waiting.wait()
        running = [child.process for child in reversed(self.children) if child.process is not None and child.running]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, child: Child) -> None:
        """Let the spare begin, or else a new process."""
        waiting, child.waiting = child.waiting, None
        child.process = waiting if waiting is not None and _begin(waiting) else _spawn(child)
        now = time.monotonic()
        child.starts.append(now)
        child.spare_due = now + SPARE_AFTER_S

    def _keep_spare(self, child: Child, now: float) -> None:
        """Start the spare if it is time, and again if it ended."""
        if child.spare and now >= child.spare_due and (child.waiting is None or child.waiting.poll() is not None):
            child.spare_due = now + SPARE_AFTER_S
            child.waiting = _spawn(child, spare=True)

    def _ended(self, child: Child, code: int, now: float) -> None:
        """Plan the next start, or give up."""
        child.process = None
        where = f": {last_line(child.log_path)}" if child.log_path else ""
        if code == UserError.exit_code:
            raise UserError(f"the {child.name} process refuses its configuration{where}")
        child.starts = [start for start in child.starts if now - start < RESTARTS_SPAN_S]
        if len(child.starts) > RESTARTS_MAX:
            raise InfrastructureError(
                f"the {child.name} process ended {len(child.starts)} times in {RESTARTS_SPAN_S:.0f} s{where}"
            )
        steady = bool(child.starts) and now - child.starts[-1] >= STEADY_S
        pause = 0.0 if steady else min(PAUSE_FIRST_S * 2 ** (len(child.starts) - 1), PAUSE_MAX_S)
        child.due = now + pause
        log.warning("ended, will be started again", role=child.name, code=code, pause_s=pause)


def _spawn(child: Child, spare: bool = False) -> subprocess.Popen[bytes]:
    """A process of the child; a spare has a pipe as its standard input."""
    output: IO[bytes] | None = None
    if child.log_path is not None:
        child.log_path.parent.mkdir(parents=True, exist_ok=True)
        output = child.log_path.open("ab")
    try:
        return subprocess.Popen(
            [*child.command, "--spare"] if spare else child.command,
            stdin=subprocess.PIPE if spare else subprocess.DEVNULL,
            stdout=output or sys.stderr,
            stderr=output or sys.stderr,
            process_group=0,
            env=os.environ | {PARENT_VARIABLE: str(os.getpid())},
        )
    finally:
        if output is not None:
            output.close()


def _begin(spare: subprocess.Popen[bytes]) -> bool:
    """Tell a spare to take its role; False if it is gone."""
    if spare.stdin is None or spare.poll() is not None:
        return False
    try:
        spare.stdin.write(b"begin\n")
        spare.stdin.close()
    except BrokenPipeError:
        return False
    return True


def last_line(path: Path | None, end_bytes: int = 4096) -> str:
    """The last thing a process said, for a sentence about its end."""
    if path is None or not path.is_file():
        return "it said nothing"
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - end_bytes))
        lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f"{lines[-1].strip()[:300]} (see {path})" if lines else f"it said nothing (see {path})"


def die_with_parent() -> None:
    """Called by a child: be told to stop when the supervisor is gone, even if it was killed. Linux only, else
    nothing."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # gone before we could ask
        raise SystemExit(0)
