"""What others do, on the same windows: two oracles, a fixed threshold, Kayenta's judge, a naive repeated test.

Each rule gets the windows of one rollout as a `Series` and answers at which window it would first roll back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from analyzers.arm import PairWindow
from analyzers.histogram import midpoint
from bench.judgement.worlds import CPU, DURATION

Floats = npt.NDArray[np.float64]
MINUTE = 12
"""Windows of 5 s."""
LEVEL = 0.01
AT_ONCE = 0.5
"""Weight that the oracle who is not told the begin gives to the first window."""
NEVER = 10**9


@dataclass(frozen=True, slots=True)
class Series:
    """Per window and arm (candidate, control): `n` requests, `value` what a dashboard shows, and what a test of means adds
    up: `total` and `squares` of the scores (errors, slow requests, times). float64 (windows, 2) each."""

    n: Floats
    value: Floats
    total: Floats
    squares: Floats
    steps: Floats


def series(windows: list[PairWindow], sli: str) -> Series:
    """What an SLI shows in every window."""
    rows = [[_shown(arm, sli) for arm in (window.candidate, window.control)] for window in windows]
    if sli == "p99":  # slow is what lies above the p99 of control so far: known from its first minute
        limit = float(np.nanmedian([row[1][1] for row in rows[:MINUTE]]))
        for window, row in zip(windows, rows, strict=True):
            for i, arm in enumerate((window.candidate, window.control)):
                counts = arm.measure(DURATION).histogram
                slow = float(counts.counts[midpoint(counts.keys) > limit].sum())
                row[i] = (row[i][0], row[i][1], slow, slow)
    table = np.array(rows, np.float64)
    return Series(*(table[:, :, i] for i in range(4)), np.array([window.step for window in windows], np.float64))


def _shown(arm: object, sli: str) -> tuple[float, float, float, float]:
    rows = float(arm.rows)  # type: ignore[attr-defined]
    if sli == "errors":
        errors = float(arm.errors)  # type: ignore[attr-defined]
        return rows, errors / rows if rows else math.nan, errors, errors
    measure = arm.measure(CPU if sli == "cpu" else DURATION)  # type: ignore[attr-defined]
    counts, values = measure.histogram.counts, midpoint(measure.histogram.keys)
    if not len(counts):
        return rows, math.nan, 0.0, 0.0
    if sli == "p99":
        place = int(np.searchsorted(np.cumsum(counts), 0.99 * rows))
        return rows, float(values[min(place, len(values) - 1)]), 0.0, 0.0
    total = float(values @ counts)
    return rows, total / rows, total, float(values**2 @ counts)


def count_steps(data: Series, ratio: float) -> Floats:
    """Log-likelihood ratio of each window's counts: the candidate's share of all events is that of `ratio` instead of that of
    equal arms. float64 (windows,)."""
    n, total = data.n, data.total
    pi0 = n[:, 0] / n.sum(axis=1)
    pi1 = ratio * n[:, 0] / (ratio * n[:, 0] + n[:, 1])
    return total[:, 0] * np.log(pi1 / pi0) + total[:, 1] * np.log((1 - pi1) / (1 - pi0))


def mean_steps(data: Series, ratio: float) -> Floats:
    """The same for means: that of the arms' difference, normal, with the variance known."""
    variance = float(data.squares.sum() / data.n.sum() - (data.total.sum() / data.n.sum()) ** 2)
    n, total = data.n, data.total
    h = n[:, 0] * n[:, 1] / np.maximum(n.sum(axis=1), 1)
    mean = total / np.maximum(n, 1)
    shift = (ratio - 1) * float(data.total[:, 1].sum() / data.n[:, 1].sum())
    return h * ((mean[:, 0] - mean[:, 1]) * shift - shift**2 / 2) / variance


def oracle(steps: Floats, since: int) -> int:
    """Wald's sequential test, told the true effect and when it begins: nobody can be faster at the same alpha."""
    return _first(np.cumsum(steps[since:]) >= math.log(1 / LEVEL), since)


def waiting_oracle(steps: Floats) -> int:
    """The same, told the true effect but not when it begins: the mean of Wald's tests from each window on, `AT_ONCE` of the
    weight on the first, the rest shared evenly. A test that has not begun is 1, so for equal arms the mean is a martingale,
    which passes 1/alpha, ever, with probability at most alpha (Ville 1939)."""
    n = len(steps)
    weights = np.append(AT_ONCE, np.full(n - 1, (1 - AT_ONCE) / (n - 1)))
    sums = np.cumsum(steps)
    begun = np.logaddexp.accumulate(np.log(weights) - np.append(0.0, sums[:-1])) + sums
    later = 1 - np.cumsum(weights)
    return _first(np.exp(np.minimum(begun, 700.0)) + later >= 1 / LEVEL, 0)


def threshold(data: Series, normal: float, since: int) -> int:
    """The candidate's value of the last minute is more than a quarter above what is `normal`, three minutes running
    (errors: twice). What it compares with is a constant."""
    limit = normal * (2.0 if normal < 1 else 1.25)
    fails = 0
    for end in range(MINUTE, len(data.n) + 1, MINUTE):
        over = _pooled(data, slice(end - MINUTE, end))[0] > limit
        fails = fails + 1 if over else 0
        if fails == 3:
            return end - 1
    return NEVER


def _pooled(data: Series, span: slice) -> Floats:
    """Value per arm over some windows."""
    n = np.maximum(data.n[span], 0)
    return np.nansum(data.value[span] * n, axis=0) / np.maximum(n.sum(axis=0), 1)


def kayenta(data: Series, normal: float, since: int) -> int:
    """Kayenta's MannWhitneyClassifier as its judge sets it, once a minute on the windows' values of the running step: "High"
    where the 98 % interval of the shift lies above a quarter of its Hodges-Lehmann estimate. That is, a shift of a quarter
    is rejected (normal approximation with continuity correction, as there)."""
    for end in range(MINUTE, len(data.n) + 1, MINUTE):
        inside = (data.steps == data.steps[end - 1]) & (np.arange(len(data.n)) < end)
        candidate, control = (data.value[inside, arm] for arm in (0, 1))
        candidate, control = candidate[~np.isnan(candidate)], control[~np.isnan(control)]
        if not len(candidate) or not len(control):
            continue
        quarter = 0.25 * abs(float(np.median(candidate[:, None] - control)))
        found = stats.mannwhitneyu(candidate - quarter, control, alternative="greater", method="asymptotic")
        if float(found.pvalue) < LEVEL:
            return end - 1
    return NEVER


def naive(data: Series, normal: float, since: int) -> int:
    """A z-test at 1 % on pooled totals, after every window."""
    n, total, squares = (np.cumsum(x, axis=0) for x in (data.n, data.total, data.squares))
    mean = total / np.maximum(n, 1)
    variance = (squares / np.maximum(n, 1) - mean**2) / np.maximum(n, 1)
    z = (mean[:, 0] - mean[:, 1]) / np.sqrt(np.maximum(variance.sum(axis=1), 1e-300))
    enough = (n.min(axis=1) >= 100) & (total.sum(axis=1) >= 5)
    return _first((z > 2.3263) & enough, 0)


RIVALS: dict[str, Callable[[Series, float, int], int]] = {
    "fixed threshold": threshold, "Kayenta's judge": kayenta, "naive repeated test": naive
}  # fmt: skip


def _first(true: npt.NDArray[np.bool_], offset: int) -> int:
    return int(np.argmax(true)) + offset if true.any() else NEVER
