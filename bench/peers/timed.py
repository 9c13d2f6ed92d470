"""Runs one command and tells what its whole process tree took; the standard library alone.

Descendants that outlive their parent become children of this process (Linux's child subreaper), so that the CPU of a Java
machine started by a Python program is counted, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
LOG_TAIL = 2000


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds: from start to end, from the mark `started` to the mark `done`, and CPU of all processes since `started`."""

    wall_s: float
    work_s: float
    cpu_s: float


class Failed(RuntimeError):
    """The command ended badly or took too long; the text ends with what it said last."""


def timed(command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout_s: float) -> Took:
    """Run it in `folder` and wait for all of its processes; raises `Failed`."""
    report, log = folder / "took.json", folder / "log.txt"
    with log.open("wb") as out:
        watcher = subprocess.Popen(
            [sys.executable, __file__, str(report), *command], cwd=folder, env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        code: int | None = watcher.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(watcher.pid, signal.SIGKILL)
        watcher.wait()
    if code != 0:
        how = f"did not end within {timeout_s:.0f} s" if code is None else f"ended with {code}"
        raise Failed(f"{how}; it said last:\n{log.read_text('utf-8', 'replace')[-LOG_TAIL:]}")
    try:
        (started, before), (done, _) = (_mark(folder / name) for name in ("started", "done"))
    except FileNotFoundError as error:
        raise Failed(f"it did not say when it began and ended: {error}") from error
    took = json.loads(report.read_text("utf-8"))
    return Took(took["wall_s"], done - started, took["cpu_s"] - before)


def _mark(file: Path) -> tuple[float, float]:
    """Time and CPU seconds."""
    when, cpu_s = file.read_text("ascii").split()
    return float(when), float(cpu_s)


def main() -> int:
    """`timed.py REPORT COMMAND...`: the watcher's own process."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    start = time.perf_counter()
    child = subprocess.Popen(sys.argv[2:])
    code = child.wait()
    wall_s = time.perf_counter() - start
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(sys.argv[1]).write_text(json.dumps({"wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime}), "utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
