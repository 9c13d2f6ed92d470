"""What a command does when nobody reads its output any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from davy.pipes import EXIT_CODE
from tests.davy.test_exit_codes import SPEC

COMMANDS = {
    "click's own help": "plan --help",
    "print": "schema Verdict",
    "Rich": "plan spec.yaml --rate 100",
}


def ended(folder: Path, arguments: str, closed: str) -> tuple[int, str]:
    """Exit code of a command one of whose outputs nobody reads, and what the other one says."""
    (folder / "spec.yaml").write_text(SPEC)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as unread, (folder / "told").open("w") as told:
        stdout, stderr = (unread, told) if closed == "stdout" else (told, unread)
        command = [sys.executable, "-m", "davy", *arguments.split()]
        done = subprocess.run(command, cwd=folder, check=False, stdout=stdout, stderr=stderr)
    return done.returncode, (folder / "told").read_text()


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_closed_pipe_ends_it_quietly(tmp_path: Path, arguments: str) -> None:
    assert ended(tmp_path, arguments, "stdout") == (EXIT_CODE, "")


def test_nobody_hears_of_a_fault(tmp_path: Path) -> None:
    assert ended(tmp_path, "plan none.yaml --rate 100", "stderr") == (EXIT_CODE, "")


def test_the_first_line_is_enough(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    script = f"set -o pipefail; {sys.executable} -m davy plan spec.yaml --rate 100 --json | head -c 1; exit ${{PIPESTATUS[1]}}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")
