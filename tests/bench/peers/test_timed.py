"""Time and CPU of a whole process tree, orphans included; a command that fails has its last words told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.peers.timed import Failed, timed

BURN = "import time\nwhile time.process_time() < 0.5: pass"
MARKS = "import time\nfrom pathlib import Path\nPath({0!r}).write_text(f'{{time.time()}} {{time.process_time()}}')\n"


def python(folder: Path, code: str, timeout_s: float = 60.0):
    return timed([sys.executable, "-c", code], folder, {}, timeout_s)


def test_descendants_that_outlive_their_parent_are_counted(tmp_path: Path) -> None:
    code = f"""{MARKS.format("started")}
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {BURN!r}])
time.sleep(0.2)
{MARKS.format("done")}"""
    took = python(tmp_path, code)
    assert took.cpu_s > 0.45
    assert 0.15 < took.work_s < took.wall_s


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"(?s)ended with 3.*no such thing"):
        python(tmp_path, "import sys; print('no such thing'); sys.exit(3)")


def test_a_command_that_never_ends_is_ended(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="did not end within"):
        python(tmp_path, "import time; time.sleep(60)", timeout_s=0.5)


def test_a_command_without_marks_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="did not say when it began"):
        python(tmp_path, "pass")
