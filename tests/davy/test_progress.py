"""A bar where a person looks at a terminal, nothing anywhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

CODE = """
import sys
from davy.progress import progress
with progress("export", 4) as done:
    for part in range(5):
        print("line", part, flush=True)
        done(part)
"""


def run(stderr: int) -> subprocess.CompletedProcess[bytes]:
    environ = os.environ | {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-c", CODE], cwd=Path.cwd(), stdout=subprocess.PIPE, stderr=stderr, env=environ, check=True
    )


def test_a_terminal_shows_how_far_it_is_and_stdout_stays_clean() -> None:
    ours, theirs = pty.openpty()
    said: list[bytes] = []

    def listen() -> None:
        while True:
            try:
                said.append(os.read(ours, 65536))
            except OSError:
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    done = run(theirs)
    os.close(theirs)
    thread.join(10)
    text = b"".join(said).decode()
    assert "export" in text
    assert "100%" in text
    assert done.stdout.decode().split() == [word for part in range(5) for word in ("line", str(part))]
    assert "\x1b[3" not in text, "NO_COLOR is heeded"


def test_elsewhere_nothing_is_shown(tmp_path: Path) -> None:
    with (tmp_path / "err").open("wb") as err:
        run(err.fileno())
    assert (tmp_path / "err").read_bytes() == b""
