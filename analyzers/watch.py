"""The watch: a release that has all traffic is judged on, though nothing is left to compare it with at the same time.

1. A detector (`detectors.seasonal`) reads each enforced SLI, window by window, from before the promotion on. Where it tells a
   change for the worse, a question is opened: has the release become worse than its tolerance allows?
2. Only windows after that alarm answer it. Each is paired with one window from before the change (control's while it had
   traffic, the release's own since then), no window twice, and the pairs go through the same tests as in the rollout.
3. The k-th question may err with alpha / (2 k (k + 1)), so all of them together with half of alpha, however long the watch and
   whatever the detector tells: its alarms are chosen by the past, the evidence is not.
4. What creeps and no question finds is held against the time before the promotion (`analyzers.creep`), with the other half.
5. What is no worse than usual at this time (`analyzers.usual`) is not HARM: that takes alarms away, adds none.

What this promises rests on windows before and after being alike where nothing changed: a change of everybody's traffic within
minutes is the release's for it. A spike opens a question that later windows deny: it is said, and nothing acts. One too short
to open any is said as an anomaly once it is over, a change for the better when it is found. Pure.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import replace
from statistics import median

from analyzers import creep as creeping
from analyzers import reasons
from analyzers import spike as spiking
from analyzers import trial as trials
from analyzers.arm import ArmWindow, PairWindow
from analyzers.case import Situation
from analyzers.change import Change, located, within, worse
from analyzers.creep import Creep
from analyzers.detectors import seasonal
from analyzers.judgement import Judgement, judge_watch
from analyzers.slis import kinds
from analyzers.trial import Trial, enforced, plan_of
from analyzers.usual import Usual
from schemas.frozen import frozen
from schemas.spec import ExperimentSpec, SliSpec, Step
from schemas.verdict import Conclusion

PAIRS = 72
"""Windows that may answer one question."""
BEFORE = creeping.BEFORE
"""Windows from before the promotion: they warm the detectors up, and what creeps is held against them."""
KEPT = 108
"""Latest windows that the begin of a change is looked for in."""
LATEST = 12
"""Windows that say whether a change is over."""


@frozen()
class Said:
    """What is to be said after a window, and of which change."""

    judgement: Judgement
    change: Change


@frozen(eq=False)
class Series:
    """One enforced SLI: `values` of the latest windows, NaN where it had none; `spike`: one that is not over, up to
    the window where it was furthest."""

    sli: str
    detector: seasonal.State
    values: array[float]
    spike: Change | None = None
    usual: Usual | None = None


@frozen(eq=False)
class Question:
    """`reference`: starts of the windows from before the change; the first `used` of them are spent."""

    change: Change
    trial: Trial
    reference: tuple[int, ...]
    used: int = 0


@frozen(eq=False)
class Watch:
    """One promoted candidate, or a version of a service that no experiment judges (`promoted` False). `starts` of the windows
    whose values are kept, `next_us` that of the next one."""

    candidate: str
    since_us: int
    next_us: int
    starts: tuple[int, ...] = ()
    series: tuple[Series, ...] = ()
    question: Question | None = None
    creep: Creep | None = None
    asked: int = 0
    done: bool = False
    promoted: bool = True

    @property
    def reference_us(self) -> int | None:
        """Start of the window that the next one is paired with: one from before the change, or before the promotion itself."""
        if self.question is not None:
            return self.question.reference[self.question.used]
        return self.next_us if self.creep is not None and self.next_us < self.since_us else None


def start(
    spec: ExperimentSpec, candidate: str, since_us: int, first_us: int, usual: Mapping[str, Usual] | None = None, *,
    promoted: bool = True,
) -> Watch:  # fmt: skip
    """Of a candidate that has all traffic since `since_us`; `first_us`: the first window to look at; `usual`: what is known
    from before, by SLI."""
    series = [
        Series(sli.name, seasonal.DETECTOR.start(), array("d"), usual=(usual or {}).get(sli.name))
        for sli in _enforced(spec)
    ]
    creep = Creep() if promoted else None
    return Watch(candidate, since_us, first_us, (), tuple(series), creep=creep, done=not series, promoted=promoted)


def step(spec: ExperimentSpec, watch: Watch, whole: ArmWindow, pair: PairWindow) -> tuple[Watch, Said | None]:
    """After the next closed window, and what is to be said about it, None for nothing.

    `whole`: what the service as a whole did in it. `pair`: the candidate, and as its control the content of the window at
    `reference_us`, with the weights that each had. Raises ValueError for a window out of turn.
    """
    if pair.start_us != watch.next_us:
        raise ValueError(f"window {pair.start_us} is out of turn: {watch.next_us} comes next")
    over = pair.end_us - watch.since_us >= spec.rollback.window_us
    watch, alarms, spikes = _look(spec, replace(watch, next_us=pair.end_us, done=over), whole, pair)
    watch, crept = _crept(spec, watch, whole, pair)
    if crept is not None:
        return watch, crept
    if watch.question is not None:
        return _answer(spec, watch, watch.question, pair)
    if pair.start_us < watch.since_us or not pair.steady:
        return watch, None
    for sli, place in alarms:
        change = located(sli, watch.starts, watch.series[place].values)
        if change is not None and worse(sli, change):
            return _ask(spec, watch, change, pair)
        if change is not None:
            return _told(spec, _since(watch, change), change, "HEALTHY", "this is for the better")
    for change in spikes:
        lasted = reasons.time(change.latest_us - change.begun_us + pair.end_us - pair.start_us)
        return _told(spec, watch, change, "INCONCLUSIVE", f"an anomaly of {lasted}, on which nothing acts")
    return watch, None


def _look(
    spec: ExperimentSpec, watch: Watch, whole: ArmWindow, pair: PairWindow
) -> tuple[Watch, list[tuple[SliSpec, int]], list[Change]]:
    """Every detector after one more window, the SLIs of which one told a change, and spikes that are over."""
    alarms: list[tuple[SliSpec, int]] = []
    spikes: list[Change] = []
    after: list[Series] = []
    for place, (sli, held) in enumerate(zip(_enforced(spec), watch.series, strict=True)):
        seen = value(spec, sli, whole, pair) if pair.steady else math.nan
        state, found = seasonal.DETECTOR.step(held.detector, array("q", [pair.start_us]), array("d", [seen]))
        if found.changes[0]:
            alarms.append((sli, place))
        spike, over = spiking.step(spec, sli, held.spike, held.values, seen, pair)
        spikes += [over] if over else []
        usual = (held.usual or Usual(1.0 if sli.limit == "max_increase" else -1.0)).step(pair.start_us, seen)
        after.append(Series(sli.name, state, array("d", [*held.values, seen][-KEPT:]), spike, usual))
    return replace(watch, starts=(*watch.starts, pair.start_us)[-KEPT:], series=tuple(after)), alarms, spikes


def _crept(
    spec: ExperimentSpec, watch: Watch, whole: ArmWindow, pair: PairWindow
) -> tuple[Watch, Said | None]:  # fmt: skip
    """Held against the time before the promotion."""
    if watch.creep is None:
        return watch, None
    if pair.start_us < watch.since_us:
        return replace(watch, creep=creeping.before(watch.creep, whole, pair)), None
    creep, judgement = creeping.step(spec, watch.candidate, watch.creep, whole, pair, watch.since_us)
    watch = replace(watch, creep=creep)
    if judgement is None or _all_usual(spec, watch, judgement, pair.start_us):
        return watch, None
    worst = next(one for one in judgement.evidence if one.status == "HARM")
    level = next(held.values[-1] for held in watch.series if held.sli == worst.sli)
    change = Change(worst.sli, watch.since_us, watch.since_us, pair.start_us, worst.baseline or 0.0, level)
    return replace(watch, question=None, done=True), Said(judgement, change)


def _told(
    spec: ExperimentSpec, watch: Watch, change: Change, conclusion: Conclusion, why: str
) -> tuple[Watch, Said | None]:
    """Something on which nothing acts."""
    reason = f"{_sentence(spec, watch, change)}: {why}"
    return watch, Said(Judgement("CONTINUE", conclusion, reason, (), None, 1.0, None), change)


def value(spec: ExperimentSpec, sli: SliSpec, content: ArmWindow, pair: PairWindow) -> float:
    """What an SLI reads in one window alone; NaN where nothing."""
    return kinds()[sli.type].glance(sli, plan_of(spec), content, (pair.end_us - pair.start_us) / 1e6)


def _ask(spec: ExperimentSpec, watch: Watch, change: Change, pair: PairWindow) -> tuple[Watch, Said | None]:
    reference = tuple(start for start in watch.starts if start < change.earliest_us)[-PAIRS:]
    if not reference:
        return watch, None
    asked = watch.asked + 1
    trial = trials.start(question_spec(spec, watch, asked), watch.candidate)
    return _said(spec, replace(watch, question=Question(change, trial, reference), asked=asked), pair)


def _answer(spec: ExperimentSpec, watch: Watch, question: Question, pair: PairWindow) -> tuple[Watch, Said | None]:
    change = question.change
    question = replace(question, trial=trials.step(question.trial, pair), used=question.used + 1)
    after, said = _said(spec, replace(watch, question=question), pair)
    lasts = pair.end_us - change.begun_us >= spec.policy.sustained_us
    if said is not None and said.judgement.action == "ROLLBACK" and lasts:
        if _all_usual(spec, after, said.judgement, pair.start_us):
            if question.used < len(question.reference) and not watch.done:
                return after, None  # it may become worse than usual
            after = replace(_since(after, change), question=None)
            return _told(spec, after, change, "HEALTHY", "no worse than is usual at this time")
        return replace(_since(after, change), question=None, done=True), said
    if said is None or (question.used < len(question.reference) and not watch.done):
        return after, None
    over = _over(change, next(held for held in after.series if held.sli == change.sli))
    denied = "it did not last" if over else "it stays within what is allowed"
    judgement = replace(said.judgement, reason=f"{said.judgement.reason}; {denied}")
    told = Said(judgement, replace(change, kind="anomaly") if over else change)
    return replace(_since(after, change), question=None), told


def _usual(sli: SliSpec, held: Series, level: float, time_us: int) -> bool:
    """Whether a level is no worse than usual at this time, by more than is allowed."""
    return held.usual is not None and within(sli, level, held.usual.bound(time_us))


def _all_usual(spec: ExperimentSpec, watch: Watch, judgement: Judgement, time_us: int) -> bool:
    """Whether that is so of each SLI that HARM was found in, by its latest windows."""
    harmed = {one.sli for one in judgement.evidence if one.status == "HARM"}
    for sli, held in zip(_enforced(spec), watch.series, strict=True):
        latest = [value for value in held.values[-LATEST:] if math.isfinite(value)]
        if sli.name in harmed and not (latest and _usual(sli, held, median(latest), time_us)):
            return False
    return bool(harmed)


def _since(watch: Watch, change: Change) -> Watch:
    """What was found is the new level: later changes are looked for since then only."""
    at = sum(start < change.begun_us for start in watch.starts)
    rest = [replace(held, values=held.values[at:], spike=None) for held in watch.series]
    return replace(watch, starts=watch.starts[at:], series=tuple(rest))


def _over(change: Change, held: Series) -> bool:
    """Whether the latest windows are nearer to what was before."""
    latest = [value for value in held.values[-LATEST:] if math.isfinite(value)]
    return bool(latest) and abs(median(latest) - change.before) < abs(median(latest) - change.after)


def _said(spec: ExperimentSpec, watch: Watch, pair: PairWindow) -> tuple[Watch, Said | None]:
    """What the open question's evidence says now."""
    question = watch.question
    if question is None:
        return watch, None
    situation = Situation(pair.end_us, 0, 1, True, watch.since_us, watch.since_us)
    asked = question_spec(spec, watch, watch.asked)
    judgement = judge_watch(asked, question.trial, situation, _sentence(spec, watch, question.change))
    return watch, Said(judgement, question.change)


def question_spec(spec: ExperimentSpec, watch: Watch, number: int) -> ExperimentSpec:
    """What the answer to the question of that number (from 1) is held against: all traffic, and its part of alpha."""
    left = spec.policy.alpha if watch.creep is None else (1 - creeping.ALPHA_SHARE) * spec.policy.alpha
    policy = spec.policy.model_copy(update={"alpha": left / (number * (number + 1))})
    alone = Step.model_construct(weight=1.0, duration_us=spec.steps[-1].duration_us)
    return spec.model_copy(update={"policy": policy, "steps": (alone,)})


def _sentence(spec: ExperimentSpec, watch: Watch, change: Change) -> str:
    """What changed: ``errors rose from 0.5 % to 2.1 % at 12:00:05 UTC (12:00:00 to 12:00:10), 4m after the promotion``."""
    sli = next(sli for sli in spec.slis if sli.name == change.sli)
    show = kinds()[sli.type].show
    verb = "rose" if change.after > change.before else "fell"
    since = f", {reasons.time(max(change.begun_us - watch.since_us, 0))} after the promotion" if watch.promoted else ""
    return (
        f"{sli.name} {verb} from {show(sli, change.before)} to {show(sli, change.after)} at {_clock(change.begun_us)} UTC "
        f"({_clock(change.earliest_us)} to {_clock(change.latest_us)}){since}"
    )


def _clock(time_us: int) -> str:
    seconds = time_us // 1_000_000 % 86_400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _enforced(spec: ExperimentSpec) -> list[SliSpec]:
    return [sli for sli in spec.slis if enforced(spec, sli)]
