"""What the SLIs of means share: histograms to winsorised moments (STATISTICS section 3)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from analyzers import forecast
from analyzers.arm import MeasureSum, PairWindow
from analyzers.histogram import MIDPOINTS, quarter_midpoint
from analyzers.instances import slow_apart
from analyzers.kernels import value_loops
from analyzers.means import REQUESTS_MIN, Means, Sample, half_width, log_evidence
from analyzers.piece import Piece, gather
from analyzers.sli import WORSE, Foreseen, Normal, Plan, Reading, current_share
from schemas.delta import QUARTERS
from schemas.frozen import frozen
from schemas.spec import SliSpec

Floats = npt.NDArray[np.float64]

ROWS_MIN = 10
"""Values of each arm that a piece must hold before it is judged."""
CAP_QUANTILE = 0.995
CAP_FACTOR = 3.0
WORSE_SHARE = 0.1
"""The harm that is foreseen where nothing more is allowed."""
_QUARTER_MIDPOINTS: Floats = quarter_midpoint(np.arange(QUARTERS))


@frozen(eq=False)
class MeanState:
    """`sign` is 1 where more is worse and -1 where less is; `shift` an absolute margin, 0 for a relative one.

    `cap` winsorises the next piece: `CAP_FACTOR` times the last piece's pooled quantile, so known beforehand.
    """

    measure: str
    sign: float
    relative: bool
    tolerance: float
    alpha: float
    beta: float
    means: Means
    waiting: Piece | None = None
    cap: float = 0.0
    share: float = 0.5


def start(sli: SliSpec, plan: Plan, measure: str) -> MeanState:
    """The state before the first window."""
    sign = -1.0 if sli.limit == "max_decrease" else 1.0
    value, relative = sli.tolerance.value, sli.tolerance.kind == "relative"
    means = Means(1 + sign * value if relative else 1.0, plan.units)
    return MeanState(measure, sign, relative, value, plan.alpha, plan.beta, means)


def step(state: MeanState, pair: PairWindow) -> MeanState:
    """The state after one more closed window."""
    piece = gather(state.waiting, pair, state.measure)
    if piece is None:
        return state if state.waiting is None else replace(state, waiting=None)
    nc, nb = piece.candidate.rows, piece.control.rows
    if min(nc, nb) < ROWS_MIN:
        return replace(state, waiting=piece)
    means = state.means
    if state.cap > 0:  # the first piece only sets the cap
        candidate = _sample(piece.candidate, state.cap, means.units)
        control = _sample(piece.control, state.cap, means.units)
        if control.mean > 0:
            shift = 0.0 if state.relative else state.sign * state.tolerance
            means = means.add(candidate, control, shift, slow_apart(piece))
    cap = CAP_FACTOR * _quantile(piece.control, piece.candidate) or state.cap
    return MeanState(
        state.measure, state.sign, state.relative, state.tolerance, state.alpha, state.beta, means, None, cap,
        current_share(piece.share, nc, nb),
    )  # fmt: skip


def foresee(sli: SliSpec, plan: Plan, share: float, normal: Normal) -> Foreseen:
    """Section 3's information against what SAFETY and HARM take; an absolute margin needs a level."""
    value, relative = sli.tolerance.value, sli.tolerance.kind == "relative"
    if not relative and not normal.level:
        return Foreseen(None, None)
    margin = value if relative else value / (normal.level or 1.0)
    sign = -1.0 if sli.limit == "max_decrease" else 1.0
    border = sign * margin if relative else 0.0
    harm = math.log(plan.slis / plan.alpha)
    least = REQUESTS_MIN / share
    safety, harmed = (
        forecast.mean_requests(share, normal.spread, border, away, limit)
        for away, limit in ((margin, math.log(1 / plan.beta)), ((WORSE - 1) * margin or WORSE_SHARE, harm))
    )
    return Foreseen(None if safety is None else max(safety, least), None if harmed is None else max(harmed, least))


def weigh(state: MeanState) -> tuple[float, float]:
    """ln e of HARM and of SAFETY; 0 until the normal approximation may be used."""
    return _weighed(state, state.means.information()) if state.means.ready() else (0.0, 0.0)


def _weighed(state: MeanState, information: float) -> tuple[float, float]:
    means = state.means
    above, below = log_evidence(means.d_high, information), log_evidence(-means.d_low, information)
    return (above, below) if state.sign > 0 else (below, above)


def read(state: MeanState) -> Reading:
    """What is known now; e = 1 until the normal approximation may be used."""
    means = state.means
    n_baseline, n_candidate = int(means.n_b), int(means.n_c)
    if not means.scatter.windows:
        return Reading(None, None, None, None, None, 0.0, 0.0, n_baseline, n_candidate)
    baseline = means.h_mean_b / means.h
    information = means.information()
    estimate = means.d + means.ratio - 1  # relative to control, beyond `shift` if the margin is absolute
    lower = upper = None
    log_harm = log_safety = 0.0
    if means.ready():
        log_harm, log_safety = _weighed(state, information)
        width = half_width(information, math.log(2 / state.alpha))
        over = means.ratio - 1
        lower, upper = means.d_high + over - width, means.d_low + over + width
    shift = 0.0 if state.relative else state.sign * state.tolerance
    scale = 1.0 if state.relative else baseline
    effect = estimate * scale + shift
    return Reading(
        baseline, baseline + (effect * baseline if state.relative else effect), effect,
        None if lower is None else lower * scale + shift, None if upper is None else upper * scale + shift,
        log_harm, log_safety, n_baseline, n_candidate,
        _needed(state, information, baseline, log_safety),
    )  # fmt: skip


def glance(measure: MeasureSum) -> float:
    """The mean of one window alone, winsorised by its own quantile; NaN below `ROWS_MIN` values."""
    if measure.rows < ROWS_MIN:
        return math.nan
    keys, counts, loops = measure.histogram.keys, measure.histogram.counts, value_loops()
    top = loops.quantiles(keys, counts, np.array([CAP_QUANTILE]))[0]
    return loops.moments(keys, counts, MIDPOINTS, CAP_FACTOR * MIDPOINTS[top])[1]


def _sample(measure: MeasureSum, cap: float, units: bool) -> Sample:
    """Winsorised moments of one arm; bins and quarter octaves stand for their midpoints."""
    keys, counts = measure.histogram.keys, measure.histogram.counts
    n, mean, squares = value_loops().moments(keys, counts, MIDPOINTS, cap)
    if not units:
        return Sample(n, mean, squares)
    joint = measure.joint
    return Sample(n, mean, squares, *value_loops().by_unit(joint.keys, joint.counts, _QUARTER_MIDPOINTS, cap))


def _quantile(control: MeasureSum, candidate: MeasureSum) -> float:
    """The pooled quantile that sets the next cap."""
    a, b = control.histogram, candidate.histogram
    return float(MIDPOINTS[value_loops().pooled_quantile(a.keys, a.counts, b.keys, b.counts, CAP_QUANTILE)])


def _needed(state: MeanState, information: float, baseline: float, log_safety: float) -> float | None:
    """Section 6: information grows with requests; the release is taken to be as good as control."""
    missing = forecast.missing(log_safety, state.beta)
    if not missing:
        return 0.0
    margin = state.tolerance if state.relative else state.tolerance / baseline
    factor = forecast.mean_factor(margin, information, state.beta)
    if factor is None:
        return None
    means = state.means
    ready = (REQUESTS_MIN - means.n_c) / state.share
    return max((factor - 1) * (means.n_b + means.n_c), ready, 1.0)
