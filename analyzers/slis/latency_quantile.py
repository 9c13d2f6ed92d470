"""latency_quantile: are requests slower near a quantile p? (STATISTICS section 1, "Slow requests")

Per piece of windows the candidate's histogram is shifted down by the tolerance, both arms are pooled, and the
lowest edge with at most (1-p) n pooled requests above it divides slow from fast. Slow requests then are
events of section 1 with r0 = 1, d = 0: labels are exchangeable at the boundary, counts hypergeometric, which
the binomial bound covers (Hoeffding 1963). The null is "the candidate's distribution, divided by 1 + tol, is
not stochastically slower near the tail".

A shift is rounded to whole bins, up for HARM and down for SAFETY: discretisation costs power (up to 1.1 % of
margin), not validity. Other shifts are kept beside, as margins for the interval. Quantiles of pooled time are
never compared; what is shown are quantiles of both arms' histograms with the same weight per window (direct
standardisation).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Self

import numpy as np
import numpy.typing as npt

from analyzers import forecast
from analyzers.arm import DURATION, ArmWindow, MeasureSum, PairWindow, SparseCounts
from analyzers.counts import ABOVE, BELOW, ONE, Counts, growth
from analyzers.dispersion import Buckets, Clumps
from analyzers.histogram import BINS, BINS_PER_OCTAVE, BINS_PER_QUARTER, MIDPOINTS, bin_of, lower_edge
from analyzers.instances import slow_apart
from analyzers.interval import Interval, between
from analyzers.kernels import value_loops
from analyzers.mean_sli import ROWS_MIN, WORSE_SHARE
from analyzers.piece import Piece, gather
from analyzers.sli import WORSE, Foreseen, Normal, Plan, Reading, Starts, current_share, show_duration
from schemas.frozen import frozen
from schemas.spec import SliSpec

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SLOW_MIN = 5.0
"""Pooled slow requests that a piece must promise before it is judged."""
_HALF = (3, 6, 10, 16, 24, 36, 54, 80, 128, 200)
SHIFTS: Ints = np.array([*(-s for s in reversed(_HALF)), 0, *_HALF], np.int64)
"""Margins of the interval in bins: from 1/8.7 to 8.7 times."""
_LOG_RATIOS: Floats = SHIFTS.astype(np.float64) * (math.log(2) / BINS_PER_OCTAVE)
MARGINS = 2 + len(SHIFTS)
_HARM, _SAFETY = 0, 1
_PROFILE_STEP = 64


@frozen(eq=False)
class Profile:
    """A histogram with weights, float64 (n,), of the bins from `base` on."""

    base: int
    weights: Floats

    @classmethod
    def zero(cls) -> Self:
        """Nothing yet."""
        return cls(0, np.zeros(0))

    def add(self, counts: SparseCounts, factor: float) -> Profile:
        """With every count times `factor` added."""
        return Profile(
            *value_loops().weighted(self.base, self.weights, counts.keys, counts.counts, factor, _PROFILE_STEP)
        )

    def quantile(self, p: float) -> float:
        """Midpoint of the bin that holds the p-quantile."""
        return float(MIDPOINTS[self.base + value_loops().weighted_quantile(self.weights, p)])


@frozen(eq=False)
class State:
    """`slow_b`, `slow_b_shifted`: control's requests beyond the SAFETY threshold and beyond it plus
    tolerance; their ratio is what an equal candidate would show. `last_control`, `last_candidate`: the last
    piece's thresholds in bins.
    """

    p: float
    relative: bool
    tolerance: float
    units: bool
    alpha: float
    beta: float
    starts: Starts
    counts: Counts
    clumps: Clumps
    control: Profile
    candidate: Profile
    waiting: Piece | None = None
    last_control: int | None = None
    last_candidate: int | None = None
    slow_b: float = 0.0
    slow_b_shifted: float = 0.0
    n_baseline: int = 0
    n_candidate: int = 0
    share: float = 0.5


class LatencyQuantile:
    """The SLI; values in microseconds."""

    type = "latency_quantile"
    absolute = False

    def start(self, sli: SliSpec, plan: Plan) -> State:
        """The state before the first window."""
        tolerance = sli.tolerance
        starts = Starts.of(plan)
        return State(
            sli.quantile or 0.99, tolerance.kind == "relative", tolerance.value,
            plan.units, plan.alpha, plan.beta, starts,
            Counts.zero(MARGINS, len(starts)), Clumps.zero(), Profile.zero(), Profile.zero(),
        )  # fmt: skip

    def step(self, state: State, pair: PairWindow) -> State:
        """The state after one more closed window."""
        piece = gather(state.waiting, pair, DURATION)
        if piece is None:
            return state if state.waiting is None else replace(state, waiting=None)
        nc, nb = piece.candidate.rows, piece.control.rows
        if not (nc and nb and (1 - state.p) * (nc + nb) >= SLOW_MIN):
            return replace(state, waiting=piece)
        return _judged(state, piece, nc, nb)

    def weigh(self, state: State) -> tuple[float, float]:
        """ln e of HARM and of SAFETY."""
        return _weighed(state, state.clumps.phi())

    def read(self, state: State) -> Reading:
        """What is known now."""
        if not state.n_candidate:
            return Reading(None, None, None, None, None, 0.0, 0.0, 0, 0)
        phi = state.clumps.phi()
        baseline, candidate = state.control.quantile(state.p), state.candidate.quantile(state.p)
        lower, upper = _interval(state.counts, phi, state.alpha)
        effect: float | None
        if state.relative:
            effect = candidate / baseline - 1 if baseline else None
        else:
            effect = candidate - baseline
            lower, upper = (None if end is None else end * baseline for end in (lower, upper))
        log_harm, log_safety = _weighed(state, phi)
        return Reading(
            baseline, candidate, effect, lower, upper, log_harm, log_safety,
            state.n_baseline, state.n_candidate, _needed(state, log_safety, phi),
        )  # fmt: skip

    def glance(self, sli: SliSpec, plan: Plan, arm: ArmWindow, seconds: float) -> float:
        """The quantile of one window alone, from `ROWS_MIN` durations on; of few it is one of the longest."""
        seen = arm.measure(DURATION)
        if seen.rows < ROWS_MIN:
            return math.nan
        held, parts = seen.histogram, np.array([sli.quantile or 0.99])
        return float(MIDPOINTS[value_loops().quantiles(held.keys, held.counts, parts)[0]])

    def foresee(self, sli: SliSpec, plan: Plan, share: float, normal: Normal) -> Foreseen:
        """Section 6 with the slow shares of log-normal durations; an absolute margin needs a level."""
        p, value, relative = sli.quantile or 0.99, sli.tolerance.value, sli.tolerance.kind == "relative"
        if not relative and not normal.level:
            return Foreseen(None, None)
        margin = value if relative else value / (normal.level or 1.0)
        bins = math.floor(BINS_PER_OCTAVE * math.log2(1 + margin) + 1e-9)  # as SAFETY rounds a relative margin
        slow_c, slow_b = forecast.slow_shares(share, p, normal.spread, bins * math.log(2) / BINS_PER_OCTAVE)
        gained = growth(share, slow_c, slow_b, 1.0, 0.0, BELOW)
        worse = (1 + WORSE * margin) / (1 + margin) if margin else 1 + WORSE_SHARE
        slow_c, slow_b = forecast.slow_shares(share, p, normal.spread, -math.log(worse))
        lost = growth(share, slow_c, slow_b, 1.0, 0.0, ABOVE)
        return Foreseen(
            math.log(1 / plan.beta) / gained if margin and gained > 0 else None,
            (math.log(plan.slis / plan.alpha) + forecast.MIXED) / lost if lost > 0 else None,
        )

    def show(self, sli: SliSpec, value: float, margin: bool = False) -> str:
        """A duration."""
        return show_duration(value)


SLI = LatencyQuantile()


def _judged(state: State, piece: Piece, nc: float, nb: float) -> State:
    """The state with a piece that is large enough."""
    candidate, control = piece.candidate.histogram, piece.control.histogram
    edge_b, edge_c, ec, eb, equal = value_loops().edges(
        candidate.keys, candidate.counts, control.keys, control.counts,
        _thresholds(state.relative, state.tolerance), (1 - state.p) * (nc + nb),
    )  # fmt: skip
    slow_c, slow_b = float(ec[_HARM]), float(eb[_HARM])
    borne_out = state.clumps.unsurprising(nc, nb, slow_c, slow_b, slow_apart(piece))
    kept = state.clumps.believed(nc, nb, slow_c, slow_b, borne_out)
    starts = state.starts.at(piece.start_us)
    h = nc * nb / (nc + nb)
    return State(
        state.p, state.relative, state.tolerance, state.units, state.alpha, state.beta, starts,
        state.counts.add(nc, nb, ec, eb, starts.begun(piece.start_us, piece.step), ONE, 0.0, kept),
        state.clumps.add(nc, nb, slow_c, slow_b, 1.0, _buckets(state, piece), kept, borne_out),
        state.control.add(control, h / nb), state.candidate.add(candidate, h / nc),
        None, int(edge_b[_HARM]), int(edge_c[_HARM]),
        state.slow_b + float(eb[_SAFETY]), state.slow_b_shifted + equal,
        state.n_baseline + round(nb), state.n_candidate + round(nc), current_share(piece.share, nc, nb),
    )  # fmt: skip


@cache
def _thresholds(relative: bool, tolerance: float) -> Ints:
    """Per margin and control bin x the candidate's first bin that counts as beyond x, int64 (m, BINS + 1)."""
    bins = np.arange(BINS + 1)
    shift = BINS_PER_OCTAVE * math.log2(1 + tolerance) if relative else 0.0
    if relative:  # a whole number of bins that log2 misses by a rounding error is that number
        near = round(shift) if abs(shift - round(shift)) < 1e-9 else shift
        own = [bins + math.ceil(near), bins + math.floor(near)]
    else:
        beyond = lower_edge(bins) + tolerance
        within = bin_of(beyond).astype(np.int64)
        own = [within + (lower_edge(within) < beyond), within]
    rows = np.vstack([*own, bins + SHIFTS[:, None]])
    return np.clip(rows, 0, BINS)


def _buckets(state: State, piece: Piece) -> tuple[Buckets, Buckets] | None:
    """Slow requests per unit bucket at the last piece's thresholds, to the nearest quarter octave (for
    phi)."""
    if not state.units or state.last_candidate is None or state.last_control is None:
        return None
    return _slow_buckets(piece.candidate, state.last_candidate), _slow_buckets(piece.control, state.last_control)


def _slow_buckets(measure: MeasureSum, edge: int) -> Buckets:
    quarter = (edge + BINS_PER_QUARTER // 2 + BINS_PER_QUARTER - 1) // BINS_PER_QUARTER
    return Buckets(*value_loops().slow_by_unit(measure.joint.keys, measure.joint.counts, quarter))


def _weighed(state: State, phi: float) -> tuple[float, float]:
    return state.counts.log_harm(state.clumps.phi_harm(phi)), state.counts.log_e(BELOW, phi, _SAFETY)


def _interval(counts: Counts, phi: float, alpha: float) -> Interval:
    """Bounds of the relative effect."""
    lower, upper = between(_LOG_RATIOS, counts.sums[2:], phi, alpha)
    return -1.0 if lower is None else math.expm1(lower), None if upper is None else math.expm1(upper)


def _needed(state: State, log_safety: float, phi: float) -> float | None:
    """Section 6 with the rates that an equal candidate would show."""
    slow = state.slow_b / state.n_baseline
    equal = state.slow_b_shifted / state.n_baseline
    rate = growth(state.share, equal, slow, 1.0, 0.0, BELOW)
    return phi * forecast.missing(log_safety, state.beta) / rate if rate > 0 else None
