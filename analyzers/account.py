"""What a verdict reports of a case beside its answer: the evidence of each SLI, and what of alpha and beta it spends."""

from __future__ import annotations

import math

from analyzers.case import Case
from analyzers.digits import constant, e_value, six
from schemas.verdict import Action, Budget, Conclusion, Evidence, EvidenceStatus


def evidence(case: Case) -> tuple[Evidence, ...]:
    """Of each SLI."""
    acting = {sli.name for sli, _ in case.enforced}
    culprits = {sli.name for sli, _ in case.culprits}
    alone, threshold = math.log(case.threshold), constant(case.threshold)
    safety_threshold = constant(1 / case.spec.policy.beta)
    found: list[Evidence] = []
    for sli, reading in case.read:
        safety = reading.log_safety
        status: EvidenceStatus = "OPEN"
        if sli.name not in acting:
            status = "SHADOW"
        elif sli.name in culprits or reading.log_harm >= alone:
            status = "HARM"
        elif safety is not None and case.safe(reading):
            status = "SAFE"
        found.append(Evidence(
            sli.name, case.trial.candidate, six(reading.baseline), six(reading.candidate), six(reading.effect),
            six(reading.lower), six(reading.upper), six(e_value(reading.log_harm)), six(reading.log_harm), threshold,
            None if safety is None else six(e_value(safety)), None if safety is None else safety_threshold,
            reading.n_baseline, reading.n_candidate, status,
        ))  # fmt: skip
    return tuple(found)


def budget(case: Case, action: Action, conclusion: Conclusion) -> Budget:
    """Of alpha and beta: what acting now would risk, and what this answer spends."""
    policy = case.spec.policy
    shown = [reading.log_safety for _, reading in case.enforced if reading.log_safety is not None]
    least = min(shown, default=None)
    rollback_risk = math.exp(-max(case.log_mean, 0.0))
    promote_risk = math.exp(-max(least, 0.0)) if least is not None else 1.0
    harmed = action == "ROLLBACK" and conclusion == "HARM"
    return Budget(
        policy.alpha, constant(1 / case.limit), six(rollback_risk) if harmed else 0.0, six(rollback_risk),
        policy.beta, six(promote_risk) if action == "PROMOTE" else 0.0, six(promote_risk),
        len(case.enforced), six(e_value(case.log_mean)), constant(case.limit),
        None if least is None else six(e_value(least)), constant(1 / policy.beta),
    )  # fmt: skip
