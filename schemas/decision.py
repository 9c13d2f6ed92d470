"""Decision: the ledger's record, one per action taken or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from schemas.frozen import frozen
from schemas.record import Record

Outcome = Literal["PLANNED", "DONE", "REFUSED", "FAILED"]


@frozen()
class Decision(Record):
    """`weights` is the share per variant once the decision is carried out; `time` is UTC microseconds."""

    SCHEMA: ClassVar[str] = "Decision"

    decision_id: str
    experiment_id: str
    service: str
    environment: str
    sequence: int
    time: int
    kind: str
    outcome: Outcome
    actor: str
    reason: str
    verdict_id: str | None
    variant: str | None
    epoch: int
    state_before: str
    state_after: str
    step: int | None
    weights: Mapping[str, float]
    details: Mapping[str, str]
    config_digest: str | None
    code_version: str
    previous_hash: str | None = None
    hash: str | None = None
