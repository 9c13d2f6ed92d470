"""A scene as the demo of `errors` leaves it, made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from davy.scene import Scene
from schemas.config import Config
from schemas.control import Control, SpecApplied
from schemas.decision import Decision, Outcome
from schemas.verdict import Action, Evidence, EvidenceStatus, Phase, Verdict
from schemas.window import WindowSummary
from streams.scenario import load
from streams.sinks.embedded import EmbeddedStore, folder_of
from streams.sinks.rows import READERS

SECOND = 1_000_000
BEGIN = 1_767_225_600 * SECOND
WINDOW = 5 * SECOND


def window(variant: str, index: int, errors: int, rows: int = 1000, revision: int = 1, late: int = 0) -> WindowSummary:
    start = BEGIN + index * WINDOW
    version = load("errors").spec.variants[variant].version
    return WindowSummary(
        "demo-errors", "checkout", "demo", version, variant, start, start + WINDOW, rows, errors,
        52_000.0, 39_000.0, 90_000.0, 120_000.0, 212_000.0, 300_000.0, float(rows), late, 0,
        {"cpu_us": 9_500.0}, revision,
    )  # fmt: skip


def evidence(sli: str, e: float, safety: float | None, status: EvidenceStatus) -> Evidence:
    log_e = {0.1: -2.3, 1.5: 0.4, 2512.0: 7.83}[e]
    return Evidence(
        sli, "canary", 0.0045, 0.0249, 0.0204, 0.0071, 0.041, e, log_e, 400.0,
        safety, None if safety is None else 20.0, 4600, 500, status,
    )  # fmt: skip


def verdict(action: Action, sequence: int = 1, e: float = 2512.0, phase: Phase = "rollout") -> Verdict:
    reason = "errors rose from 0.45 % to 2.49 % (0.5 pp more is allowed)"
    items = (evidence("errors", e, 0.1, "HARM"), evidence("traffic", 0.1, None, "OPEN"))
    end = BEGIN + (sequence + 1) * WINDOW
    return Verdict(
        f"id-{sequence}", "demo-errors", "canary", "checkout", "demo", 1, sequence, end + SECOND, end,
        end + 30 * SECOND, phase, action, "HARM", 0, 0.0, reason, items, None, {}, "digest", "davy 0",
    )  # fmt: skip


def decision(weights: dict[str, float], outcome: Outcome = "DONE") -> Decision:
    return Decision(
        "d", "demo-errors", "checkout", "demo", 1, BEGIN, "shift", outcome, "rollout", "begins", None,
        "canary", 1, "PENDING", "RUNNING", 0, weights, {}, None, "davy 0",
    )  # fmt: skip


def scene() -> Scene:
    made = Scene(load("errors").spec, "errors: a bad release", "http://127.0.0.1:7070", 4.0, BEGIN, BEGIN + 31 * SECOND)
    made.take(decision({"control": 0.9, "canary": 0.1}))
    for index in range(4):
        made.take(window("control", index, 5))
        made.take(window("canary", index, 3 + index, rows=100))
    made.take(verdict("CONTINUE", 1, e=1.5))
    made.take(verdict("ROLLBACK", 2))
    made.lag, made.dead, made.restarts = 412, 3, 1
    return made


def rolled_back(data_dir: Path) -> Config:
    """A store that knows one experiment, which was rolled back."""
    spec = load("errors").spec
    body = SpecApplied(spec.source, "errors.yaml", spec.digest)
    told = replace(
        verdict("ROLLBACK", 2),
        verdict_id="70183173-2d24-50c9-b049-9b093261e934",
        config_digest=f"{spec.digest[:32]}-layout",
    )
    records = {
        "control": [Control("demo-errors", BEGIN, "ann", "go", body)], "verdicts": [told],
        "windows": [window("control", 0, 50, rows=10_000), window("canary", 0, 25)],
        "decisions": [replace(decision({"control": 1.0}), kind="rollback", state_after="rolled_back", reason="a | b")],
    }  # fmt: skip
    config = Config.model_validate({"data_dir": str(data_dir)})
    with EmbeddedStore(folder_of(config)) as store:
        store.migrate([])
        for topic, held in records.items():
            for record in held:
                for table, rows in READERS[topic](record.encode()).items():
                    store.insert(table, rows)
    return config
