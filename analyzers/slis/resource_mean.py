"""resource_mean: the mean of a measure per request, such as `cpu_us`, `memory_bytes` or any registered one,
winsorised.

STATISTICS section 3. With `max_decrease` less is worse: user outcomes.
"""

from __future__ import annotations

from analyzers import mean_sli
from analyzers.arm import ArmWindow, PairWindow
from analyzers.mean_sli import MeanState
from analyzers.sli import Foreseen, Normal, Plan, Reading, Weighed, show_duration
from schemas.spec import SliSpec
from schemas.units import show_bytes


class ResourceMean:
    """The SLI; values in the measure's own unit, which its name's last part gives."""

    type = "resource_mean"
    absolute = False

    def start(self, sli: SliSpec, plan: Plan) -> MeanState:
        """The state before the first window."""
        return mean_sli.start(sli, plan, sli.field or "")

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
        return mean_sli.glance(arm.measure(sli.field or ""))

    def foresee(self, sli: SliSpec, plan: Plan, share: float, normal: Normal) -> Foreseen:
        """What it takes."""
        return mean_sli.foresee(sli, plan, share, normal)

    def show(self, sli: SliSpec, value: float, margin: bool = False) -> str:
        """The value with its unit."""
        field = sli.field or ""
        if field.endswith("_us"):
            return show_duration(value)
        return show_bytes(value) if field.endswith("_bytes") else f"{value:.4g}"


SLI = ResourceMean()
