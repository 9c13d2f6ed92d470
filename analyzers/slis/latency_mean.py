"""latency_mean: the mean service time, winsorised (STATISTICS section 3)."""

from __future__ import annotations

from analyzers import mean_sli
from analyzers.arm import DURATION, ArmWindow, PairWindow
from analyzers.mean_sli import MeanState
from analyzers.sli import Foreseen, Normal, Plan, Reading, Weighed, show_duration
from schemas.spec import SliSpec


class LatencyMean:
    """The SLI; values in microseconds."""

    type = "latency_mean"
    absolute = False

    def start(self, sli: SliSpec, plan: Plan) -> MeanState:
        """The state before the first window."""
        return mean_sli.start(sli, plan, DURATION)

    def step(self, state: MeanState, pair: PairWindow) -> MeanState:
        """The state after one more closed window."""
        return mean_sli.step(state, pair)

    def weigh(self, state: MeanState) -> Weighed:
        """ln e of HARM and of SAFETY."""
        return mean_sli.weigh(state)

    def read(self, state: MeanState) -> Reading:
        """What is known now."""
        return mean_sli.read(state)

    def glance(self, sli: SliSpec, plan: Plan, arm: ArmWindow, seconds: float) -> float:
        """The mean of one window alone."""
        return mean_sli.glance(arm.measure(DURATION))

    def foresee(self, sli: SliSpec, plan: Plan, share: float, normal: Normal) -> Foreseen:
        """What it takes."""
        return mean_sli.foresee(sli, plan, share, normal)

    def show(self, sli: SliSpec, value: float, margin: bool = False) -> str:
        """A duration."""
        return show_duration(value)


SLI = LatencyMean()
