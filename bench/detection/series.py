"""Series whose truth is known: noise without a change, and what a service's day can bring."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzers.detectors import detector
from analyzers.detectors.base import Found

Floats = npt.NDArray[np.float64]
MINUTE_US = 60_000_000
DAY = 1440
BEGIN_US = 1_764_028_800_000_000
Make = Callable[[np.random.Generator], Floats]


@dataclass(frozen=True, slots=True)
class Calm:
    """No change in it; `goal`: false changes per 10,000 rows."""

    name: str
    make: Make
    goal: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something happens at row `at`; `told`: whether it should be told as a change."""

    name: str
    make: Make
    at: int
    told: bool = True


def minutes(n: int) -> Floats:
    """Row numbers of a series with a row a minute."""
    return np.arange(n, dtype=float)


def daily(n: int, size: float) -> Floats:
    """A sine a day."""
    return size * np.sin(2 * math.pi * minutes(n) / DAY)


def inert(rng: np.random.Generator, n: int, share: float) -> Floats:
    """A first-order autoregression with standard deviation 1."""
    out, before = np.empty(n), 0.0
    noise = rng.normal(size=n) * math.sqrt(1 - share * share)
    for i in range(n):
        out[i] = before = share * before + noise[i]
    return out


def _weekends(rng: np.random.Generator) -> Floats:
    days = np.arange(ROWS) // DAY % 7
    return (10 + daily(ROWS, 10)) * np.where(days >= 5, 0.5, 1.0) + rng.normal(size=ROWS)


ROWS = 20 * DAY
CALM = (
    Calm("normal", lambda rng: rng.normal(size=ROWS), 1),
    Calm("Student, 3 degrees of freedom", lambda rng: rng.standard_t(3, size=ROWS), 1),
    Calm("log-normal", lambda rng: rng.lognormal(size=ROWS), 1),
    Calm("Poisson, mean 2", lambda rng: rng.poisson(2, size=ROWS).astype(float), 1),
    Calm("autoregression 0.5", lambda rng: inert(rng, ROWS, 0.5), 1),
    Calm("a sine a day, 3 sigma", lambda rng: daily(ROWS, 3) + rng.normal(size=ROWS), 10),
    Calm("a sine a day, 30 sigma", lambda rng: daily(ROWS, 30) + rng.normal(size=ROWS), 10),
    Calm(
        "traffic: sine a day, noise in proportion",
        lambda rng: (120 + daily(ROWS, 100)) * (1 + rng.normal(size=ROWS) / 20),
        10,
    ),
    Calm("sine a day, half at weekends", _weekends, 10),
)


def step(at: int, shift: float) -> Make:
    """Normal noise whose mean moves by `shift` standard deviations."""
    return lambda rng: rng.normal(size=at + 200) + np.where(minutes(at + 200) >= at, shift, 0.0)


def _leak(rng: np.random.Generator) -> Floats:
    t = minutes(2000)
    return 100 * 1.01 ** np.maximum(0.0, t - 1500).clip(max=300) * (1 + rng.normal(size=2000) / 50)


def _peak(rng: np.random.Generator) -> Floats:
    at, n = 7 * DAY + DAY // 4, 7 * DAY + DAY // 2
    return daily(n, 10) + rng.normal(size=n) + np.where(minutes(n) >= at, 3.0, 0.0)


def _spike(rng: np.random.Generator) -> Floats:
    rows = rng.normal(size=2000)
    rows[1500] += 30.0
    return rows


def _flapping(rng: np.random.Generator) -> Floats:
    t = minutes(2000)
    return rng.normal(size=2000) + np.where((t >= 1500) & ((t - 1500) // 20 % 2 == 0), 4.0, 0.0)


EVENTS = (
    *(
        Event(f"step of {shift:+g} sigma at row {at}", step(at, shift), at)
        for at, shift in ((100, 3), (500, 3), (2000, -3))
    ),
    Event("step of +2 sigma at row 2000", step(2000, 2), 2000),
    Event("leak, +1 % a minute of a level with 2 % noise", _leak, 1500),
    Event(
        "variance: standard deviation 1 to 3",
        lambda rng: rng.normal(size=2000) * np.where(minutes(2000) >= 1500, 3.0, 1.0),
        1500,
    ),
    Event("deploy at the peak of a day of 10 sigma: +3 sigma", _peak, 7 * DAY + DAY // 4),
    Event("flapping: 4 sigma for 20 rows of 40", _flapping, 1500),
    Event("one row of 30 sigma", _spike, 1500, told=False),
)


def found(name: str, rows: Floats) -> Found:
    """What a detector finds in rows a minute apart."""
    chosen = detector(name)
    times = array("q", [BEGIN_US + i * MINUTE_US for i in range(len(rows))])
    return chosen.step(chosen.start(), times, array("d", rows.tolist()))[1]


def false_changes(name: str, calm: Calm, runs: int) -> tuple[int, int]:
    """False changes, and rows."""
    rng = np.random.default_rng(1)
    return sum(int(sum(found(name, calm.make(rng)).changes)) for _ in range(runs)), runs * ROWS


def delays(name: str, event: Event, runs: int) -> tuple[list[float], int]:
    """Rows until it was told, infinite where it was not; and false changes before it."""
    rng, waits, early = np.random.default_rng(2), [], 0
    for _ in range(runs):
        told = np.flatnonzero(np.array(found(name, event.make(rng)).changes))
        early += int((told < event.at).sum())
        later = told[told >= event.at]
        waits.append(float(later[0] - event.at + 1) if len(later) else math.inf)
    return waits, early
