"""Verdicts for tests of those who act on them."""

from __future__ import annotations

import uuid

from schemas.verdict import Action, Conclusion, Phase, Verdict

NOW = 1_790_000_000_000_000
TTL = 30_000_000
DAY = 86_400_000_000
CONCLUSIONS: dict[Action, Conclusion] = {"ROLLBACK": "HARM", "HOLD": "NO_DATA"}


def verdict(
    action: Action, sequence: int, epoch: int = 1, at_us: int = NOW, experiment: str = "e", variant: str = "canary",
    phase: Phase = "rollout", step: int = 0, weight: float = 0.1,
) -> Verdict:  # fmt: skip
    """What a judge says at `at_us`; the same arguments give the same verdict."""
    identity = f"{experiment} {variant} {sequence} {action} {at_us}"
    expires = at_us + (DAY if action == "ROLLBACK" else TTL)
    return Verdict(
        str(uuid.uuid5(uuid.NAMESPACE_OID, identity)), experiment, variant, "checkout", "test", epoch, sequence, at_us,
        at_us, expires, phase, action, CONCLUSIONS.get(action, "HEALTHY"), step, weight, f"because {sequence}", (), None,
        {"t/0": sequence}, "0" * 32, "davy",
    )  # fmt: skip
