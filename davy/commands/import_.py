"""`davy import`: another system's canary configuration as specs of ours, or its objectives as `slos:` of davy.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from davy.importers import SETTINGS, SYSTEMS, written
from schemas.errors import UserError
from schemas.located import Errors, Finding, Located, read, read_text


def imported(system: str, files: Sequence[Path]) -> str:
    """The YAML, checked as `davy lint` would; raises `UserError`."""
    if system not in SYSTEMS:
        raise UserError(f"there is no importer for {system}; there are {', '.join(SYSTEMS)}")
    documents: list[Located] = []
    findings: list[Finding] = []
    for file in files:
        found, wrong = read(read_text(file), str(file))
        documents += found
        findings += wrong
    if findings:
        raise Errors(findings)
    text = written(system, documents)
    if not text:
        what = "SLO" if system in SETTINGS else "canary configuration"
        raise UserError(f"{', '.join(map(str, files))}: there is no {what} of {system} in it")
    return text
