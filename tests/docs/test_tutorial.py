"""The tutorial's commands, word for word, in one shell, each of which must succeed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
TIMEOUT_S = 200
SETTINGS = "set -euo pipefail\nset -m\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("alone")
def test_every_command_does_what_the_page_says(tmp_path: Path) -> None:
    script = SETTINGS + "".join(f"printf '\\n=== {i}\\n'\n{block}" for i, block in enumerate(blocks()))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=os.environ | {"PATH": path}, stdout=out, stderr=out,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    said = (tmp_path / "out").read_text()
    assert done.returncode == 0, said[-6000:]
    parts = re.split(r"^=== \d+\n", said, flags=re.MULTILINE)[1:]
    assert len(parts) == len(blocks())

    def after(command: str) -> str:
        (found,) = [part for block, part in zip(blocks(), parts, strict=True) if block.startswith(command)]
        return found

    assert "demo-errors canary: ROLLBACK (HARM)" in after("until davy explain")
    assert (tmp_path / "exported" / "windows.parquet").stat().st_size > 1000
    assert "ROLLBACK" in (tmp_path / "report.html").read_text()
    assert "requests" in after("davy init")
    watched = after("davy status")
    assert "ROLLBACK" in watched
    assert "cart-1.1 canary: ROLLBACK (HARM)" in watched
    assert "rollback" in after("while grep")
    assert "PROBLEM" not in after("davy doctor")
