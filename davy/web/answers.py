"""What the console says, as plain values: pure functions of `State` and the time. No HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from davy.web.state import Experiment, State, action_at, worst
from schemas.budget import BudgetStatus
from schemas.codec import iso
from schemas.control import Command, Control
from schemas.probe import ProbeResult
from schemas.spec import SliSpec
from schemas.verdict import Verdict

PAGE_DEFAULT, PAGE_MAX = 100, 2_000
"""Items of one page."""
CHANGES_MAX = 20
"""Of an experiment's changes, those that are told with it."""
ARGO_BYTES_MAX = 16 * 1024
REASON_MAX = 1_000
"""Characters of a hook's refusal."""

Json = dict[str, Any]
T = TypeVar("T")
HOOKS: dict[str, frozenset[str] | None] = {
    "rollout": frozenset({"CONTINUE", "ADVANCE", "PROMOTE", "HOLD"}),
    "pre-rollout": frozenset({"CONTINUE", "ADVANCE", "PROMOTE", "HOLD"}),
    "confirm-rollout": frozenset({"CONTINUE", "ADVANCE", "PROMOTE", "HOLD"}),
    "confirm-traffic-increase": frozenset({"ADVANCE", "PROMOTE"}),
    "confirm-promotion": frozenset({"PROMOTE"}),
    "rollback": frozenset({"ROLLBACK"}),
    "event": None,
    "post-rollout": None,
}
"""Actions with which each of Flagger's hooks passes; None: always."""
SILENT = frozenset({"rollout", "pre-rollout", "confirm-rollout"})
"""Hooks that also pass before there is a verdict: what is not known to be bad may go on being tried."""


def page(items: Sequence[T], limit: int, cursor: int) -> tuple[list[T], int | None]:
    """`limit` items from `cursor` on, and where the next page begins (None: there is none)."""
    part = list(items[cursor : cursor + limit])
    following = cursor + len(part)
    return part, following if following < len(items) else None


def paged(items: Iterable[Any], limit: int, cursor: int) -> Json:
    """A page of records as JSON."""
    part, following = page(list(items), limit, cursor)
    return {"items": [item if isinstance(item, dict) else item.to_json() for item in part], "next": following}


def summary(experiment: Experiment, now_us: int) -> Json:
    """One line of the list of experiments."""
    spec = experiment.spec
    verdict = worst(experiment.current(), now_us)
    return {
        "id": spec.id, "control": spec.control, "service": spec.service, "environment": spec.environment, "owner": spec.owner,
        "applied_at": iso(experiment.applied_us), "applied_by": experiment.actor, "steps": len(spec.steps),
        "step": experiment.step, "weights": dict(experiment.weights), "verdict": verdict and _brief(verdict, now_us),
    }  # fmt: skip


def _brief(verdict: Verdict, now_us: int) -> Json:
    return {
        "verdict_id": verdict.verdict_id, "variant": verdict.variant, "action": verdict.action,
        "conclusion": verdict.conclusion, "reason": verdict.reason, "phase": verdict.phase, "step": verdict.step,
        "weight": verdict.weight, "issued_at": iso(verdict.issued_at), "expired": now_us >= verdict.expires_at,
    }  # fmt: skip


def _sli(sli: SliSpec) -> Json:
    return {
        "name": sli.name, "type": sli.type, "mode": sli.mode, "relative": sli.tolerance.kind == "relative",
        "tolerance": sli.tolerance.value, "quantile": sli.quantile, "field": sli.field,
        "worse": 1 if sli.limit == "max_increase" else -1,
    }  # fmt: skip


def budgets(found: Iterable[BudgetStatus]) -> list[Json]:
    """Error budgets in short, the one with least left first."""
    return [
        {
            "slo": status.slo, "left": status.left, "alert": status.alert, "objective": status.objective,
            "window_s": status.window_us / 1e6, "spent": dict(status.spent), "reason": status.reason,
            "time": iso(status.time),
        }
        for status in sorted(found, key=lambda status: status.left)
    ]  # fmt: skip


def changes(verdicts: Iterable[Verdict]) -> list[Json]:
    """Changes that the watch asks about or asked about, the latest begin first, each as its last verdict tells it."""
    newest: dict[tuple[str, str, int], Json] = {}
    for verdict in verdicts:
        if verdict.change is not None:
            key = (verdict.variant, verdict.change.sli, verdict.change.begun_at)
            newest[key] = verdict.to_json()["change"] | _brief(verdict, verdict.issued_at)
    latest = sorted(newest, key=lambda key: (-key[2], *key[:2]))[:CHANGES_MAX]
    return [newest[key] for key in latest]


def changes_of_services(state: State, service: str | None) -> list[Json]:
    """Of services that no experiment judges, the latest begin first."""
    found: list[Json] = []
    for name in state.services:
        verdicts = state.verdicts.of(name)
        if verdicts and service in (None, verdicts[0].service):
            place = {"service": verdicts[0].service, "environment": verdicts[0].environment}
            found += [place | change for change in changes(verdicts)]
    return sorted(found, key=lambda change: change["begun_at"], reverse=True)


def detail(
    experiment: Experiment, now_us: int, found: Iterable[BudgetStatus] = (), verdicts: Iterable[Verdict] = (),
    probes: Iterable[ProbeResult] = (), dead_letters: int = 0,
) -> Json:  # fmt: skip
    """Everything about one experiment but its history; `found` are the error budgets of its service, `probes` those of what
    it depends on, `verdicts` its own; `dead_letters` are of all topics."""
    spec = experiment.spec
    return summary(experiment, now_us) | {
        "hypothesis": spec.hypothesis, "randomization": spec.randomization, "control": spec.control,
        "variants": {name: arm.version for name, arm in spec.variants.items()},
        "plan": [{"weight": step.weight, "duration_s": step.duration_us / 1e6} for step in spec.steps],
        "slis": [_sli(sli) for sli in spec.slis],
        "command": experiment.command and asked(experiment.command),
        "policy": {"alpha": spec.policy.alpha, "beta": spec.policy.beta, "min_requests": spec.policy.min_requests},
        "verdicts": {name: verdict.to_json() for name, verdict in experiment.current().items()},
        "error_budgets": budgets(found), "changes": changes(verdicts), "probes": [probe.to_json() for probe in probes],
        "dead_letters": dead_letters, "spec": spec.source,
    }  # fmt: skip


def asked(control: Control) -> Json:
    """What a person asked for."""
    assert isinstance(control.body, Command)
    return {
        "command_id": control.body.command_id, "command": control.body.command, "actor": control.actor,
        "reason": control.reason, "time": iso(control.time),
    }  # fmt: skip


def argo(verdicts: Mapping[str, Verdict], now_us: int) -> Json:
    """For an Argo Rollouts `web` metric: both false until there is a verdict, and once it has expired."""
    verdict = worst(verdicts, now_us)
    if verdict is None:
        return {"ok": False, "fail": False, "verdict": None}
    action = action_at(verdict, now_us)
    good = action in ("ADVANCE", "PROMOTE") or (action == "CONTINUE" and verdict.conclusion == "HEALTHY")
    answer: Json = {"ok": good, "fail": action == "ROLLBACK", "verdict": verdict.to_json()}
    for bulk in ("needed", "evidence", "offsets"):  # Argo cuts longer bodies off, and then they are no JSON
        if len(json.dumps(answer).encode()) <= ARGO_BYTES_MAX:
            break
        del answer["verdict"][bulk]
    return answer


def flagger(hook: str, experiment: Experiment, now_us: int) -> str | None:
    """Why a hook does not pass, in at most `REASON_MAX` characters; None when it does. `hook` is one of `HOOKS`."""
    passing = HOOKS[hook]
    verdict = worst(experiment.current(), now_us)
    if passing is None or (verdict is None and hook in SILENT):
        return None
    if verdict is None:
        return f"{experiment.spec.id} has no verdict yet"
    action = action_at(verdict, now_us)
    if action in passing:
        return None
    aged = (
        "" if action == verdict.action else f" (its verdict to {verdict.action} expired at {iso(verdict.expires_at)})"
    )
    return f"{experiment.spec.id}: {action}{aged}: {verdict.reason}"[:REASON_MAX]


def experiments(state: State, now_us: int) -> list[Json]:
    """The list, the latest applied first."""
    return [summary(experiment, now_us) for experiment in reversed(state.experiments.values())]
