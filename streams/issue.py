"""What is said of a candidate, as the verdict that says it. One id has one content, the issuing judge's epoch aside."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from schemas.change import ChangeEvent
from schemas.frozen import frozen
from schemas.verdict import Verdict
from streams import changes
from streams.experiment import Judged
from streams.windows import Group

VERDICT_NAMESPACE = uuid.UUID("6f0d3c1e-3a86-5d2b-9a51-0d5e4b7c9a11")


@frozen()
class Subject:
    """Of what a verdict is, `sequence` counting; `digest` is that of its configuration."""

    group: Group
    experiment_id: str
    sequence: int
    digest: str
    expires_us: int
    """How long it holds."""


def issue(
    subject: Subject, judged: Judged, change: ChangeEvent | None, offsets: Mapping[str, int], epoch: int, now_us: int,
    code_version: str,
) -> Verdict:  # fmt: skip
    """At the cut `offsets`."""
    judgement = judged.judgement
    reason = judgement.reason
    if change is not None and (told := changes.sentence(change)):
        reason = f"{reason}; {told}"
    name = (
        subject.experiment_id, judged.candidate, subject.sequence, sorted(offsets.items()), judged.event_time,
        subject.digest, code_version, judgement.action, reason,
    )  # fmt: skip
    return Verdict(
        verdict_id=str(uuid.uuid5(VERDICT_NAMESPACE, repr(name))),
        experiment_id=subject.experiment_id,
        variant=judged.candidate,
        service=subject.group[1],
        environment=subject.group[2],
        epoch=epoch,
        sequence=subject.sequence,
        issued_at=now_us,
        event_time=judged.event_time,
        expires_at=now_us + subject.expires_us,
        phase=judged.phase,
        action=judgement.action,
        conclusion=judgement.conclusion,
        step=judged.step,
        weight=judgement.weight,
        reason=reason,
        evidence=judgement.evidence,
        needed=judgement.needed,
        offsets=offsets,
        config_digest=subject.digest,
        code_version=code_version,
        budget=judgement.budget,
        change=change,
    )
