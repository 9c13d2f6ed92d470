"""The command line from outside: one sentence per error, help with an example, nothing heavy too early."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from davy.cli import app

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)
HEAVY = (
    "pyarrow",
    "polars",
    "numpy",
    "confluent_kafka",
    "faust",
    "chdb",
    "fastapi",
    "river",
    "scipy",
    "rich.live",
)


def davy(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "davy", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = davy(command, "--help")
    assert result.returncode == 0
    assert f"Example: davy {command}" in result.stdout
    for option in ("--config", "--dir"):
        assert option in result.stdout


def test_the_commands_of_the_contract_are_there() -> None:
    expected = {"demo", "run", "replay", "simulate", "lint", "explain", "apply", "schema", "query", "bench"}
    assert expected <= set(COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, davy.cli; print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(result.stdout.split())


def test_an_error_is_one_sentence_and_a_traceback_only_on_request(tmp_path: Path) -> None:
    result = davy("simulate", "storm", "--out", str(tmp_path / "x.avro"))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("davy: there is no scenario named 'storm'")
    assert result.stderr.count("\n") == 1
    debugged = davy("simulate", "storm", "--out", str(tmp_path / "x.avro"), "--debug")
    assert debugged.returncode != 0
    assert "Traceback" in debugged.stderr


def test_a_finding_is_told_with_its_place_in_front(tmp_path: Path) -> None:
    (tmp_path / "davy.yaml").write_text("kafak: {}\n")
    result = davy("run", "ingest", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("davy.yaml:1:1: ")


def test_an_unknown_role_is_a_sentence(tmp_path: Path) -> None:
    result = davy("run", "jugde", cwd=tmp_path)
    assert result.returncode == 2
    assert "there is no role named 'jugde'; there are ingest, judge, rollout, sink, web" in result.stderr


def test_schemas_are_bare_documents() -> None:
    assert davy("schema", "Verdict").stdout.startswith("{")
    assert "RequestEvent" in davy("schema").stdout.split()


def test_the_version() -> None:
    assert davy("--version").stdout.startswith("davy ")


def test_shells_complete_commands() -> None:
    words = {"_DAVY_COMPLETE": "complete_bash", "COMP_WORDS": "davy ex", "COMP_CWORD": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "davy"], env=os.environ | words, capture_output=True, text=True, check=False
    )
    assert result.stdout.split() == ["explain", "export"]
