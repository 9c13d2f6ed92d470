"""How often the two promises are broken: rollouts of a world judged by the production code, window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from analyzers import trial as trials
from analyzers.judgement import weigh, weights
from analyzers.sli import Weighed
from bench.judgement.worlds import NONE, Effect, World
from schemas.spec import ExperimentSpec, load_specs

ALPHA, BETA = 0.01, 0.05
BORDER = Effect(extra=0.00501, slower=1.1001, cpu=1.1501)
"""A release just beyond every tolerance of `ALLOWED`."""
BURSTING = Effect(extra=0.00651)
"""The same where the objective of 0.5 % is kept with bursts: beyond it without any."""
ALLOWED = {"errors": "0.5pp", "p99": "10%", "mean": "10%", "cpu": "15%"}
NOTHING = {"errors": "0%", "p99": "0%", "mean": "0%", "cpu": "0%"}
"""The hardest alpha: equal arms lie on the border of what is allowed."""
NEVER = 10**9


def spec(world: World, limits: dict[str, str], *only: str) -> ExperimentSpec:
    """Five SLIs, or `only` some, with those tolerances; without a control those that have an objective."""
    kinds = {
        "errors": "type: error_ratio",
        "p99": "type: latency_quantile, quantile: 0.99",
        "mean": "type: latency_mean",
        "cpu": "type: resource_mean, field: cpu_us",
    }
    slis = [f"  - {{name: {name}, {kind}, max_increase: {limits[name]}}}\n" for name, kind in kinds.items()]
    slis.append("  - {name: traffic, type: throughput, max_decrease: 30%}\n")
    if world.objective is not None:
        only = ("errors",)
    chosen = [line for line in slis if not only or any(f"name: {name}," in line for name in only)]
    steps = "".join(f"  - {{weight: {100 * share:g}%, duration: {count * 5}s}}\n" for share, count in world.steps)
    text = (
        f"id: e\nservice: s\nenvironment: p\n{_arms(world)}"
        f"randomization: {'user' if world.units else 'request'}\nslis:\n{''.join(chosen)}"
        f"policy: {{alpha: {ALPHA}, beta: {BETA}, min_duration: 1m, min_requests: 100}}\nsteps:\n{steps}"
    )
    return load_specs(text)[0]


def _arms(world: World) -> str:
    if world.objective is not None:
        told = f"error_budget: {{objective: {100 * world.objective:g}%}}\n"
        return f"mode: absolute\nvariants: {{canary: {{version: '2'}}}}\n{told}"
    told = "stratify: segment\n" if world.segments else ""
    return f"variants: {{control: {{version: '1'}}, canary: {{version: '2'}}}}\n{told}"


@dataclass
class Outcome:
    """Windows after the effect began (and candidate's requests since) until ROLLBACK and until SAFETY of all, `NEVER`
    if never; whether a gate closed; the SLIs that alone would have had HARM or SAFETY at some time."""

    rollback: int = NEVER
    rollback_requests: int = NEVER
    safe: int = NEVER
    safe_requests: int = NEVER
    invalid: bool = False
    harm_alone: set[str] = field(default_factory=set[str])
    safe_alone: set[str] = field(default_factory=set[str])


def run(world: World, experiment: ExperimentSpec, seed: int, effect: Effect = NONE, stop: bool = False) -> Outcome:
    """One rollout, looked at after every window; with `stop` it ends with the first HARM."""
    trial, outcome, requests = trials.start(experiment, "canary"), Outcome(), 0
    for i, window in enumerate(world.windows(seed, effect)):
        trial = trials.step(trial, window)
        requests += window.candidate.rows if i >= effect.since else 0
        outcome.invalid |= trial.closed is not None
        now = weights(experiment, trial)
        harm, safe = weigh(experiment, now)
        if harm and outcome.rollback == NEVER:
            outcome.rollback, outcome.rollback_requests = i - effect.since, requests
            if stop:
                break
        if safe and outcome.safe == NEVER:
            outcome.safe, outcome.safe_requests = i - effect.since, requests
        if not stop:
            _alone(outcome, experiment, now)
    return outcome


def _alone(outcome: Outcome, experiment: ExperimentSpec, now: list[Weighed]) -> None:
    for sli, (harm, safety) in zip(experiment.slis, now, strict=True):
        if harm >= math.log(1 / ALPHA):
            outcome.harm_alone.add(sli.name)
        if safety is not None and safety >= math.log(1 / BETA):
            outcome.safe_alone.add(sli.name)


def tally(outcomes: list[Outcome], names: list[str]) -> dict[str, Any]:
    """Counts of rollouts, as JSON."""
    return {
        "runs": len(outcomes),
        "rollback": sum(outcome.rollback < NEVER for outcome in outcomes),
        "safe": sum(outcome.safe < NEVER for outcome in outcomes),
        "invalid": sum(outcome.invalid for outcome in outcomes),
        "harm_alone": {name: sum(name in outcome.harm_alone for outcome in outcomes) for name in names},
        "safe_alone": {name: sum(name in outcome.safe_alone for outcome in outcomes) for name in names},
    }
