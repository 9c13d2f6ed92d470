"""Who got how much traffic, when: the weight handshake as the judge reads it from its log.

The rollout announces a shift (`WeightIntent`), makes it, reads it back and says so (`WeightApplied`). Between the two
nobody knows a request's odds, so windows that touch the interval are no evidence.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.control import WeightApplied, WeightIntent
from schemas.frozen import frozen

Weights = Mapping[str, float]


@frozen()
class Shift:
    """One change of weights; `applied_us` is None while it is under way. Times are UTC microseconds."""

    intent_id: str
    intent_us: int
    applied_us: int | None
    step: int
    weights: Weights


@frozen()
class Traffic:
    """All shifts of an experiment, in the order in which they were announced."""

    shifts: tuple[Shift, ...] = ()

    def intent(self, time_us: int, body: WeightIntent) -> Traffic:
        """A shift is announced; saying it again changes nothing."""
        if any(shift.intent_id == body.intent_id for shift in self.shifts):
            return self
        return Traffic((*self.shifts, Shift(body.intent_id, time_us, None, body.step, body.weights)))

    def applied(self, time_us: int, body: WeightApplied) -> Traffic:
        """A shift is done; one that nobody announced began and ended at once."""
        found = [i for i, shift in enumerate(self.shifts) if shift.intent_id == body.intent_id]
        if not found:
            return Traffic((*self.shifts, Shift(body.intent_id, time_us, time_us, body.step, body.weights)))
        old = self.shifts[found[0]]
        if old.applied_us is not None:
            return self
        done = Shift(old.intent_id, old.intent_us, max(time_us, old.intent_us), body.step, body.weights)
        return Traffic((*self.shifts[: found[0]], done, *self.shifts[found[0] + 1 :]))

    @property
    def current(self) -> Shift | None:
        """The last shift that was applied."""
        return next((shift for shift in reversed(self.shifts) if shift.applied_us is not None), None)

    @property
    def first_applied_us(self) -> int | None:
        """When traffic was shifted for the first time."""
        return next((shift.applied_us for shift in self.shifts if shift.applied_us is not None), None)

    def steady(self, start_us: int, end_us: int) -> bool:
        """Whether no shift was under way within [start_us, end_us)."""
        return not any(
            shift.intent_us < end_us and (shift.applied_us is None or shift.applied_us > start_us)
            for shift in self.shifts
        )

    def at(self, time_us: int) -> Shift | None:
        """The last shift applied at or before that time."""
        done = (s for s in reversed(self.shifts) if s.applied_us is not None and s.applied_us <= time_us)
        return next(done, None)


def share(weights: Weights, candidate: str, control: str) -> float | None:
    """The candidate's share of both arms' traffic; None where neither gets any."""
    both = weights.get(candidate, 0.0) + weights.get(control, 0.0)
    return weights.get(candidate, 0.0) / both if both > 0 else None
