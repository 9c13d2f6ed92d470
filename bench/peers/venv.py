"""Virtual environments of peers whose dependencies must not meet Davy's: made once per requirements file, in the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from functools import cache

from bench.peers.peer import CACHE, HOME
from bench.peers.timed import Failed


@cache
def python(name: str) -> str:
    """The interpreter that has what `requirements-NAME.txt` pins; raises `Failed`."""
    requirements = HOME / f"requirements-{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    binary = str(folder / "bin" / "python")
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = shutil.which("uv")
        if uv:
            _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
            _run(uv, "pip", "install", "--quiet", "--python", binary, "-r", str(requirements))
        else:
            _run(sys.executable, "-m", "venv", str(folder))
            _run(binary, "-m", "pip", "install", "--quiet", "-r", str(requirements))
        (folder / "complete").touch()
    return binary


def pinned(name: str, package: str) -> str:
    """`PACKAGE VERSION` as pinned."""
    lines = (HOME / f"requirements-{name}.txt").read_text("utf-8").splitlines()
    return next(line.replace("==", " ").partition(" ;")[0] for line in lines if line.startswith(f"{package}=="))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command)}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
