"""The rollout machine: every state and event, and what must hold whatever comes in whatever order, with crashes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.reception import take_command, take_verdict
from deploy.rollout import PLANNED_MAX_US, announce, step
from deploy.rollout_state import Action, Event, Record, Rollout, Shift, recalled
from deploy.transitions import COMMANDS, DOCUMENT, SHIFTS, TRANSITIONS, Kind, State, written
from schemas.control import Command
from schemas.decision import Decision
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import Verdict

(SPEC,) = load_specs("""\
apiVersion: davy/v1
kind: Experiment
id: e
service: s
environment: test
variants:
  control: {version: "1"}
  canary: {version: "2"}
slis:
  - {name: errors, type: error_ratio, max_increase: 1pp}
steps:
  - {weight: 10%, duration: 1m}
  - {weight: 50%, duration: 1m}
""")
NOW = 1_790_000_000_000_000
TTL = 30_000_000


def verdict(action: str, sequence: int, at: int = 0, epoch: int = 1, age_us: int = 0) -> Verdict:
    conclusion = {"ROLLBACK": "HARM", "HOLD": "NO_DATA"}.get(action, "HEALTHY")
    return Verdict(
        f"v{epoch}-{sequence}", "e", "canary", "s", "test", epoch, sequence, NOW - age_us, NOW, NOW - age_us + TTL, "rollout",
        action, conclusion, at, 0.1, f"because {sequence}", (), None, {}, SPEC.digest[:32], "davy",  # pyright: ignore
    )  # fmt: skip


@dataclass
class World:
    """Carries actions out; `crash_after` of them it dies, and starts again from the ledger alone."""

    rollout: Rollout = field(default_factory=lambda: Rollout(SPEC))
    ledger: list[Decision] = field(default_factory=list[Decision])
    weights: dict[str, float] = field(default_factory=dict[str, float])
    shifts: list[str] = field(default_factory=list[str])
    crash_after: int | None = None

    def do(self, result: tuple[Rollout, list[Action]]) -> bool:
        """Whether it lived through it."""
        self.rollout, actions = result
        for action in actions:
            if self.crash_after is not None:
                if self.crash_after == 0:
                    self.crash_after = None
                    return False
                self.crash_after -= 1
            if isinstance(action, Record):
                self.ledger.append(action.decision)
            elif isinstance(action, Shift):
                planned = {decision.decision_id for decision in self.ledger if decision.outcome == "PLANNED"}
                assert action.intent_id in planned, "traffic was moved before the ledger knew"
                self.weights = dict(action.weights)
                self.shifts.append(action.intent_id)
                if not self.do(step(self.rollout, Event(Kind.SHIFTED, action.intent_id, "done"), NOW)):
                    return False
        return True

    def restart(self) -> None:
        self.restart_with(SPEC)

    def restart_with(self, spec: ExperimentSpec) -> None:
        rollout = Rollout(spec)
        for decision in self.ledger:
            rollout = recalled(rollout, decision)
        self.rollout = rollout
        assert self.do((rollout, announce(rollout, NOW)))


def applied() -> World:
    world = World()
    world.do(step(world.rollout, Event(Kind.APPLY, SPEC.digest, "applied", spec=SPEC), NOW))
    return world


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("kind", list(Kind))
def test_every_state_meets_every_event(state: State, kind: Kind) -> None:
    """What is in the table happens; everything else is refused, told once, and moves nothing."""
    world = applied()
    plan = next(decision for decision in world.ledger if decision.outcome == "PLANNED")
    plan = replace(plan, kind={State.ROLLING_BACK: "rollback", State.ABORTING: "abort"}.get(state, plan.kind))
    shift = Shift("i", 0, {"control": 0.9, "canary": 0.1}, plan) if state in SHIFTS else None
    rollout = replace(world.rollout, state=state, shift=shift)
    spec: ExperimentSpec | None = None
    if kind is Kind.APPLY:
        (spec,) = load_specs(SPEC.source.replace("10%", "20%"))
    event = Event(kind, "i" if shift else "cause", "reason", verdict=verdict("ADVANCE", 9), variant="canary", spec=spec)
    after, actions = step(rollout, event, NOW)
    if (state, kind) in TRANSITIONS:
        assert after.state == TRANSITIONS[state, kind] or (kind is Kind.ADVANCE and not actions)
        assert not [a for a in actions if isinstance(a, Record) and a.decision.outcome == "REFUSED"]
    else:
        assert after.state == state
        assert [a.decision.outcome for a in actions if isinstance(a, Record)] == ["REFUSED"]
        assert not [a for a in actions if isinstance(a, Shift)]
        assert step(after, event, NOW)[1] == [], "told twice"


def test_the_diagram_in_the_docs_is_the_table() -> None:
    text = DOCUMENT.read_text()
    assert text == written(text), "run python -m deploy.transitions"
    assert "baking --> promoting: force promote, promote" in text


def test_a_version_that_puts_units_into_other_buckets_goes_on_to_no_further_step() -> None:
    world = applied()
    began = [replace(decision, details={**decision.details, "bucketing": "md5"}) for decision in world.ledger]
    assert all(decision.details["bucketing"] for decision in world.ledger), "it stands in the ledger"
    world.ledger = began
    world.restart()
    world.do(take_verdict(world.rollout, verdict("ADVANCE", 1), NOW))
    assert (world.rollout.step, world.rollout.state, world.ledger[-1].kind) == (0, State.BAKING, "hold")
    assert "puts units into other buckets" in world.ledger[-1].reason
    assert world.ledger[-1].details["bucketing"] == "md5"
    world.do(take_verdict(world.rollout, verdict("ROLLBACK", 2), NOW))
    assert world.rollout.state is State.ROLLED_BACK


def test_a_promotion_waits_for_a_person_and_for_lasting_health_where_the_spec_asks() -> None:
    (spec,) = load_specs(SPEC.source + "\npolicy: {approval: promotion, healthy_for: 10s}\n")
    world = World(Rollout(spec))
    world.do(step(world.rollout, Event(Kind.APPLY, spec.digest, "applied", spec=spec), NOW))

    def say(action: str, sequence: int, after_s: int) -> State:
        said = replace(verdict(action, sequence), event_time=NOW + after_s * 1_000_000)
        world.do(take_verdict(world.rollout, said, NOW))
        return world.rollout.state

    assert (say("PROMOTE", 1, 0), world.ledger[-1].kind) == (State.BAKING, "hold")
    assert "waits for a person's approval" in world.ledger[-1].reason
    world.do(take_command(world.rollout, Command("c", "approve"), "ann", "seen", NOW))
    assert say("PROMOTE", 2, 5) is State.BAKING
    assert "has to be healthy for 10 s" in world.ledger[-1].reason
    assert (say("HOLD", 3, 6), say("PROMOTE", 4, 12)) == (State.BAKING, State.BAKING)
    world.restart_with(spec)
    assert say("PROMOTE", 5, 16) is State.BAKING
    assert (say("PROMOTE", 6, 26), world.weights["canary"]) == (State.PROMOTED, 1.0)


def test_harm_after_the_promotion_rolls_back_within_the_window_and_not_later() -> None:
    for late_us, end in ((0, State.ROLLED_BACK), (SPEC.rollback.window_us + 1, State.PROMOTED)):
        world = applied()
        world.do(take_verdict(world.rollout, verdict("PROMOTE", 1), NOW))
        back = replace(verdict("ROLLBACK", 2), phase="watch", expires_at=NOW + 10 * SPEC.rollback.window_us)
        world.do(take_verdict(world.rollout, back, NOW + late_us))
        assert world.rollout.state is end


def test_a_rollback_that_a_target_does_not_carry_out_stays_planned_and_is_told_once() -> None:
    world = applied()
    rollout, actions = take_verdict(world.rollout, verdict("ROLLBACK", 1), NOW)
    shift = next(action for action in actions if isinstance(action, Shift))
    for _ in range(3):
        rollout, told = step(rollout, Event(Kind.SHIFT_FAILED, shift.intent_id, "it is down"), NOW)
        assert (rollout.state, rollout.shift) == (State.ROLLING_BACK, shift)
        world.do((rollout, told))
    assert [d.outcome for d in world.ledger].count("FAILED") == 1
    world.do(step(rollout, Event(Kind.SHIFTED, shift.intent_id, "at last"), NOW))
    assert world.rollout.state is State.ROLLED_BACK


def test_what_nobody_is_there_to_be_told_stays_planned_for_five_minutes() -> None:
    world = applied()
    rollout, actions = take_verdict(world.rollout, verdict("ADVANCE", 1, at=0), NOW)
    world.do((rollout, [action for action in actions if not isinstance(action, Shift)]))
    shift = next(action for action in actions if isinstance(action, Shift))
    before = rollout.state
    gone = Event(Kind.SHIFT_FAILED, shift.intent_id, "it is down", away=True)
    for late_us in (0, PLANNED_MAX_US):
        rollout, told = step(rollout, gone, NOW + late_us)
        assert (rollout.state, rollout.shift) == (before, shift)
        world.do((rollout, told))
    rollout, told = step(rollout, gone, NOW + PLANNED_MAX_US + 1)
    world.do((rollout, told))
    assert (rollout.state, rollout.shift) == (State.PAUSED, None)
    failed = [decision for decision in world.ledger if decision.outcome == "FAILED"]
    assert len({decision.decision_id for decision in failed}) == len(failed) == 2


def test_a_good_release_walks_its_steps_and_gets_all_traffic() -> None:
    world = applied()
    assert world.weights == {"control": 0.9, "canary": 0.1}
    world.do(take_verdict(world.rollout, verdict("ADVANCE", 1, at=0), NOW))
    assert world.weights == {"control": 0.5, "canary": 0.5}
    world.do(take_verdict(world.rollout, verdict("ADVANCE", 2, at=0), NOW))  # of the step before: nothing
    assert world.rollout.step == 1
    world.do(take_verdict(world.rollout, verdict("PROMOTE", 3, at=1), NOW))
    assert (world.rollout.state, world.weights) == (State.PROMOTED, {"control": 0.0, "canary": 1.0})
    told = len(world.ledger)
    world.do(take_verdict(world.rollout, verdict("PROMOTE", 4, at=1), NOW))  # repeated until it is applied
    assert len(world.ledger) == told


def test_expired_and_superseded_verdicts_move_nothing() -> None:
    world = applied()
    world.do(take_verdict(world.rollout, verdict("ADVANCE", 1, age_us=TTL + 1), NOW))
    assert world.rollout.step == 0
    assert "had expired" in world.ledger[-1].reason
    world.do(take_verdict(world.rollout, verdict("CONTINUE", 2, epoch=3), NOW))
    world.do(take_verdict(world.rollout, verdict("ADVANCE", 9, epoch=2), NOW))
    assert world.rollout.step == 0
    assert (world.ledger[-1].outcome, "an old judge" in world.ledger[-1].reason) == ("REFUSED", True)


actions = st.sampled_from(["CONTINUE", "ADVANCE", "HOLD", "PROMOTE", "ROLLBACK"])
moves = st.one_of(
    st.tuples(st.just("verdict"), actions, st.integers(1, 3), st.sampled_from([0, TTL + 1])),
    st.tuples(st.just("command"), st.sampled_from(sorted(COMMANDS)), st.just(0), st.just(0)),
    st.tuples(st.just("again"), st.just(""), st.just(0), st.just(0)),
)


def run(plan: list[tuple[str, str, int, int]], crash_at: int | None) -> World:
    """Feed the moves, at least once each; a crash in the middle is followed by a restart and the same move again."""
    world, sequence, last = applied(), 0, None
    for number, (what, name, epoch, age_us) in enumerate(plan):
        if what == "verdict":
            sequence += 1
            last = verdict(name, sequence, at=world.rollout.step, epoch=epoch, age_us=age_us)
        current = last

        def once(number: int = number, what: str = what, name: str = name, current: Verdict | None = current) -> bool:
            if what == "command":
                return world.do(take_command(world.rollout, Command(f"c{number}", name), "ann", "why", NOW))
            return current is None or world.do(take_verdict(world.rollout, current, NOW))

        if crash_at is not None:
            world.crash_after, crash_at = (crash_at, None) if number == len(plan) // 2 else (None, crash_at)
        if not once():
            world.restart()
            once()
        world.crash_after = None
    return world


@settings(max_examples=400, deadline=None)
@given(st.lists(moves, max_size=14))
def test_what_always_holds(plan: list[tuple[str, str, int, int]]) -> None:
    world = run(plan, None)
    assert [decision.sequence for decision in world.ledger] == list(range(1, len(world.ledger) + 1))
    assert len({decision.decision_id for decision in world.ledger}) == len(world.ledger)
    assert len(set(world.shifts)) == len(world.shifts), "one intent carried out twice"
    assert world.rollout.shift is None
    done = [decision for decision in world.ledger if decision.outcome == "DONE"]
    assert done[-1].weights == world.weights
    for before, after in itertools.pairwise(done):
        if before.state_after in ("rolled back", "aborted"):
            assert after.weights["canary"] == 0.0, "traffic came back after the end"


def test_the_epoch_outlives_a_crash() -> None:
    """A judge that was replaced is refused also by a rollout that went down in between."""
    world = applied()
    world.do(take_verdict(world.rollout, verdict("CONTINUE", 1, epoch=2), NOW))
    world.restart()
    world.do(take_verdict(world.rollout, verdict("ADVANCE", 2, epoch=1), NOW))
    assert world.rollout.step == 0
    assert (world.ledger[-1].outcome, world.ledger[-2].kind) == ("REFUSED", "new judge")


@settings(max_examples=400, deadline=None)
@given(st.lists(moves, min_size=1, max_size=12), st.integers(0, 5))
def test_a_crash_anywhere_changes_nothing(plan: list[tuple[str, str, int, int]], crash_at: int) -> None:
    calm, crashed = run(plan, None), run(plan, crash_at)
    assert (crashed.rollout.state, crashed.weights) == (calm.rollout.state, calm.weights)
    ended = [d.decision_id for d in crashed.ledger if d.outcome in ("DONE", "FAILED")]
    assert len(set(ended)) == len(ended), "the same thing was told done twice"
