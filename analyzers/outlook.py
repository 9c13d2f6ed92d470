"""Before the start: requests and time that a spec's promises take at a rate of traffic, step by step (STATISTICS section 6).

Evidence adds up over steps: a step at which SAFETY would take N requests of both arms brings its requests / N of it, and
after the steps the last weight stays. Taken to be normal is what `Normal` says; requests independent of each other
(units that fail again and again take as many times more).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from analyzers.forecast import NINE_IN_TEN
from analyzers.sli import Foreseen, Normal
from analyzers.slis import kinds
from analyzers.trial import enforced, plan_of
from schemas.frozen import frozen
from schemas.spec import ExperimentSpec, SliSpec

SECOND_US = 1e6
COST = 1.25
"""Times as many requests as a single best bet would take for SAFETY: mixing over bets, bursts not yet believed, design
effects. Measured: tests/analyzers/test_outlook.py."""


@frozen()
class StepOutlook:
    """One step at its own weight: the candidate's `share` of both arms' traffic, their requests per second together, and
    the requests that each question takes there."""

    weight: float
    seconds: float
    share: float
    rate: float
    foreseen: Foreseen


@frozen()
class SliOutlook:
    """One SLI over all steps; times in seconds from the start, None: never, or not known without a level.

    `safety_s` is the median of releases as good as control, nine in ten are safe within `safety_most_s`; `harm_s` the
    median of releases twice as much worse as allowed. `*_requests` are those of both arms until then.
    """

    sli: SliSpec
    acts: bool
    normal: Normal
    steps: tuple[StepOutlook, ...]
    safety_s: float | None
    safety_most_s: float | None
    harm_s: float | None
    safety_requests: float | None
    safety_most_requests: float | None
    harm_requests: float | None
    has_safety: bool


@frozen()
class Outlook:
    """One experiment at `rate` requests per second of all arms. `promote_s`, `promote_most_s`: when a release as good as
    control may be promoted, median and nine in ten; None: never."""

    spec: ExperimentSpec
    rate: float
    planned_s: float
    max_duration_s: float
    min_requests_s: float | None
    promote_s: float | None
    promote_most_s: float | None
    slis: tuple[SliOutlook, ...]

    @property
    def fits(self) -> bool:
        """Whether nine in ten releases as good as control are promoted before max_duration."""
        return self.promote_most_s is not None and self.promote_most_s <= self.max_duration_s


def outlook(spec: ExperimentSpec, rate: float, normal: Mapping[str, Normal]) -> Outlook:
    """The outlook of each candidate at `rate` requests per second; `normal` by SLI."""
    slis = tuple(_sli(spec, sli, rate, normal.get(sli.name, Normal())) for sli in spec.slis)
    planned = sum(step.duration_us for step in spec.steps) / SECOND_US
    fewest = [_fewest(spec, step.weight) * rate for step in spec.steps]
    requests_s = _reached([step.duration_us / SECOND_US for step in spec.steps], fewest, spec.policy.min_requests)
    held = [item for item in slis if item.acts and item.has_safety]
    earliest = [planned, spec.policy.min_duration_us / SECOND_US, requests_s]
    return Outlook(
        spec, rate, planned, spec.policy.max_duration_us / SECOND_US, requests_s,
        _last([*earliest, *(item.safety_s for item in held)]),
        _last([*earliest, *(item.safety_most_s for item in held)]),
        slis,
    )  # fmt: skip


def _sli(spec: ExperimentSpec, sli: SliSpec, rate: float, normal: Normal) -> SliOutlook:
    kind, plan = kinds()[sli.type], plan_of(spec)
    steps: list[StepOutlook] = []
    for step in spec.steps:
        share, part = pair(spec, step.weight)
        alone = spec.mode == "absolute"  # no control is needed then
        seen = kind.foresee(sli, plan, share, normal) if alone or 0 < share < 1 else Foreseen(None, None)
        seen = Foreseen(None if seen.safety is None else COST * seen.safety, seen.harm)
        steps.append(StepOutlook(step.weight, step.duration_us / SECOND_US, share, part * rate, seen))
    asked = [step.foreseen.safety for step in steps]
    safety, most = _when(steps, asked, 1.0), _when(steps, asked, NINE_IN_TEN)
    harm = _when(steps, [step.foreseen.harm for step in steps], 1.0)
    return SliOutlook(
        sli, enforced(spec, sli), normal, tuple(steps), safety, most, harm, _sent(steps, safety), _sent(steps, most),
        _sent(steps, harm), kind.weigh(kind.start(sli, plan))[1] is not None,
    )  # fmt: skip


def pair(spec: ExperimentSpec, weight: float) -> tuple[float, float]:
    """A candidate's share of its own and control's traffic at a weight, and what part of all traffic both are.

    Without a control the candidate is judged alone.
    """
    control = max(1 - weight * len(spec.candidates), 0.0) if spec.mode != "absolute" else 0.0
    return weight / (weight + control), weight + control


def _fewest(spec: ExperimentSpec, weight: float) -> float:
    """The part of all traffic that the smaller arm gets."""
    share, part = pair(spec, weight)
    return part if spec.mode == "absolute" else part * min(share, 1 - share)


def _when(steps: Sequence[StepOutlook], requests: Sequence[float | None], times: float) -> float | None:
    """Seconds until `times` the requests that each step's question takes have come."""
    speeds = [step.rate / needed if needed else 0.0 for step, needed in zip(steps, requests, strict=True)]
    return _reached([step.seconds for step in steps], speeds, times)


def _reached(durations: Sequence[float], speeds: Sequence[float], wanted: float) -> float | None:
    """Seconds until `wanted` is there, gathered at each step's speed per second, then at the last one's; None: never."""
    passed, missing = 0.0, wanted
    for seconds, speed in zip(durations, speeds, strict=True):
        if missing <= speed * seconds:
            return passed + (missing / speed if missing > 0 else 0.0)
        passed, missing = passed + seconds, missing - speed * seconds
    return passed + missing / speeds[-1] if speeds[-1] > 0 else None


def _sent(steps: Sequence[StepOutlook], time: float | None) -> float | None:
    """Requests of both arms until then."""
    if time is None:
        return None
    sent = 0.0
    for i, step in enumerate(steps):
        inside = time if i == len(steps) - 1 else min(time, step.seconds)
        sent, time = sent + inside * step.rate, time - inside
    return sent


def _last(times: Sequence[float | None]) -> float | None:
    """The latest of them; None if one never comes."""
    known = [time for time in times if time is not None]
    return max(known) if len(known) == len(times) else None


def rate_needed(outlook: Outlook, item: SliOutlook) -> float | None:
    """Requests per second at which nine in ten would show an SLI safe within max_duration; None: none would."""
    gathered, left = 0.0, outlook.max_duration_s
    for i, step in enumerate(item.steps):
        inside = left if i == len(item.steps) - 1 else min(left, step.seconds)
        left -= inside
        if step.foreseen.safety:
            gathered += inside * step.rate / step.foreseen.safety
    return outlook.rate * NINE_IN_TEN / gathered if gathered > 0 else None


def tolerance_needed(outlook: Outlook, item: SliOutlook) -> float | None:
    """The tolerance, in its own unit, at which nine in ten would be shown safe within max_duration; None beyond tenfold."""
    value, limit = item.sli.tolerance.value, item.sli.limit
    for factor in (1.25**k for k in range(1, 11)):
        wider = item.sli.model_copy(
            update={limit: type(item.sli.tolerance)(item.sli.tolerance.kind, value * factor)}
        )  # fmt: skip
        most = _sli(outlook.spec, wider, outlook.rate, item.normal).safety_most_s
        if most is not None and most <= outlook.max_duration_s and math.isfinite(most):
            return value * factor
    return None
