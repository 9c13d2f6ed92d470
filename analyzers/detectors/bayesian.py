"""Bayesian online change points: how likely every length of the current run is.

Rows of a run are normal with a mean and a variance of their own (a normal-gamma prior, made from the first rows), runs end
with the chance `HAZARD` a row. A change is told once that the run is young has `SURE`.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
import numpy.typing as npt

from analyzers.detectors.base import Found
from schemas.frozen import frozen

FloatArray = npt.NDArray[np.float64]
HAZARD = 1 / 1000
RUN_MAX = 300
"""Longer runs are taken together."""
FIRST_ROWS = 20
"""Rows that only make the prior."""
YOUNG_ROWS, SURE = 8, 0.95
KAPPA, ALPHA = 0.1, 2.0
LARGEST = 1e150


@frozen(eq=False)
class State:
    """`first`: rows for the prior; then per length of run its ln probability, and the posterior of its mean and variance.
    `told`: the current run was told."""

    first: tuple[float, ...]
    told: bool
    log_p: FloatArray
    mean: FloatArray
    kappa: FloatArray
    alpha: FloatArray
    beta: FloatArray
    prior: tuple[float, float] = (0.0, 1.0)


class Bayesian:
    """The score is the probability that the run is younger than `YOUNG_ROWS`."""

    source = 'Adams and MacKay, "Bayesian online changepoint detection" (2007), algorithm 1'

    def start(self) -> State:
        """Nothing seen."""
        return _waiting(())

    def step(self, state: State, times_us: array[int], values: array[float]) -> tuple[State, Found]:
        """See `Detector`."""
        scores, changes = array("d", bytes(8 * len(values))), array("d", bytes(8 * len(values)))
        for row, value in enumerate(values):
            if not math.isnan(value):
                state, scores[row], changes[row] = _row(state, max(-LARGEST, min(LARGEST, value)))
        return state, Found(scores, changes)


def _waiting(first: tuple[float, ...]) -> State:
    """Before there is a prior."""
    none = np.zeros(0)
    return State(first, True, none, none, none, none, none)


def _row(state: State, value: float) -> tuple[State, float, float]:
    if not len(state.log_p):
        first = (*state.first, value)
        if len(first) < FIRST_ROWS:
            return _waiting(first), 0.0, 0.0
        centre = sorted(first)[FIRST_ROWS // 2]
        spread = max(float(np.std(first)), 1e-9 * abs(centre), 1e-12)
        one = np.ones(1)
        prior = (centre, ALPHA * spread * spread)
        return State((), True, np.zeros(1), one * centre, one * KAPPA, one * ALPHA, one * prior[1], prior), 0.0, 0.0
    log_p, mean, kappa, alpha, beta = state.log_p, state.mean, state.kappa, state.alpha, state.beta
    seen = log_p + _log_student(value, mean, kappa, alpha, beta)
    grown = np.concatenate(([np.logaddexp.reduce(seen) + math.log(HAZARD)], seen + math.log1p(-HAZARD)))
    grown -= np.logaddexp.reduce(grown)
    off = value - mean
    mean, beta = mean + off / (kappa + 1), beta + kappa * off * off / (2 * (kappa + 1))
    mean = np.concatenate(([state.prior[0]], mean))
    kappa = np.concatenate(([KAPPA], kappa + 1))
    alpha = np.concatenate(([ALPHA], alpha + 0.5))
    beta = np.concatenate(([state.prior[1]], beta))
    if len(grown) > RUN_MAX:
        grown[-2] = np.logaddexp(grown[-2], grown[-1])
        keep = np.arange(RUN_MAX)
        keep[-1] = RUN_MAX  # the longest run's posterior stands for both
        grown, mean, kappa, alpha, beta = grown[:RUN_MAX], mean[keep], kappa[keep], alpha[keep], beta[keep]
    young = min(1.0, float(np.exp(grown[:YOUNG_ROWS]).sum())) if len(grown) > 2 * YOUNG_ROWS else 0.0
    change = young > SURE and not state.told
    told = change or (state.told and young > 0.5)
    return State((), told, grown, mean, kappa, alpha, beta, state.prior), young, float(change)


def _log_student(value: float, mean: FloatArray, kappa: FloatArray, alpha: FloatArray, beta: FloatArray) -> FloatArray:
    """ln density of the next row per run: Student's t with 2 alpha degrees of freedom."""
    scale2 = beta * (kappa + 1) / (alpha * kappa)
    off2 = (value - mean) ** 2 / scale2
    gammas = np.array([math.lgamma(a + 0.5) - math.lgamma(a) for a in alpha])
    return gammas - 0.5 * np.log(2 * math.pi * alpha * scale2) - (alpha + 0.5) * np.log1p(off2 / (2 * alpha))


DETECTOR = Bayesian()
