"""`davy bench`: measure this machine."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from davy import logs
from davy.bench import EXPERIMENTS, Result, measure
from davy.options import ConfigFile, DataDir, Json
from davy.progress import progress
from schemas.config import Config, load_config
from schemas.errors import UserError
from streams import kafka
from streams.embedded import EmbeddedBroker

EVENTS = 2_000_000
EVENTS_EMBEDDED = 500_000
"""The embedded broker is itself the limit: more would only take longer."""
EVENTS_MIN = 1_000
ROUNDS = 3


def bench(events: int | None, brokers: str | None, experiments: int | None, as_json: bool) -> int:
    """Measure and print; the exit code is 0."""
    if events is not None and events < EVENTS_MIN:
        raise UserError(f"--events {events}: at least {EVENTS_MIN} are needed to measure anything")
    if experiments is not None and not 1 <= experiments <= EVENTS_MIN * 10:
        raise UserError(f"--experiments {experiments}: must be from 1 to {EVENTS_MIN * 10}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="davy-bench-")))
        logs.configure("bench", folder / "bench.log")
        if brokers is None:
            brokers, standard = stack.enter_context(EmbeddedBroker(folder)).bootstrap, EVENTS_EMBEDDED
        else:
            standard = EVENTS
        config = configured(brokers)
        kafka.require_broker(config)
        done = stack.enter_context(progress("bench", 1))
        result = measure(config, events or standard, experiments or EXPERIMENTS, ROUNDS, _tell, done).result()
    print(json.dumps(asdict(result)) if as_json else text(result))
    return 0


def configured(brokers: str) -> Config:
    """Defaults, on that broker."""
    return load_config(None).model_copy(update={"kafka": {"bootstrap.servers": brokers}})


def text(result: Result) -> str:
    """The figures for a person."""
    return "\n".join(
        [
            f"bare consumer {result.bare:>12,.0f} events/s  {result.bare_cpu_us_per_event:.2f} us CPU/event",
            f"Davy          {result.davy:>12,.0f} events/s  {result.cpu_us_per_event:.2f} us CPU/event",
            f"ratio         {result.ratio:>12.2f}",
        ]
    )


def _tell(sentence: str) -> None:
    print(f"davy bench: {sentence}", file=sys.stderr)


def command(
    events: Annotated[int | None, typer.Option(help="How many to measure with.")] = None,
    brokers: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A Kafka (default: the embedded broker).")
    ] = None,
    experiments: Annotated[int | None, typer.Option(help="How many at the same time (default 200).")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """A bare consumer against Davy's first stage, in events per second and CPU per event.

    \b
    Example: davy bench --events 2000000
             davy bench --brokers localhost:9092 --json

    Exit code: 0; 2 bad option, 4 infrastructure.
    """
    raise typer.Exit(bench(events, brokers, experiments, as_json))
