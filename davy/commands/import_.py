"""`davy import`: another system's canary configuration, as specs.

Or its objectives, as `slos:` of davy.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from davy.importers import SETTINGS, SYSTEMS, written
from davy.options import ConfigFile, DataDir
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


def command(
    system: Annotated[str, typer.Argument(help="argo, flagger, kayenta or openslo.")],
    files: Annotated[
        list[Path], typer.Argument(help="Its files; AnalysisTemplates beside the Rollouts that use them.")
    ],
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Or its objectives (openslo), as `slos:` of davy.yaml. What could not be carried over stands there as comments.

    \b
    Example: davy import flagger canary.yaml > checkout.yaml

    Exit code: 0; 2 bad input.
    """
    print(imported(system, files), end="")
