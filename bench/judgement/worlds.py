"""Simulated rollouts: closed windows of both arms, as the judge would get them, from a seed.

A world says how traffic and its troubles look; `Effect` what the candidate does differently. Requests arrive as
Poisson counts per histogram bin, which is the same as drawing each of them; where units matter each request is
drawn. The layout of windows is that of `analyzers.arm`, so the production code judges them as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import special  # pyright: ignore[reportMissingTypeStubs]  # it has none

from analyzers.arm import ArmWindow, Instances, MeasureSum, PairWindow, SparseCounts
from analyzers.histogram import BINS, bin_of, lower_edge, midpoint, quarter_octave
from schemas.delta import QUARTERS, UNIT_BUCKETS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WINDOW_US = 5_000_000
ONE = 1 << 20
LOW_BIN, HIGH_BIN = int(bin_of(np.array([300.0]))[0]), int(bin_of(np.array([3e7]))[0])
"""Durations and CPU times lie between 0.3 ms and 30 s."""
_GRID = np.arange(LOW_BIN, HIGH_BIN + 1)
_LOG_EDGES: Floats = np.log(lower_edge(_GRID[1:]))
_MID: Floats = midpoint(np.arange(BINS))
DURATION, CPU = "duration_us", "cpu_us"
FROZEN = 4.0
"""How many times longer a request takes in a frozen window, on average half of the arm's requests."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What the candidate does from window `since` on: error rate ``p * errors + extra``, times longer, times more CPU."""

    errors: float = 1.0
    extra: float = 0.0
    slower: float = 1.0
    cpu: float = 1.0
    since: int = 0


NONE = Effect()


@dataclass(frozen=True, slots=True)
class World:
    """`rows` requests of both arms per window on average, `base` the error rate, `sigma` of log-normal durations.

    `shocks`: in 3 % of windows both arms fail ten times as often and slow down. `diurnal`: load and errors swing by
    half. `memory`: autocorrelation of load, errors and durations between windows. `pareto`: durations' tail is a power
    law of that exponent. `mix`: from 10 to 60 % of traffic comes to be of a kind with many more errors. `frozen`:
    share of its own windows in which each of an arm's `pods` freezes. `per_user`: errors per affected user; users are sticky.
    `segments`: there are two, one with many more errors and three times the durations, of which control has 10 % throughout,
    and the candidate 10 to 60 %; arms are compared within them. `objective`: there is no control, but an objective.
    """

    name: str
    says: str
    rows: int = 2000
    steps: tuple[tuple[float, int], ...] = ((0.01, 20), (0.1, 20), (0.5, 20))
    base: float = 0.005
    sigma: float = 0.5
    shocks: bool = False
    diurnal: bool = False
    memory: float = 0.0
    pareto: float = 0.0
    mix: bool = False
    frozen: float = 0.0
    pods: int = 1
    per_user: int = 0
    users: int = 4000
    segments: bool = False
    objective: float | None = None

    @property
    def units(self) -> bool:
        """Whether requests are randomised by user."""
        return self.per_user > 0

    def windows(self, seed: int, effect: Effect = NONE) -> Iterator[PairWindow]:
        """One rollout."""
        rng = np.random.default_rng([seed, sum(map(ord, self.name))])
        weather = self._weather(rng)
        if self.segments:
            return self._segments(rng, weather, effect)
        return self._users(rng, weather, effect) if self.units else self._requests(rng, weather, effect)

    def _weather(self, rng: np.random.Generator) -> _Weather:
        """What both arms share, and each arm's freezes: arrays over windows."""
        shares = np.concatenate([np.full(count, share) for share, count in self.steps])
        steps = np.concatenate([np.full(count, i) for i, (_, count) in enumerate(self.steps)])
        n = len(shares)
        load, errors, slow = np.ones(n), np.full(n, self.base), np.ones(n)
        if self.diurnal:
            wave = np.sin(np.arange(n) / n * 2 * np.pi + rng.uniform(0, 2 * np.pi))
            load, errors, slow = load * (1 + 0.5 * wave), errors * (1 + 0.5 * wave), slow * (1 + 0.1 * wave)
        if self.memory:
            load, errors = (
                load * np.exp(_memory(rng, n, self.memory, 0.3)),
                errors * np.exp(_memory(rng, n, self.memory, 0.5)),
            )
            slow = slow * np.exp(_memory(rng, n, self.memory, 0.1))
        if self.shocks:
            hit = rng.random(n) < 0.03
            errors, slow = np.where(hit, 10 * errors, errors), np.where(hit, 1.7 * slow, slow)
        heavy = 0.1 + 0.5 * np.arange(n) / n if self.mix else np.zeros(n)
        frozen = rng.random((2, n, self.pods)) < self.frozen
        return _Weather(shares, steps, load * self.rows, np.minimum(errors, 0.5), slow, heavy, frozen, np.ones((2, n)))

    def _requests(self, rng: np.random.Generator, weather: _Weather, effect: Effect) -> Iterator[PairWindow]:
        n, since = len(weather.shares), np.arange(len(weather.shares)) >= effect.since
        means = (weather.rows * (1 - weather.shares) * weather.part[0], weather.rows * weather.shares * weather.part[1])
        drawn = list[_Drawn]()
        for arm, mean in enumerate(means):
            on = since & (arm == 1)
            slow = np.where(on, weather.slow * effect.slower, weather.slow)
            kinds = [(1 - weather.heavy, slow)] + ([(weather.heavy, 3 * slow)] if self.mix else [])
            duration: Floats = np.sum([part[:, None] * self._bins(level) for part, level in kinds], axis=0)
            pods = [duration.copy() for _ in range(self.pods)]
            for pod, chances in enumerate(pods):
                hit = np.flatnonzero(weather.frozen[arm, :, pod])
                if len(hit):  # half of its requests
                    chances[hit] = (chances[hit] + self._bins(FROZEN * slow[hit])) / 2
            by_pod = rng.poisson(mean[:, None] / self.pods * np.array(pods))
            histogram: Ints = by_pod.sum(axis=0)
            rows: Ints = histogram.sum(axis=1)
            cpu = _spread(rng, rows, self._bins(0.3 * np.where(on, effect.cpu, 1.0)))
            p = weather.errors * (1 + 20 * weather.heavy if self.mix else 1)
            p = np.where(on, p * effect.errors + effect.extra, p)
            p = np.minimum(p[:, None] * (1 + 9 * weather.frozen[arm]), 1.0)
            each: Ints = by_pod.sum(axis=2).T
            took: Ints = (by_pod @ _MID[_GRID]).T.astype(np.int64)
            drawn.append(_Drawn(each, rng.binomial(each, p), took, histogram, cpu))
        for i in range(n):
            arms = [
                _arm(
                    int(arm.rows[i].sum()), int(arm.errors[i].sum()),
                    {DURATION: _measure(arm.duration[i]), CPU: _measure(arm.cpu[i])},
                )
                for arm in drawn
            ]  # fmt: skip
            pair = _pair(i, arms[1], arms[0], weather)
            yield replace(pair, instances=(drawn[0].told(i), drawn[1].told(i))) if self.pods > 1 else pair

    def _segments(self, rng: np.random.Generator, weather: _Weather, effect: Effect) -> Iterator[PairWindow]:
        """Both segments as worlds of their own, and both together."""
        n = len(weather.shares)
        hard = np.stack((np.full(n, 0.1), 0.1 + 0.5 * np.arange(n) / n))
        worse = replace(weather, part=hard, errors=np.minimum(21 * weather.errors, 0.5), slow=3 * weather.slow)
        parts = [self._requests(rng, one, effect) for one in (replace(weather, part=1 - hard), worse)]
        for one, other in zip(*parts, strict=True):
            both = replace(one, control=one.control + other.control, candidate=one.candidate + other.candidate)
            yield replace(both, strata=((one.control, one.candidate), (other.control, other.candidate)))

    def _bins(self, level: Floats) -> Floats:
        """Chance of each bin, float64 (n, bins), for a median of 22 ms times `level` (n,)."""
        x = (_LOG_EDGES - 10.0 - np.log(level)[:, None]) / self.sigma
        beyond = _normal_tail(x)
        if self.pareto:  # beyond the 90 % quantile the tail is a power law
            start = 1.2816 * self.sigma
            z = x * self.sigma
            beyond = np.where(z > start, 0.1 * np.exp(-self.pareto * (z - start)), beyond)
        cumulated = np.concatenate((np.zeros((len(x), 1)), 1 - beyond, np.ones((len(x), 1))), axis=1)
        return np.diff(cumulated, axis=1)

    def _users(self, rng: np.random.Generator, weather: _Weather, effect: Effect) -> Iterator[PairWindow]:
        """Each request belongs to a user who keeps arm, speed and luck; users differ in how much they ask for."""
        n, users = len(weather.shares), self.users
        place, bucket = rng.random(users), rng.integers(0, UNIT_BUCKETS, users)
        activity = rng.gamma(0.5, 2.0, users)
        level, frugal = np.exp(rng.normal(0, 0.3, users)), np.exp(rng.normal(0, 0.2, users))
        rows = rng.poisson(weather.rows)
        window = np.repeat(np.arange(n), rows)
        user = np.searchsorted(np.cumsum(activity) / activity.sum(), rng.random(len(window))).clip(0, users - 1)
        candidate = place[user] < weather.shares[window]
        harmed = candidate & (window >= effect.since)
        sent = len(window) * activity / activity.sum()
        p_user = np.minimum(self.per_user / np.maximum(sent, self.per_user), 1.0)
        luck = rng.random(
            users
        )  # the unlucky fail at p_user, or at the rate itself where that is more: rate * sent in all
        rate = np.where(harmed, self.base * effect.errors + effect.extra, self.base)
        fails: Floats = np.maximum(p_user[user], rate)
        unlucky: npt.NDArray[np.bool_] = luck[user] < rate / fails
        failed: npt.NDArray[np.bool_] = unlucky & (rng.random(len(window)) < fails)
        noise = rng.normal(0, self.sigma, len(window))
        duration = np.exp(10 + noise) * level[user] * weather.slow[window] * np.where(harmed, effect.slower, 1.0)
        cpu = (
            0.3 * np.exp(10 + rng.normal(0, self.sigma, len(window))) * frugal[user] * np.where(harmed, effect.cpu, 1.0)
        )
        cell = 2 * window + candidate
        measures = {
            name: (_tables(cell, bins, 2 * n), _tables(cell, bucket[user] * QUARTERS + quarter_octave(bins), 2 * n))
            for name, bins in ((DURATION, bin_of(duration).astype(np.int64)), (CPU, bin_of(cpu).astype(np.int64)))
        }
        counts = np.bincount(cell, minlength=2 * n)
        errors = np.bincount(cell[failed], minlength=2 * n)
        in_buckets = _tables(cell[failed], bucket[user][failed], 2 * n)
        affected = _tables(cell[failed], user[failed], 2 * n)
        for i in range(n):
            arms = [
                _arm(
                    int(counts[j]), int(errors[j]),
                    {name: _sums(histogram[j], joint[j]) for name, (histogram, joint) in measures.items()},
                    in_buckets[j], affected[j],
                )
                for j in (2 * i, 2 * i + 1)
            ]  # fmt: skip
            yield _pair(i, arms[1], arms[0], weather)


@dataclass(frozen=True, slots=True)
class _Weather:
    shares: Floats
    steps: Ints
    rows: Floats
    errors: Floats
    slow: Floats
    heavy: Floats
    frozen: npt.NDArray[np.bool_]
    """By arm, window and instance."""
    part: Floats
    """Of each arm's requests what is drawn, float64 (2, n)."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """An arm's requests: rows, errors and microseconds by window and instance, histograms by window and bin."""

    rows: Ints
    errors: Ints
    took: Ints
    duration: Ints
    cpu: Ints

    def told(self, window: int) -> Instances:
        """By instance."""
        rows = self.rows[window].tolist()
        each = zip(rows, self.errors[window].tolist(), rows, self.took[window].tolist(), strict=True)
        return {f"pod-{number}": counts for number, counts in enumerate(each)}


def _memory(rng: np.random.Generator, n: int, rho: float, sd: float) -> Floats:
    """A stationary autoregression of order 1."""
    out, x = np.empty(n), rng.normal(0, sd)
    for i, e in enumerate(rng.normal(0, sd * np.sqrt(1 - rho * rho), n)):
        out[i] = x = rho * x + e
    return out


def _normal_tail(x: Floats) -> Floats:
    return special.ndtr(-x)


def _spread(rng: np.random.Generator, rows: Ints, chances: Floats) -> Ints:
    """Histograms of exactly `rows` requests each."""
    return rng.multinomial(rows, chances / chances.sum(axis=1, keepdims=True))


def _measure(histogram: Ints) -> MeasureSum:
    at = np.flatnonzero(histogram)
    return _sums(SparseCounts(at + LOW_BIN, histogram[at]), SparseCounts())


def _sums(histogram: SparseCounts, joint: SparseCounts) -> MeasureSum:
    return MeasureSum(histogram.total, int(_MID[histogram.keys] @ histogram.counts), histogram, joint)


def _tables(cell: Ints, keys: Ints, cells: int) -> list[SparseCounts]:
    """Counts of keys per cell."""
    span = int(keys.max()) + 1 if len(keys) else 1
    distinct, counts = np.unique(cell * span + keys, return_counts=True)
    ends = np.searchsorted(distinct, np.arange(cells + 1) * span)
    return [SparseCounts(distinct[a:b] % span, counts[a:b]) for a, b in pairwise(ends)]


def _arm(
    rows: int, errors: int, measures: dict[str, MeasureSum], buckets: SparseCounts | None = None,
    affected: SparseCounts | None = None,
) -> ArmWindow:  # fmt: skip
    one = ONE if rows else 0
    return ArmWindow(
        rows, errors, 0, 0, rows if buckets is not None else 0, rows * ONE, errors * ONE, one, one, 0,
        buckets or SparseCounts(), affected or SparseCounts(), SparseCounts(), measures,
    )  # fmt: skip


def _pair(i: int, candidate: ArmWindow, control: ArmWindow, weather: _Weather) -> PairWindow:
    start = i * WINDOW_US
    return PairWindow(
        start, start + WINDOW_US, control, candidate, float(weather.shares[i]), int(weather.steps[i]), True
    )


WORLDS = (
    World("identical", "two equal arms, steady traffic"),
    World("bursts", "in 3 % of windows both arms fail ten times as often and slow down", shocks=True),
    World("diurnal", "load and error rate swing by half over the ramp", diurnal=True, shocks=True),
    World("memory", "load, errors and durations wander together (autocorrelation 0.9)", memory=0.9),
    World("sticky-1", "users keep their arm; one error to an affected user", per_user=1),
    World("sticky-3", "users keep their arm; three errors to an affected user", per_user=3),
    World("sticky-10", "users keep their arm; ten errors to an affected user", per_user=10),
    World("heavy-tail", "durations with a power-law tail of exponent 1.5", pareto=1.5),
    World(
        "segments", "the candidate comes to get six times as much of the worse segment; compared within", segments=True
    ),
    World("absolute", "a first deploy without control, exactly at its objective; errors alone", objective=0.995),
    World(
        "absolute-bursts",
        "the same, at 0.45 % on average, of which 3 % of windows with ten times the errors",
        objective=0.995,
        base=0.0035,
        frozen=0.03,
    ),
    World("mix", "traffic shifts to a kind with more errors and three times the durations", mix=True),
    World(
        "freezes",
        "each arm freezes in 3 % of its own windows: half its requests four times longer, ten times the errors",
        frozen=0.03,
    ),
    World("pods", "the same for each of five instances of an arm by itself", frozen=0.03, pods=5),
    World(
        "everything",
        "bursts, day and night, memory, heavy tail together",
        shocks=True,
        diurnal=True,
        memory=0.9,
        pareto=2.5,
    ),
)


def world(name: str, **changes: object) -> World:
    """One of `WORLDS`, with changes."""
    return replace(next(world for world in WORLDS if world.name == name), **changes)  # type: ignore[arg-type]
