"""The command line from outside: one sentence per error, help with an example, nothing heavy too early."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from davy.cli import SECTIONS, entries
from davy.reference import COLUMNS, document, helped

HOME = Path(__file__).parents[2]
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


def test_every_help_is_as_docs_commands_has_it() -> None:
    """`python -m davy.reference docs/commands.md` writes it anew: read the difference before you keep it."""
    assert document() == (HOME / "docs" / "commands.md").read_text()


@pytest.mark.parametrize("command", sorted(entries()))
def test_every_help_says_what_has_an_example_and_exit_codes(command: str) -> None:
    text = helped(command)
    assert max(map(len, text.splitlines())) <= COLUMNS
    assert entries()[command].line in text
    assert f"Example: davy {command}" in text
    assert "Exit code: " in text
    for option in ("--config", "--dir"):
        assert option in text


def test_the_overview_has_every_command_once_and_whole() -> None:
    text = helped()
    for name, entry in entries().items():
        assert text.count(f"\n  {name} ") == 1
        assert entry.line in text
    assert {name for names in SECTIONS.values() for name in names} <= set(entries())


def test_one_command_in_a_process_of_its_own() -> None:
    result = davy("lint", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip() == helped("lint").strip()
    wrong = davy("lnit")
    assert wrong.returncode == 2
    assert "Did you mean 'lint'" in wrong.stderr.replace('"', "'")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['davy', '--help']; import atexit, davy.cli; "
    code += "atexit.register(lambda: print(*sorted(sys.modules))); davy.cli.main()"
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
