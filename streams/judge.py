"""The judge: a deterministic state machine over one partition of the delta log.

Everything it acts on (data, progress, specs, commands, time) reaches it through that log, so replaying the log repeats
the same verdicts under the same ids. It issues them only while it handles a record: after the verified cut or the
watermark has moved, at most once a second of the time recorded in progress, and after a control record. It has no clock,
no timer and no I/O; a judge that stands still says nothing, and `expires_at` turns that into HOLD at the reader.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from analyzers import service_watch
from analyzers.lockstep import in_step
from analyzers.watch import Change
from schemas.budget import BudgetStatus
from schemas.change import ChangeEvent
from schemas.codec import Malformed, UnknownSchema
from schemas.control import Annotation, Command, Control, SpecApplied, WeightApplied, WeightIntent
from schemas.delta import Claim, ControlCopy, Progress, Truncated
from schemas.frozen import frozen
from schemas.located import Errors
from schemas.spec import ExperimentSpec, load_specs
from schemas.spec_rules import not_told_apart
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams import changes
from streams.budgets import Budgets
from streams.changes import EVERYWHERE, Notes
from streams.deltas import PackedCells, Read
from streams.experiment import Experiment, Judged, with_spec
from streams.fold import Advanced, Conflict, Counted, Fold, Folded, Foreign, Lost, Outcome, SourceKey
from streams.issue import Subject, issue
from streams.judge_settings import JudgeSettings, config_digest
from streams.services import Services, Word, watch_id
from streams.summary import by_label, of_window
from streams.windows import Group, Names, Windows

VERDICT_TTL_US = 30_000_000
ROUND_US = 1_000_000
"""Least recorded time between two rounds of judgement."""


@frozen()
class Repair:
    """Blocks of a source from `first_block` on must be emitted again."""

    source: SourceKey
    first_block: int


@frozen()
class Alarm:
    """Something an operator must know; one sentence."""

    text: str


Output = Verdict | WindowSummary | BudgetStatus | Repair | Alarm


class Judge:
    """State of one delta partition. `step` is the only way in."""

    def __init__(self, settings: JudgeSettings, epoch: int = 1) -> None:
        self.settings = settings
        self.epoch = epoch
        self.fold = Fold(settings.digest, settings.block_records)
        self.windows = Windows(settings.window_us, settings.unnamed_max, settings.dimensions)
        self.experiments: dict[str, Experiment] = {}
        slos = {name: slo for name, slo in settings.slos.items() if settings.owns(slo.service, slo.environment)}
        self.budgets = Budgets(slos)
        self.notes = Notes()
        self.services = Services(settings.watched_max, settings.watching)
        self.control_offset = -1
        self.wall_us = 0
        self.last_round_us = 0
        self.closed_us = 0
        self.stuck: dict[SourceKey, int] = {}
        self._foreign: set[str] = set()

    def step(self, delta: Read) -> list[Output]:
        """Handle one record of the log; what is to be published, in order."""
        out: list[Output] = []
        touched: set[str] = set()
        if isinstance(delta, Claim):
            return []  # who judges changes nothing of what is judged
        if isinstance(delta, ControlCopy):
            if delta.previous <= self.control_offset < delta.control_offset:  # else known, or one is missing before it
                self.control_offset = delta.control_offset
                touched |= self._control(delta, out)
        else:
            if isinstance(delta, Progress) and delta.digest == self.settings.digest:
                self.wall_us = max(self.wall_us, delta.wall_time)
            for outcome in self._outcomes(delta):
                touched |= self._outcome(outcome, out)
        if touched or self.wall_us - self.last_round_us >= ROUND_US:
            self._round(touched, out)
        return out

    def _outcomes(self, delta: PackedCells | Progress | Truncated) -> Iterator[Outcome]:
        if isinstance(delta, PackedCells):
            return self.fold.cells(delta)
        return self.fold.progress(delta) if isinstance(delta, Progress) else self.fold.truncated(delta)

    def _outcome(self, outcome: Outcome, out: list[Output]) -> set[str]:
        """Carry out what the fold found; the experiments that must be judged at once because of it."""
        match outcome:
            case Counted(source, cells):
                self.windows.count(source, cells)
            case Folded(source):
                self.windows.fold(source)
            case Conflict(source, block, what):
                reason = f"two contents for one range: {what}, block {block} of {self._name(source)}"
                out.append(Alarm(reason))
                return self._invalidate(reason)
            case Lost(source, start, end):
                reason = f"offsets {start} to {end} of {self._name(source)} were lost before they could be counted"
                out.append(Alarm(reason))
                return self._invalidate(reason)
            case Foreign(digest):
                if digest not in self._foreign:
                    self._foreign.add(digest)
                    out.append(
                        Alarm(f"deltas of another layout ({digest}) are ignored: stop the ingest that sends them")
                    )
            case Advanced():
                pass
        return set()

    def _invalidate(self, reason: str) -> set[str]:
        live = {name for name, experiment in self.experiments.items() if experiment.live}
        for name in live:
            self.experiments[name].invalid = reason
        return live

    def _name(self, source: SourceKey) -> str:
        return f"{self.settings.topics.get(source[0], source[0])}/{source[1]}"

    # -- control -------------------------------------------------------------------------------------------------

    def _control(self, copy: ControlCopy, out: list[Output]) -> set[str]:
        try:
            control = Control.decode(copy.payload)
        except (Malformed, UnknownSchema) as error:
            out.append(Alarm(f"control record {copy.control_offset} is not readable: {error}"))
            return set()
        self.wall_us = max(self.wall_us, control.time)
        if isinstance(control.body, SpecApplied):
            touched = self._apply(control.body, copy.control_offset, out)
            for name in touched & {control.experiment_id}:
                self.notes.take(control, self.experiments[name].spec.service)
            return touched
        experiment = self.experiments.get(control.experiment_id)
        if experiment is not None or isinstance(control.body, Annotation):
            self.notes.take(control, experiment.spec.service if experiment else EVERYWHERE)
        if experiment is None:
            return set()
        match control.body:
            case WeightIntent() as intent:
                experiment.announced(control.time, intent, self.windows)
                return set()
            case WeightApplied() as applied:
                experiment.applied(control.time, applied, self.windows)
            case Command(command=command):
                experiment.command(command)
            case Annotation():
                return set()
        return {control.experiment_id}

    def _apply(self, body: SpecApplied, offset: int, out: list[Output]) -> set[str]:
        try:
            specs = load_specs(body.document)
        except Errors as errors:
            out.append(Alarm(f"control record {offset} carries a spec with an error: {errors}"))
            return set()
        touched: set[str] = set()
        for spec in specs:
            held = self.experiments.get(spec.id)
            if not self.settings.owns(spec.service, spec.environment) or (held and held.spec.digest == spec.digest):
                continue
            fresh = self.experiments[spec.id] = with_spec(held, spec) if held else Experiment(spec)
            fresh.usual = self.services.usual(spec) or fresh.usual
            if spec.stratify is not None and spec.stratify not in self.settings.dimensions:
                fresh.invalid = f"{spec.id}: {not_told_apart(spec.stratify)}"
                out.append(Alarm(fresh.invalid))
            self.budgets.declare(spec)
            touched.add(spec.id)
        self.name_windows()
        return touched

    def name_windows(self) -> None:
        """Tell the windows what the specs name."""
        held = (experiment.spec for experiment in self.experiments.values())
        self.windows.name({
            (spec.id, spec.service, spec.environment): Names(
                frozenset(arm.version for arm in spec.variants.values()), frozenset(spec.variants), spec.stratify
            )
            for spec in held
        })  # fmt: skip

    # -- judgement -----------------------------------------------------------------------------------------------

    def _round(self, touched: set[str], out: list[Output]) -> None:
        self.last_round_us = self.wall_us
        mark = self.fold.watermark(self.settings.lateness_us)
        closed = self.closed_us
        if mark is not None:
            closed = max(closed, self.windows.start(mark))
        moved, self.closed_us = closed > self.closed_us, closed
        self._summaries(closed, out)
        if moved:
            out.extend(self.budgets.close(closed))
        stuck = self.fold.stuck(self.settings.gap_timeout_us)
        for source, block in stuck.items():
            if self.stuck.get(source) != block:
                out.append(Repair(source, block))
        gap_changed, self.stuck = stuck != self.stuck, stuck
        hold, offsets = self._gap_reason(), self._offsets()
        due = [
            name
            for name, experiment in self.experiments.items()
            if closed and (moved or gap_changed or name in touched) and experiment.live
        ]
        said = dict(zip(due, in_step(
            self._said(self.experiments[name], moved, gap_changed, name in touched, hold) for name in due
        ), strict=True))  # fmt: skip
        for name, experiment in self.experiments.items() if closed else ():
            watched = experiment.watch(self.windows, closed) if moved and experiment.watches else []
            for judged in (*watched, *said.get(name, ())):
                out.append(self._verdict(experiment, judged, offsets))
        if moved:
            out.extend(self._watched(word, offsets) for word in self.services.look(self.windows, closed, self._judged))
            kept_from = closed - self.settings.keep_us - self.settings.lateness_us
            self.windows.drop(kept_from)
            self.budgets.forget(kept_from)
            for experiment in self.experiments.values():
                experiment.forget(kept_from)
        self.windows.forget_totals()

    def _said(
        self, experiment: Experiment, moved: bool, gap_changed: bool, asked: bool, hold: str | None
    ) -> Generator[None, None, list[Judged]]:
        """What is to be said of its candidates."""
        experiment.limit = self.budgets.limit(experiment.spec)
        said: list[Judged] = []
        if moved or (asked and experiment.next_window is None):
            said = yield from experiment.advance(self.windows, self.closed_us, hold)
        if not said and (gap_changed or asked):
            said = experiment.again(self.closed_us, hold, self.windows)
        return said

    def _judged(self, group: Group) -> bool:
        """Whether an experiment looks after these requests."""
        experiment = self.experiments.get(group[0] or "")
        return experiment is not None and experiment.group == group and (experiment.live or experiment.watching)

    def _gap_reason(self) -> str | None:
        if not self.stuck:
            return None
        places = ", ".join(f"{self._name(source)} from block {block} on" for source, block in self.stuck.items())
        return f"gap: counts are missing of {places}; a repair was asked for"

    def _offsets(self) -> dict[str, int]:
        """The cut: what verdicts of now are a function of."""
        offsets = {self._name(key): source.frontier for key, source in sorted(self.fold.sources.items())}
        return offsets | {self.settings.control_topic: self.control_offset}

    def _verdict(self, experiment: Experiment, judged: Judged, offsets: dict[str, int]) -> Verdict:
        spec = experiment.spec
        experiment.sequence += 1
        subject = Subject(
            experiment.group, spec.id, experiment.sequence, config_digest(experiment.digest, self.settings),
            spec.rollback.window_us if judged.judgement.action == "ROLLBACK" else VERDICT_TTL_US,
        )  # fmt: skip
        return self._issued(subject, judged, spec, offsets)

    def _watched(self, word: Word, offsets: dict[str, int]) -> Verdict:
        """Of a service that no experiment judges."""
        digest = service_watch.digest(self.settings.watching)
        judged = Judged(word.version, word.event_time, 0, word.judgement, "watch", word.said.change)
        subject = Subject(
            word.group, watch_id(*word.group[1:]), word.sequence, config_digest(digest, self.settings),
            VERDICT_TTL_US,
        )  # fmt: skip
        return self._issued(subject, judged, word.spec, offsets)

    def _issued(self, subject: Subject, judged: Judged, spec: ExperimentSpec, offsets: dict[str, int]) -> Verdict:
        change = None if judged.change is None else self._change(subject.group, spec, judged.change, judged.event_time)
        return issue(subject, judged, change, offsets, self.epoch, self.wall_us, self.settings.code_version)

    def _change(self, group: Group, spec: ExperimentSpec, change: Change, until_us: int) -> ChangeEvent:
        sli = next(sli for sli in spec.slis if sli.name == change.sli)
        return changes.event(self.windows, group, sli, change, until_us, self.settings.dimensions, self.notes)

    def _summaries(self, closed_us: int, out: list[Output]) -> None:
        """Windows that closed, or that changed after they had closed."""
        revision = sum(source.frontier for source in self.fold.sources.values())
        for group, window in self.windows.take_changed(closed_us):
            for (version, variant), content in sorted(self.windows.labels(group, window).items(), key=by_label):
                self.budgets.count(group, window, (version, variant), content)
                out.append(of_window(self.settings, group, window, (version, variant), content, revision))
            experiment = self.experiments.get(group[0] or "")
            if experiment is not None and experiment.group == group:
                experiment.rewind(window, self.windows)
