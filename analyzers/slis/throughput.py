"""throughput: does the candidate still get and finish its share of traffic? (STATISTICS section 1,
"Throughput")

The candidate's requests against control's, with exposures ``rho (1 - max_decrease)`` and ``1 - rho`` in place
of request counts; the bets below the limit are HARM: vanished requests. There is no SAFETY: more evidence of
normal traffic is not asked for at promotion. Not judged while weights change or are not known.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analyzers import forecast
from analyzers.arm import ArmWindow, PairWindow
from analyzers.counts import BELOW, Counts, growth, log_control_factors
from analyzers.dispersion import Clumps, ShareClumps
from analyzers.interval import RATIOS, of_ratios
from analyzers.sample_ratio import share_clumps, traffic
from analyzers.sli import WORSE, Foreseen, Normal, Plan, Reading, Starts, Weighed
from schemas.frozen import frozen
from schemas.spec import SliSpec

Floats = npt.NDArray[np.float64]

WEIGHT_ONE = 1 << 20
"""A row that was kept for certain has this weight."""


@frozen(eq=False)
class State:
    """`kept` is 1 - max_decrease; `seconds` of evidence, `expected` candidate requests in them."""

    kept: float
    units: bool
    alpha: float
    starts: Starts
    counts: Counts
    clumps: Clumps
    shares: ShareClumps
    seconds: float = 0.0
    expected: float = 0.0
    n_baseline: int = 0
    n_candidate: int = 0


class Throughput:
    """The SLI. Rates in its reading are requests per second."""

    type = "throughput"
    absolute = False

    def start(self, sli: SliSpec, plan: Plan) -> State:
        """The state before the first window."""
        starts = Starts.of(plan)
        counts = Counts.zero(1 + len(RATIOS), len(starts))
        kept = 1 - sli.tolerance.value
        return State(kept, plan.units, plan.alpha, starts, counts, Clumps.zero(), ShareClumps.zero())

    def step(self, state: State, pair: PairWindow) -> State:
        """The state after one more closed window, of all its rows."""
        pair = pair.whole or pair
        share = pair.share
        x, y = traffic(pair)
        if share is None or not pair.steady or not 0 < share < 1 or x + y <= 0:
            return state
        starts = state.starts.at(pair.start_us)
        kept = state.clumps.believed(share, 1 - share, x, y)
        started, factors = starts.begun(pair.start_us, pair.step), _factors(share, state.kept)
        return State(
            state.kept, state.units, state.alpha, starts,
            state.counts.add_betted(x, y, factors, started, BELOW, kept),
            state.clumps.add(share, 1 - share, x, y, kept=kept),
            share_clumps(state.shares, pair, share) if state.units else state.shares,
            state.seconds + (pair.end_us - pair.start_us) / 1e6,
            state.expected + pair.control.weight / WEIGHT_ONE * share / (1 - share),
            state.n_baseline + pair.control.rows, state.n_candidate + pair.candidate.rows,
        )  # fmt: skip

    def weigh(self, state: State) -> Weighed:
        """ln e of HARM; it has no SAFETY."""
        return state.counts.log_harm(_phi(state), BELOW), None

    def read(self, state: State) -> Reading:
        """What is known now."""
        clumps = state.clumps
        if not state.seconds:
            return Reading(None, None, None, None, None, 0.0, None, state.n_baseline, state.n_candidate)
        baseline = state.expected / state.seconds
        ratio = clumps.matched_c / clumps.matched_b if clumps.matched_b else None
        phi = _phi(state)
        lower, upper = of_ratios(state.counts, phi, state.alpha)
        return Reading(
            baseline, None if ratio is None else baseline * ratio, None if ratio is None else ratio - 1,
            lower, upper, state.counts.log_harm(phi, BELOW), None, state.n_baseline, state.n_candidate,
        )  # fmt: skip

    def glance(self, sli: SliSpec, plan: Plan, arm: ArmWindow, seconds: float) -> float:
        """Requests per second of one window; none are 0, not nothing."""
        return arm.weight / WEIGHT_ONE / seconds

    def foresee(self, sli: SliSpec, plan: Plan, share: float, normal: Normal) -> Foreseen:
        """Requests are the events; a candidate that loses twice as many as it may."""
        lost, kept = min(WORSE * sli.tolerance.value, 1.0), 1 - sli.tolerance.value
        rate = growth(share, 1 - lost, 1.0, kept, 0.0, BELOW)
        return Foreseen(None, (math.log(plan.slis / plan.alpha) + forecast.MIXED) / rate if rate > 0 else None)

    def show(self, sli: SliSpec, value: float, margin: bool = False) -> str:
        """A rate."""
        return f"{value:.3g} requests/s"


def _phi(state: State) -> float:
    return max(1.0, state.shares.phi(), state.clumps.phi_time(), state.clumps.scatter.variance_of_pairs())


@lru_cache(maxsize=256)
def _factors(share: float, kept: float) -> Floats:
    """Shares change with steps only: their logs are taken once."""
    return log_control_factors(share, 1 - share, np.append(kept, RATIOS))


SLI = Throughput()
