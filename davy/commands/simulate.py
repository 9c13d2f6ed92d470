"""`davy simulate`: synthetic traffic, reproducible from its seed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from davy import logs
from davy.commands.run import stop_on_signals
from davy.options import ConfigFile, DataDir, Json, load
from davy.supervisor import die_with_parent
from schemas.config import Config
from schemas.errors import UserError
from streams import scenario as scenarios
from streams import sources
from streams.replay import weights_of
from streams.scenario import Scenario
from streams.simulator import SLOT_US, Simulator

KAFKA = "kafka"
BEGIN_US = 1_767_225_600_000_000
"""2026-01-01 00:00 UTC: where recorded traffic begins, the start of a window."""
AFTER_STEPS = 1.0
"""How much longer than its steps a file goes on by default: time for SAFETY at the last weight."""
RATE_MAX = 10_000_000.0
"""Events per second of event time: a slot is drawn at once."""


def simulate(name: str, config: Config, events: int | None, rate: float | None, seed: int, out: str) -> int:
    """Write a scenario's traffic to a file, or send it to Kafka as its time passes; returns how many events.

    Without a number of `events` a file holds the steps and some more, and sending goes on until a signal.
    """
    scenario = scenarios.load(name)
    if events is not None and events < 1:
        raise UserError(f"--events {events}: there must be at least 1")
    if rate is not None and not 0 < rate <= RATE_MAX:
        raise UserError(f"--rate {rate:g}: must be above 0 and at most {RATE_MAX:g} events per second")
    if out == KAFKA:
        return _send(scenario, config, events, rate, seed)
    written = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal written
        for batch in recorded(Simulator(scenario, seed, rate), events):
            written += batch.num_rows
            yield batch

    sources.write(Path(out), counted())
    return written


def recorded(simulator: Simulator, events: int | None) -> Iterator[pa.RecordBatch]:
    """Traffic from `BEGIN_US` on whose weights follow the spec's steps on schedule, a second at a time.

    So many `events`, or else until the steps are over and `AFTER_STEPS` times as long again.
    """
    planned_us = sum(step.duration_us for step in simulator.spec.steps)
    end_us = BEGIN_US + int(planned_us * (1 + AFTER_STEPS))
    time_us, left = BEGIN_US, events
    while left != 0 and (left is not None or time_us < end_us):
        batch = simulator.events(time_us, time_us + SLOT_US, weights_at(simulator.scenario, time_us - BEGIN_US))
        batch = batch if left is None else batch.slice(0, left)
        left = None if left is None else left - batch.num_rows
        time_us += SLOT_US
        yield batch


def weights_at(scenario: Scenario, since_us: int) -> dict[str, float]:
    """Share per variant so long after the first step began; the last step's stays."""
    spec = scenario.spec
    for step in spec.steps:
        if since_us < step.duration_us:
            return weights_of(spec, step.weight)
        since_us -= step.duration_us
    return weights_of(spec, spec.steps[-1].weight)


def _send(scenario: Scenario, config: Config, events: int | None, rate: float | None, seed: int) -> int:
    from streams import simulator_loop  # a file needs no Kafka client

    die_with_parent()
    logs.configure("simulator")
    return simulator_loop.run(config, scenario, seed, stop_on_signals(), rate, events)


def command(
    scenario: Annotated[str, typer.Argument(help="healthy, errors, latency, no-traffic, mismatch or blip.")],
    out: Annotated[
        str, typer.Option(metavar="FILE|kafka", help="An .avro, .ndjson or .parquet file, or kafka.")
    ] = "kafka",
    events: Annotated[
        int | None, typer.Option(help="How many (default: the steps' worth, to Kafka until Ctrl-C).")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Events per second of event time (default: the scenario's).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same events.")] = 0,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """\b
    Example: davy simulate errors --events 100000 --seed 7 --out events.avro

    Exit code: 0; 2 bad option, 4 infrastructure.
    """
    written = simulate(scenario, load(config, data_dir), events, rate, seed, out)
    if as_json:
        print(json.dumps({"out": out, "events": written}))
        return
    print(f"davy: {written} events to {out}", file=sys.stderr)
