"""Can a spec's promises be kept at all? What `davy lint` says beyond form, with the numbers.

Each finding is the path of the value to change and a sentence. A rate of traffic, where it is known, adds whether what
the tolerances ask for can come within max_duration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from analyzers import reasons
from analyzers.outlook import Outlook, SliOutlook, outlook, rate_needed, tolerance_needed
from analyzers.sli import Normal
from analyzers.slis import kinds
from analyzers.trial import enforced
from schemas.located import Loc
from schemas.spec import ExperimentSpec, SliSpec

Problems = Iterator[tuple[Loc, str]]


def problems(
    spec: ExperimentSpec, rate: float | None = None, normal: Mapping[str, Normal] | None = None
) -> list[tuple[Loc, str]]:  # fmt: skip
    """All findings; `rate` in requests per second of all arms."""
    found = [item for rule in RULES for item in rule(spec)]
    return found if rate is None else found + list(_traffic(outlook(spec, rate, normal or {})))


def _steps(spec: ExperimentSpec) -> Problems:
    planned, most = sum(step.duration_us for step in spec.steps), spec.policy.max_duration_us
    if planned > most:
        yield (
            ("policy", "max_duration"),
            f"max_duration: the steps take {reasons.time(planned)} but max_duration is {reasons.time(most)}: no release "
            f"can be promoted; say at least {reasons.time(planned)}",
        )
    if spec.mode == "absolute":
        return
    for i, step in enumerate(spec.steps):
        if step.weight * len(spec.candidates) >= 1 - 1e-9:
            yield (
                ("steps", i, "weight"),
                f"weight: {100 * step.weight:g}% leaves nothing to {spec.control}, so that nothing can be compared and the "
                "rollout holds: end with a step such as 50% (PROMOTE gives the candidate all traffic)",
            )


def _acting(spec: ExperimentSpec) -> Problems:
    if spec.mode == "shadow" or any(enforced(spec, sli) for sli in spec.slis):
        return
    why = "every SLI is in mode shadow"
    if spec.mode == "absolute":
        able = sorted(name for name, kind in kinds().items() if kind.absolute)
        why = f"without a control only {' and '.join(able)} can be judged"
    yield ("slis",), f"slis: {why}: nothing can be shown to be safe, so no release is ever promoted"


def _tolerances(spec: ExperimentSpec) -> Problems:
    first: dict[tuple[object, ...], SliSpec] = {}
    for i, sli in enumerate(spec.slis):
        if not enforced(spec, sli):
            continue
        limit: Loc = ("slis", i, sli.limit)
        if not sli.tolerance.value:
            yield (
                limit,
                f"{sli.limit}: with nothing allowed a release as good as control can never be shown to be within it, so it "
                f"is never promoted: allow some, or say mode: shadow for {sli.name}",
            )
        measured = (sli.type, sli.field, sli.quantile, sli.target, sli.limit, sli.tolerance.kind)
        other = first.setdefault(measured, sli)
        if other is sli:
            continue
        if other.tolerance == sli.tolerance:
            yield (
                ("slis", i, "name"),
                f"name: {sli.name} is the same as {other.name}: it only splits alpha further; remove one",
            )
            continue
        stricter, wider = sorted((other, sli), key=lambda one: one.tolerance.value)
        yield (
            limit,
            f"{sli.limit}: {wider.name} allows {reasons.allowance(wider)} and {stricter.name} {reasons.allowance(stricter)} "
            f"of the same: only {stricter.name} can decide; remove {wider.name}, or say mode: shadow",
        )


RULES: tuple[Callable[[ExperimentSpec], Problems], ...] = (_steps, _acting, _tolerances)


def _traffic(plan: Outlook) -> Problems:
    spec, most = plan.spec, plan.max_duration_s
    if plan.min_requests_s is None or plan.min_requests_s > most:
        when = "never" if plan.min_requests_s is None else f"after {_time(plan.min_requests_s)}"
        yield (
            ("policy", "min_requests"),
            f"min_requests: at {plan.rate:g} requests/s the smaller arm has {spec.policy.min_requests} requests {when}, "
            f"but max_duration is {_time(most)}",
        )
    for i, item in enumerate(plan.slis):
        if not item.acts or item.safety_s is None or item.safety_most_s is None or item.safety_most_s <= most:
            continue
        loc: Loc = ("slis", i, item.sli.limit)
        part = "fewer than half" if item.safety_s > most else "fewer than nine in ten"
        yield (
            loc,
            f"{item.sli.limit}: to show {reasons.allowance(item.sli)} takes about {_count(item.safety_requests)} requests of "
            f"both arms, nine times in ten up to {_count(item.safety_most_requests)}: at {plan.rate:g} requests/s that is "
            f"{_time(item.safety_s)} to {_time(item.safety_most_s)}, but max_duration is {_time(most)}, so that {part} good "
            f"releases are promoted: {_remedy(plan, item)}",
        )


def _remedy(plan: Outlook, item: SliOutlook) -> str:
    wider, rate = tolerance_needed(plan, item), rate_needed(plan, item)
    ways: list[str] = []
    if wider is not None:
        tolerance = type(item.sli.tolerance)(item.sli.tolerance.kind, float(f"{wider:.2g}"))
        ways.append(f"allow {reasons.allowance(item.sli.model_copy(update={item.sli.limit: tolerance}))}")
    if item.safety_most_s is not None:
        ways.append(f"say max_duration: {_duration(item.safety_most_s)}")
    if rate is not None:
        ways.append(f"send {math.ceil(float(f'{rate:.2g}')):,} requests/s")
    return ", or ".join(ways) if ways else "allow more"


def _time(seconds: float) -> str:
    return reasons.time(int(seconds * 1e6))


def _duration(seconds: float) -> str:
    """As a spec says it, rounded up."""
    return f"{math.ceil(seconds / 60)}m" if seconds < 7200 else f"{math.ceil(seconds / 3600)}h"


def _count(requests: float | None) -> str:
    return f"{int(float(f'{requests or 0:.2g}')):,}"
