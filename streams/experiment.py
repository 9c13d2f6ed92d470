"""One experiment as the judge runs it: closed windows in, judgements out, in order of event time.

Every closed window is given to each candidate's `Trial` once. Where a window changes after it was closed (rows that came
out of order across partitions), the trials are taken back to the last checkpoint before it and run again, so that the
evidence at a cut is always that of the windows as they are at that cut.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace

from analyzers import trial as trials
from analyzers import watch as watching
from analyzers.arm import EMPTY, ArmWindow, PairWindow
from analyzers.budget import Limit
from analyzers.case import Situation
from analyzers.judgement import Judgement, judge
from analyzers.trial import Trial
from analyzers.usual import Usual
from analyzers.watch import BEFORE, Change, Watch
from schemas.control import WeightApplied, WeightIntent
from schemas.frozen import frozen
from schemas.spec import ExperimentSpec
from schemas.verdict import Phase
from streams.arms import NOTHING, arms_of, group_of, instances_of, strata_of
from streams.astray import astray
from streams.producers import dominated
from streams.traffic import Traffic, share
from streams.windows import Group, Windows

ENDING = frozenset({"promote", "abort", "rollback"})
"""Commands after which there is nothing left to judge."""
CHECKPOINT_WINDOWS = 36
"""Closed windows between two checkpoints of the trials."""


@frozen()
class Judged:
    """What is to be said of a candidate at the end of a window, in which step."""

    candidate: str
    event_time: int
    step: int
    judgement: Judgement
    phase: Phase = "rollout"
    change: Change | None = None
    """What the watch asks about."""


@dataclass(slots=True)
class Experiment:
    """Live state of one experiment; times are UTC microseconds, `next_window` is the first one not yet judged."""

    spec: ExperimentSpec
    traffic: Traffic = field(default_factory=Traffic)
    sequence: int = 0
    trials: dict[str, Trial] = field(default_factory=dict[str, Trial])
    next_window: int | None = None
    first_window: int | None = None
    checkpoints: dict[int, dict[str, Trial]] = field(default_factory=dict[int, dict[str, Trial]])
    finished: dict[str, str] = field(default_factory=dict[str, str])
    """Candidates that had their final verdict, or whose max_duration is over, with the action."""
    paused: bool = False
    invalid: str | None = None
    """Why its counts cannot be trusted, until a person resumes it."""
    closed: bool = False
    """A person ended the experiment."""
    watches: dict[str, Watch] = field(default_factory=dict[str, Watch])
    """Promoted candidates, for as long as a rollback is possible."""
    usual: Mapping[str, Usual] = field(default_factory=dict[str, Usual])
    """By SLI: of the service, before the experiment began."""
    limit: Limit | None = None
    """What the error budget of the service asks for now."""
    _digest: str = ""

    @property
    def digest(self) -> str:
        """The spec's, which takes long to find and never changes here."""
        if not self._digest:
            self._digest = self.spec.digest
        return self._digest

    @property
    def group(self) -> Group:
        """Where its cells are kept."""
        return group_of(self.spec)

    @property
    def live(self) -> bool:
        """Whether anything is still to be decided."""
        return not self.closed and len(self.finished) < len(self.spec.candidates)

    @property
    def watching(self) -> bool:
        """Whether a promoted candidate is watched."""
        return any(not watch.done for watch in self.watches.values())

    def announced(self, time_us: int, body: WeightIntent, windows: Windows) -> None:
        """Traffic is about to be shifted: from then on no window is evidence, also where one was judged already."""
        self.traffic = self.traffic.intent(time_us, body)
        self.rewind(windows.start(time_us), windows)

    def applied(self, time_us: int, body: WeightApplied, windows: Windows) -> None:
        """Traffic was shifted; a candidate that now gets all of it is promoted. Until then PROMOTE is said again."""
        self.traffic = self.traffic.applied(time_us, body)
        begun = next(shift.intent_us for shift in self.traffic.shifts if shift.intent_id == body.intent_id)
        self.rewind(windows.start(begun), windows)
        for name in self.spec.candidates:
            if body.weights.get(name, 0.0) >= 1.0:
                self.finished.setdefault(name, "PROMOTE")
                first = max(windows.start(time_us) - BEFORE * windows.length_us, windows.start(windows.floor_us))
                self.watches.setdefault(name, watching.start(self.spec, name, time_us, first, self.usual))
            else:
                self.watches.pop(name, None)

    def command(self, command: str) -> None:
        """A person's command as far as judgement goes; the rollout carries it out."""
        if command == "pause":
            self.paused = True
        elif command == "resume":
            self.paused, self.invalid = False, None
            self.trials = {name: trials.resume(trial) for name, trial in self.trials.items()}
        elif command in ENDING:
            self.closed = True

    def advance(
        self, windows: Windows, closed_us: int, hold_reason: str | None
    ) -> Generator[None, None, list[Judged]]:  # fmt: skip
        """Judge every window that ends at or before `closed_us` and was not judged; the last word on each candidate. Stops
        between what it does, so that it runs well in step with others (`analyzers.lockstep`)."""
        length = windows.length_us
        if self.next_window is None:
            first = windows.first(self.group)
            applied = self.traffic.first_applied_us
            known = [time for time in (first, applied) if time is not None]
            if not known:
                return self._without_data(closed_us, hold_reason, windows)
            self.first_window = self.next_window = windows.start(min(known))
            self.trials = {name: trials.start(self.spec, name) for name in self.spec.candidates}
            self.checkpoints = {self.next_window: dict(self.trials)}
        said: dict[str, Judged] = {}
        while self.next_window + length <= closed_us and self.live:
            start, end = self.next_window, self.next_window + length
            arms = arms_of(self.spec, windows.labels(self.group, start))
            names = [name for name in self.spec.candidates if name not in self.finished]
            pairs = [self._pair(name, arms, start, windows) for name in names]
            yield
            for name, pair in zip(names, pairs, strict=True):
                self.trials[name] = yield from trials.steps(self.trials[name], pair)
            yield
            for name in names:
                said[name] = self._asked(name, end, hold_reason, windows)
                action = said[name].judgement.action
                if action == "ROLLBACK" or self._over(end):
                    self.finished[name] = action
            self.next_window = end
            if (end - (self.first_window or 0)) // length % CHECKPOINT_WINDOWS == 0:
                self.checkpoints[end] = dict(self.trials)
        return list(said.values())

    def watch(self, windows: Windows, closed_us: int) -> list[Judged]:
        """What is to be said of promoted candidates, up to the windows that end at `closed_us`. A window that changes after it
        was closed is not looked at again."""
        said: list[Judged] = []
        length, last = windows.length_us, len(self.spec.steps) - 1
        for name in list(self.watches):
            held = self.watches[name]
            while not held.done and held.next_us + length <= closed_us:
                labels = windows.labels(self.group, held.next_us)
                pair = self._watched_pair(held, arms_of(self.spec, labels), windows)
                held, word = watching.step(self.spec, held, ArmWindow.sum(labels.values()), pair)
                if word is not None:
                    said.append(Judged(name, held.next_us, last, word.judgement, "watch", word.change))
            self.watches[name] = held
        return said

    def _watched_pair(self, held: Watch, arms: dict[str, tuple[ArmWindow, int]], windows: Windows) -> PairWindow:
        """The candidate now; as control who had the traffic in the window that it is paired with."""
        start, end = held.next_us, held.next_us + windows.length_us
        content, wrong = arms.get(held.candidate, NOTHING)
        before, weight, then_us = EMPTY, 1.0, held.reference_us
        steady = self.traffic.steady(start, end)
        if then_us is not None:
            alone = then_us >= held.since_us or self.spec.control not in self.spec.variants
            name = held.candidate if alone else self.spec.control
            before, _ = arms_of(self.spec, windows.labels(self.group, then_us)).get(name, NOTHING)
            shift = self.traffic.at(then_us)
            weight = 1.0 if shift is None else shift.weights.get(name, 0.0)
            steady = steady and self.traffic.steady(then_us, then_us + windows.length_us)
        return PairWindow(start, end, before, content, 1 / (1 + weight), 0, steady, 0, wrong)

    def again(self, closed_us: int, hold_reason: str | None, windows: Windows) -> list[Judged]:
        """Judge the last closed window once more: something beside the data changed."""
        if self.next_window is None:
            return self._without_data(closed_us, hold_reason, windows)
        names = [name for name in self.spec.candidates if name not in self.finished]
        time_us = min(self.next_window, closed_us)  # traffic may have been shifted in a window that is still open
        return [self._asked(name, time_us, hold_reason, windows) for name in names]

    def rewind(self, changed_window: int, windows: Windows) -> None:
        """A window that was judged has changed: run the trials again from the last checkpoint before it."""
        if self.next_window is None or self.first_window is None or changed_window >= self.next_window:
            return
        if changed_window < self.first_window:  # it began earlier than was known
            if self.next_window == self.first_window:  # nothing was judged, and what lies between may still be open
                self.next_window = changed_window
            self.first_window = changed_window
            self.checkpoints = {changed_window: {name: trials.start(self.spec, name) for name in self.spec.candidates}}
        place = max((time for time in self.checkpoints if time <= changed_window), default=None)
        if place is None:
            return
        until, length = self.next_window, windows.length_us
        self.checkpoints = {time: held for time, held in self.checkpoints.items() if time <= place}
        self.trials = dict(self.checkpoints[place]) | {n: self.trials[n] for n in self.finished if n in self.trials}
        for start in range(place, until, length):
            arms = arms_of(self.spec, windows.labels(self.group, start))
            for name in [name for name in self.trials if name not in self.finished]:
                self.trials[name] = trials.step(self.trials[name], self._pair(name, arms, start, windows))

    def forget(self, before_us: int) -> None:
        """Windows before that are gone: drop the checkpoints that nobody can need any more, all but the newest of them."""
        old = sorted(time for time in self.checkpoints if time <= before_us)
        for time in old[:-1]:
            del self.checkpoints[time]

    def _without_data(self, time_us: int, hold_reason: str | None, windows: Windows) -> list[Judged]:
        """Nothing was ever seen of it: an answer all the same."""
        names = self.spec.candidates
        return [self._judged(name, trials.start(self.spec, name), time_us, hold_reason, windows) for name in names]

    def _asked(self, name: str, time_us: int, hold_reason: str | None, windows: Windows) -> Judged:
        """What is to be said of a candidate; what would be final must not hang on one producer."""
        said = self._judged(name, self.trials[name], time_us, hold_reason, windows)
        reason = dominated(self.spec, self.traffic, said.judgement, windows, self.group, name, time_us)
        if reason is None:
            return said
        self.trials[name] = replace(self.trials[name], invalid=reason)
        return self._judged(name, self.trials[name], time_us, hold_reason, windows)

    def _judged(self, name: str, trial: Trial, time_us: int, hold_reason: str | None, windows: Windows) -> Judged:
        unseen = None in (trial.seen_control_us, trial.seen_candidate_us)
        situation = self._situation(time_us, hold_reason, astray(self.spec, windows, time_us) if unseen else None)
        return Judged(name, time_us, situation.step, judge(self.spec, trial, situation))

    def _over(self, time_us: int) -> bool:
        begun = self.traffic.first_applied_us or self.first_window or time_us
        return time_us - begun >= self.spec.policy.max_duration_us

    def _situation(self, time_us: int, hold_reason: str | None, wanted: str | None) -> Situation:
        shift = self.traffic.current
        first = self.traffic.first_applied_us
        step, applied = (shift.step, shift.applied_us) if shift else self._step_on_schedule(time_us)
        return Situation(
            event_time_us=time_us,
            step=step,
            steps=len(self.spec.steps),
            weights_known=shift is not None,
            weight_applied_us=applied,
            first_applied_us=first if first is not None else self.first_window,
            paused=self.paused,
            invalid_reason=self.invalid,
            hold_reason=hold_reason,
            over=self._over(time_us),
            limit=self.limit,
            astray=wanted,
        )

    def _step_on_schedule(self, time_us: int) -> tuple[int, int | None]:
        """Step and its begin where nobody tells the weights: as the spec plans them from the first window on."""
        if self.first_window is None:
            return 0, None
        begin = self.first_window
        for index, step in enumerate(self.spec.steps):
            if index == len(self.spec.steps) - 1 or time_us < begin + step.duration_us:
                return index, begin
            begin += step.duration_us
        return 0, begin

    def _pair(
        self, candidate: str, arms: dict[str, tuple[ArmWindow, int]], start_us: int, windows: Windows
    ) -> PairWindow:  # fmt: skip
        shift, end_us = self.traffic.at(start_us), start_us + windows.length_us
        control, wrong_control = arms.get(self.spec.control, NOTHING)
        content, wrong = arms.get(candidate, NOTHING)
        return PairWindow(
            start_us, end_us, control, content,
            share(shift.weights, candidate, self.spec.control) if shift else None,
            shift.step if shift else self._step_on_schedule(start_us)[0],
            self.traffic.steady(start_us, end_us), wrong_control, wrong, strata_of(self.spec, candidate, start_us, windows),
            instances=instances_of(self.spec, candidate, start_us, windows),
        )  # fmt: skip


def with_spec(experiment: Experiment, spec: ExperimentSpec) -> Experiment:
    """The experiment under a changed spec: a new trial, since evidence belongs to the promises it was gathered for."""
    return Experiment(spec, experiment.traffic, experiment.sequence, paused=experiment.paused, usual=experiment.usual)
