"""`davy import`: another system's canary configuration as specs of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from davy.importers import SYSTEMS, drafts_of
from schemas.errors import UserError
from schemas.located import Errors, Finding, Located, read, read_text
from schemas.spec import load_specs


def imported(system: str, files: Sequence[Path]) -> str:
    """The specs as YAML, each checked as `davy lint` would; raises `UserError`."""
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
    drafts = drafts_of(system)(documents)
    if not drafts:
        raise UserError(f"{', '.join(map(str, files))}: there is no canary configuration of {system} in it")
    text = "---\n".join(draft.text() for draft in drafts)
    load_specs(text)  # a draft that lint refuses is a fault of ours: it says so
    return text
