"""error_budget_burn: how many times faster than the objective allows errors come; 1 spends the whole budget in its window.

Derived from the error ratio: burn = errors / (1 - objective). `max_increase: 1` allows one budget's pace more than
control; without a control the pace itself is 1 and the tolerance comes on top.
"""

from __future__ import annotations

from analyzers.share_sli import ShareSli
from analyzers.sli import Plan
from schemas.spec import SliSpec


class ErrorBudgetBurn(ShareSli):
    """The SLI; values are multiples of the budget's pace."""

    type = "error_budget_burn"
    absolute = True
    errors = True

    def scale(self, sli: SliSpec, plan: Plan) -> tuple[float, float]:
        """The budget is what the objective leaves."""
        return 0.0, 1 / (1 - plan.objective)

    def show(self, sli: SliSpec, value: float, margin: bool = False) -> str:
        """A pace."""
        return f"{value:.3g}x the budget"


SLI = ErrorBudgetBurn()
