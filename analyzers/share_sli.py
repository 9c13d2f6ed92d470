"""What the SLIs of shares have in common: requests score in [0, 1], errors 1 (STATISTICS 1 and 2).

A kind of them says how an arm scores and how a share is shown: ``value = offset + factor * share``, where factor
is below 0 if more is better.

Without a control (mode absolute) the share is held against the one that the objective allows: control is then a
virtual arm of `VIRTUAL` times the requests with exactly that share. The increments of section 1 stay e-values:
their exponent is nc p (a-1) + nb p0 ln b <= nc (a-1) (p - p0), since ln b <= b - 1 = -(nc/nb)(a-1). Bursts are cut
and phi is taken as ever, which is what lets an error budget bear an occasional anomaly.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analyzers import forecast
from analyzers.arm import ArmWindow, PairWindow
from analyzers.counts import BELOW, ONE, Counts, growth, mean_of_logs
from analyzers.dispersion import Buckets, Clumps
from analyzers.firsts import Firsts
from analyzers.interval import RATIOS, of_differences, of_ratios
from analyzers.sli import WORSE, Foreseen, Normal, Plan, Reading, Starts, current_share, error_buckets, scored
from schemas.frozen import frozen
from schemas.spec import SliSpec

Floats = npt.NDArray[np.float64]

VIRTUAL = 1000.0
"""Requests of the virtual control to one of the candidate."""
WORSE_RATIO = 1.5
"""The harm that is foreseen where nothing more is allowed."""


@frozen(eq=False)
class State:
    """`r0`, `d`: the margin; a relative one keeps a row of sums per ratio of the interval, an absolute one a
    tilt.

    `share` is the candidate's share of requests in the last window, as configured or else as seen; `against` the
    share that a virtual control has, None where there is a real one. `firsts`: half of the evidence for HARM, where requests
    are randomised by unit and errors are counted.
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
    against: float | None = None
    scale: tuple[float, float] = (0.0, 1.0)
    detail: float = 0.0
    firsts: Firsts | None = None


class ShareSli:
    """An SLI of this kind but for `score` and `show`."""

    type = ""
    absolute = False
    usual: float | None = None
    """The share that is taken to be normal where nobody told; None: that of errors."""
    errors = False
    """Whether what scores are errors, so that affected units are known."""

    def scale(self, sli: SliSpec, plan: Plan) -> tuple[float, float]:
        """Offset and factor of what is shown."""
        return 0.0, 1.0

    def detail(self, sli: SliSpec) -> float:
        """One number of the spec that `score` needs."""
        return 0.0

    def score(self, arm: ArmWindow, detail: float) -> tuple[float, float]:
        """Requests and their scores' sum."""
        return scored(arm)

    def buckets(self, arm: ArmWindow, detail: float) -> Buckets:
        """Both per unit bucket."""
        return error_buckets(arm)

    def borne_out(self, pair: PairWindow, ec: float, eb: float) -> tuple[float, float] | None:
        """Of both arms' events those that do not hang on one instance, None where nobody knows."""
        return None

    def start(self, sli: SliSpec, plan: Plan) -> State:
        """The state before the first window."""
        offset, factor = self.scale(sli, plan)
        value, relative = sli.tolerance.value, sli.tolerance.kind == "relative"
        if not relative:
            value /= abs(factor)
        against = 1 - plan.objective if plan.absolute else None
        starts = Starts.of(plan)
        margins = 1 + len(RATIOS) if relative else 1
        return State(
            relative, 1 + value if relative else 1.0, 0.0 if relative else value,
            plan.units, plan.alpha, plan.beta, starts, Counts.zero(margins, len(starts)), Clumps.zero(),
            against=against, scale=(offset, factor), detail=self.detail(sli),
            firsts=Firsts.zero(len(starts)) if self.errors and plan.units and against is None else None,
        )  # fmt: skip

    def step(self, state: State, pair: PairWindow) -> State:
        """The state after one more closed window; without both arms or steady weights it says nothing."""
        against = state.against
        if not (pair.candidate.rows and (against is not None or (pair.steady and pair.control.rows))):
            return state
        nc, ec = self.score(pair.candidate, state.detail)
        if against is None:
            nb, eb = self.score(pair.control, state.detail)
        else:
            nb, eb = VIRTUAL * nc, VIRTUAL * nc * against
        if not (nc and nb):
            return state
        borne_out = self.borne_out(pair, ec, eb)
        kept = state.clumps.believed(nc, nb, ec, eb, borne_out)
        starts = state.starts.at(pair.start_us)
        started = starts.begun(pair.start_us, pair.step)
        margins = _margins(state.r0) if state.relative else ONE
        firsts = state.firsts and state.firsts.add(pair, nc, nb, state.r0, state.d, started)
        return State(
            state.relative, state.r0, state.d, state.units, state.alpha, state.beta, starts,
            state.counts.add(nc, nb, ec, eb, started, margins, state.d, kept),
            state.clumps.add(nc, nb, ec, eb, state.r0, self._units(state, pair), kept, borne_out),
            state.n_baseline + pair.control.rows, state.n_candidate + pair.candidate.rows,
            1.0 if against is not None else current_share(pair.share, nc, nb), against, state.scale, state.detail, firsts,
        )  # fmt: skip

    def _units(self, state: State, pair: PairWindow) -> tuple[Buckets, Buckets] | None:
        if not state.units:
            return None
        candidate = self.buckets(pair.candidate, state.detail)
        if state.against is None:
            return candidate, self.buckets(pair.control, state.detail)
        requests: Floats = VIRTUAL * candidate.requests.astype(np.float64)
        return candidate, Buckets(requests, requests * state.against)

    def weigh(self, state: State) -> tuple[float, float]:
        """ln e of HARM and of SAFETY."""
        return _weighed(state, state.clumps.phi())

    def read(self, state: State) -> Reading:
        """What is known now."""
        clumps, counts = state.clumps, state.counts
        if not clumps.matched:
            return Reading(None, None, None, None, None, 0.0, 0.0, state.n_baseline, state.n_candidate)
        phi = clumps.phi()
        baseline, candidate = clumps.matched_b / clumps.matched, clumps.matched_c / clumps.matched
        offset, factor = state.scale
        if state.relative:
            effect = candidate / baseline - 1 if baseline else None
            lower, upper = of_ratios(counts, phi, state.alpha)
        else:
            effect = factor * (candidate - baseline)
            ends = of_differences(counts, state.d, phi, state.alpha)
            lower, upper = sorted(factor * (end or 0.0) for end in ends)
        log_harm, log_safety = _weighed(state, phi)
        return Reading(
            offset + factor * baseline, offset + factor * candidate, effect, lower, upper, log_harm, log_safety,
            state.n_baseline, state.n_candidate, self._needed(state, log_safety, phi),
        )  # fmt: skip

    def glance(self, sli: SliSpec, plan: Plan, arm: ArmWindow, seconds: float) -> float:
        """The share of one window alone."""
        requests, events = self.score(arm, self.detail(sli)) if arm.rows else (0.0, 0.0)
        offset, factor = self.scale(sli, plan)
        return offset + factor * events / requests if requests else math.nan

    def foresee(self, sli: SliSpec, plan: Plan, share: float, normal: Normal) -> Foreseen:
        """Section 6. Without a control the candidate is taken to fail as often as the objective allows."""
        offset, factor = self.scale(sli, plan)
        p = self.usual if normal.level is None else (normal.level - offset) / factor
        p = normal.errors if p is None else p
        value, relative = sli.tolerance.value, sli.tolerance.kind == "relative"
        r0, d = (1 + value, 0.0) if relative else (1.0, value / abs(factor))
        per = 1.0
        if plan.absolute:
            p, share = 1 - plan.objective, 1 / (1 + VIRTUAL)
            per = share
        ratio = WORSE_RATIO
        if value and p:
            ratio = (p * (1 + WORSE * value) if relative else p + WORSE * d) / (p * r0 + d)
        safety = forecast.safety_requests(share, p, r0, d, plan.beta)
        harm = forecast.harm_requests(share, p, r0, d, ratio, plan.alpha, plan.slis)
        return Foreseen(None if safety is None else safety * per, None if harm is None else harm * per)

    def _needed(self, state: State, log_safety: float, phi: float) -> float | None:
        """Section 6, at control's rate (one error is lent where there was none yet)."""
        p = min(max(state.clumps.matched_b, 0.5) / max(state.clumps.matched, 1.0), 1.0)
        share = state.share if state.against is None else 1 / (1 + VIRTUAL)
        rate = growth(share, p, p, state.r0, state.d, BELOW)
        if state.against is not None:
            rate /= share
        return phi * forecast.missing(log_safety, state.beta) / rate if rate > 0 else None


@lru_cache(maxsize=256)
def _margins(r0: float) -> Floats:
    return np.append(r0, RATIOS)


def _weighed(state: State, phi: float) -> tuple[float, float]:
    harm = state.counts.log_harm(state.clumps.phi_harm(phi))
    if state.firsts is not None:
        harm = mean_of_logs([harm, state.firsts.log_harm()])
    return harm, state.counts.log_e(BELOW, phi)
