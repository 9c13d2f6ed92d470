"""Logs: JSON lines, and no role that waits for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, structlog, logging
from pathlib import Path
from davy import logs
logs.configure("judge", Path(sys.argv[1]))
log = structlog.get_logger("judge")
for number in range(3):
    log.warning("a line", number=number)
logging.getLogger("library").warning("of a library")
print("went on")
"""


def run(path: str) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT, path], capture_output=True, text=True, check=True)
    return done.stdout


def test_every_line_is_json_with_time_level_and_role(tmp_path: Path) -> None:
    assert run(str(tmp_path / "log")) == "went on\n"
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line["event"], line["level"], line["role"]) for line in lines] == [
        *[("a line", "warning", "judge")] * 3, ("of a library", "warning", "judge"),
    ]  # fmt: skip
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_a_full_disk_stops_no_role() -> None:
    assert run("/dev/full") == "went on\n"
