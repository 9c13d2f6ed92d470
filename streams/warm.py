"""Compiles loops before they are needed: `python -m streams.warm`; ingest and judges as they start, for themselves.

Once compiled they come from the cache folder in a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from analyzers import trial as trials
from analyzers.arm import DURATION, ArmWindow, MeasureSum, PairWindow, SparseCounts
from analyzers.detectors import extremes, seasonal
from analyzers.histogram import quantiles
from analyzers.slis import kinds
from schemas import codec
from schemas.config import Config, Input
from schemas.delta import QUARTERS, SAMPLE_RATE_ONE, UNIT_BUCKETS
from schemas.spec import load_specs
from streams import deltas
from streams.aggregate import OpenBlock
from streams.formats import formats
from streams.formats.base import Decoder
from streams.layout import Layout
from streams.packed import Packed
from streams.sinks.events import EventReader

EVENT = {
    "timestamp": 1, "service": "warm", "environment": "up", "version": "1", "experiment_id": None, "variant": None,
    "segment": None, "unit_id": "u", "instance": None, "endpoint": None, "status": 500, "error": None, "duration_us": 1,
    "cpu_us": 1, "memory_bytes": None, "measures": None, "sample_rate": 1.0,
}  # fmt: skip


def warm(decoders: Iterable[Decoder] = ()) -> None:
    """One event through the whole first stage, and a record that is none through every decoder."""
    for decoder in decoders:
        decoder.decode(Packed.of([b"\n\0"]), None)
    config, event = Config(), Packed.of([codec.encode("RequestEvent", EVENT)])
    decoded = formats()["avro"].decoder(config, "warm", Input()).decode(event, None)
    block = OpenBlock.start(Layout.of(config))
    block.add(decoded.rows, np.ones(1, np.int64))
    list(block.changed_groups(1))


SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: warm
service: warm
environment: up
variants: {control: {version: '1'}, canary: {version: '2'}}
randomization: user
slis:
  - {name: errors, type: error_ratio, max_increase: 1pp}
  - {name: more-errors, type: error_ratio, max_increase: 10%}
  - {name: latency, type: latency_quantile, quantile: 0.99, max_increase: 10%}
  - {name: mean, type: latency_mean, max_increase: 10%}
  - {name: traffic, type: throughput, max_decrease: 30%}
steps: [{weight: 50%, duration: 1h}]
"""


def warm_judge() -> None:
    """Three windows through the SLIs, whole and by strata, and what they read then."""
    deltas.warm()
    (spec,) = load_specs(SPEC)
    units = SparseCounts(np.arange(UNIT_BUCKETS), np.full(UNIT_BUCKETS, 10))
    times = SparseCounts(np.arange(1300, 1300 + UNIT_BUCKETS), units.counts)
    rows, one = units.total, SAMPLE_RATE_ONE
    duration = MeasureSum(rows, rows, times + times, SparseCounts(units.keys * QUARTERS + 100, units.counts))
    arm = ArmWindow(
        rows, rows // 10, 0, 0, rows, rows * one, rows // 10 * one, one, one, 0, units, units, units, {DURATION: duration}
    )  # fmt: skip
    twice = arm + arm
    for strata in ((), ((arm, twice), (twice, arm))):  # weighted counts are no whole numbers: loops of their own
        pair = PairWindow(0, 1, twice + arm, twice + arm, 0.5, 0, steady=True, strata=strata)
        trial = trials.start(spec, "canary")
        for i in range(3):
            trial = trials.step(trial, replace(pair, start_us=i, end_us=i + 1))
        trial.clustering.add(pair)
        for kind, state in zip(trial.types, trial.states, strict=True):
            kinds()[kind].read(state)
    quantiles(times.keys, times.counts, (0.5,))


def warm_detectors() -> None:
    """The loops of `davy detect`."""
    extremes.LOOP.warm()
    seasonal.LOOP.warm()


if __name__ == "__main__":
    warm()
    EventReader(Config()).warm()
    warm_detectors()
    warm_judge()
