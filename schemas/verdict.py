"""Verdict: what a deployment system should do now, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from schemas.change import ChangeEvent
from schemas.frozen import frozen
from schemas.record import Record

Action = Literal["CONTINUE", "ADVANCE", "PROMOTE", "HOLD", "ROLLBACK"]
Conclusion = Literal["HEALTHY", "HARM", "INCONCLUSIVE", "NO_DATA", "INVALID"]
Phase = Literal["rollout", "watch"]
EvidenceStatus = Literal["OPEN", "SAFE", "HARM", "SHADOW"]

EVIDENCE_MAX = 1e300
"""JSON has no infinity: e-values are capped here."""
WATCHED = "watch."
"""How ids begin under which verdicts tell of services that no experiment judges; `variant` is a version then, or * for all."""
FINAL: frozenset[Action] = frozenset({"PROMOTE", "ROLLBACK"})


@frozen()
class Evidence(Record):
    """One SLI of one candidate. `effect`, `lower` and `upper` are in the tolerance's own unit."""

    sli: str
    variant: str
    baseline: float | None
    candidate: float | None
    effect: float | None
    lower: float | None
    upper: float | None
    evidence: float
    log_evidence: float
    threshold: float
    safety_evidence: float | None
    safety_threshold: float | None
    n_baseline: int
    n_candidate: int
    status: EvidenceStatus


@frozen()
class Needed(Record):
    """What an SLI still needs at current traffic; None where unknown."""

    requests: int | None
    seconds: float | None


@frozen()
class Budget(Record):
    """The two error budgets as they stand for one candidate.

    `alpha` and `beta` are the spec's, `alpha_candidate` this candidate's part of alpha, shared by `slis` enforced SLIs.
    `evidence` is the mean evidence of harm, which rolls back at `threshold`; `rollback_risk` bounds the chance that a
    harmless release ever shows as much: what a ROLLBACK now would spend. `safety_evidence` is the least of the enforced
    SLIs', which promotes at `safety_threshold`; `promote_risk` bounds the chance that a release beyond its tolerance shows
    as much now. `alpha_spent` and `beta_spent` are what this verdict spends: 0 unless it acts.
    """

    alpha: float
    alpha_candidate: float
    alpha_spent: float
    rollback_risk: float
    beta: float
    beta_spent: float
    promote_risk: float
    slis: int
    evidence: float
    threshold: float
    safety_evidence: float | None
    safety_threshold: float


@frozen()
class Verdict(Record):
    """One answer about one candidate. Times are UTC microseconds; `offsets` maps "topic/partition" to an offset."""

    SCHEMA: ClassVar[str] = "Verdict"

    verdict_id: str
    experiment_id: str
    variant: str
    service: str
    environment: str
    epoch: int
    sequence: int
    issued_at: int
    event_time: int
    expires_at: int
    phase: Phase
    action: Action
    conclusion: Conclusion
    step: int
    weight: float
    reason: str
    evidence: tuple[Evidence, ...]
    needed: Mapping[str, Needed] | None
    offsets: Mapping[str, int]
    config_digest: str
    code_version: str
    budget: Budget | None = None
    """None in verdicts from before there was one."""
    change: ChangeEvent | None = None
    """What the watch asks about."""

    @property
    def final(self) -> bool:
        """Whether the rollout ends with this verdict."""
        return self.phase == "rollout" and self.action in FINAL

    @classmethod
    def from_avro(cls, data: Mapping[str, Any]) -> Self:
        evidence = tuple(Evidence.from_avro(item) for item in data["evidence"])
        needed = data["needed"]
        if needed is not None:
            needed = {sli: Needed.from_avro(item) for sli, item in needed.items()}
        budget = data.get("budget")
        budget = None if budget is None else Budget.from_avro(budget)
        change = data.get("change")
        change = None if change is None else ChangeEvent.from_avro(change)
        values: dict[str, Any] = {**data, "evidence": evidence, "needed": needed, "budget": budget, "change": change}
        return cls(**values)
