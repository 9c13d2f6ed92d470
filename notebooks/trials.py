"""Simulated releases through the production engine, for the notebooks on calibration and design."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import pyarrow as pa

from davy.commands.simulate import recorded
from schemas.config import Config
from schemas.spec import load_specs
from schemas.verdict import Verdict
from streams import scenario as scenarios
from streams.judge_settings import JudgeSettings
from streams.layout import Layout
from streams.replay import Recording, replay
from streams.scenario import Effect
from streams.simulator import Simulator


def verdicts(seed: int, events: int, max_increase: str = "0.5pp", more_errors: float = 0.0) -> Iterator[Verdict]:
    """What Davy says about a release (scenario `healthy`) that has so many more errors, of which `max_increase` is allowed."""
    scenario = dataclasses.replace(scenarios.load("healthy"), effect=Effect(more_errors))
    spec = load_specs(scenario.spec_text.replace("0.5pp", max_increase), path="healthy.yaml")
    recording = Recording.of(pa.Table.from_batches(list(recorded(Simulator(scenario, seed), events))))
    settings = JudgeSettings.of(Config(), 0, 1, {"recorded": "simulated"})
    for output in replay(spec, recording, Layout.of(Config()), settings, []):
        if isinstance(output, Verdict):
            yield output


def trials(count: int, events: int, more_errors: float = 0.0) -> list[tuple[str, float, float]]:
    """Of so many releases each: last action, the largest e-value of harm that its errors ever had, and that which ends it."""
    outcomes: list[tuple[str, float, float]] = []
    for seed in range(count):
        action, peak, threshold = "", 1.0, math.inf
        for verdict in verdicts(seed, events, more_errors=more_errors):
            action = verdict.action
            for row in verdict.evidence:
                if row.sli == "errors":
                    peak, threshold = max(peak, math.exp(row.log_evidence)), row.threshold
        outcomes.append((action, peak, threshold))
    return outcomes


def needed(max_increase_pp: float, seed: int, events: int = 100_000) -> int | None:
    """Requests of a harmless candidate until SAFETY of the errors; None where it is not reached."""
    for verdict in verdicts(seed, events, f"{max_increase_pp:g}pp"):
        for row in verdict.evidence:
            if row.sli == "errors" and (row.safety_evidence or 0.0) >= (row.safety_threshold or math.inf):
                return row.n_candidate
    return None
