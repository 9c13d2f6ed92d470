"""Records as rows of the analysts' tables. Pure: the same record gives the same rows, whenever it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from schemas.change import ChangeEvent, ChangeKind
from schemas.control import Annotation, Command, Control, SpecApplied, WeightApplied, WeightIntent
from schemas.decision import Decision
from schemas.errors import DavyError
from schemas.incident import Incident
from schemas.probe import ProbeResult
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import Evidence, Verdict
from schemas.window import WindowSummary
from streams.sinks.tables import Row

Rows = Mapping[str, list[Row]]
"""By table."""


def of_window(value: bytes) -> Rows:
    """One row of `windows`."""
    return {"windows": [WindowSummary.decode(value).to_avro()]}


def of_verdict(value: bytes) -> Rows:
    """One row of `verdicts`, one of `evidence` per SLI, and of a change that is asked about one of `changes`: a later verdict
    about the same change replaces it."""
    verdict = Verdict.decode(value)
    row = verdict.to_avro()
    needed = row["needed"]
    del row["evidence"]
    row["needed"] = None if needed is None else json.dumps(needed)
    for name in ("budget", "change"):
        row[name] = None if row[name] is None else json.dumps(row[name])
    return {
        "verdicts": [row],
        "evidence": [_evidence(verdict, i, item) for i, item in enumerate(verdict.evidence)],
        "changes": [_change(verdict, verdict.change)] if verdict.change else [],
    }


def _evidence(verdict: Verdict, position: int, item: Evidence) -> Row:
    needed = (verdict.needed or {}).get(item.sli)
    return item.to_avro() | {
        "verdict_id": verdict.verdict_id, "experiment_id": verdict.experiment_id, "epoch": verdict.epoch,
        "event_time": verdict.event_time, "position": position,
        "needed_requests": needed and needed.requests, "needed_seconds": needed and needed.seconds,
    }  # fmt: skip


CHANGE_KINDS: Mapping[ChangeKind, str] = {"change": "change_point", "anomaly": "anomaly"}


def _change(verdict: Verdict, change: ChangeEvent) -> Row:
    carried = [
        f"{one.dimension}={one.value}: {100 * one.share:.0f} %" for one in change.carriers if one.value is not None
    ]
    return {
        "experiment_id": verdict.experiment_id, "time": change.begun_at, "kind": CHANGE_KINDS[change.kind],
        "actor": "judge",
        "reason": verdict.reason, "text": change.sli, "tags": carried, "variant": verdict.variant, "step": None,
        "weights": {},
    }  # fmt: skip


def of_decision(value: bytes) -> Rows:
    """One row of `decisions`."""
    return {"decisions": [Decision.decode(value).to_avro()]}


def of_probe(value: bytes) -> Rows:
    """One row of `probes`."""
    return {"probes": [ProbeResult.decode(value).to_avro()]}


def of_incident(value: bytes) -> Rows:
    """One row of `incidents`."""
    incident = Incident.decode(value)
    labels = incident.labels
    row = incident.to_avro() | {
        "incident_id": incident.identity, "kind": incident.kind, "service": labels.get("service"),
        "environment": labels.get("environment"), "experiment_id": labels.get("experiment"), "variant": labels.get("variant"),
    }  # fmt: skip
    return {"incidents": [row]}


def of_control(value: bytes) -> Rows:
    """One row of `changes`, and for a spec one of `experiments`."""
    control = Control.decode(value)
    body = control.body
    row: dict[str, Any] = {
        "experiment_id": control.experiment_id, "time": control.time, "actor": control.actor,
        "reason": control.reason, "kind": _KINDS[type(body)], "text": "", "tags": [], "variant": None,
        "step": None, "weights": {},
    }  # fmt: skip
    match body:
        case Annotation():
            row |= {"text": body.text, "tags": list(body.tags)}
        case Command():
            row |= {"text": body.command, "variant": body.variant}
        case SpecApplied():
            row |= {"text": body.digest}
            return {"changes": [row], "experiments": [_experiment(control, body)]}
        case WeightIntent() | WeightApplied():
            row |= {"text": body.intent_id, "step": body.step, "weights": dict(body.weights)}
    return {"changes": [row]}


_KINDS: Mapping[type[Any], str] = {
    Annotation: "annotation", Command: "command", SpecApplied: "spec", WeightIntent: "weight_intent",
    WeightApplied: "weight_applied",
}  # fmt: skip


def _experiment(control: Control, body: SpecApplied) -> Row:
    spec = _parsed(body)
    return {
        "experiment_id": control.experiment_id, "digest": body.digest, "applied_at": control.time,
        "actor": control.actor, "reason": control.reason, "path": body.path, "document": body.document,
        "service": spec.service if spec else "", "environment": spec.environment if spec else "",
        "hypothesis": spec.hypothesis if spec else "", "owner": spec.owner if spec else "",
        "mode": spec.mode if spec else "", "control": spec.control if spec else "",
        "candidates": list(spec.candidates) if spec else [],
    }  # fmt: skip


def _parsed(body: SpecApplied) -> ExperimentSpec | None:
    """None for a spec that this version cannot read any more; its text is kept all the same."""
    try:
        return load_specs(body.document + "\n", path=body.path)[0]
    except DavyError:
        return None


READERS: Mapping[str, Callable[[bytes], Rows]] = {
    "windows": of_window, "verdicts": of_verdict, "decisions": of_decision, "probes": of_probe,
    "control": of_control, "incidents": of_incident,
}  # fmt: skip
"""By topic, without its prefix. All raise `Malformed` or `UnknownSchema` for a value that is not a record
of theirs."""
