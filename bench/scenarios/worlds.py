"""What happens to a release, and the requests that it then answers.

A trouble begins at 0 s; before that the release is as good as control. A world's load and errors are common to both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.spec import ExperimentSpec
from streams.columns import EVENT_SCHEMA
from streams.replay import Recording

Floats = npt.NDArray[np.floating[Any]]
Trouble = tuple[Floats | float, Floats | float, Floats | float]
"""Errors that are added, how many times as slow, and how many times as scattered durations are."""
RATE = 200.0
"""Requests a second."""
ERRORS = 0.005
MEDIAN_LOG, SIGMA = math.log(30_000), 0.45
"""Of durations in microseconds."""
DAY_S = 86_400
PEAK_US = (20_000 * DAY_S + 6 * 3600) * 1_000_000
"""Six o'clock of some day: where its sine is at its peak."""


@dataclass(frozen=True, slots=True)
class World:
    """`trouble` of the release by seconds since it began; `bad`: whether to act on it is right; `swing`: of the load over a
    day, with which errors and durations rise."""

    name: str
    trouble: Callable[[Floats], Trouble]
    bad: bool
    swing: float = 0.0


def _nothing(s: Floats) -> Trouble:
    return 0.0, 1.0, 1.0


def _step(s: Floats) -> Trouble:
    return 0.01 * (s >= 0), 1.0, 1.0


def _slower(s: Floats) -> Trouble:
    return 0.0, 1 + 0.01 * np.maximum(s, 0.0) / 60, 1.0


def _failing(s: Floats) -> Trouble:
    return ERRORS * 0.01 * np.maximum(s, 0.0) / 60, 1.0, 1.0


def _scattered(s: Floats) -> Trouble:
    return 0.0, 1.0, np.where(s >= 0, 1.5, 1.0)


def _spike(s: Floats) -> Trouble:
    return 0.3 * ((s >= 0) & (s < 5)), 1.0, 1.0


def _flapping(s: Floats) -> Trouble:
    return 0.04 * ((s >= 0) & (s % 40 < 20)), 1.0, 1.0


WORLDS = (
    World("nothing", _nothing, bad=False),
    World("step: errors +1 pp", _step, bad=True),
    World("slow leak: durations +1 % a minute", _slower, bad=True),
    World("slow leak: errors +1 % a minute", _failing, bad=True),
    World("variance: durations scatter 1.5 times as much", _scattered, bad=True),
    World("seasonal traffic, deploy at its peak", _nothing, bad=False, swing=0.8),
    World("the same, errors +1 pp", _step, bad=True, swing=0.8),
    World("spike: 30 pp errors for 5 s", _spike, bad=False),
    World("flapping: errors +4 pp, 20 s of 40", _flapping, bad=True),
)


def requests(
    world: World, spec: ExperimentSpec, rng: np.random.Generator, start_us: int, end_us: int, begun_us: int,
    weights: Sequence[tuple[int, Mapping[str, float]]],
) -> Recording:  # fmt: skip
    """Of [start_us, end_us), in order of time; trouble begins at `begun_us`, `weights` hold from a time on."""
    candidate = spec.candidates[0]
    middle_s = (start_us + end_us) / 2e6
    load = 1 + world.swing * math.sin(2 * math.pi * middle_s / DAY_S)
    high = load / (1 + world.swing) if world.swing else 0.0
    n = int(rng.poisson(RATE * load * (end_us - start_us) / 1e6))
    times = np.sort(rng.integers(start_us, end_us, n))
    since = np.array([time for time, _ in weights])
    shares = np.array([held.get(candidate, 0.0) for _, held in weights])
    ours = rng.random(n) < shares[np.searchsorted(since, times, side="right") - 1]
    more, slow, scattered = world.trouble((times - begun_us) / 1e6)
    failed = rng.random(n) < ERRORS * (1 + high) + np.where(ours, more, 0.0)
    normal = SIGMA * np.where(ours, scattered, 1.0) * rng.standard_normal(n)
    duration = np.exp(MEDIAN_LOG + normal) * np.where(ours, slow, 1.0) * (1 + 0.3 * high)
    arms = (spec.control, candidate)
    columns = {
        "timestamp": pa.array(times, pa.timestamp("us")),
        "service": _same(spec.service, n),
        "environment": _same(spec.environment, n),
        "experiment_id": _same(spec.id, n),
        "version": pa.array([spec.variants[name].version for name in arms]).take(pa.array(ours.astype(np.int64))),
        "variant": pa.array(arms).take(pa.array(ours.astype(np.int64))),
        "status": pa.array(np.where(failed, 500, 200), pa.int32()),
        "duration_us": pa.array(duration.astype(np.int64)),
        "sample_rate": pa.array(np.ones(n)),
    }
    arrays = [columns[f.name] if f.name in columns else pa.nulls(n, f.type) for f in EVENT_SCHEMA]
    return Recording(pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA), times, 0)


def _same(value: str, n: int) -> pa.Array:
    return pa.repeat(value, n)
