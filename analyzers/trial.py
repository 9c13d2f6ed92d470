"""A trial: everything that is known of one candidate of one experiment. Pure: windows in, a new state out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import field, replace
from typing import Any

from analyzers import tripwires
from analyzers.arm import ArmWindow, PairWindow
from analyzers.clustering import Clustering
from analyzers.gates import Gates
from analyzers.lockstep import in_step
from analyzers.sample_ratio import SampleRatio
from analyzers.sli import Plan
from analyzers.slis import kinds
from analyzers.strata import standardised
from analyzers.tripwires import Wire
from schemas.frozen import frozen
from schemas.spec import ErrorBudget, ExperimentSpec, SliSpec

USUAL_BUDGET = ErrorBudget()
"""Where a spec has none."""
RATE_MEMORY = 0.8
"""Part of the traffic rate that a window keeps from the one before: a memory of some five windows."""


@frozen(eq=False)
class Trial:
    """State of one (experiment, candidate).

    `types` and `states` have one entry per SLI of the spec, in its order. `invalid` is the sentence of a
    label or quality gate that closed, `mismatch` that of the sample ratio; both stay until a person resumes.
    `seen_*_us` is the end of the last window in which an arm had rows, `seen_*_step` the largest step in
    which it had any (-1: never); `rate` is requests per second of both arms, lately.
    """

    candidate: str
    control: str
    randomization: str
    types: tuple[str, ...]
    states: tuple[Any, ...]
    gates: Gates
    ratio: SampleRatio
    invalid: str | None = None
    mismatch: str | None = None
    first_us: int | None = None
    seen_control_us: int | None = None
    seen_candidate_us: int | None = None
    seen_control_step: int = -1
    seen_candidate_step: int = -1
    rows_control: int = 0
    rows_candidate: int = 0
    rate: float = 0.0
    clustering: Clustering = field(default_factory=Clustering)
    wires: tuple[Wire, ...] = ()
    """One per tripwire of the spec."""

    @property
    def closed(self) -> str | None:
        """The sentence that makes the experiment INVALID, or None."""
        return self.invalid or self.mismatch


def enforced(spec: ExperimentSpec, sli: SliSpec) -> bool:
    """Whether an SLI acts. Without a control only those do that have an objective to be held against."""
    return sli.mode == "enforce" and (spec.mode != "absolute" or kinds()[sli.type].absolute)


def plan_of(spec: ExperimentSpec) -> Plan:
    """What a spec fixes beforehand for one candidate's trial."""
    return Plan(
        spec.randomization != "request", spec.policy.alpha / max(len(spec.candidates), 1), spec.policy.beta,
        max(len(spec.steps), 1), sum(step.duration_us for step in spec.steps),
        (spec.error_budget or USUAL_BUDGET).objective, spec.mode == "absolute",
        max(sum(enforced(spec, sli) for sli in spec.slis), 1),
    )  # fmt: skip


def start(spec: ExperimentSpec, candidate: str) -> Trial:
    """The trial of one candidate before its first window."""
    plan = plan_of(spec)
    states = tuple(kinds()[sli.type].start(sli, plan) for sli in spec.slis)
    types = tuple(sli.type for sli in spec.slis)
    return Trial(
        candidate, spec.control, spec.randomization, types, states, Gates(), SampleRatio(plan.units, plan.steps),
        wires=tuple(map(tripwires.start, spec.tripwires)),
    )  # fmt: skip


def step(trial: Trial, pair: PairWindow) -> Trial:
    """The trial after one more closed window; windows come in time order, empty ones too."""
    (stepped,) = in_step([steps(trial, pair)])
    return stepped


def steps(trial: Trial, pair: PairWindow) -> Generator[None, None, Trial]:
    """`step`, which stops before each SLI, for many in step (`analyzers.lockstep`)."""
    gates, ratio = trial.gates.add(pair), trial.ratio.add(pair)
    claimed = trial.randomization == "request"
    clustering = trial.clustering.add(pair) if claimed else trial.clustering
    compared, states = standardised(pair), list[Any]()
    for kind, state in zip(trial.types, trial.states, strict=True):
        yield
        states.append(kinds()[kind].step(state, compared))
    rate = _requests(pair.control) + _requests(pair.candidate)
    rate /= (pair.end_us - pair.start_us) / 1e6
    known = trial.first_us is not None
    return Trial(
        trial.candidate, trial.control, trial.randomization, trial.types, tuple(states), gates, ratio,
        trial.invalid
        or gates.fault(trial.control, trial.candidate, trial.randomization)
        or (clustering.fault() if claimed else None),
        trial.mismatch or ratio.mismatch(),
        trial.first_us if known else pair.start_us,
        pair.end_us if pair.control.rows else trial.seen_control_us,
        pair.end_us if pair.candidate.rows else trial.seen_candidate_us,
        max(trial.seen_control_step, pair.step) if pair.control.rows else trial.seen_control_step,
        max(trial.seen_candidate_step, pair.step) if pair.candidate.rows else trial.seen_candidate_step,
        trial.rows_control + pair.control.rows, trial.rows_candidate + pair.candidate.rows,
        RATE_MEMORY * trial.rate + (1 - RATE_MEMORY) * rate if known else rate, clustering,
        tuple(tripwires.step(wire, pair) for wire in trial.wires),
    )  # fmt: skip


def resume(trial: Trial) -> Trial:
    """A person looked and resumed: the gates count anew, the evidence stands."""
    ratio = SampleRatio(trial.ratio.units, trial.ratio.steps)
    return replace(trial, gates=Gates(), ratio=ratio, clustering=Clustering(), invalid=None, mismatch=None)


def _requests(arm: ArmWindow) -> float:
    return arm.weight / (1 << 20)
