"""A world through the production aggregate, judge and rollout, in simulated time: verdicts move traffic, and traffic makes the
next requests. No broker, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bench.scenarios.worlds import PEAK_US, World, requests
from deploy.reception import take_verdict
from deploy.rollout import step
from deploy.rollout_state import Action, Event, Rollout, Shift, Tell
from deploy.transitions import Kind, State
from schemas.config import Config
from schemas.control import Control, SpecApplied
from schemas.delta import ControlCopy
from schemas.spec import load_specs
from schemas.verdict import Verdict
from streams.judge import Alarm, Judge, Output
from streams.judge_settings import JudgeSettings
from streams.layout import Layout
from streams.replay import Log, Recording

SPEC = """\
id: release
service: shop
environment: simulated
hypothesis: it is no worse
owner: bench
variants: {control: {version: "1"}, canary: {version: "2"}}
randomization: request
slis:
  - {name: errors, type: error_ratio, max_increase: 0.2pp}
  - {name: latency-p99, type: latency_quantile, quantile: 0.99, max_increase: 15%}
  - {name: traffic, type: throughput, max_decrease: 30%}
policy: {min_duration: 5m, max_duration: 1h}
steps: [{weight: 10%, duration: 2m}, {weight: 50%, duration: 3m}]
rollback: {window: 24h}
"""
ROLLOUT_US = 600_000_000
"""A rollout begins so long before the day's peak."""
HOUR_US = 3_600_000_000
NEVER_US = 1 << 62
LEAD_US = 600_000_000
"""Before the trouble of a promoted release begins."""


@dataclass(slots=True)
class Played:
    """What came of one run; times are microseconds, None where it never was so. `spoken`: what the watch said, and nothing
    followed from."""

    begun_us: int | None
    promoted_us: int | None = None
    rolled_back_us: int | None = None
    reason: str = ""
    spoken: list[str] = field(default_factory=list[str])

    @property
    def delay_s(self) -> float | None:
        """From the trouble's begin to the verdict that acts; below 0 it acted on nothing."""
        if self.rolled_back_us is None:
            return None
        return (self.rolled_back_us - (self.begun_us or self.rolled_back_us + 1)) / 1e6


class Play:
    """One run. `promoted`: the trouble begins after the promotion, not with the rollout."""

    def __init__(self, world: World, seed: int, *, promoted: bool) -> None:
        self.world = world
        self.rng = np.random.default_rng([seed, promoted, *world.name.encode()])
        self.spec = load_specs(SPEC)[0]
        config = Config()
        self.settings = replace(JudgeSettings.of(config, 0, 1, {"recorded": "simulated"}), watched_max=0)
        self.judge = Judge(self.settings)
        self.rollout = Rollout(self.spec)
        self.now_us = PEAK_US - ROLLOUT_US
        self.played = Played(None if promoted else self.now_us)
        self.weights: list[tuple[int, Mapping[str, float]]] = [(0, {self.spec.control: 1.0})]
        self.log = Log(self._requests(self.now_us, self.now_us), Layout.of(config), self.settings)

    def run(self, minutes: int) -> Played:
        """Until it is rolled back; else so long after the trouble began, or an hour without a promotion."""
        begin_us, length = self.now_us, self.settings.window_us
        self._tell(
            Control(self.spec.id, begin_us, "bench", "simulated", SpecApplied(SPEC, "release.yaml", self.spec.digest))
        )
        self._do(step(self.rollout, Event(Kind.APPLY, "apply", "simulated", spec=self.spec), begin_us))
        while self.played.rolled_back_us is None:
            last_us = (self.played.begun_us or begin_us) + minutes * 60_000_000
            if self.now_us >= max(last_us, begin_us + HOUR_US * (self.played.promoted_us is None)):
                break
            start_us, self.now_us = self.now_us, self.now_us + length
            self.log.go_on(self._requests(start_us, self.now_us))
            for delta in self.log.until(self.now_us):
                self._hear(self.judge.step(delta))
        return self.played

    def _requests(self, start_us: int, end_us: int) -> Recording:
        return requests(
            self.world, self.spec, self.rng, start_us, end_us, self.played.begun_us or NEVER_US, self.weights
        )

    def _tell(self, control: Control) -> None:
        self._hear(
            self.judge.step(ControlCopy(self.judge.control_offset + 1, control.encode(), self.judge.control_offset))
        )

    def _hear(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Verdict):
                self._do(take_verdict(self.rollout, output, output.issued_at))
                if output.phase == "watch" and output.action != "ROLLBACK":
                    self.played.spoken.append(output.reason)
            elif isinstance(output, Alarm):
                raise RuntimeError(output.text)

    def _do(self, after: tuple[Rollout, list[Action]]) -> None:
        """What the rollout decided, at once."""
        self.rollout, actions = after
        for action in actions:
            if isinstance(action, Tell):
                self._tell(action.control)
            elif isinstance(action, Shift):
                self._shift(action)

    def _shift(self, shift: Shift) -> None:
        at_us, state = shift.plan.time, self.rollout.state
        self.weights.append((at_us, shift.weights))
        self._do(step(self.rollout, Event(Kind.SHIFTED, shift.intent_id, "made"), at_us))
        if state is State.PROMOTING:
            self.played.promoted_us = at_us
            if self.played.begun_us is None:
                self.played.begun_us = at_us + LEAD_US
        elif state is State.ROLLING_BACK:
            self.played.rolled_back_us, self.played.reason = at_us, shift.plan.reason
