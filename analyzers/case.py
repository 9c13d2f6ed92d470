"""A case: a trial as the rules of `analyzers.judgement` look at it, with what its SLIs read and who is to blame."""

from __future__ import annotations

import math
from collections.abc import Mapping

from analyzers.budget import Limit
from analyzers.counts import mean_of_logs
from analyzers.digits import six
from analyzers.sli import Reading
from analyzers.slis import kinds
from analyzers.trial import Trial, enforced
from schemas.frozen import frozen
from schemas.spec import ExperimentSpec, SliSpec
from schemas.verdict import Needed

REQUESTS_MAX = 1e15
"""A forecast beyond this is no forecast."""


@frozen()
class Situation:
    """What the judge knows besides the trial; times are UTC microseconds of event time.

    `step` counts from 0, of `steps`; `weight_applied_us` is when its weight was applied, `first_applied_us`
    when that of the first step was (None: not yet, or nobody told). `invalid_reason` and `hold_reason` are
    sentences of the judge's own (data loss; a gap). `over`: max_duration has passed. `limit`: of a low error budget. `astray`:
    where the requests are of an arm that was never seen.
    """

    event_time_us: int
    step: int
    steps: int
    weights_known: bool
    weight_applied_us: int | None
    first_applied_us: int | None
    paused: bool = False
    invalid_reason: str | None = None
    hold_reason: str | None = None
    over: bool = False
    limit: Limit | None = None
    astray: str | None = None

    @property
    def pace(self) -> float:
        """How many times as long steps take as planned."""
        return 1.0 if self.limit is None or self.limit.pace is None else self.limit.pace


@frozen()
class Case:
    """What the rules look at. `threshold` is what one enforced SLI needs alone, `limit` what the mean
    needs."""

    spec: ExperimentSpec
    trial: Trial
    now: Situation
    read: tuple[tuple[SliSpec, Reading], ...]
    limit: float
    threshold: float
    log_mean: float
    needed: Mapping[str, Needed]
    culprits: tuple[tuple[SliSpec, Reading], ...]
    enforced: tuple[tuple[SliSpec, Reading], ...]
    """SLIs that act."""
    open: tuple[SliSpec, ...]
    """Of these the ones without SAFETY at this moment."""

    @property
    def arms(self) -> list[tuple[str, int | None, int]]:
        """Arms that must be seen: name, when last, in which step."""
        trial = self.trial
        both = [
            (trial.candidate, trial.seen_candidate_us, trial.seen_candidate_step),
            (trial.control, trial.seen_control_us, trial.seen_control_step),
        ]
        return both[:1] if self.spec.mode == "absolute" else both

    def safe(self, reading: Reading) -> bool:
        """SAFETY, or nothing to show."""
        return _safe(reading, self.spec.policy.beta)


def case_of(spec: ExperimentSpec, trial: Trial, now: Situation) -> Case:
    """What every SLI reads now, and which of them make HARM."""
    known = kinds()
    read = tuple([(sli, known[sli.type].read(state)) for sli, state in zip(spec.slis, trial.states, strict=True)])
    limit = max(len(spec.candidates), 1) / spec.policy.alpha
    acting = tuple([item for item in read if enforced(spec, item[0])])
    threshold = max(len(acting), 1) * limit
    log_mean = log_mean_harm([reading.log_harm for _, reading in acting])
    culprits: tuple[tuple[SliSpec, Reading], ...] = ()
    if acting and log_mean >= math.log(limit):
        alone = [item for item in acting if item[1].log_harm >= math.log(threshold)]
        culprits = tuple(alone or [max(acting, key=lambda item: item[1].log_harm)])
        # vanished requests are named first: they may be why the rest looks bad
        culprits = tuple(sorted(culprits, key=lambda item: item[1].log_safety is not None))
    needed = _needed(read, spec.policy.beta, trial.rate)
    not_safe = tuple([sli for sli, reading in acting if not _safe(reading, spec.policy.beta)])
    return Case(spec, trial, now, read, limit, threshold, log_mean, needed, culprits, acting, not_safe)


def log_mean_harm(logs: list[float]) -> float:
    """ln of the mean e-value of the enforced SLIs' HARM, whose logs these are."""
    return mean_of_logs(logs) if logs else 0.0


def _safe(reading: Reading, beta: float) -> bool:
    return reading.log_safety is None or reading.log_safety >= math.log(1 / beta)


def _needed(read: tuple[tuple[SliSpec, Reading], ...], beta: float, rate: float) -> dict[str, Needed]:
    """Requests of both arms and seconds still needed for SAFETY, per SLI that has one, at `rate`
    requests/s."""
    needed: dict[str, Needed] = {}
    for sli, reading in read:
        if reading.log_safety is None:
            continue
        requests = 0.0 if _safe(reading, beta) else reading.needed
        if requests is None or requests > REQUESTS_MAX:
            needed[sli.name] = Needed(None, None)
            continue
        seconds = 0.0 if not requests else requests / rate if rate > 0 else None
        needed[sli.name] = Needed(math.ceil(requests), None if seconds is None else six(seconds))
    return needed
