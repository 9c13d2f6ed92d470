"""The rationale of a verdict in words: the rule that applied and its lines in the spec, what it spent of the error budgets,
what changed, and what would have changed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzers.reasons import allowance, time
from davy.terminal import change, level, short
from schemas.codec import iso
from schemas.spec import ExperimentSpec
from schemas.verdict import Evidence, Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """What led from the evidence to the action, and where the spec says so (paths such as
    ``policy.alpha``)."""

    sentence: str
    paths: tuple[str, ...]


def rule_of(verdict: Verdict, spec: ExperimentSpec) -> Rule:
    """The rule that applied."""
    policy, step = spec.policy, f"steps[{verdict.step}]"
    where = {sli.name: f"slis[{index}]" for index, sli in enumerate(spec.slis)}

    def slis(*statuses: str) -> tuple[str, ...]:
        return tuple(where[item.sli] for item in verdict.evidence if item.status in statuses and item.sli in where)

    if wires := tripped(verdict, spec):
        sentence = (
            "a tripwire knows no error budget: it holds at once, and acts outside of alpha where its action says so"
        )
        return Rule(sentence, wires)
    match verdict.action, verdict.conclusion:
        case "ROLLBACK", "NO_DATA":
            return Rule("the spec asks for a rollback where there are no data", ("policy.on_no_data",))
        case "ROLLBACK", _:
            limit = f"{len(spec.candidates) / policy.alpha:.6g}"
            sentence = (
                f"harm is proven once the mean of the enforced SLIs' evidence reaches {limit}: a harmless "
                f"release comes that far with a chance of at most {100 * policy.alpha:g} %, over all SLIs "
                "and all looks"
            )
            return Rule(sentence, (*slis("HARM"), "policy.alpha"))
        case "PROMOTE", _:
            sentence = (
                "all steps are done, both arms have had their time and requests, and each enforced SLI's "
                f"evidence of safety has reached {1 / policy.beta:.6g}: a release that is worse than allowed "
                f"comes that far with a chance of at most {100 * policy.beta:g} %"
            )
            return Rule(sentence, (*slis("SAFE"), "policy.beta", "policy.min_duration", "policy.min_requests"))
        case "HOLD", "INVALID":
            return Rule(
                "the experiment itself is in doubt: it never promotes like that, and waits for a person",
                (),
            )
        case "HOLD", "NO_DATA":
            return Rule("no data are no evidence: they hold, whatever else is known", ("policy.on_no_data",))
        case "HOLD", _:
            asked = f"{1 / policy.beta:.6g}"
            sentence = f"a release waits until every enforced SLI's evidence of safety reaches {asked}"
            return Rule(sentence, (*slis("OPEN"), "policy.beta"))
        case "ADVANCE", _:
            return Rule("the step has had its time, and nothing stands against the next", (f"{step}.duration",))
        case _:
            return Rule("the step is running, and nothing stands against it", (f"{step}.duration",))


def comparison_lines(spec: ExperimentSpec) -> list[str]:
    """How the arms were compared where it was not as a whole; the line of the spec that says so last."""
    if spec.stratify is None:
        return []
    return [
        f"within each {spec.stratify}, window by window: both arms count as if they had the mix that they have in common, so "
        f"that more of a worse {spec.stratify} in one arm is no effect; traffic and sample ratio count all rows",
        *spec_lines(spec, ("stratify",)),
    ]


def tripped(verdict: Verdict, spec: ExperimentSpec) -> tuple[str, ...]:
    """Places in the spec of the tripwires that the reason names by their type."""
    told = [f"(tripwire {wire.type})" in verdict.reason for wire in spec.tripwires]
    return tuple(f"tripwires[{index}]" for index, named in enumerate(told) if named)


def spec_lines(spec: ExperimentSpec, paths: Sequence[str]) -> list[str]:
    """Where the rule stands, as ``line 12: alpha: 0.01``; what the spec leaves out has a default."""
    source = spec.source.splitlines()
    shown: list[str] = []
    for path in paths:
        line = spec.lines.get(path)
        if line is None or line > len(source):
            shown.append(f"{path} is not in the spec: its default applies")
        else:
            shown.append(f"line {line}: {source[line - 1].strip()}")
    return shown


def otherwise(verdict: Verdict, spec: ExperimentSpec) -> list[str]:
    """What would have changed the verdict, a sentence each."""
    limit = len(spec.candidates) / spec.policy.alpha
    judged = [item for item in verdict.evidence if item.status != "SHADOW"]
    harm = [item for item in judged if item.status == "HARM"]
    if tripped(verdict, spec):
        return ["as many windows in a row in which the candidate does not break the rule as it takes to trip"]
    if verdict.action == "ROLLBACK" and verdict.conclusion != "NO_DATA":
        mean = sum(item.evidence for item in judged) / max(1, len(judged))
        told = [f"a mean evidence of harm below {limit:.6g}; it was {short(mean)}"]
        return told + [f"{item.sli} within what is allowed: {_allowed(spec, item)}" for item in harm]
    if verdict.action == "PROMOTE":
        weakest = [item for item in judged if item.safety_evidence is not None]
        return [
            f"less evidence of safety for {item.sli}: {_safety(item)}" for item in sorted(weakest, key=_strength)[:1]
        ]
    if verdict.conclusion == "INVALID":
        return ["the cause named above removed, then `davy resume`; until then no evidence counts"]
    if verdict.conclusion == "NO_DATA":
        return ["requests that both arms answer, and events that say so"]
    told = [
        f"{item.sli}: evidence of harm {item.threshold:.6g} rolls back; it is {short(item.evidence)}"
        + _safety_way(verdict, item)
        for item in judged
    ]
    if verdict.action == "CONTINUE" and verdict.step < len(spec.steps):
        told.append(f"the end of the step: {time(spec.steps[verdict.step].duration_us)} after its weight was applied")
    return told


def _allowed(spec: ExperimentSpec, item: Evidence) -> str:
    sli = next(sli for sli in spec.slis if sli.name == item.sli)
    return f"{allowance(sli)}; it is {change(sli, item.effect)}"


def _safety(item: Evidence) -> str:
    return f"{short(item.safety_evidence or 0)} of the {item.safety_threshold or 0:.6g} it needs"


def _strength(item: Evidence) -> float:
    return (item.safety_evidence or 0) / (item.safety_threshold or 1)


def _safety_way(verdict: Verdict, item: Evidence) -> str:
    if item.safety_evidence is None:
        return ""
    needed = (verdict.needed or {}).get(item.sli)
    if item.status == "SAFE" or needed is None or needed.requests is None:
        return f"; safety {_safety(item)}"
    seconds = "" if needed.seconds is None else f", some {time(int(needed.seconds * 1e6))}"
    return f"; safety {_safety(item)}: about {needed.requests:,} more requests{seconds}"


def budget_lines(verdict: Verdict) -> list[str]:
    """What of alpha and beta was spent, and what acting at this verdict would have risked."""
    budget = verdict.budget
    if budget is None:
        return []
    shared = "" if budget.alpha_candidate == budget.alpha else f", {budget.alpha_candidate:.3g} for {verdict.variant}"
    slis = f"{budget.slis} SLI{'' if budget.slis == 1 else 's'}"
    alpha = (
        f"alpha {budget.alpha:g}{shared} over {slis}: {_spent(budget.alpha_spent)}; a harmless release ever shows evidence "
        f"{short(budget.evidence)} with a chance of at most {budget.rollback_risk:.3g} (it rolls back at "
        f"{budget.threshold:.6g})"
    )
    if budget.safety_evidence is None:
        return [alpha, f"beta {budget.beta:g}: no SLI here can be shown to be safe"]
    return [
        alpha,
        f"beta {budget.beta:g}: {_spent(budget.beta_spent)}; a release beyond its tolerance shows evidence of safety "
        f"{short(budget.safety_evidence)} with a chance of at most {budget.promote_risk:.3g} (it promotes at "
        f"{budget.safety_threshold:.6g})",
    ]


def change_lines(verdict: Verdict, spec: ExperimentSpec | None) -> list[str]:
    """Of a verdict of the watch: when an SLI changed, who carries it, and what happened near it."""
    change = verdict.change
    if change is None:
        return []
    sli = next((sli for sli in spec.slis if sli.name == change.sli), None) if spec else None

    def show(value: float | None) -> str:
        return "–" if value is None else f"{value:.4g}" if sli is None else level(sli, value)

    moved = f"{change.sli} from {show(change.before)} to {show(change.after)}"
    if change.kind == "anomaly":
        moved = f"an anomaly, {moved}"
    when = f"at {iso(change.begun_at)} (between {iso(change.earliest_at)} and {iso(change.latest_at)})"
    lines = [f"{moved} {when}"]
    for one in change.carriers:
        named = "all others" if one.value is None else one.value
        lines.append(f"{one.dimension} {named} carries {100 * one.share:.0f} % of it")
    return lines + [f"near it, {iso(link.time)}: {link.text} ({link.kind})" for link in change.links]


def _spent(risk: float) -> str:
    return f"{risk:.3g} spent" if risk else "nothing spent"
