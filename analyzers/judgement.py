"""Judgement: from what is known of a trial to what a deployer should do, and one sentence why (CONTRACT
"Verdict").

HARM: the arithmetic mean of the enforced SLIs' e-values reaches k/alpha, k candidates sharing alpha evenly.
The mean of e-values is an e-value under any dependence (Vovk, Wang 2021) and passes 1/alpha, ever, with
probability at most alpha (Ville 1939). One SLI of m does it alone at m k/alpha: this is the `threshold` of
its evidence. SAFETY: every enforced SLI that has one at its own 1/beta, at this moment (intersection-union:
no split).

The order in which a window is judged: label, quality or data-loss INVALID; an arm never seen; HARM;
sample-ratio INVALID; whatever else holds; then the steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import overload

from analyzers import reasons
from analyzers.budget import Limit
from analyzers.counts import mean_of_logs
from analyzers.sli import Reading, Weighed
from analyzers.slis import kinds
from analyzers.trial import Trial, enforced
from schemas.spec import ExperimentSpec, SliSpec
from schemas.verdict import EVIDENCE_MAX, Action, Budget, Conclusion, Evidence, EvidenceStatus, Needed

REQUESTS_MAX = 1e15
"""A forecast beyond this is no forecast."""
_UNJUDGED = "neither sample ratio nor throughput is judged"
_LOG_EVIDENCE_MAX = math.log(EVIDENCE_MAX)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the judge knows besides the trial; times are UTC microseconds of event time.

    `step` counts from 0, of `steps`; `weight_applied_us` is when its weight was applied, `first_applied_us`
    when that of the first step was (None: not yet, or nobody told). `invalid_reason` and `hold_reason` are
    sentences of the judge's own (data loss; a gap). `over`: max_duration has passed. `limit`: of a low error budget.
    """

    event_time_us: int
    step: int
    steps: int
    weights_known: bool
    weight_applied_us: int | None
    first_applied_us: int | None
    paused: bool = False
    invalid_reason: str | None = None
    hold_reason: str | None = None
    over: bool = False
    limit: Limit | None = None

    @property
    def pace(self) -> float:
        """How many times as long steps take as planned."""
        return 1.0 if self.limit is None or self.limit.pace is None else self.limit.pace


@dataclass(frozen=True, slots=True)
class Judgement:
    """The part of a verdict that follows from evidence; `needed` is None once all is decided."""

    action: Action
    conclusion: Conclusion
    reason: str
    evidence: tuple[Evidence, ...]
    needed: Mapping[str, Needed] | None
    weight: float
    budget: Budget


@dataclass(frozen=True, slots=True)
class _Answer:
    action: Action
    conclusion: Conclusion
    reason: str


@dataclass(frozen=True, slots=True)
class _Case:
    """What the rules below look at. `threshold` is what one enforced SLI needs alone, `limit` what the mean
    needs."""

    spec: ExperimentSpec
    trial: Trial
    now: Situation
    read: tuple[tuple[SliSpec, Reading], ...]
    limit: float
    threshold: float
    log_mean: float
    needed: Mapping[str, Needed]
    culprits: tuple[tuple[SliSpec, Reading], ...]

    @property
    def enforced(self) -> list[tuple[SliSpec, Reading]]:
        return [(sli, reading) for sli, reading in self.read if enforced(self.spec, sli)]

    @property
    def arms(self) -> list[tuple[str, int | None, int]]:
        """Arms that must be seen: name, when last, in which step."""
        trial = self.trial
        both = [
            (trial.candidate, trial.seen_candidate_us, trial.seen_candidate_step),
            (trial.control, trial.seen_control_us, trial.seen_control_step),
        ]
        return both[:1] if self.spec.mode == "absolute" else both

    @property
    def open(self) -> list[SliSpec]:
        """Enforced SLIs without SAFETY at this moment."""
        return [sli for sli, reading in self.enforced if not self.safe(reading)]

    def safe(self, reading: Reading) -> bool:
        """SAFETY, or nothing to show."""
        return _safe(reading, self.spec.policy.beta)


def judge(spec: ExperimentSpec, trial: Trial, now: Situation) -> Judgement:
    """What to do about one candidate. Never raises for any trial that `trial.step` can reach."""
    case = _case(spec, trial, now)
    answer = next(answer for rule in _RULES if (answer := rule(case)) is not None)
    if now.limit is not None and now.limit.pace is None and answer.action in ("ADVANCE", "PROMOTE"):
        answer = replace(answer, action="HOLD", reason=f"{now.limit.reason}; otherwise: {answer.reason}")
    if not now.weights_known and spec.mode != "absolute" and answer.conclusion in ("HEALTHY", "INCONCLUSIVE"):
        answer = replace(answer, reason=f"{answer.reason} (nobody told the weights, so {_UNJUDGED})")
    if spec.mode == "shadow":
        answer = _watched(answer)
    final = answer.action in ("PROMOTE", "ROLLBACK")
    return Judgement(
        answer.action, answer.conclusion, answer.reason, tuple(_evidence(case, *item) for item in case.read),
        None if final else case.needed, _weight(case, answer.action), _budget(case, answer),
    )  # fmt: skip


def judge_watch(spec: ExperimentSpec, trial: Trial, now: Situation, change: str) -> Judgement:
    """What to do about a release that has all traffic, whose trial began after a `change` (a sentence): only HARM acts."""
    case = _case(spec, trial, now)
    asked = _Answer("CONTINUE", "INCONCLUSIVE", "whether it is more than is allowed is asked of what follows")
    quality = _Answer("HOLD", "INVALID", trial.invalid) if trial.invalid else None
    answer = quality or _harm(case) or asked
    reason = f"{change}: {answer.reason}"
    return Judgement(
        answer.action, answer.conclusion, reason, tuple(_evidence(case, *item) for item in case.read), None,
        _weight(case, answer.action), _budget(case, answer),
    )  # fmt: skip


def _case(spec: ExperimentSpec, trial: Trial, now: Situation) -> _Case:
    read = tuple((sli, kinds()[sli.type].read(state)) for sli, state in zip(spec.slis, trial.states, strict=True))
    limit = max(len(spec.candidates), 1) / spec.policy.alpha
    acting = [item for item in read if enforced(spec, item[0])]
    threshold = max(len(acting), 1) * limit
    log_mean = log_mean_harm([reading.log_harm for _, reading in acting])
    culprits: tuple[tuple[SliSpec, Reading], ...] = ()
    if acting and log_mean >= math.log(limit):
        alone = [item for item in acting if item[1].log_harm >= math.log(threshold)]
        culprits = tuple(alone or [max(acting, key=lambda item: item[1].log_harm)])
        # vanished requests are named first: they may be why the rest looks bad
        culprits = tuple(sorted(culprits, key=lambda item: item[1].log_safety is not None))
    needed = _needed(read, spec.policy.beta, trial.rate)
    return _Case(spec, trial, now, read, limit, threshold, log_mean, needed, culprits)


def log_mean_harm(logs: list[float]) -> float:
    """ln of the mean e-value of the enforced SLIs' HARM, whose logs these are."""
    return mean_of_logs(logs) if logs else 0.0


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


def _invalid(case: _Case) -> _Answer | None:
    reason = case.now.invalid_reason or case.trial.invalid
    return _Answer("HOLD", "INVALID", reason) if reason else None


def _never_seen(case: _Case) -> _Answer | None:
    now, policy = case.now, case.spec.policy
    unseen = [name for name, seen_us, _ in case.arms if seen_us is None]
    if not unseen:
        return None
    reason = f"no request of {' or '.join(unseen)} has been seen"
    waited = now.event_time_us - now.first_applied_us if now.first_applied_us is not None else 0
    if policy.on_no_data == "rollback" and now.first_applied_us is not None and waited >= policy.sustained_us:
        reason += f" for {reasons.time(waited)}, and the spec says on_no_data: rollback"
        return _Answer("ROLLBACK", "NO_DATA", reason)
    return _Answer("HOLD", "NO_DATA", f"{reason}: check that it serves traffic and emits events")


def _harm(case: _Case) -> _Answer | None:
    if not case.culprits:
        return None
    return _Answer(
        "ROLLBACK", "HARM", reasons.harm(case.spec, case.culprits, case.threshold, case.log_mean, case.limit)
    )


def _mismatch(case: _Case) -> _Answer | None:
    return _Answer("HOLD", "INVALID", case.trial.mismatch) if case.trial.mismatch else None


def _paused(case: _Case) -> _Answer | None:
    return _Answer("HOLD", "INCONCLUSIVE", "paused by a person") if case.now.paused else None


def _held(case: _Case) -> _Answer | None:
    return _Answer("HOLD", "INCONCLUSIVE", case.now.hold_reason) if case.now.hold_reason else None


def _silent(case: _Case) -> _Answer | None:
    """An arm that was seen has gone quiet: silence never promotes."""
    for name, seen_us, _ in case.arms:
        quiet_us = case.now.event_time_us - seen_us if seen_us is not None else 0
        if quiet_us >= max(case.spec.policy.sustained_us, 1):
            return _Answer("HOLD", "NO_DATA", f"no request of {name} for {reasons.time(quiet_us)}")
    return None


def _running(case: _Case) -> _Answer | None:
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


def _duration(case: _Case) -> int:
    """Of the step that runs, at the pace that the error budget allows."""
    return int(case.spec.steps[case.now.step].duration_us * case.now.pace)


def _end(case: _Case) -> _Answer:
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


_RULES = (_invalid, _never_seen, _harm, _mismatch, _paused, _held, _silent, _running, _end)


def _watched(answer: _Answer) -> _Answer:
    """Mode shadow judges, shows and never acts."""
    if answer.action == "ROLLBACK":
        return replace(answer, action="HOLD", reason=f"shadow, would roll back: {answer.reason}")
    if answer.action in ("PROMOTE", "ADVANCE"):
        return replace(answer, action="CONTINUE", reason=f"shadow, would {answer.action.lower()}: {answer.reason}")
    return answer


def _weight(case: _Case, action: Action) -> float:
    """The share of traffic that should now go to the candidate."""
    steps, step = case.spec.steps, case.now.step
    if action == "PROMOTE":
        return 1.0
    if action == "ROLLBACK" or not steps:
        return 0.0
    return steps[min(step + 1 if action == "ADVANCE" else step, len(steps) - 1)].weight


def _safe(reading: Reading, beta: float) -> bool:
    return reading.log_safety is None or reading.log_safety >= math.log(1 / beta)


def _needed(read: tuple[tuple[SliSpec, Reading], ...], beta: float, rate: float) -> dict[str, Needed]:
    """Requests of both arms and seconds still needed for SAFETY, per SLI that has one, at `rate`
    requests/s."""
    needed: dict[str, Needed] = {}
    for sli, reading in read:
        if reading.log_safety is None:
            continue
        requests = 0.0 if _safe(reading, beta) else reading.needed
        if requests is None or requests > REQUESTS_MAX:
            needed[sli.name] = Needed(None, None)
            continue
        seconds = 0.0 if not requests else requests / rate if rate > 0 else None
        needed[sli.name] = Needed(math.ceil(requests), None if seconds is None else _six(seconds))
    return needed


def _evidence(case: _Case, sli: SliSpec, reading: Reading) -> Evidence:
    status: EvidenceStatus = "OPEN"
    if not enforced(case.spec, sli):
        status = "SHADOW"
    elif any(sli is culprit for culprit, _ in case.culprits) or reading.log_harm >= math.log(case.threshold):
        status = "HARM"
    elif reading.log_safety is not None and case.safe(reading):
        status = "SAFE"
    safety = reading.log_safety
    return Evidence(
        sli.name, case.trial.candidate, _six(reading.baseline), _six(reading.candidate), _six(reading.effect),
        _six(reading.lower), _six(reading.upper), _six(e_value(reading.log_harm)), _six(reading.log_harm),
        _six(case.threshold), None if safety is None else _six(e_value(safety)),
        None if safety is None else _six(1 / case.spec.policy.beta), reading.n_baseline, reading.n_candidate,
        status,
    )  # fmt: skip


def _budget(case: _Case, answer: _Answer) -> Budget:
    """Of alpha and beta: what acting now would risk, and what this answer spends."""
    policy = case.spec.policy
    shown = [reading.log_safety for _, reading in case.enforced if reading.log_safety is not None]
    least = min(shown, default=None)
    rollback_risk = math.exp(-max(case.log_mean, 0.0))
    promote_risk = math.exp(-max(least, 0.0)) if least is not None else 1.0
    harmed = answer.action == "ROLLBACK" and answer.conclusion == "HARM"
    return Budget(
        policy.alpha, _six(1 / case.limit), _six(rollback_risk) if harmed else 0.0, _six(rollback_risk),
        policy.beta, _six(promote_risk) if answer.action == "PROMOTE" else 0.0, _six(promote_risk),
        len(case.enforced), _six(e_value(case.log_mean)), _six(case.limit),
        None if least is None else _six(e_value(least)), _six(1 / policy.beta),
    )  # fmt: skip


def e_value(log_e: float) -> float:
    """exp, capped at what JSON can hold."""
    return EVIDENCE_MAX if log_e >= _LOG_EVIDENCE_MAX else math.exp(log_e)


@overload
def _six(value: float) -> float: ...
@overload
def _six(value: None) -> None: ...
@overload
def _six(value: float | None) -> float | None: ...
def _six(value: float | None) -> float | None:
    """Six significant digits: what a person reads, and no more than every machine's arithmetic agrees on."""
    return value if value is None else float(f"{value:.6g}")
