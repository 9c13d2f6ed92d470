"""OpenFeature: each flag that is evaluated in a request is its experiment, the variant its arm (specification, section 4)."""

from __future__ import annotations

from typing import Any

from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.hook import Hook, HookContext, HookHints  # pyright: ignore[reportMissingTypeStubs]

from davy_emit.request import expose


class ExposureHook(Hook):
    """`api.add_hooks([ExposureHook()])`; with `flags`, only these are experiments."""

    def __init__(self, *flags: str) -> None:
        self.flags = frozenset(flags)

    def after(self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints) -> None:
        """A flag without a variant, or whose evaluation failed, says nothing."""
        if details.variant is not None and (not self.flags or details.flag_key in self.flags):
            expose(details.flag_key, details.variant)
