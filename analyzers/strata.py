"""Comparison within segments: both arms as if they had the same mix of segments, window by window.

Where the mixes of the arms differ (one region is served by the canary alone, a campaign reaches one arm first) an arm looks
worse only because it has more of what fails more often: Simpson's paradox (1951) within a window. With p_s and q_s the
segments' parts of the arms' requests, the rows of segment s get the weight min(p_s, q_s) / p_s in one arm and
min(p_s, q_s) / q_s in the other: overlap weights (Li, Morgan, Zaslavsky 2018). Both arms then have the mix min(p_s, q_s),
each window keeps the part sum_s min(p_s, q_s) of its evidence, and no segment of few rows can outweigh the rest. Segments
that only one arm has count in neither.

Weights lie in [0, 1] and depend on the window's request counts alone, so section 1 holds for the weighted scores as it does
for errors; of means the variance is overstated, never understated (sum w^2 <= sum w). The design effect of units is found
from unweighted rows. Traffic and sample ratio are those of all rows (`PairWindow.whole`). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzers.arm import ArmWindow, MeasureSum, PairWindow, SparseCounts

Weighted = Sequence[tuple[ArmWindow, float]]
_PRECISION = 1 << 10
"""Fixed-point weights are scaled up by it, so that rounding a product of weights does not tell."""


def standardised(pair: PairWindow) -> PairWindow:
    """The window with equal mixes; itself where the spec declares no segments, or an arm has no rows."""
    rows_b, rows_c = pair.control.rows, pair.candidate.rows
    if len(pair.strata) < 2 or not (rows_b and rows_c):
        return pair
    control: list[tuple[ArmWindow, float]] = []
    candidate: list[tuple[ArmWindow, float]] = []
    for b, c in pair.strata:
        if b.rows and c.rows:
            q, p = b.rows / rows_b, c.rows / rows_c
            control.append((b, min(p, q) / q))
            candidate.append((c, min(p, q) / p))
    return replace(pair, control=_weighted(control), candidate=_weighted(candidate), whole=pair)


def _weighted(strata: Weighted) -> ArmWindow:
    """The arm's segments together, each with its weight."""
    whole = ArmWindow.sum(arm for arm, _ in strata)
    if all(weight == 1.0 for _, weight in strata):
        return whole
    names = sorted(whole.measures)
    weights = [(arm, round(weight * _PRECISION)) for arm, weight in strata]
    return replace(
        whole,
        weight=sum(arm.weight * weight for arm, weight in weights),
        error_weight=sum(arm.error_weight * weight for arm, weight in weights),
        weight_min=0,  # never equal to the largest: rows count by their weight
        weight_max=max((arm.weight_max for arm, _ in strata), default=0) * _PRECISION,
        measures={name: _measure([(arm.measure(name), weight) for arm, weight in strata]) for name in names},
    )


def _measure(parts: Sequence[tuple[MeasureSum, float]]) -> MeasureSum:
    """Weighted rows, total and histogram; the joint counts, which tell of units only, as they are."""
    held = [
        SparseCounts(part.histogram.keys, part.histogram.counts.astype(np.float64) * weight) for part, weight in parts
    ]
    return MeasureSum(
        sum(part.rows * weight for part, weight in parts), sum(part.total * weight for part, weight in parts),
        SparseCounts.sum(held), SparseCounts.sum(part.joint for part, _ in parts),
    )  # fmt: skip
