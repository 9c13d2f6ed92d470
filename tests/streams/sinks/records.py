"""Records as the topics carry them, for the tests of everything that stores or shows them."""

from __future__ import annotations

import time
import uuid
from typing import Any

from schemas.control import Annotation, Control, SpecApplied
from schemas.decision import Decision
from schemas.incident import Incident
from schemas.probe import ProbeResult
from schemas.spec import load_specs
from schemas.verdict import Action, Budget, Conclusion, Evidence, EvidenceStatus, Needed, Verdict
from schemas.window import WindowSummary

BEGIN_US = 1_764_000_000_000_000
WINDOW_US = 5_000_000
SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: checkout-2.4.0
owner: checkout-team
service: checkout
environment: production
variants:
  control: {version: 2.3.1}
  canary: {version: 2.4.0}
slis:
  - {name: errors, type: error_ratio, max_increase: 0.5pp}
  - {name: traffic, type: throughput, max_decrease: 30%}
policy:
  alpha: 0.01
steps:
  - {weight: 10%, duration: 30s}
  - {weight: 50%, duration: 30s}
"""
EXPERIMENT = load_specs(SPEC, path="checkout.yaml")[0]


def window(
    index: int = 0, variant: str | None = "canary", revision: int = 1, rows: int = 10, **measures: float
) -> WindowSummary:
    """The window `index` of one variant."""
    start = BEGIN_US + index * WINDOW_US
    return WindowSummary(
        EXPERIMENT.id, "checkout", "production", "2.4.0", variant, start, start + WINDOW_US, rows, 1, 1500.5,
        1000.0, 2000.0, 3000.0, 4000.0, None, float(rows), 0, 0, measures, revision, 64 * (index % 3),
    )  # fmt: skip


def verdict(
    sequence: int = 0,
    action: Action = "CONTINUE",
    conclusion: Conclusion = "HEALTHY",
    *,
    variant: str = "canary",
    epoch: int = 1,
    status: EvidenceStatus = "OPEN",
    expires_us: int = 30_000_000,
    issued_us: int = BEGIN_US,
) -> Verdict:
    """A verdict with two SLIs; its id follows from the sequence."""
    issued = issued_us + sequence * 1_000_001
    errors = Evidence(
        "errors",
        variant,
        0.005,
        0.0231,
        0.0181,
        0.012,
        None,
        35_200.0,
        10.47,
        200.0,
        0.2,
        20.0,
        12_000,
        1_300,
        status,
    )
    traffic = Evidence(
        "traffic",
        variant,
        100.0,
        99.0,
        -0.01,
        None,
        0.3,
        0.5,
        -0.69,
        200.0,
        None,
        None,
        12_000,
        1_300,
        "OPEN",
    )
    return Verdict(
        str(uuid.UUID(int=sequence + 1)), EXPERIMENT.id, variant, "checkout", "production", epoch, sequence,
        issued, issued - 1, issued + expires_us, "rollout", action, conclusion, 0, 0.1,
        "errors rose from 0.5 % to 2.31 %",
        (errors, traffic), {"errors": Needed(3000, 40.0)}, {"davy.events/0": 5, "davy.control": 2},
        f"{EXPERIMENT.digest[:32]}-layout", "davy 0",
        Budget(0.01, 0.01, 0.0, 0.25, 0.05, 0.0, 1.0, 2, 4.0, 100.0, 0.5, 20.0),
    )  # fmt: skip


def decision(sequence: int = 0) -> Decision:
    """A record of the ledger."""
    return Decision(
        str(uuid.UUID(int=1000 + sequence)), EXPERIMENT.id, "checkout", "production", sequence,
        BEGIN_US + sequence, "shift", "DONE", "davy", "the step's weight", None, "canary", 1, "steady", "steady", 0,
        {"control": 0.9, "canary": 0.1}, {"target": "flagd"}, None, "davy 0",
    )  # fmt: skip


def probe() -> ProbeResult:
    """A failed one."""
    return ProbeResult("redis", "tcp", BEGIN_US, False, "OPEN", None, "refused", 0.5, ("checkout",))


def applied(time_us: int = BEGIN_US) -> Control:
    """The spec, put in force."""
    body = SpecApplied(EXPERIMENT.source, EXPERIMENT.path, EXPERIMENT.digest)
    return Control(EXPERIMENT.id, time_us, "ann", "first try", body)


def annotation() -> Control:
    """Somebody's note."""
    return Control(EXPERIMENT.id, BEGIN_US + 7, "bob", "", Annotation("cache restarted", ("redis", "ops")))


def incident(number: int = 0, ended: bool = False) -> Incident:
    """A rollback that control's traffic ends a minute later."""
    started = BEGIN_US + number
    labels = {"service": "checkout", "environment": "production", "experiment": EXPERIMENT.id, "variant": "canary"}
    over = started + 60_000_000
    return Incident(
        f"rollback/{EXPERIMENT.id}/canary", "critical", "it must be rolled back", "errors rose", started,
        over if ended else started, over if ended else None, labels,
    )  # fmt: skip


def event(offset: int = 0, row: int = 0) -> dict[str, Any]:
    """A row of the sample of request events; it is of now, or it would be removed."""
    now_us = time.time_ns() // 60_000_000_000 * 60_000_000
    nothing = ("experiment_id", "variant", "segment", "instance", "endpoint", "cpu_us", "memory_bytes")
    return dict.fromkeys(nothing) | {
        "timestamp": now_us, "service": "checkout", "environment": "production", "version": "2.4.0", "unit_id": "u",
        "status": 200, "error": True, "duration_us": 1500, "measures": {"basket": 2.5}, "sample_rate": 0.25,
        "received": now_us + 7, "fate": "counted", "topic": "davy.events", "partition": 3, "offset": offset, "row": row,
    }  # fmt: skip


def report() -> dict[str, Any]:
    """A row that the sink's own reporter makes."""
    told = {"made_at": BEGIN_US + 9, "state": "promoted", "markdown": "# What was learned"}
    return {"experiment_id": EXPERIMENT.id, "sequence": 0} | told
