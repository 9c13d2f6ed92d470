"""Seeded schedules of verdicts, commands, time, crashes, failing targets and two controllers; messages late and repeated.

The controllers are the production functions (`step`, `take_verdict`, `take_command`, `recalled`, `Heads`); the logs and the
traffic are lists. An oracle that knows only the logs says what must have come out.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from deploy.audit import audited
from deploy.fence import expiry
from deploy.ledger import Heads
from deploy.reception import take_command, take_verdict
from deploy.rollout import announce, protects, step
from deploy.rollout_state import Action, Event, Record, Rollout, Shift, recalled
from deploy.splitter import step_weights
from deploy.transitions import SHIFTS, TRANSITIONS, Kind, State
from schemas.control import Command
from schemas.decision import Decision
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import Verdict
from tests.deploy.verdicts import NOW, verdict

SPECS = load_specs("""\
id: e
service: s
environment: test
variants:
  control: {version: "1"}
  canary: {version: "2"}
slis: [{name: errors, type: error_ratio, max_increase: 1pp}]
steps: [{weight: 10%, duration: 1m}, {weight: 50%, duration: 1m}]
---
id: two
service: s
environment: test
variants:
  control: {version: "1"}
  canary: {version: "2"}
  bolder: {version: "3"}
slis: [{name: errors, type: error_ratio, max_increase: 1pp}]
policy: {approval: promotion}
steps: [{weight: 10%, duration: 1m}, {weight: 30%, duration: 1m}]
""")
ACTIONS = ("CONTINUE", "ADVANCE", "ADVANCE", "HOLD", "PROMOTE", "ROLLBACK")
STEPS_MAX = 60
DRAIN_MAX = 6
"""Rounds without faults within which everything must have come to its end."""
EDGES = {(before, after) for (before, _), after in TRANSITIONS.items()}


class Crashed(Exception):
    """The process is gone."""


@dataclass
class World:
    """The logs, the traffic, and two controllers that read and write them."""

    rng: random.Random
    spec: ExperimentSpec
    now_us: int = NOW
    messages: list[Verdict | Command] = field(default_factory=list[Verdict | Command])
    ledger: list[Decision] = field(default_factory=list[Decision])
    traffic: list[tuple[str, Mapping[str, float]]] = field(default_factory=list[tuple[str, Mapping[str, float]]])
    faults: bool = True

    def say(self, message: Verdict | Command) -> None:
        self.messages.append(message)

    def holding(self) -> list[Decision]:
        """The records of the ledger that hold."""
        heads = Heads()
        return [decision for decision in self.ledger if heads.take(self.spec.id, decision)]


class Controller:
    """One process: its state is gone when it crashes, its place in the log may fall back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.place = 0
        self.rollout: Rollout | None = None

    def work(self) -> None:
        """One message, or the start."""
        world = self.world
        try:
            if self.rollout is None:
                self.start()
            elif self.rollout.shift is not None:
                if world.holding()[-1].hash != self.rollout.chain.head:
                    raise Crashed  # superseded: another process did it, or something newer
                self.do((self.rollout, [self.rollout.shift]))
            elif self.place < len(world.messages):
                message = world.messages[self.place]
                if isinstance(message, Verdict):
                    self.do(take_verdict(self.rollout, message, world.now_us, self.place))
                elif self.place > self.rollout.control_offset:
                    taken = replace(self.rollout, control_offset=self.place)
                    self.do(take_command(taken, message, "ann", "because", world.now_us))
                self.place += 1
        except Crashed:
            self.rollout = None
            self.place = max(0, self.place - world.rng.randint(0, 5))

    def start(self) -> None:
        rollout = Rollout(self.world.spec)
        for decision in self.world.holding():
            rollout = recalled(rollout, decision)
        self.rollout = rollout
        if rollout.state is State.PENDING:
            event = Event(Kind.APPLY, self.world.spec.digest, "applied", spec=self.world.spec)
            self.do(step(rollout, event, self.world.now_us))
        else:
            self.do((rollout, announce(rollout, self.world.now_us)))

    def do(self, result: tuple[Rollout, list[Action]]) -> None:
        world = self.world
        self.rollout, actions = result
        for action in actions:
            if world.faults and world.rng.random() < 0.05:
                raise Crashed
            if isinstance(action, Record):
                world.ledger.append(action.decision)
                if action.decision.outcome != "REFUSED" and world.holding()[-1] != action.decision:
                    raise Crashed  # superseded: what it knows is not what is
            elif isinstance(action, Shift):
                self.do(step(self.rollout, self.shift(action), world.now_us))

    def move(self, cause: str, weights: Mapping[str, float]) -> None:
        """Set the traffic, if it is not so already."""
        world, wanted = self.world, dict(weights or begin(self.world.spec))
        if (dict(world.traffic[-1][1]) if world.traffic else begin(world.spec)) != wanted:
            world.traffic.append((cause, wanted))

    def shift(self, shift: Shift) -> Event:
        world = self.world
        if world.faults and world.rng.random() < 0.15:
            if not protects(shift):  # the executor undoes what was done, also before a crash
                self.move("undo", self.rollout.weights if self.rollout else {})
            return Event(Kind.SHIFT_FAILED, shift.intent_id, "the target is down")
        self.move(shift.intent_id, shift.weights)
        if world.faults and world.rng.random() < 0.05:
            raise Crashed
        return Event(Kind.SHIFTED, shift.intent_id, "done")


def begin(spec: ExperimentSpec) -> dict[str, float]:
    """The traffic before anything was shifted."""
    return step_weights(spec, 0.0)


def messages(rng: random.Random, world: World) -> None:
    """What judges and people say, and what the network makes of it: repeated, late, of old judges, expired."""
    sequence, epoch, delayed = 0, 1, list[Verdict]()
    for _ in range(rng.randint(5, 25)):
        if rng.random() < 0.2:
            world.say(
                Command(f"c{rng.random()}", rng.choice(["pause", "resume", "approve", "abort", "rollback", "promote"]))
            )
            continue
        sequence += 1
        epoch += rng.random() < 0.1
        said = verdict(
            rng.choice(ACTIONS), sequence, epoch, NOW + rng.randint(-40_000_000, 40_000_000), world.spec.id,
            rng.choice(world.spec.candidates), step=rng.randint(0, 1),
        )  # fmt: skip
        if said.action == "PROMOTE" and rng.random() < 0.2:
            said = replace(said, conclusion="INCONCLUSIVE")
        fate = rng.random()
        if fate < 0.1:
            delayed.append(said)
        elif fate < 0.2:
            world.say(replace(said, epoch=max(1, epoch - 1)))
        else:
            world.say(said)
            if fate > 0.85:
                world.say(rng.choice([m for m in world.messages if isinstance(m, Verdict)]))
        if delayed and rng.random() < 0.3:
            world.say(delayed.pop())


def run(seed: int) -> World:
    rng = random.Random(seed)
    world = World(rng, rng.choice(SPECS))
    messages(rng, world)
    pair = [Controller(world), Controller(world)]
    for _ in range(STEPS_MAX):
        world.now_us += rng.choice([0, 1_000, 5_000_000])
        if rng.random() < 0.05:
            pair[rng.randrange(2)].rollout = None
        pair[0 if rng.random() < 0.8 else 1].work()
    world.faults = False
    for controller in pair:  # without faults everything comes to its end, within a bounded number of rounds
        for _ in range(len(world.messages) + DRAIN_MAX):
            controller.work()
        assert controller.rollout is not None
        assert controller.rollout.shift is None, "it never came to its end"
    return world


def must_be_rolled_back(world: World) -> set[str]:
    """Candidates of which a judge that led found HARM: by epochs and sequences in the order of the log alone."""
    epoch = sequence = 0
    harmed: set[str] = set()
    for message in world.messages:
        if isinstance(message, Verdict) and message.epoch >= epoch and message.sequence > sequence:
            epoch, sequence = message.epoch, message.sequence
            if message.action == "ROLLBACK":
                harmed.add(message.variant)
    return harmed


def check(world: World) -> None:
    ledger = world.holding()
    rollout = Rollout(world.spec)
    said = {message.verdict_id: message for message in world.messages if isinstance(message, Verdict)}
    epoch = sequence = 0
    for decision in ledger:
        before = rollout.state
        rollout = recalled(rollout, decision)
        if decision.outcome == "REFUSED":
            continue
        same = decision.state_after == decision.state_before
        # a rollback of one of several candidates shifts to the others, who go on; a planned shift is on its way
        assert same or (State(decision.state_before), State(decision.state_after)) in EDGES | {
            (state, State.SHIFTING) for state in (State.BAKING, State.PAUSED, State.SHIFTING, State.PENDING)
        }, decision
        assert before == State(decision.state_before), decision
        if decision.outcome == "PLANNED" and decision.kind in ("shift", "promote", "rollback"):
            cause = said[decision.verdict_id or ""]
            assert expiry(cause, decision.time) is None, "a stale verdict was carried out"
            assert decision.epoch >= epoch, "an old judge was believed"
            assert cause.sequence > sequence, "an older word was believed"
            sequence = cause.sequence
            if decision.kind == "promote":
                assert (cause.action, cause.conclusion) == ("PROMOTE", "HEALTHY"), "promoted without SAFETY"
                if world.spec.policy.approval == "promotion":
                    approvals = [
                        d for d in ledger[: ledger.index(decision)] if d.kind == "approve" and d.outcome == "DONE"
                    ]
                    assert approvals, "promoted without approval"
        epoch = max(epoch, decision.epoch)
    planned = [decision for decision in ledger if decision.outcome == "PLANNED"]
    # a shift that was undone may be made again, but only while no other one was made
    moved = [intent for intent, _ in itertools.groupby(i for i, _ in world.traffic if i != "undo")]
    assert set(moved) <= {decision.decision_id for decision in planned}, (
        "traffic was moved that the ledger does not know of"
    )
    assert len(set(moved)) == len(moved), "one shift was made twice"
    last = world.traffic[-1][1] if world.traffic else begin(world.spec)
    assert dict(last) == dict(rollout.weights or begin(world.spec)), "the ledger says something else than the traffic"
    assert audited(("", d, None) for d in ledger)[world.spec.id].findings == []
    for name in must_be_rolled_back(world):
        assert rollout.weights.get(name, 0.0) == 0.0, f"{name} has traffic after HARM"
    if must_be_rolled_back(world) >= set(world.spec.candidates):
        assert rollout.state in (State.ROLLED_BACK, State.ABORTED), rollout.state
    assert rollout.state not in SHIFTS


@pytest.mark.parametrize("block", range(6))
def test_what_always_holds(block: int) -> None:
    for seed in range(50 * block, 50 * (block + 1)):
        try:
            check(run(seed))
        except AssertionError as error:
            raise AssertionError(f"schedule {seed}: {error}") from error


@pytest.mark.full
@pytest.mark.parametrize("block", range(20))
def test_ten_thousand_schedules(block: int) -> None:
    for seed in range(10_000 + 500 * block, 10_000 + 500 * (block + 1)):
        try:
            check(run(seed))
        except AssertionError as error:
            raise AssertionError(f"schedule {seed}: {error}") from error


def test_the_schedules_reach_every_state_and_every_kind_of_end() -> None:
    """A schedule that never promotes or rolls back would prove nothing."""
    worlds = [run(seed) for seed in range(150)]
    seen = {State(decision.state_after) for world in worlds for decision in world.holding() if decision.state_after}
    assert seen == set(State) - {State.PENDING, State.QUEUED}
    assert sum(len(world.ledger) > len(world.holding()) for world in worlds) > 10, "the two hardly ever met"
