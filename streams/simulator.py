"""Synthetic traffic: a pure function of scenario, seed, interval and weights.

Theory of operation. Event time is cut into slots of one second. Everything random about a slot's requests
(when, by whom, what kind, how lucky) is drawn from a generator seeded with (seed, slot) alone; which arm
serves a request follows from the unit and the weights, and what the arm does to it is a fixed transformation
of those draws. So any cutting of an interval gives the same events, a unit keeps its arm while the canary
grows, and two weightings differ in nothing but the arms. Draws come from numpy's PCG64: the same numpy gives
the same events.

Invariants: events are in order of time, within [start, end); nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streams.columns import EVENT_SCHEMA
from streams.scenario import Scenario

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SLOT_US = 1_000_000
SLOTS_KEPT = 2
"""Drawn slots that are kept: a live loop asks for a slot in many small pieces, which may straddle two."""
ENDPOINTS = ("/cart", "/search", "/product/{id}", "/checkout", "/login")
ENDPOINT_SHARE: Floats = np.array([0.25, 0.25, 0.3, 0.1, 0.1])
ENDPOINT_MEDIAN_US: Floats = np.array([30_000.0, 60_000.0, 25_000.0, 110_000.0, 45_000.0])
SEGMENTS = ("eu", "us", "apac")
LATENCY_SIGMA = 0.45
USER_SIGMA = 0.15
"""Users differ lastingly in what they ask for; small, so that a user's requests stay nearly independent."""
CPU_SHARE = 0.2
CPU_SIGMA = 0.25
MEMORY_BYTES = 180 * 2**20
MEMORY_SIGMA = 0.05
DAY_US = 600 * SLOT_US
"""Traffic and load swing with a day of ten minutes, so that a short run sees some of it."""
DAY_SWING = 0.15
NOISE_SIGMA = 0.05
"""Common to both arms, second by second."""
INSTANCES = 4
"""Per arm: several replicas, since those of a single one that fail together look like a bad release."""
ERROR_STATUS: Ints = np.array([500, 503, 504])
NOT_FOUND = 0.01
"""Answers that are nobody's fault and no error."""


@dataclass(frozen=True, slots=True)
class _Draws:
    """A slot's requests before it is known who serves them; all arrays (n,), uniforms in [0, 1)."""

    time_us: Ints
    user: Ints
    endpoint: Ints
    instance: Ints
    lot: Floats
    """Decides the arm where the spec randomises by request."""
    error: Floats
    kind: Floats
    latency: Floats
    """Standard normal; so are `cpu` and `memory`."""
    cpu: Floats
    memory: Floats

    @classmethod
    def joined(cls, parts: Sequence[_Draws]) -> _Draws:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def between(self, start_us: int, end_us: int) -> _Draws:
        low, high = np.searchsorted(self.time_us, (start_us, end_us))
        return _Draws(*(getattr(self, name)[low:high] for name in self.__slots__))


class Simulator:
    """Traffic of one scenario.

    >>> from streams.scenario import load
    >>> simulator = Simulator(load("healthy"), seed=1)
    >>> batch = simulator.events(0, 1_000_000, {"control": 0.9, "canary": 0.1})
    >>> 800 < batch.num_rows < 1200, batch.column_names[:2]
    (True, ['timestamp', 'service'])
    """

    def __init__(self, scenario: Scenario, seed: int = 0, rate: float | None = None) -> None:
        self.scenario = scenario
        self.spec = scenario.spec
        self.seed = seed
        self.rate = scenario.rate if rate is None else rate
        spec = self.spec
        self._arms = (*spec.candidates, spec.control)
        self._instances = _text([f"{spec.service}-{arm}-{i}" for arm in self._arms for i in range(INSTANCES)])
        users = np.random.default_rng([seed, 0])
        self._user_ids = _text([f"u{number:016x}" for number in users.integers(0, 2**63, scenario.users).tolist()])
        self._user_lot: Floats = users.random(scenario.users)
        """The unit's place on the line that the weights divide."""
        self._user_level: Floats = np.exp(USER_SIGMA * users.standard_normal(scenario.users))
        self._user_segment: Ints = users.choice(len(SEGMENTS), scenario.users, p=[0.5, 0.3, 0.2])
        self._draws = lru_cache(SLOTS_KEPT)(self._draw)

    def events(self, start_us: int, end_us: int, weights: Mapping[str, float]) -> pa.RecordBatch:
        """Requests that ended within [start_us, end_us), in order of time, in RequestEvent columns.

        `weights` is the share per variant; what is left over goes to control, and without any everything
        does.
        """
        slots = [self._draws(slot) for slot in range(start_us // SLOT_US, -(-end_us // SLOT_US))]
        draws = (_Draws.joined(slots) if slots else self._draws(0)).between(start_us, max(start_us, end_us))
        by_user = self.spec.randomization != "request"
        lot = self._user_lot[draws.user] if by_user else draws.lot
        arm = np.searchsorted(np.cumsum(self._shares(weights)), lot, side="right")
        return self._batch(draws, arm)

    def _shares(self, weights: Mapping[str, float]) -> Floats:
        """What the splitter makes of the candidates' weights."""
        return np.array([weights.get(arm, 0.0) for arm in self.spec.candidates]) * self.scenario.share_factor

    def _draw(self, slot: int) -> _Draws:
        """All draws of one slot, always in this order."""
        random = np.random.default_rng([self.seed, 1, slot])
        swing = DAY_SWING * math.sin(2 * math.pi * slot * SLOT_US / DAY_US)
        noise = math.exp(NOISE_SIGMA * random.standard_normal())
        n = int(random.poisson(self.rate * (1 + swing) * noise * SLOT_US / 1e6))
        return _Draws(
            np.sort(random.integers(0, SLOT_US, n)) + slot * SLOT_US,
            random.integers(0, self.scenario.users, n),
            np.searchsorted(np.cumsum(ENDPOINT_SHARE)[:-1], random.random(n), side="right"),
            random.integers(0, INSTANCES, n),
            random.random(n),
            random.random(n),
            random.random(n),
            random.standard_normal(n) + swing,
            random.standard_normal(n),
            random.standard_normal(n),
        )

    def _batch(self, draws: _Draws, arm: Ints) -> pa.RecordBatch:
        scenario, spec, n = self.scenario, self.spec, len(draws.time_us)
        worse = arm < len(spec.candidates)
        shaken = self._shaken(draws.time_us)
        more = scenario.shock.more_errors * shaken if scenario.shock else 0.0
        failed = draws.error < scenario.error_ratio + scenario.effect.more_errors * worse + more
        level = ENDPOINT_MEDIAN_US[draws.endpoint] * self._user_level[draws.user]
        slow = np.where(worse, scenario.effect.latency, 1.0)
        if scenario.shock:
            slow = slow * np.where(shaken, scenario.shock.latency, 1.0)
        duration = level * slow * np.exp(LATENCY_SIGMA * draws.latency)
        cpu = level * CPU_SHARE * np.where(worse, scenario.effect.cpu, 1.0) * np.exp(CPU_SIGMA * draws.cpu)
        memory = MEMORY_BYTES * np.where(worse, scenario.effect.memory, 1.0) * np.exp(MEMORY_SIGMA * draws.memory)
        kind = (draws.kind * len(ERROR_STATUS)).astype(np.int64)
        status = np.where(failed, ERROR_STATUS[kind], np.where(draws.kind < NOT_FOUND, 404, 200))
        versions = _text([spec.variants[name].version for name in self._arms])
        columns = {
            "timestamp": pa.array(draws.time_us, pa.timestamp("us")),
            "service": _repeated(spec.service, n),
            "environment": _repeated(spec.environment, n),
            "version": versions.take(pa.array(arm)),
            "experiment_id": _repeated(spec.id, n),
            "variant": _text(self._arms).take(pa.array(arm)),
            "segment": _text(SEGMENTS).take(pa.array(self._user_segment[draws.user])),
            "unit_id": self._user_ids.take(pa.array(draws.user)),
            "instance": self._instances.take(pa.array(arm * INSTANCES + draws.instance)),
            "endpoint": _text(ENDPOINTS).take(pa.array(draws.endpoint)),
            "status": pa.array(status, pa.int32()),
            "duration_us": pa.array(duration.astype(np.int64)),
            "cpu_us": pa.array(cpu.astype(np.int64)),
            "memory_bytes": pa.array(memory.astype(np.int64)),
            "sample_rate": pa.array(np.ones(n)),
        }
        arrays = [columns[f.name] if f.name in columns else pa.nulls(n, f.type) for f in EVENT_SCHEMA]
        return pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA)

    def _shaken(self, time_us: Ints) -> npt.NDArray[np.bool_]:
        """Which requests fall into the shared shock."""
        shock = self.scenario.shock
        if shock is None:
            return np.zeros(len(time_us), np.bool_)
        phase = time_us % shock.period_us - shock.start_us
        return (phase >= 0) & (phase < shock.length_us)


def _text(values: Sequence[str]) -> pa.StringArray:
    return pa.array(values, pa.string())


def _repeated(value: str, n: int) -> pa.StringArray:
    return _text([value]).take(pa.array(np.zeros(n, np.int64)))
