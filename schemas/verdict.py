"""Verdict: what a deployment system should do now, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from schemas.record import Record

Action = Literal["CONTINUE", "ADVANCE", "PROMOTE", "HOLD", "ROLLBACK"]
Conclusion = Literal["HEALTHY", "HARM", "INCONCLUSIVE", "NO_DATA", "INVALID"]
Phase = Literal["rollout", "watch"]
EvidenceStatus = Literal["OPEN", "SAFE", "HARM", "SHADOW"]

EVIDENCE_MAX = 1e300
"""JSON has no infinity: e-values are capped here."""
FINAL: frozenset[Action] = frozenset({"PROMOTE", "ROLLBACK"})


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Needed(Record):
    """What an SLI still needs at current traffic; None where unknown."""

    requests: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
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
        values: dict[str, Any] = {**data, "evidence": evidence, "needed": needed}
        return cls(**values)
