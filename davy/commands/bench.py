"""`davy bench`: what this machine can do, a bare consumer against Davy's first stage."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from davy import logs
from davy.bench import EXPERIMENTS, Result, measure
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
        result = measure(config, events or standard, experiments or EXPERIMENTS, ROUNDS, _tell).result()
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
