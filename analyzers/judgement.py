"""Judgement: from what is known of a trial to what a deployer should do, and one sentence why (CONTRACT
"Verdict").

HARM: the arithmetic mean of the enforced SLIs' e-values reaches k/alpha, k candidates sharing alpha evenly.
The mean of e-values is an e-value under any dependence (Vovk, Wang 2021) and passes 1/alpha, ever, with
probability at most alpha (Ville 1939). One SLI of m does it alone at m k/alpha: this is the `threshold` of
its evidence. SAFETY: every enforced SLI that has one at its own 1/beta, at this moment (intersection-union:
no split).

The order in which a window is judged: label, quality or data-loss INVALID; an arm never seen; HARM;
sample-ratio INVALID; tripwires; whatever else holds; then the steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from analyzers import account, reasons, tripwires
from analyzers.case import Case, Situation, case_of, log_mean_harm
from analyzers.sli import Weighed
from analyzers.slis import kinds
from analyzers.trial import Trial, enforced
from schemas.frozen import frozen
from schemas.spec import ExperimentSpec
from schemas.verdict import Action, Budget, Conclusion, Evidence, Needed

_UNJUDGED = "neither sample ratio nor throughput is judged"


@frozen()
class Judgement:
    """The part of a verdict that follows from evidence; `needed` is None once all is decided, `budget` where nothing is."""

    action: Action
    conclusion: Conclusion
    reason: str
    evidence: tuple[Evidence, ...]
    needed: Mapping[str, Needed] | None
    weight: float
    budget: Budget | None


@frozen()
class _Answer:
    action: Action
    conclusion: Conclusion
    reason: str


def judge(spec: ExperimentSpec, trial: Trial, now: Situation) -> Judgement:
    """What to do about one candidate. Never raises for any trial that `trial.step` can reach."""
    case = case_of(spec, trial, now)
    answer = next(answer for rule in _RULES if (answer := rule(case)) is not None)
    if now.limit is not None and now.limit.pace is None and answer.action in ("ADVANCE", "PROMOTE"):
        answer = replace(answer, action="HOLD", reason=f"{now.limit.reason}; otherwise: {answer.reason}")
    if not now.weights_known and spec.mode != "absolute" and answer.conclusion in ("HEALTHY", "INCONCLUSIVE"):
        answer = replace(answer, reason=f"{answer.reason} (nobody told the weights, so {_UNJUDGED})")
    if spec.mode == "shadow":
        answer = _watched(answer)
    final = answer.action in ("PROMOTE", "ROLLBACK")
    return Judgement(
        answer.action, answer.conclusion, answer.reason, account.evidence(case),
        None if final else case.needed, _weight(case, answer.action), account.budget(case, answer.action, answer.conclusion),
    )  # fmt: skip


def judge_watch(spec: ExperimentSpec, trial: Trial, now: Situation, change: str) -> Judgement:
    """What to do about a release that has all traffic, whose trial began after a `change` (a sentence): only HARM acts."""
    case = case_of(spec, trial, now)
    asked = _Answer("CONTINUE", "INCONCLUSIVE", "whether it is more than is allowed is asked of what follows")
    quality = _Answer("HOLD", "INVALID", trial.invalid) if trial.invalid else None
    answer = quality or _harm(case) or asked
    reason = f"{change}: {answer.reason}"
    return Judgement(
        answer.action, answer.conclusion, reason, account.evidence(case), None,
        _weight(case, answer.action), account.budget(case, answer.action, answer.conclusion),
    )  # fmt: skip


def weights(spec: ExperimentSpec, trial: Trial) -> list[Weighed]:
    """ln e of HARM and of SAFETY of every enforced SLI now."""
    return [
        kinds()[sli.type].weigh(state)
        for sli, state in zip(spec.slis, trial.states, strict=True)
        if enforced(spec, sli)
    ]  # fmt: skip


def weigh(spec: ExperimentSpec, weights: Sequence[Weighed]) -> tuple[bool, bool]:
    """Whether HARM and whether SAFETY of every enforced SLI stand at these weights: what `judge` finds, without its report."""
    limit = math.log(max(len(spec.candidates), 1) / spec.policy.alpha)
    harm = bool(weights) and log_mean_harm([harm for harm, _ in weights]) >= limit
    asked = math.log(1 / spec.policy.beta)
    return harm, bool(weights) and all(safety is None or safety >= asked for _, safety in weights)


# The rules, in order. Each gives an answer or passes.


def _invalid(case: Case) -> _Answer | None:
    reason = case.now.invalid_reason or case.trial.invalid
    return _Answer("HOLD", "INVALID", reason) if reason else None


def _never_seen(case: Case) -> _Answer | None:
    now, policy = case.now, case.spec.policy
    unseen = [name for name, seen_us, _ in case.arms if seen_us is None]
    if not unseen:
        return None
    reason = f"no request of {' or '.join(unseen)} has been seen"
    waited = now.event_time_us - now.first_applied_us if now.first_applied_us is not None else 0
    if policy.on_no_data == "rollback" and now.first_applied_us is not None and waited >= policy.sustained_us:
        reason += f" for {reasons.time(waited)}, and the spec says on_no_data: rollback"
        return _Answer("ROLLBACK", "NO_DATA", reason)
    return _Answer("HOLD", "NO_DATA", f"{reason}: {now.astray or 'check that it serves traffic and emits events'}")


def _harm(case: Case) -> _Answer | None:
    if not case.culprits:
        return None
    return _Answer(
        "ROLLBACK", "HARM", reasons.harm(case.spec, case.culprits, case.threshold, case.log_mean, case.limit)
    )


def _mismatch(case: Case) -> _Answer | None:
    return _Answer("HOLD", "INVALID", case.trial.mismatch) if case.trial.mismatch else None


def _tripped(case: Case) -> _Answer | None:
    """Rules outside the budgets: they hold, or act outside of alpha where the spec says so in so many words."""
    tripped = [(rule, wire) for rule, wire in zip(case.spec.tripwires, case.trial.wires, strict=True) if wire.tripped]
    if not tripped:
        return None
    rule, wire = next((item for item in tripped if item[0].action != "hold"), tripped[0])
    reason = tripwires.sentence(wire, case.trial.candidate)
    if rule.action == "hold":
        return _Answer("HOLD", "INCONCLUSIVE", reason)
    return _Answer("ROLLBACK", "INCONCLUSIVE", f"{reason}, and the spec says action: {rule.action}")


def _paused(case: Case) -> _Answer | None:
    return _Answer("HOLD", "INCONCLUSIVE", "paused by a person") if case.now.paused else None


def _held(case: Case) -> _Answer | None:
    return _Answer("HOLD", "INCONCLUSIVE", case.now.hold_reason) if case.now.hold_reason else None


def _silent(case: Case) -> _Answer | None:
    """An arm that was seen has gone quiet: silence never promotes."""
    for name, seen_us, _ in case.arms:
        quiet_us = case.now.event_time_us - seen_us if seen_us is not None else 0
        if quiet_us >= max(case.spec.policy.sustained_us, 1):
            return _Answer("HOLD", "NO_DATA", f"no request of {name} for {reasons.time(quiet_us)}")
    return None


def _running(case: Case) -> _Answer | None:
    now = case.now
    if now.over:
        return None
    conclusion: Conclusion = "INCONCLUSIVE" if case.open or not case.enforced else "HEALTHY"
    if now.weight_applied_us is None:
        return _Answer("CONTINUE", conclusion, f"waiting until the weight of step {now.step + 1} is applied")
    left_us = now.weight_applied_us + _duration(case) - now.event_time_us
    if left_us > 0:
        reason = f"step {now.step + 1} of {now.steps} runs for another {reasons.time(left_us)}; "
        if now.limit is not None and now.pace > 1:
            reason += f"{now.limit.reason}, now {now.pace:.3g} times as long; "
        return _Answer("CONTINUE", conclusion, reason + reasons.progress(case.open, case.needed))
    if min(step for _, _, step in case.arms) < now.step:
        seen = "its candidate was not" if case.spec.mode == "absolute" else "not both arms were"
        reason = f"step {now.step + 1} of {now.steps} is over, but {seen} seen in it"
        return _Answer("HOLD", "NO_DATA", reason)
    if now.step + 1 < now.steps:
        reason = f"step {now.step + 1} of {now.steps} is over and nothing stands against the next; "
        return _Answer("ADVANCE", conclusion, reason + reasons.progress(case.open, case.needed))
    return None


def _duration(case: Case) -> int:
    """Of the step that runs, at the pace that the error budget allows."""
    return int(case.spec.steps[case.now.step].duration_us * case.now.pace)


def _end(case: Case) -> _Answer:
    """All steps are done, or max_duration is over: promote, or say what is missing."""
    now, trial, policy = case.now, case.trial, case.spec.policy
    missing: list[str] = []
    applied = now.weight_applied_us
    if applied is None or now.step + 1 < now.steps or now.event_time_us < applied + _duration(case):
        missing.append(f"step {now.step + 1} of {now.steps} is not done")
    if now.first_applied_us is None or now.event_time_us - now.first_applied_us < policy.min_duration_us:
        missing.append(f"min_duration {reasons.time(policy.min_duration_us)} is not over")
    fewest = trial.rows_candidate if case.spec.mode == "absolute" else min(trial.rows_candidate, trial.rows_control)
    if fewest < policy.min_requests:
        missing.append(f"{fewest} of the {policy.min_requests} requests that min_requests asks of each arm were seen")
    if not case.enforced:
        missing.append("no SLI is enforced, so nothing can be shown to be safe")
    if case.open:
        missing.append(reasons.progress(case.open, case.needed))
    if not missing:
        reason = f"all {now.steps} steps are done and every enforced SLI is shown to be within its tolerance: "
        return _Answer("PROMOTE", "HEALTHY", reason + reasons.safety(case.enforced, policy.beta))
    conclusion: Conclusion = "INCONCLUSIVE" if case.open or not case.enforced else "HEALTHY"
    opening = "max_duration is over: " if now.over else ""
    return _Answer("HOLD", conclusion, opening + "; ".join(missing))


_RULES = (_invalid, _never_seen, _harm, _mismatch, _tripped, _paused, _held, _silent, _running, _end)


def _watched(answer: _Answer) -> _Answer:
    """Mode shadow judges, shows and never acts."""
    if answer.action == "ROLLBACK":
        return replace(answer, action="HOLD", reason=f"shadow, would roll back: {answer.reason}")
    if answer.action in ("PROMOTE", "ADVANCE"):
        return replace(answer, action="CONTINUE", reason=f"shadow, would {answer.action.lower()}: {answer.reason}")
    return answer


def _weight(case: Case, action: Action) -> float:
    """The share of traffic that should now go to the candidate."""
    steps, step = case.spec.steps, case.now.step
    if action == "PROMOTE":
        return 1.0
    if action == "ROLLBACK" or not steps:
        return 0.0
    return steps[min(step + 1 if action == "ADVANCE" else step, len(steps) - 1)].weight
