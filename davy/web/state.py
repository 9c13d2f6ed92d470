"""What the console knows: a bounded view of Davy's topics, put together from their records. Pure.

Records come in any order, repeatedly, and from several judges: a verdict that is known is passed over, one of a lower
epoch than the highest seen is refused, and whatever is kept has a limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from davy.web.shelf import Shelf
from schemas.budget import BudgetStatus
from schemas.control import Annotation, Command, Control, SpecApplied, WeightApplied
from schemas.decision import Decision
from schemas.delta import OTHER
from schemas.errors import DavyError
from schemas.flag import Flag, FlagChange, load_flag
from schemas.probe import ProbeResult
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import WATCHED, Verdict
from schemas.window import WindowSummary

EXPERIMENTS_MAX = 2_000
"""The one that was applied longest ago is forgotten first."""
WINDOWS_EACH, WINDOWS_TOTAL = 2_000, 100_000
"""Windows kept of one experiment, and of all."""
VERDICTS_EACH, VERDICTS_TOTAL = 300, 20_000
DECISIONS_EACH, DECISIONS_TOTAL = 500, 20_000
ANNOTATIONS_MAX = 500
SERVICES_MAX = 1_000
"""Services without an experiment whose changes are kept; of more the one that was told of first is forgotten."""
PROBES_MAX = 1_000
LABEL_MAX = 256
"""Longer names of versions and variants are not ours: their windows are passed over."""

FLAGS_MAX = 5_000
BUDGETS_MAX = 1_000

Record = Verdict | WindowSummary | Decision | ProbeResult | Control | FlagChange | BudgetStatus
WORST_FIRST = ("ROLLBACK", "HOLD", "CONTINUE", "ADVANCE", "PROMOTE")


@dataclass(slots=True)
class Experiment:
    """One experiment: the spec in force and its candidates' latest verdicts."""

    spec: ExperimentSpec
    applied_us: int
    actor: str
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    step: int | None = None
    revision: int = 0
    """Of the state, when this one last changed: who has seen that much needs not be told again."""
    command: Control | None = None
    """What a person asked for last."""
    rollout: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    """By candidate: the latest of the rollout; a final one stays."""
    watch: dict[str, Verdict] = field(default_factory=dict[str, Verdict])

    def current(self) -> dict[str, Verdict]:
        """By candidate, in the spec's order, what holds now: the rollout's, or a rollback that came after it."""
        shown: dict[str, Verdict] = {}
        for name in self.spec.candidates:
            later = self.watch.get(name)
            verdict = later if later and later.action == "ROLLBACK" else self.rollout.get(name)
            if verdict is not None:
                shown[name] = verdict
        return shown


class State:
    """Everything by experiment id; `take` puts a record in."""

    def __init__(self) -> None:
        self.experiments: dict[str, Experiment] = {}
        self.windows: Shelf[str, tuple[int, str, str], WindowSummary] = Shelf(WINDOWS_EACH, WINDOWS_TOTAL)
        self.verdicts: Shelf[str, tuple[int, int, str], Verdict] = Shelf(VERDICTS_EACH, VERDICTS_TOTAL)
        self.decisions: Shelf[str, tuple[int, int, str, str], Decision] = Shelf(DECISIONS_EACH, DECISIONS_TOTAL)
        self.probes: dict[tuple[str, str], ProbeResult] = {}
        self.budgets: dict[str, BudgetStatus] = {}
        self.services: dict[str, None] = {}
        """Ids under which verdicts told of services that no experiment judges."""
        self.flags: dict[str, Flag] = {}
        self.flags_changes = 0
        """Goes up with whatever may change what is told of flags."""
        self.annotations: deque[Control] = deque(maxlen=ANNOTATIONS_MAX)
        self.refused = 0
        """Verdicts of superseded judges."""
        self.newest_us = 0
        """End of the newest window."""
        self.counted: dict[str, int] = dict.fromkeys(("counted", "late", "quarantined"), 0)
        """Rows in all windows that were shown."""
        self.revision = 0
        """Grows with each piece of news about an experiment's standing."""
        self._epochs: dict[str, int] = {}

    def take(self, record: Record) -> bool:
        """Whether it was news."""
        match record:
            case Verdict():
                return self._verdict(record)
            case WindowSummary():
                return self._window(record)
            case Decision():
                key = (record.time, record.sequence, record.decision_id, record.outcome)
                news = self.decisions.get(record.experiment_id, key) is None
                self.decisions.put(record.experiment_id, key, record)
                return news
            case ProbeResult():
                return self._probe(record)
            case Control():
                return self._control(record)
            case FlagChange():
                return self._flag(record)
            case BudgetStatus():
                return self._budget(record)

    def _verdict(self, verdict: Verdict) -> bool:
        key = (verdict.event_time, verdict.sequence, verdict.verdict_id)
        if self.verdicts.get(verdict.experiment_id, key) is not None:
            return False
        epoch = self._epochs.get(verdict.experiment_id, 0)
        if verdict.epoch < epoch:
            self.refused += 1
            return False
        experiment = self.experiments.get(verdict.experiment_id)
        if experiment is None and verdict.phase == "watch" and verdict.experiment_id.startswith(WATCHED):
            return self._service(verdict, key)
        if experiment is None or not verdict.config_digest.startswith(experiment.spec.digest[:32]):
            return False  # of a spec that is not in force (any more)
        self._epochs[verdict.experiment_id] = verdict.epoch
        self.verdicts.put(verdict.experiment_id, key, verdict)
        latest = experiment.watch if verdict.phase == "watch" else experiment.rollout
        held = latest.get(verdict.variant)
        if held is None or (held.epoch, held.sequence) < (verdict.epoch, verdict.sequence):
            latest[verdict.variant] = verdict
            self._touch(experiment)
        return True

    def _service(self, verdict: Verdict, key: tuple[int, int, str]) -> bool:
        """Of a service that no experiment judges."""
        self.services[verdict.experiment_id] = None
        self._epochs[verdict.experiment_id] = verdict.epoch
        self.verdicts.put(verdict.experiment_id, key, verdict)
        if len(self.services) > SERVICES_MAX:
            oldest = next(iter(self.services))
            del self.services[oldest], self._epochs[oldest]
            self.verdicts.drop(oldest)
        return True

    def _touch(self, experiment: Experiment) -> None:
        self.revision += 1
        experiment.revision = self.revision

    def since(self, revision: int) -> Iterator[Experiment]:
        """Experiments whose standing changed after that revision."""
        return (experiment for experiment in self.experiments.values() if experiment.revision > revision)

    def _window(self, window: WindowSummary) -> bool:
        if window.experiment_id is None or max(len(window.version), len(window.variant or "")) > LABEL_MAX:
            return False
        known = self.experiments.get(window.experiment_id)
        if known is not None and window.version != OTHER:
            named = known.spec.variants.get(window.variant) if window.variant else None
            if named is None and all(arm.version != window.version for arm in known.spec.variants.values()):
                return False  # nobody's version: a flood of these would push out the experiment's own
        key = (window.start, window.version, window.variant or "")
        held = self.windows.get(window.experiment_id, key)
        if held is not None and held.revision >= window.revision:
            return False
        self.windows.put(window.experiment_id, key, window)
        self.newest_us = max(self.newest_us, window.end)
        for name, field_name in (("counted", "rows"), ("late", "late"), ("quarantined", "quarantined")):
            before = 0 if held is None else getattr(held, field_name)
            self.counted[name] += max(0, getattr(window, field_name) - before)
        return True

    def _probe(self, probe: ProbeResult) -> bool:
        key = (probe.target, probe.kind)
        held = self.probes.get(key)
        if (held is not None and held.time >= probe.time) or (held is None and len(self.probes) >= PROBES_MAX):
            return False
        self.probes[key] = probe
        return True

    def _budget(self, status: BudgetStatus) -> bool:
        held = self.budgets.get(status.key)
        if (held is not None and held.time >= status.time) or (held is None and len(self.budgets) >= BUDGETS_MAX):
            return False
        self.budgets[status.key] = status
        return True

    def budgets_of(self, spec: ExperimentSpec) -> list[BudgetStatus]:
        """Error budgets of the service of an experiment."""
        place = (spec.service, spec.environment)
        return [status for status in self.budgets.values() if (status.service, status.environment) == place]

    def probes_of(self, spec: ExperimentSpec) -> list[ProbeResult]:
        """The last probe of each thing that the service of an experiment depends on, by name."""
        found = [probe for probe in self.probes.values() if spec.service in probe.services]
        return sorted(found, key=lambda probe: (probe.target, probe.kind))

    def _flag(self, change: FlagChange) -> bool:
        if change.document is None:
            news = self.flags.pop(change.key, None) is not None
        elif change.key not in self.flags and len(self.flags) >= FLAGS_MAX:
            return False
        else:
            try:
                flag = load_flag(change.document)
            except DavyError:
                return False  # of another version of Davy
            news = self.flags.get(change.key) != flag
            self.flags[change.key] = flag
        self.flags_changes += news
        return news

    def _control(self, control: Control) -> bool:
        experiment = self.experiments.get(control.experiment_id)
        match control.body:
            case SpecApplied() as body:
                return self._applied(control, body)
            case WeightApplied() as body if experiment is not None:
                experiment.weights, experiment.step = dict(body.weights), body.step
                self.flags_changes += 1
                self._touch(experiment)
                return True
            case Command() if experiment is not None:
                experiment.command = control
                return True
            case Annotation():
                self.annotations.append(control)
                return True
            case _:
                return False

    def _applied(self, control: Control, body: SpecApplied) -> bool:
        held = self.experiments.get(control.experiment_id)
        if held is not None and held.spec.digest == body.digest:
            return False
        try:
            spec = load_specs(body.document + "\n", path=body.path)[0]
        except (DavyError, IndexError):
            return False  # of another version of Davy; the judge refuses it too
        self.experiments.pop(control.experiment_id, None)
        self.experiments[control.experiment_id] = Experiment(spec, control.time, control.actor)
        self.flags_changes += 1
        self._touch(self.experiments[control.experiment_id])
        if len(self.experiments) > EXPERIMENTS_MAX:
            oldest = next(iter(self.experiments))
            del self.experiments[oldest]
            for shelf in (self.windows, self.verdicts, self.decisions):
                shelf.drop(oldest)
            self._epochs.pop(oldest, None)
        return True

    def active(self) -> Iterator[Verdict]:
        """The latest verdicts of rollouts that are not over."""
        for experiment in self.experiments.values():
            yield from (verdict for verdict in experiment.rollout.values() if not verdict.final)


def worst(verdicts: Mapping[str, Verdict], now_us: int) -> Verdict | None:
    """The verdict that stands most against going on; an expired one counts as HOLD."""
    return min(verdicts.values(), key=lambda verdict: WORST_FIRST.index(action_at(verdict, now_us)), default=None)


def action_at(verdict: Verdict, now_us: int) -> str:
    """What a deployer may do on it: nothing once it has expired."""
    return verdict.action if now_us < verdict.expires_at else "HOLD"
