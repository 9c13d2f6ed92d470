"""`davy lint`: check specs and configuration; each finding with its place."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from analyzers.feasibility import problems
from davy.options import ConfigFile, DataDir, Json
from schemas.config import DEFAULT_FILE, Config, config_of, load_config
from schemas.errors import UserError
from schemas.located import Errors, Finding, Located, is_mapping, read, read_text
from schemas.model import field_names
from schemas.spec import ExperimentSpec, parse_specs, spec_files
from schemas.spec_rules import not_told_apart


def lint(
    files: Sequence[Path], rate: float | None = None, environ: Mapping[str, str] = os.environ, beside: Config | None = None
) -> list[Finding]:  # fmt: skip
    """All findings in files and folders, in order of place; none means that all of it can be used and promised.

    With a `rate` in requests per second of all arms also whether that is enough traffic. Whether what a spec asks for is told
    apart is known from a davy.yaml among the files, else from the one `beside` them.

    Ids of experiments must differ across all files. Its content decides whether a file is a spec
    or a davy.yaml.
    """
    specs: list[Located] = []
    findings: list[Finding] = []
    for place in files:
        try:
            for file in spec_files([place]):
                documents, wrong = read(read_text(file), str(file))
                findings += wrong
                if not documents and not wrong:
                    findings.append(Finding(str(file), 1, 1, "there is nothing in here: say kind: Experiment, id: ..."))
                if is_config(documents):
                    config, wrong = config_of(documents, environ)
                    findings += wrong + _kinds(config, documents[0])
                    beside = config
                else:
                    specs += documents
        except Errors as errors:
            findings += errors.findings
        except UserError as error:
            findings.append(Finding(str(place), 1, 1, str(error)))
    valid, wrong = parse_specs(specs)
    findings += wrong
    for spec in valid:
        document = next(one for one in specs if (one.file, one.source) == (spec.path, spec.source))
        findings += [document.at(loc, text) for loc, text in problems(spec, rate)]
        if beside is not None and spec.stratify is not None and spec.stratify not in beside.dimensions:
            findings.append(document.at(("stratify",), f"stratify: {not_told_apart(spec.stratify)}"))
    return sorted(set(findings))


def _beside() -> Config | None:
    """The ./davy.yaml that other commands would use. What is wrong with it is told where it is named."""
    try:
        return load_config() if Path(DEFAULT_FILE).is_file() else None
    except (Errors, UserError):
        return None


def _kinds(config: Config, document: Located) -> list[Finding]:
    """Targets of probes and receivers of alerts of a kind that there is not."""
    if not config.probes.targets and not config.alerts.receivers:
        return []
    from deploy.incidents import types
    from deploy.probes import kinds

    receivers = [
        document.at(
            ("alerts", "receivers", name, "type"),
            f"type: there is no {receiver.type!r}: say one of {', '.join(types())}",
        )
        for name, receiver in config.alerts.receivers.items()
        if receiver.type not in types()
    ]
    return receivers + [
        document.at(
            ("probes", "targets", name, "kind"),
            f"kind: there is no probe {target.kind!r}: say one of {', '.join(kinds())}",
        )
        for name, target in config.probes.targets.items()
        if target.kind not in kinds()
    ]


def is_config(documents: Sequence[Located]) -> bool:
    """Whether this is a davy.yaml: nothing says `kind`, and more fields are known there than in a spec."""
    data = documents[0].data if documents else None
    if not is_mapping(data) or "kind" in data or "apiVersion" in data:
        return False
    return len(data.keys() & field_names(Config)) > len(data.keys() & field_names(ExperimentSpec))


def command(
    files: Annotated[list[Path], typer.Argument(help="Experiment specs and configuration files.")],
    rate: Annotated[
        float | None,
        typer.Option(help="Requests per second of all arms: is it enough for the tolerances within max_duration?"),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """A finding is a line, file:line:column: message.

    \b
    Example: davy lint checkout.yaml davy.yaml
             davy lint checkout.yaml --rate 40

    Exit code: 0 clean, 2 findings.
    """
    findings = lint([*files, *([config] if config else [])], rate, beside=_beside())
    for finding in findings:
        print(json.dumps(asdict(finding)) if as_json else finding)
    if not findings and sys.stdout.isatty() and not as_json:
        print("nothing to mend")
    raise typer.Exit(2 if findings else 0)
