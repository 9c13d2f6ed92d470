"""What the tests need from the system: found, installed where they may, or asked for in one sentence."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("DAVY_TEST_CACHE", Path.home() / ".cache" / "davy-tests"))
POLL_S = 0.05


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time, across all test workers."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def program(binary: str, package: str) -> str:
    """Path of a program, installed through apt where it is missing and this is root."""
    with locked("apt"):
        found = shutil.which(binary)
        if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
            install = ["install", "-y", "--no-install-recommends", package]
            if not _apt(*install):
                _apt("update")
                _apt(*install)
            found = shutil.which(binary)
    if found is None:
        pytest.fail(f"the tests need {binary}: install the package {package}", pytrace=False)
    return found


def _apt(*arguments: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, check=False)
    return done.returncode == 0


def until(holds: Callable[[], object], seconds: float, what: str) -> None:
    """Poll until it holds; fail with `what` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"within {seconds:g} s it did not happen that {what}", pytrace=False)
        time.sleep(POLL_S)
