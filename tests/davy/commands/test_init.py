from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.spec import load_specs

BASE = ("--service", "checkout", "--control", "2.3", "--canary", "2.4.0")


def init(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "davy", "init", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, stdin=subprocess.DEVNULL)


def test_flags_make_a_spec_that_lints(tmp_path: Path) -> None:
    done = init(*BASE, "--unit", "user", "--max-errors", "1pp", "--owner", "team on", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("checkout-2.4.0.yaml written; next: davy lint checkout-2.4.0.yaml, davy apply")
    (spec,) = load_specs(tmp_path / "checkout-2.4.0.yaml")
    assert (spec.id, spec.service, spec.environment, spec.randomization) == (
        "checkout-2.4.0",
        "checkout",
        "production",
        "user",
    )
    assert {name: arm.version for name, arm in spec.variants.items()} == {"control": "2.3", "canary": "2.4.0"}
    assert spec.owner == "team on"
    again = init(*BASE, cwd=tmp_path)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert init(*BASE, "--force", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--service", "checkout"), "say --control, or run this in a terminal"),
        ((*BASE, "--unit", "planet"), "--unit planet: say one of request, user, session, shard"),
        ((*BASE, "--id", "../x"), "--id: '../x' is not a name"),
        ((*BASE, "--max-errors", "lots"), "checkout-2.4.0.yaml:"),
        (("--service", "no: {way", "--control", "1\n2", "--canary", '"'), "--id: "),
    ],
)
def test_what_cannot_be_used_is_said_and_writes_nothing(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = init(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_strange_names_stay_what_they_are(tmp_path: Path) -> None:
    done = init("--service", "no: {way", "--control", "1\n2", "--canary", '"', "--id", "x", cwd=tmp_path)
    assert done.returncode == 2 or load_specs(tmp_path / "x.yaml")[0].service == "no: {way"


def test_it_asks_for_what_is_missing(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"cart\n1.0\n1.1\n")
    command = [sys.executable, "-m", "davy", "init"]
    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=30)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "Service, as its events name it:" in done.stderr
    assert load_specs(tmp_path / "cart-1.1.yaml")[0].service == "cart"
