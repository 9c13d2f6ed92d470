"""`davy apply`: lint specs, then put them in force."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from davy.options import ConfigFile, DataDir, Json, load
from davy.writer import Writer
from schemas.config import Config
from schemas.control import Control, SpecApplied
from schemas.flag import FlagChange
from schemas.spec import ExperimentSpec, load_specs
from streams import kafka
from streams.clock import Clock
from streams.topics import ensure_topics


def apply(files: Sequence[Path], config: Config, reason: str = "applied") -> list[ExperimentSpec]:
    """All specs of all files, or none: an error in one stops before anything is written."""
    specs = [spec for path in files for spec in load_specs(path)]
    kafka.require_broker(config)
    ensure_topics(config)
    now_us = Clock.of(config).now_us()
    send(config, [applied(spec, now_us, getpass.getuser(), reason) for spec in specs])
    return specs


def applied(spec: ExperimentSpec, now_us: int, actor: str, reason: str) -> Control:
    """The control record that puts a spec in force."""
    return Control(spec.id, now_us, actor, reason, SpecApplied(spec.source, spec.path, spec.digest))


def send(config: Config, records: Sequence[Control | FlagChange]) -> None:
    """Write records of control or of flags, in order, and wait until the broker has them."""
    Writer(config).send(records)


def command(
    files: Annotated[list[Path], typer.Argument(help="Experiment specs.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """\b
    Example: davy apply checkout.yaml

    Exit code: 0; 2 bad spec, and then none was applied; 4 infrastructure.
    """
    for spec in apply(files, load(config, data_dir)):
        print(json.dumps({"experiment_id": spec.id, "digest": spec.digest}) if as_json else f"{spec.id} applied")
