"""How soon harm is found and a good release promoted, beside an oracle and rivals on the same windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.judgement.promises import ALLOWED, NOTHING, run, spec
from bench.judgement.rivals import NEVER, RIVALS, Series, count_steps, mean_steps, oracle, series, waiting_oracle
from bench.judgement.worlds import NONE, Effect, World, world

CALM = world("identical", steps=((0.01, 40), (0.1, 40), (0.5, 40)))
ROUGH = world("everything", steps=((0.01, 40), (0.1, 40), (0.5, 40)), pareto=0.0)
PODS = world("pods", steps=((0.01, 40), (0.1, 40), (0.5, 40)))
TRAFFIC = {"calm": CALM, "rough": ROUGH, "pods": PODS}
MIDDLE = 60
"""In mid-run is 60 windows, 5 minutes, after the start: within the second step."""


@dataclass(frozen=True, slots=True)
class Case:
    """One harm: by which SLI it is to be found, how the oracle is told of it, and in which traffic."""

    name: str
    sli: str
    effect: Effect
    ratio: float
    traffic: str = "calm"


CASES = (
    Case("errors x1.5", "errors", Effect(errors=1.5), 1.5),
    Case("errors x2", "errors", Effect(errors=2), 2.0),
    Case("errors x5", "errors", Effect(errors=5), 5.0),
    Case("errors x2, mid-run", "errors", Effect(errors=2, since=MIDDLE), 2.0),
    Case("errors x5, mid-run", "errors", Effect(errors=5, since=MIDDLE), 5.0),
    Case("p99 +25 %", "p99", Effect(slower=1.25), 0.0),
    Case("p99 +25 %, mid-run", "p99", Effect(slower=1.25, since=MIDDLE), 0.0),
    Case("mean +10 %", "mean", Effect(slower=1.1), 1.1),
    Case("mean +10 %, mid-run", "mean", Effect(slower=1.1, since=MIDDLE), 1.1),
    Case("cpu +30 %", "cpu", Effect(cpu=1.3), 1.3),
    Case("cpu +30 %, mid-run", "cpu", Effect(cpu=1.3, since=MIDDLE), 1.3),
    Case("errors x2, pods freeze", "errors", Effect(errors=2), 2.0, "pods"),
    Case("errors x5, pods freeze", "errors", Effect(errors=5), 5.0, "pods"),
    Case("errors x2, mid-run, pods freeze", "errors", Effect(errors=2, since=MIDDLE), 2.0, "pods"),
    Case("errors x5, mid-run, pods freeze", "errors", Effect(errors=5, since=MIDDLE), 5.0, "pods"),
    Case("p99 +25 %, pods freeze", "p99", Effect(slower=1.25), 0.0, "pods"),
    Case("p99 +25 %, mid-run, pods freeze", "p99", Effect(slower=1.25, since=MIDDLE), 0.0, "pods"),
    Case("mean +10 %, pods freeze", "mean", Effect(slower=1.1), 1.1, "pods"),
)
NORMAL = {"errors": 0.005, "p99": 70_500.0, "mean": 24_960.0, "cpu": 7_490.0}


def measure(case: Case, seeds: range) -> dict[str, Any]:
    """Per rule the candidate's requests since the harm began until it says so, None where it never does or says so before."""
    found: dict[str, list[int | None]] = {}
    where = TRAFFIC[case.traffic]
    experiment = spec(where, NOTHING, case.sli)
    for seed in seeds:
        windows = list(where.windows(seed, case.effect))
        sent = np.cumsum([window.candidate.rows if i >= case.effect.since else 0 for i, window in enumerate(windows)])
        data = series(windows, case.sli)
        at = {name: rule(data, NORMAL[case.sli], case.effect.since) for name, rule in RIVALS.items()}
        at |= _oracles(case, data)
        at["davy"] = run(where, experiment, seed, case.effect, stop=True).rollback + case.effect.since
        for name, place in at.items():
            in_time = case.effect.since <= place < len(windows)
            found.setdefault(name, []).append(int(sent[place]) if in_time else None)
    return {"runs": len(seeds), "requests": found}


def _oracles(case: Case, data: Series) -> dict[str, int]:
    """Both of them: what is told the begin, what is not."""
    told = (
        mean_steps(data, case.ratio) if case.sli in ("mean", "cpu") else count_steps(data, case.ratio or _slow_ratio())
    )
    return {"oracle": oracle(told, case.effect.since), "waiting oracle": waiting_oracle(told)}


def _slow_ratio() -> float:
    """How many times as many requests lie beyond control's p99 at +25 %: log-normal, sigma 0.5."""
    from scipy.special import ndtr

    return float(ndtr(-(2.3263 - np.log(1.25) / 0.5)) / 0.01)


def false_alarms(where: World, sli: str, seeds: range) -> dict[str, Any]:
    """Rollouts of equal arms that each rule would have rolled back."""
    experiment = spec(where, NOTHING, sli)
    alarms = dict.fromkeys((*RIVALS, "oracle", "waiting oracle", "davy"), 0)
    case = next(case for case in CASES if case.sli == sli)
    for seed in seeds:
        data = series(list(where.windows(seed)), sli)
        for name, rule in RIVALS.items():
            alarms[name] += rule(data, NORMAL[sli], 0) < NEVER
        for name, place in _oracles(case, data).items():
            alarms[name] += place < NEVER
        alarms["davy"] += run(where, experiment, seed, stop=True).rollback < NEVER
    return {"runs": len(seeds), "alarms": alarms}


def promotion(where: World, effect: Effect, seeds: range) -> dict[str, Any]:
    """Windows and candidate's requests until SAFETY of all SLIs at their tolerances, None where it never comes."""
    experiment = spec(where, ALLOWED)
    outcomes = [run(where, experiment, seed, effect) for seed in seeds]
    return {
        "runs": len(seeds),
        "windows": [outcome.safe if outcome.safe < NEVER else None for outcome in outcomes],
        "requests": [outcome.safe_requests if outcome.safe < NEVER else None for outcome in outcomes],
    }


RELEASES = {"harmless": NONE, "better (errors halved, 10 % faster)": Effect(errors=0.5, slower=0.9)}
