"""`davy doctor`: check all that Davy needs, and say what to do."""

from __future__ import annotations

import json

import typer

from davy.checks import examine
from davy.checks.base import Check, Finding, Level
from davy.options import ConfigFile, DataDir, Json, load
from schemas.config import Config
from schemas.errors import InfrastructureError

MARKS = {Level.OK: "ok     ", Level.WARNING: "warning", Level.PROBLEM: "PROBLEM", Level.SKIPPED: "skipped"}


def doctor(config: Config, as_json: bool) -> int:
    """Print every finding as soon as it is known, with `as_json` one object a line; 4 if there is a problem, else 0."""
    problems = 0
    for check, finding in examine(config):
        problems += finding.level is Level.PROBLEM
        if as_json:
            print(json.dumps(row(check, finding)), flush=True)
            continue
        print(f"{MARKS[finding.level]}  {check.name}: {finding.what}", flush=True)
        if finding.remedy:
            print(f"         → {finding.remedy}", flush=True)
    return InfrastructureError.exit_code if problems else 0


def row(check: Check, finding: Finding) -> dict[str, str | None]:
    """A finding as JSON values."""
    return {"check": check.name, "level": finding.level, "finding": finding.what, "remedy": finding.remedy or None}


def command(config: ConfigFile = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Broker, topics, schemas, ClickHouse, clocks and lag.

    \b
    Example: davy doctor
             davy doctor --config davy.yaml --json

    Exit code: 0 without a problem, 4 with one; 2 bad config.
    """
    raise typer.Exit(doctor(load(config, data_dir), as_json))
