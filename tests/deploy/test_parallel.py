"""Experiments on one service: those that would split the same traffic wait in line or are refused, never mixed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy import splitter
from deploy.hands import Hands
from deploy.parallel import overlaps
from deploy.rollout_state import Rollout, recalled
from deploy.transitions import State
from schemas.config import Config
from schemas.control import Command, Control, SpecApplied
from schemas.decision import Decision
from schemas.spec import ExperimentSpec, load_specs
from streams.clock import Clock
from tests.deploy.verdicts import verdict


def spec(name: str, more: str = "", service: str = "shop", environment: str = "test") -> ExperimentSpec:
    (made,) = load_specs(f"""\
id: {name}
service: {service}
environment: {environment}
variants: {{control: {{version: "1"}}, canary: {{version: "2"}}}}
slis: [{{name: errors, type: error_ratio, max_increase: 1pp}}]
steps: [{{weight: 25%, duration: 1m}}]
{more}""")
    return made


@pytest.mark.parametrize(("one", "other", "expected"), [
    (spec("a"), spec("b"), True),
    (spec("a"), spec("a"), False),
    (spec("a"), spec("b", service="cart"), False),
    (spec("a"), spec("b", environment="production"), False),
    (spec("a", "layer: ranking"), spec("b", "layer: ranking"), True),
    (spec("a", "layer: ranking"), spec("b", "layer: colours"), False),
    (spec("a", "layer: ranking"), spec("b"), True),
    (spec("a"), spec("b", "mode: shadow"), False),
])  # fmt: skip
def test_what_overlaps(one: ExperimentSpec, other: ExperimentSpec, expected: bool) -> None:
    assert overlaps(one, other) is overlaps(other, one) is expected


class Service:
    """The production hands over logs that are lists."""

    def __init__(self, folder: Path) -> None:
        self.ledger: list[Decision] = []
        self.config = Config().with_data_dir(folder)
        self.hands = Hands(self.config, self._publish)
        self.offset = 0
        self.sequence = 0

    async def _publish(self, topic: str, key: str, value: bytes, headers: Mapping[str, bytes]) -> None:
        if topic == "decisions":
            self.ledger.append(Decision.decode(value))

    def apply(self, made: ExperimentSpec) -> None:
        self._control(Control(made.id, 1, "ann", "applied", SpecApplied(made.source, made.path, made.digest)))

    def command(self, experiment: str, command: str) -> None:
        self._control(Control(experiment, 1, "ann", "why", Command(f"c{self.offset}", command)))

    def _control(self, record: Control) -> None:
        self.offset += 1
        asyncio.run(self.hands.control(record.encode(), self.offset, []))
        asyncio.run(self.hands.begin_next())

    def roll_back(self, experiment: str) -> None:
        self.sequence += 1
        said = verdict("ROLLBACK", self.sequence, at_us=Clock().now_us(), experiment=experiment)
        asyncio.run(self.hands.verdict(said.encode(), self.sequence, []))
        asyncio.run(self.hands.begin_next())

    def states(self) -> dict[str, State]:
        return {name: rollout.state for name, rollout in self.hands.rollouts.items()}

    def canary(self, experiment: str) -> float | None:
        return splitter.read_back(self.config.traffic / experiment).get("canary")


def test_the_later_one_waits_and_begins_when_its_turn_has_come(tmp_path: Path) -> None:
    service = Service(tmp_path)
    for name in ("first", "second", "third"):
        service.apply(spec(name))
    assert service.states() == {"first": State.BAKING, "second": State.QUEUED, "third": State.QUEUED}
    waits = service.ledger[-1]
    assert (waits.kind, waits.outcome, "first is at work on shop in test" in waits.reason) == ("queue", "DONE", True)
    assert (service.canary("first"), service.canary("second")) == (0.25, None)
    service.command("second", "pause")
    assert service.ledger[-1].reason == "refused: pause does not apply while queued"
    service.roll_back("first")
    assert service.states() == {"first": State.ROLLED_BACK, "second": State.BAKING, "third": State.QUEUED}
    assert (service.canary("first"), service.canary("second")) == (0.0, 0.25)
    service.command("third", "abort")
    service.command("second", "abort")
    assert service.states() == {"first": State.ROLLED_BACK, "second": State.ABORTED, "third": State.ABORTED}
    assert service.canary("third") is None
    again = Rollout(spec("second"))
    for decision in service.ledger:
        again = recalled(again, decision) if decision.experiment_id == "second" else again
    assert (again.state, again.chain) == (State.ABORTED, service.hands.rollouts["second"].chain)


def test_one_that_does_not_want_to_wait_is_refused_and_another_layer_goes_on_beside(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.apply(spec("first", "layer: ranking"))
    service.apply(spec("impatient", "overlap: refuse"))
    refused = service.ledger[-1]
    assert (refused.experiment_id, refused.outcome) == ("impatient", "REFUSED")
    assert "first is at work on shop in test, and they are not in different layers" in refused.reason
    service.apply(spec("beside", "layer: colours"))
    assert service.states() == {"first": State.BAKING, "beside": State.BAKING}
    service.apply(spec("beside", "layer: ranking"))  # into the way of the first while it is at work
    assert (service.ledger[-1].outcome, service.hands.rollouts["beside"].spec.layer) == ("REFUSED", "colours")
    service.roll_back("first")
    service.apply(spec("impatient", "overlap: refuse\nlayer: ranking"))
    assert service.states()["impatient"] is State.BAKING
    ours = [d for d in service.ledger if d.experiment_id == "impatient"]
    assert [d.sequence for d in ours] == [1, 2, 3]
    assert ours[1].previous_hash == ours[0].hash
