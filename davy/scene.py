"""What the demo shows: everything that was read from the topics, in the form in which it is drawn. No I/O.

`Scene` is fed with decoded records by `take` and drawn by `davy.terminal.render`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from schemas.codec import iso
from schemas.decision import Decision
from schemas.spec import ExperimentSpec
from schemas.verdict import Verdict
from schemas.window import WindowSummary

WINDOWS_KEPT = 40
"""Windows per arm: what a line of small columns shows."""
ACTIONS_KEPT = 50
LAG_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Action:
    """One line of the time line; `time_us` is event time, `tone` one of the verdicts' actions or an
    outcome."""

    time_us: int
    tone: str
    text: str

    def line(self) -> str:
        """For where there is no view."""
        return f"{iso(self.time_us)[11:19]}  {self.text}"


@dataclass(slots=True)
class Arm:
    """One variant's latest windows, by their start, the newest revision of each."""

    windows: dict[int, WindowSummary] = field(default_factory=dict[int, WindowSummary])

    def take(self, summary: WindowSummary) -> None:
        """Keep the newest revision."""
        held = self.windows.get(summary.start)
        if held is None or held.revision <= summary.revision:
            self.windows[summary.start] = summary
        while len(self.windows) > WINDOWS_KEPT:
            del self.windows[min(self.windows)]

    @property
    def last(self) -> WindowSummary | None:
        """The newest window."""
        return self.windows[max(self.windows)] if self.windows else None

    def error_ratios(self) -> list[float]:
        """Per window, oldest first."""
        ordered = (self.windows[start] for start in sorted(self.windows))
        return [window.errors / window.rows if window.rows else 0.0 for window in ordered]


@dataclass(slots=True)
class Scene:
    """State of the view; times are UTC microseconds of the demo's clock."""

    spec: ExperimentSpec
    title: str
    address: str
    speed: float
    begin_us: int
    now_us: int
    arms: dict[str, Arm] = field(default_factory=dict[str, Arm])
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    """The last one of the rollout, by candidate."""
    evidence: dict[tuple[str, str], deque[float]] = field(default_factory=dict[tuple[str, str], deque[float]])
    """log evidence of HARM by candidate and SLI, oldest first."""
    weights: dict[str, float] = field(default_factory=dict[str, float])
    actions: deque[Action] = field(default_factory=lambda: deque[Action](maxlen=ACTIONS_KEPT))
    windows_seen: int = 0
    verdicts_seen: int = 0
    late: dict[tuple[str, str | None, int], int] = field(default_factory=dict[tuple[str, str | None, int], int])
    quarantined: dict[tuple[str, str | None, int], int] = field(default_factory=dict[tuple[str, str | None, int], int])
    dead: int = 0
    lag: int = LAG_UNKNOWN
    """Events in the log that ingest has not read."""
    restarts: int = 0

    @property
    def closed_us(self) -> int | None:
        """End of the newest closed window of any arm."""
        return max((arm.last.end for arm in self.arms.values() if arm.last is not None), default=None)

    def seen(self, name: str) -> WindowSummary | None:
        """An arm's window among the newest closed ones; None where it had no traffic then."""
        arm = self.arms.get(name)
        last = arm.last if arm is not None else None
        return last if last is not None and last.end == self.closed_us else None

    def take(self, record: Verdict | WindowSummary | Decision) -> None:
        """One record of the topics, of any experiment: others' are passed over."""
        if record.experiment_id != self.spec.id:
            return
        match record:
            case Verdict():
                self._verdict(record)
            case WindowSummary():
                self._window(record)
            case Decision():
                self._decision(record)

    def _verdict(self, verdict: Verdict) -> None:
        self.verdicts_seen += 1
        for item in verdict.evidence:
            history = self.evidence.setdefault((verdict.variant, item.sli), deque(maxlen=WINDOWS_KEPT))
            history.append(item.log_evidence)
        if verdict.phase != "rollout":
            return
        before = self.verdicts.get(verdict.variant)
        self.verdicts[verdict.variant] = verdict
        if before is None or before.action != verdict.action:
            text = f"{verdict.variant} {verdict.action}: {verdict.reason}"
            self.actions.append(Action(verdict.event_time, verdict.action, text))

    def _window(self, summary: WindowSummary) -> None:
        self.windows_seen += 1
        key = (summary.version, summary.variant, summary.start)
        self.late[key] = summary.late
        self.quarantined[key] = summary.quarantined
        arm = summary.variant or self._arm_of(summary.version)
        if arm is not None:
            self.arms.setdefault(arm, Arm()).take(summary)

    def _arm_of(self, version: str) -> str | None:
        return next((name for name, arm in self.spec.variants.items() if arm.version == version), None)

    def _decision(self, decision: Decision) -> None:
        if decision.outcome == "DONE" and decision.weights:
            self.weights = dict(decision.weights)
        share = ", ".join(f"{name} {100 * weight:.4g} %" for name, weight in decision.weights.items())
        text = f"{decision.actor} {decision.kind} {decision.outcome.lower()}" + (f": {share}" if share else "")
        self.actions.append(Action(decision.time, decision.outcome, text))
