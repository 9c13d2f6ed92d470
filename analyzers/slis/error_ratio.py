"""error_ratio: the share of requests that fail. Exact counts (STATISTICS 1) with a design effect (2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzers import forecast
from analyzers.arm import PairWindow
from analyzers.counts import ABOVE, BELOW, Counts, growth, increments, tilts
from analyzers.dispersion import Clumps
from analyzers.interval import RATIOS, of_differences, of_ratios
from analyzers.sli import Plan, Reading, Starts, current_share, error_buckets, scored
from schemas.spec import SliSpec


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """`r0`, `d`: the margin; a relative one keeps a row of sums per ratio of the interval, an absolute one a
    tilt.

    `share` is the candidate's share of requests in the last window, as configured or else as seen.
    """

    relative: bool
    r0: float
    d: float
    units: bool
    alpha: float
    beta: float
    starts: Starts
    counts: Counts
    clumps: Clumps
    n_baseline: int = 0
    n_candidate: int = 0
    share: float = 0.5


class ErrorRatio:
    """The SLI."""

    type = "error_ratio"

    def start(self, sli: SliSpec, plan: Plan) -> State:
        """The state before the first window."""
        value, relative = sli.tolerance.value, sli.tolerance.kind == "relative"
        starts = Starts.of(plan)
        margins = 1 + len(RATIOS) if relative else 1
        return State(
            relative, 1 + value if relative else 1.0, 0.0 if relative else value,
            plan.units, plan.alpha, plan.beta, starts, Counts.zero(margins, len(starts)), Clumps.zero(),
        )  # fmt: skip

    def step(self, state: State, pair: PairWindow) -> State:
        """The state after one more closed window; without both arms or steady weights it says nothing."""
        if not (pair.steady and pair.candidate.rows and pair.control.rows):
            return state
        nc, ec = scored(pair.candidate)
        nb, eb = scored(pair.control)
        kept = state.clumps.believed(nc, nb, ec, eb)
        if state.relative:
            rows, tilt = increments(nc, nb, ec, eb, np.append(state.r0, RATIOS), kept=kept), None
        else:
            tilt = tilts(nc, nb)
            rows = increments(nc, nb, ec, eb, kept=kept) - state.d * tilt
        starts = state.starts.at(pair.start_us)
        units = (error_buckets(pair.candidate), error_buckets(pair.control)) if state.units else None
        return State(
            state.relative, state.r0, state.d, state.units, state.alpha, state.beta, starts,
            state.counts.add(rows, starts.begun(pair.start_us, pair.step), ABOVE, tilt),
            state.clumps.add(nc, nb, ec, eb, state.r0, units),
            state.n_baseline + pair.control.rows, state.n_candidate + pair.candidate.rows,
            current_share(pair.share, nc, nb),
        )  # fmt: skip

    def weigh(self, state: State) -> tuple[float, float]:
        """ln e of HARM and of SAFETY."""
        phi = state.clumps.phi()
        return state.counts.log_harm(phi), state.counts.log_e(BELOW, phi)

    def read(self, state: State) -> Reading:
        """What is known now."""
        clumps, counts = state.clumps, state.counts
        if not clumps.matched:
            return Reading(None, None, None, None, None, 0.0, 0.0, state.n_baseline, state.n_candidate)
        phi = clumps.phi()
        baseline, candidate = clumps.matched_b / clumps.matched, clumps.matched_c / clumps.matched
        if state.relative:
            effect = candidate / baseline - 1 if baseline else None
            lower, upper = of_ratios(counts, phi, state.alpha)
        else:
            effect = candidate - baseline
            lower, upper = of_differences(counts, state.d, phi, state.alpha)
        log_harm, log_safety = self.weigh(state)
        return Reading(
            baseline, candidate, effect, lower, upper, log_harm, log_safety,
            state.n_baseline, state.n_candidate, self._needed(state, log_safety, phi),
        )  # fmt: skip

    def show(self, sli: SliSpec, value: float, margin: bool = False) -> str:
        """A share of requests as per cent, a margin of it in percentage points."""
        return f"{100 * value:.3g} {'pp' if margin else '%'}"

    def _needed(self, state: State, log_safety: float, phi: float) -> float | None:
        """Section 6, at control's rate (one error is lent where there was none yet)."""
        p = min(max(state.clumps.matched_b, 0.5) / max(state.clumps.matched, 1.0), 1.0)
        rate = growth(state.share, p, p, state.r0, state.d, BELOW)
        return phi * forecast.missing(log_safety, state.beta) / rate if rate > 0 else None


SLI = ErrorRatio()
