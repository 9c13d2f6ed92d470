"""A validity gate: does what is about to be said hang on one producer? (leave one out)

Asked before ROLLBACK and PROMOTE, where an arm's requests come from at least `PRODUCERS_MIN` producers that can be told apart
(instances: processes, pods or hosts). Per window the arms are compared as ever, without pooling over time: of an SLI whose
events x (errors, or microseconds) lie in n requests,

    excess = sum_t [ xc nb / n - r0 xb nc / n - d nc nb / n ] / sum_t nc nb / n

is by how much the candidate is beyond its limit ``p_c <= r0 p_b + d``: Mantel and Haenszel's weights (1959). HARM hangs on a
producer, of either arm, if without it no more than `LEFT` of the excess stays: one bad pod among several is no bad release. A
harm that all share leaves about as much excess whoever is left out. SAFETY hangs on one if without it the excess is
`DEVIATIONS` standard deviations above 0, by its scatter between at least `WINDOWS_MIN` windows: a producer that sends most of
the rows (a load test, a replay of old events) must not outvote the others.

Only sums of rows, errors and durations are known by producer, so HARM of a quantile or an apdex is told by mean duration, and
SAFETY only of errors and of mean latency; of traffic, cpu and memory nothing is said. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from analyzers.arm import Instances
from schemas.frozen import frozen
from schemas.sli import SliSpec

Floats = npt.NDArray[np.float64]
Arms = tuple[Instances, Instances]
"""Control's and the candidate's counts by producer in one window."""

PRODUCERS_MIN = 3
"""Of an arm: of two that differ nobody knows which one is odd."""
LEFT = 0.25
"""Part of the excess that may stay without the producer that it is said to hang on."""
DEVIATIONS = 4.0
WINDOWS_MIN = 12
FAILING = frozenset({"error_ratio", "error_budget_burn"})
MEAN = frozenset({"latency_mean"})
TIMED = frozenset({"latency_quantile", "apdex"})
"""Told by mean duration."""


@frozen()
class Dominating:
    """One producer of an arm, and its part of the arm's rows, 0 to 1."""

    candidate: bool
    name: str
    share: float


def harm_by_one(slis: Iterable[SliSpec], windows: Sequence[Arms]) -> Dominating | None:
    """The producer that HARM of all these SLIs hangs on, or None."""
    found: Dominating | None = None
    for sli in slis:
        if sli.type not in FAILING | MEAN | TIMED:
            return None
        found = _least_left(sli, windows)
        if found is None:
            return None
    return found


def safe_by_one(slis: Iterable[SliSpec], windows: Sequence[Arms]) -> tuple[SliSpec, Dominating] | None:
    """An SLI whose SAFETY hangs on one producer, and that producer, or None."""
    for sli in slis:
        if sli.type in FAILING | MEAN and (found := _outvoting(sli, windows)) is not None:
            return sli, found
    return None


@frozen()
class _Table:
    """Requests and events by window and producer, float64 (w, p)."""

    names: list[str]
    requests: Floats
    events: Floats

    @staticmethod
    def of(arms: Sequence[Instances], errors: bool) -> _Table:
        names = sorted({name for arm in arms for name in arm})
        at = {name: i for i, name in enumerate(names)}
        counts = np.zeros((2, len(arms), len(names)))
        first = 0 if errors else 2
        for w, arm in enumerate(arms):
            for name, told in arm.items():
                counts[:, w, at[name]] = told[first : first + 2]
        return _Table(names, counts[0], counts[1])

    def without_each(self) -> tuple[Floats, Floats]:
        """Sums (w, 1 + p): of all producers, then of all but each in turn."""
        requests, events = self.requests.sum(axis=1, keepdims=True), self.events.sum(axis=1, keepdims=True)
        return np.hstack((requests, requests - self.requests)), np.hstack((events, events - self.events))


def _excesses(sli: SliSpec, windows: Sequence[Arms]) -> list[tuple[bool, _Table, Floats, Floats]]:
    """For each arm with enough producers: is it the candidate, its table, and by window (w, 1 + p) the sums of the excess and
    of its weights: with all, then without each."""
    errors = sli.type in FAILING
    tables = [_Table.of([arms[i] for arms in windows], errors) for i in (0, 1)]
    r0, d = 1.0, 0.0
    if sli.type not in TIMED:
        relative, value = sli.tolerance.kind == "relative", sli.tolerance.value
        r0, d = (1 + value, 0.0) if relative else (1.0, value)
    found: list[tuple[bool, _Table, Floats, Floats]] = []
    for i, table in enumerate(tables):
        if len(table.names) < PRODUCERS_MIN:
            continue
        n, x = table.without_each()
        other = tables[1 - i]
        m, y = other.requests.sum(axis=1, keepdims=True), other.events.sum(axis=1, keepdims=True)
        (nc, xc), (nb, xb) = ((n, x), (m, y)) if i else ((m, y), (n, x))
        both = np.maximum(nc + nb, 1.0)
        found.append((bool(i), table, (xc * nb - r0 * xb * nc - d * nc * nb) / both, nc * nb / both))
    return found


def _dominating(candidate: bool, table: _Table, producer: int) -> Dominating:
    share = float(table.requests[:, producer].sum() / max(table.requests.sum(), 1.0))
    return Dominating(candidate, table.names[producer], share)


def _least_left(sli: SliSpec, windows: Sequence[Arms]) -> Dominating | None:
    least: tuple[float, Dominating] | None = None
    for candidate, table, excess, weight in _excesses(sli, windows):
        sums, weights = excess.sum(axis=0), weight.sum(axis=0)
        if sums[0] <= 0 or not (weights > 0).all():
            continue
        left = (sums / weights)[1:] / (sums[0] / weights[0])
        producer = int(left.argmin())
        if left[producer] <= LEFT and (least is None or left[producer] < least[0]):
            least = float(left[producer]), _dominating(candidate, table, producer)
    return None if least is None else least[1]


def _outvoting(sli: SliSpec, windows: Sequence[Arms]) -> Dominating | None:
    worst: tuple[float, Dominating] | None = None
    for candidate, table, excess, weight in _excesses(sli, windows):
        if (weight > 0).any(axis=1).sum() < WINDOWS_MIN:
            continue
        sums, weights = excess.sum(axis=0), weight.sum(axis=0)
        scatter = np.sqrt(((excess - weight * (sums / np.maximum(weights, 1.0))) ** 2).sum(axis=0))
        z = (sums / np.maximum(scatter, 1e-9))[1:]
        producer = int(z.argmax())
        if sums[0] <= 0 and z[producer] >= DEVIATIONS and (worst is None or z[producer] > worst[0]):
            worst = float(z[producer]), _dominating(candidate, table, producer)
    return None if worst is None else worst[1]
