"""flagd's own evaluator (Go), built once from the Go module proxy."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.system import CACHE, locked, program

CORE = "github.com/open-feature/flagd/core"
VERSION = "0.11.8"


def evaluated(file: Path, flag: str, units: Sequence[str]) -> dict[str, str]:
    """The variant of each unit."""
    done = subprocess.run([_binary(), file, flag], input="\n".join(units), capture_output=True, text=True, check=True)
    return dict(zip(units, done.stdout.split(), strict=True))


def _binary() -> Path:
    folder = CACHE / f"flagd-core-{VERSION}"
    binary = folder / "evaluate"
    go = program("go", "golang-go")
    with locked("flagd"):
        if not binary.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(__file__).with_name("main.go"), folder / "main.go")
            (folder / "go.mod").write_text(f"module evaluate\n\ngo 1.22\n\nrequire {CORE} v{VERSION}\n")
            for command in ([go, "mod", "tidy"], [go, "build", "-o", binary, "."]):
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.fail(f"flagd's evaluator could not be built with Go: {done.stderr[-2000:]}", pytrace=False)
    return binary
