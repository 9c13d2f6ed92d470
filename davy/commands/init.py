"""`davy init`: write a first experiment spec, with a comment on every choice."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from davy.options import ConfigFile, DataDir, Json
from schemas.errors import UserError
from schemas.model import identifier
from schemas.spec import load_specs

TEMPLATE = """\
# An experiment for Davy: is version {candidate} of {service} as good as {control}?
#   davy lint {file}      checks this file
#   davy apply {file}     puts it in force
#   davy status {id} --watch
apiVersion: davy/v1
kind: Experiment
id: {id}
hypothesis: Version {candidate} fails no more often and is no slower than {control}.
owner: {owner}
service: {service}           # as the events name it
environment: {environment}
variants:
  control: {{version: {control_version}}}
  canary: {{version: {candidate_version}}}
# What is assigned to an arm: request, user, session or shard. With user, events carry unit_id, and one user counts once.
randomization: {unit}
slis:
  # pp: percentage points. The canary may fail this much more often than control before it is rolled back.
  - {{name: errors, type: error_ratio, max_increase: {errors}}}
  - {{name: latency-p99, type: latency_quantile, quantile: 0.99, max_increase: {latency}}}
  # Judged and shown, never acted upon: see how an SLI behaves before it may stop a release.
  - {{name: latency-mean, type: latency_mean, max_increase: 5%, mode: shadow}}
policy:
  alpha: 0.01          # chance of ever rolling back a harmless release
  beta: 0.05           # chance of promoting one that is worse than max_increase
  min_duration: 10m
  min_requests: 1000
  max_duration: 24h
  on_no_data: hold     # or rollback
steps:                 # the canary's share of traffic, and for how long at least
  - {{weight: 1%, duration: 5m}}
  - {{weight: 10%, duration: 10m}}
  - {{weight: 50%, duration: 10m}}
rollback: {{window: 24h, to: control}}   # how long after promotion Davy goes on watching
"""
NO_TEXT = ("y", "n", "yes", "no", "true", "false", "null", "on", "off")
"""What YAML reads as something else."""
UNITS = ("request", "user", "session", "shard")


@dataclass(frozen=True, slots=True)
class Answers:
    """What the spec is made of; None: not said yet."""

    service: str | None = None
    control: str | None = None
    candidate: str | None = None
    environment: str = "production"
    id: str | None = None
    owner: str | None = None
    unit: str = "request"
    errors: str = "0.5pp"
    latency: str = "10%"


def init(answers: Answers, out: Path | None, force: bool) -> tuple[Path, str]:
    """Write the spec and give its path and id; asks for what is missing where somebody is there to answer."""
    service = _told(answers.service, "--service", "Service, as its events name it")
    control = _told(answers.control, "--control", "Version that runs now")
    candidate = _told(answers.candidate, "--canary", "Version to be released")
    if answers.unit not in UNITS:
        raise UserError(f"--unit {answers.unit}: say one of {', '.join(UNITS)}")
    try:
        name = identifier(answers.id or f"{service}-{candidate}")
    except ValueError as error:
        raise UserError(f"--id: {error}") from error
    path = out or Path(f"{name}.yaml")
    text = TEMPLATE.format(
        file=path, id=name, service=_plain(service), environment=_plain(answers.environment),
        control=_one_line(control), candidate=_one_line(candidate), control_version=json.dumps(control),
        candidate_version=json.dumps(candidate), owner=_plain(answers.owner or f"{service}-team"), unit=answers.unit,
        errors=answers.errors, latency=answers.latency,
    )  # fmt: skip
    load_specs(text, path=str(path))
    if path.exists() and not force:
        raise UserError(f"{path} is there already: name another with --out, or say --force")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path, name


def _told(value: str | None, option: str, question: str) -> str:
    if value is None and sys.stdin.isatty():
        import typer

        value = str(typer.prompt(question, err=True))
    if value is None or not value.strip():
        raise UserError(f"say {option}, or run this in a terminal to be asked")
    return value.strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    """As YAML: quoted where it would not be text otherwise."""
    simple = text.replace("-", "").replace("_", "").replace(".", "")
    is_text = simple.isalnum() and simple[0].isalpha() and text.lower() not in NO_TEXT
    return text if is_text else json.dumps(text)


def command(
    service: Annotated[str | None, typer.Option(help="As its events name it (asked for, where it is missing).")] = None,
    control: Annotated[str | None, typer.Option(metavar="VERSION", help="What runs now (asked for).")] = None,
    canary: Annotated[str | None, typer.Option(metavar="VERSION", help="What is to be released (asked for).")] = None,
    environment: Annotated[str, typer.Option(help="As its events name it.")] = "production",
    experiment_id: Annotated[str | None, typer.Option("--id", help="Default: SERVICE-VERSION.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    unit: Annotated[str, typer.Option(help="request, user, session or shard.")] = "request",
    max_errors: Annotated[str, typer.Option(metavar="CHANGE", help="Allowed: 0.5pp or 10%.")] = "0.5pp",
    max_latency: Annotated[str, typer.Option(metavar="CHANGE", help="Allowed at p99: 10% or 20ms.")] = "10%",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: ID.yaml.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """\b
    Example: davy init --service checkout --control 2.3.1 --canary 2.4.0

    Exit code: 0; 2 an answer is missing or wrong, or the file is there already.
    """
    answers = Answers(service, control, canary, environment, experiment_id, owner, unit, max_errors, max_latency)
    path, name = init(answers, out, force)
    if as_json:
        print(json.dumps({"experiment_id": name, "file": str(path)}))
        return
    print(f"{path} written; next: davy lint {path}, davy apply {path}, davy status {name} --watch")
