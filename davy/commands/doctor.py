"""`davy doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import json

from davy.checks import examine
from davy.checks.base import Check, Finding, Level
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
