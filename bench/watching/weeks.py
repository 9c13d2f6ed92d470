"""Weeks of a service in which nothing is wrong, and what its watch says of them: every incident is a false one.

Windows of five seconds, as the judge would close them; requests of a window are Poisson around the load, their durations
log-normal.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special  # pyright: ignore[reportMissingTypeStubs]  # it has none

from analyzers import service_watch
from analyzers.arm import DURATION, EMPTY, ArmWindow, MeasureSum, SparseCounts
from analyzers.histogram import bin_of, lower_edge, midpoint
from analyzers.watch import KEPT
from schemas.watching import Watching

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Weather = tuple[Floats, Floats, Floats]
WINDOW_US = 5_000_000
HOUR, DAY, WEEK = 720, 17_280, 120_960
"""Windows."""
MONDAY_US = 1_764_547_200_000_000
ONE = 1 << 20
SIGMA = 0.5
"""Of log-normal durations."""
LOW, HIGH = int(bin_of(np.array([1e3]))[0]), int(bin_of(np.array([3e6]))[0])
LOG_EDGES: Floats = np.log(lower_edge(np.arange(LOW + 1, HIGH + 1)))
MIDDLES: Floats = midpoint(np.arange(LOW, HIGH + 1))


@dataclass(frozen=True, slots=True)
class Life:
    """`weather` of windows (n,): the load in terms of `rows`, the share of errors, and how many times 22 ms the median
    duration is."""

    name: str
    weather: Callable[[np.random.Generator, Floats], Weather]
    rows: int = 500

    def windows(self, seed: int, weeks: float) -> Iterator[ArmWindow]:
        """What one version did, window by window, from a Monday on."""
        rng = np.random.default_rng([seed, sum(map(ord, self.name))])
        n = int(weeks * WEEK)
        load, errors, slow = self.weather(rng, np.arange(n, dtype=np.float64))
        return drawn(rng, self.rows * load, errors, slow)


def drawn(rng: np.random.Generator, rows: Floats, errors: Floats, slow: Floats) -> Iterator[ArmWindow]:
    """Windows of that many requests on average, shares of errors, and slowness, each (n,)."""
    for at in range(0, len(rows), HOUR):
        part = slice(at, at + HOUR)
        beyond = special.ndtr((10.0 + np.log(slow[part])[:, None] - LOG_EDGES) / SIGMA)
        chances = -np.diff(beyond, axis=1, prepend=1.0, append=0.0)
        histogram: Ints = rng.poisson(rows[part, None] * chances)
        counts = histogram.sum(axis=1)
        failed = rng.binomial(counts, np.minimum(errors[part], 1.0))
        for i, n in enumerate(counts.tolist()):
            yield _arm(n, int(failed[i]), histogram[i])


def _arm(rows: int, errors: int, histogram: Ints) -> ArmWindow:
    if not rows:
        return EMPTY
    at = np.flatnonzero(histogram)
    measure = MeasureSum(rows, int(MIDDLES[at] @ histogram[at]), SparseCounts(at + LOW, histogram[at]))
    return ArmWindow(
        rows, errors, 0, 0, 0, rows * ONE, errors * ONE, ONE, ONE, measures={DURATION: measure}
    )  # fmt: skip


def watched(
    windows: Iterator[ArmWindow], version: str, limits: Watching, begin_us: int = MONDAY_US
) -> Iterator[tuple[int, service_watch.Said]]:
    """What its watch says, and after which window."""
    held, recent = None, dict[int, ArmWindow]()
    starts = deque[int]()
    for number, content in enumerate(windows):
        start = begin_us + number * WINDOW_US
        if held is None:
            held = service_watch.start(limits, version, content, start, WINDOW_US)
        then = held.watch.reference_us
        before = EMPTY if then is None else recent[then]
        held, said = service_watch.step(limits, held, content, before, start + WINDOW_US)
        recent[start] = content
        starts.append(start)
        if len(starts) > 3 * KEPT:
            del recent[starts.popleft()]
        if said is not None:
            yield number, said


def _sine(t: Floats, period: float = DAY) -> Floats:
    return np.sin(2 * math.pi * t / period)


def _inert(rng: np.random.Generator, n: int, windows: float, sd: float) -> Floats:
    """A stationary first-order autoregression that forgets within so many windows."""
    keep = math.exp(-1 / windows)
    out, x = np.empty(n), float(rng.normal(0, sd))
    for i, e in enumerate(rng.normal(0, sd * math.sqrt(1 - keep * keep), n).tolist()):
        out[i] = x = keep * x + e
    return out


def _plain(load: Floats) -> Weather:
    return load, np.full(len(load), 0.005), np.ones(len(load))


def _steady(rng: np.random.Generator, t: Floats) -> Weather:
    return _plain(np.ones(len(t)))


def _daily(rng: np.random.Generator, t: Floats) -> Weather:
    return _plain(1 + 0.8 * _sine(t))


def _weekends(rng: np.random.Generator, t: Floats) -> Weather:
    return _plain((1 + 0.8 * _sine(t)) * np.where(t // DAY % 7 >= 5, 0.5, 1.0))


def _office(rng: np.random.Generator, t: Floats) -> Weather:
    """A tenth outside of 8 to 18 h and on weekends; the change takes half an hour."""
    hour = t % DAY / HOUR
    open_ = np.clip((hour - 8) / 0.5, 0, 1) * np.clip((18 - hour) / 0.5, 0, 1)
    return _plain(np.where(t // DAY % 7 >= 5, 0.1, 0.1 + 0.9 * open_))


def _closing(rng: np.random.Generator, t: Floats) -> Weather:
    """Shops that close at 20 h: all but a tenth goes within two minutes."""
    hour = t % DAY / HOUR
    return _plain(0.1 + 0.9 * np.clip((hour - 8) * 30, 0, 1) * np.clip((20 - hour) * 30, 0, 1))


def _loaded(rng: np.random.Generator, t: Floats) -> Weather:
    """Errors 0.1 to 1.5 % and durations half as long again with the load of the day."""
    load = 1 + 0.8 * _sine(t)
    return load, 0.001 + 0.014 * (load / 1.8) ** 3, 1 + 0.5 * load / 1.8


def _wandering(rng: np.random.Generator, t: Floats) -> Weather:
    load = (1 + 0.5 * _sine(t)) * np.exp(_inert(rng, len(t), 120, 0.2))
    return load, 0.005 * np.exp(_inert(rng, len(t), 120, 0.3)), np.exp(_inert(rng, len(t), 120, 0.05))


def _restless(rng: np.random.Generator, t: Floats) -> Weather:
    """Each window has a load of its own."""
    return _plain((1 + 0.5 * _sine(t)) * rng.gamma(6.0, 1 / 6.0, len(t)))


def _bursts(rng: np.random.Generator, t: Floats) -> Weather:
    """Six times a day four times the traffic, for one to fifteen minutes."""
    load = 1 + 0.5 * _sine(t)
    for at in rng.integers(0, len(t), 6 * len(t) // DAY):
        load[at : at + rng.integers(12, 180)] *= 4
    return _plain(load)


def _batches(rng: np.random.Generator, t: Floats) -> Weather:
    """Every hour five minutes of a batch: as many requests again, 1.7 times as slow."""
    batch = t % HOUR < 60
    return 1 + batch.astype(float), np.full(len(t), 0.005), np.where(batch, 1.7, 1.0)


LIVES = (
    Life("steady", _steady),
    Life("a sine a day, 1 to 9", _daily),
    Life("the same, half at weekends", _weekends),
    Life("the same, errors 0.1 to 1.5 % and p99 +45 % with the load", _loaded),
    Life("office hours: tenfold within half an hour", _office),
    Life("opening hours: tenfold within two minutes", _closing),
    Life("wandering: autocorrelated over 10 minutes, load by 20 %, errors by 30 %, durations by 5 %", _wandering),
    Life("restless: the load of a window differs by 40 %", _restless),
    Life("bursts: six a day of four times the traffic, 1 to 15 minutes", _bursts),
    Life("batches: each hour 5 minutes of twice the traffic, slower", _batches),
    Life("little traffic: 5 requests/s, a sine a day", _daily, rows=25),
    Life("hardly any: 1 request in 2 s, a sine a day", _daily, rows=3),
)
