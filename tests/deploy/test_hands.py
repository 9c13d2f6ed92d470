"""The hands, killed at every point of a promotion and of a rollback: with a real HAProxy, and the ledger in a Kafka broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.audit import audited
from deploy.hands import Hands
from deploy.journal import Journal
from deploy.leader import Leader
from deploy.ledger import Heads
from deploy.rollout_state import Event, Rollout, Shift
from deploy.traffic import targets
from deploy.traffic.haproxy import RuntimeSocket
from deploy.transitions import State
from schemas.config import Config, load_config
from schemas.control import Control, SpecApplied, WeightApplied, WeightIntent
from schemas.decision import Decision
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import Action, Verdict
from streams import kafka
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.deploy.verdicts import verdict
from tests.support.haproxy import Ear, haproxy, weights
from tests.support.killed import KILLED, Points, in_child

VARIANTS = ("control", "canary")
CONTROL_OFFSET = 0


def spec(name: str) -> ExperimentSpec:
    (made,) = load_specs(f"""\
id: {name}
service: shop
environment: test
variants:
  control: {{version: "1"}}
  canary: {{version: "2"}}
slis:
  - {{name: errors, type: error_ratio, max_increase: 1pp}}
steps:
  - {{weight: 25%, duration: 1m}}
""")
    return made


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    with haproxy(tmp_path / "proxy", "shop", VARIANTS) as path, Ear(tmp_path / "ear.sock", path).listening() as made:
        yield made


@pytest.fixture
def config(tmp_path: Path, tansu: EmbeddedBroker, ear: Ear) -> Config:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path / 'data'}\n"
        f"traffic: [{{type: haproxy, socket: {ear.path}}}]\n"
    )
    made = load_config(path)
    ensure_topics(made)
    return made


def applied(made: ExperimentSpec) -> bytes:
    return Control(
        made.id, time.time_ns() // 1000, "ann", "applied", SpecApplied(made.source, made.path, made.digest)
    ).encode()


def work(config: Config, made: ExperimentSpec, said: Verdict | None, points: Points) -> None:
    """What the role does from its start: recall, finish what was planned, then the messages that Kafka gives it (again)."""
    producer = kafka.producer(config)

    async def publish(topic: str, key: str, value: bytes, _: Mapping[str, bytes]) -> None:
        points.point()
        producer.produce(config.topic(topic), value, key.encode())
        assert producer.flush(10) == 0
        points.point()

    async def life() -> None:
        hands = Hands(config, publish)
        leader = Leader(config, hands)
        await leader.do(lambda: hands.control(applied(made), CONTROL_OFFSET, []))
        if said is not None:
            await leader.do(lambda: hands.verdict(said.encode(), said.sequence, []))

    points.around(Journal, "write")
    points.around(Path, "replace")
    points.around(RuntimeSocket, "ask", lambda _, command: command.startswith("set "))
    asyncio.run(life())


def live(config: Config, made: ExperimentSpec, said: Verdict | None, kill_at: int = 0) -> int:
    code = in_child(lambda: work(config, made, said, Points(kill_at)))
    assert code in (0, KILLED)
    return code


def records(config: Config, topic: str) -> list[bytes]:
    return [message.value() or b"" for message in kafka.to_end(config, config.topic(topic), "test")]


def killed_everywhere(config: Config, ear: Ear, action: Action, first: int, every: int) -> int:
    """Kill at the points `first`, `first + every`, ...; how many points there were."""
    kill_at, code = first - every, KILLED
    while code == KILLED:
        kill_at += every
        made = spec(f"{action.lower()}-{kill_at}")
        producer = kafka.producer(config)
        producer.produce(config.topic("control"), applied(made), made.id.encode())
        assert producer.flush(10) == 0
        assert live(config, made, None) == 0
        assert weights(ear.behind, "shop", VARIANTS) == {"control": 256, "canary": 85}
        ear.heard.clear()
        said = verdict(action, 1, at_us=time.time_ns() // 1000, experiment=made.id)
        code = live(config, made, said, kill_at)
        if code == KILLED:
            assert live(config, made, said) == 0
        promoted = action == "PROMOTE"
        place = f"killed at point {kill_at}"
        assert weights(ear.behind, "shop", VARIANTS) == (
            {"control": 0, "canary": 256} if promoted else {"control": 256, "canary": 0}
        )
        effects = ["control weight 0", "canary weight 256"] if promoted else ["canary weight 0"]
        assert ear.heard == [f"set server davy_shop/{effect}" for effect in effects], place
        ledger = [d for value in records(config, "decisions") if (d := Decision.decode(value)).experiment_id == made.id]
        told = [d for d in {d.decision_id: d for d in ledger}.values() if d.kind in ("promote", "rollback")]
        assert [(d.outcome, d.verdict_id) for d in told] == [("PLANNED", said.verdict_id), ("DONE", said.verdict_id)], (
            place
        )
        assert audited(("", d, None) for d in ledger)[made.id].findings == [], place
        control = [
            c.body for value in records(config, "control") if (c := Control.decode(value)).experiment_id == made.id
        ]
        last = [body for body in control if isinstance(body, WeightIntent | WeightApplied)][-2:]
        assert [type(body) for body in last] == [WeightIntent, WeightApplied], place
        assert {body.intent_id for body in last} == {told[0].decision_id}, place
    return kill_at


def test_killed_at_some_points_of_a_rollback_it_ends_right(config: Config, ear: Ear) -> None:
    killed_everywhere(config, ear, "ROLLBACK", 5, 8)


class Pair:
    """Two processes of one prefix, one slow and one quick, and the specs of two releases that follow each other."""

    def __init__(self, config: Config, name: str) -> None:
        self.config, self.producer = config, kafka.producer(config)
        self.slow, self.quick = Hands(config, self.publish), Hands(config, self.publish)
        self.slow_leader, self.quick_leader = Leader(config, self.slow), Leader(config, self.quick)
        self.made = spec(name)
        (self.following,) = load_specs(self.made.source.replace('"2"', '"3"'))

    async def publish(self, topic: str, key: str, value: bytes, _: Mapping[str, bytes]) -> None:
        self.producer.produce(self.config.topic(topic), value, key.encode())
        assert self.producer.flush(10) == 0

    async def begin(self) -> None:
        await self.publish("control", self.made.id, applied(self.made), {})
        await self.slow_leader.do(lambda: self.slow.control(applied(self.made), 0, []))

    async def roll_back(self) -> None:
        said = verdict("ROLLBACK", 1, at_us=time.time_ns() // 1000, experiment=self.made.id)
        await self.slow_leader.do(lambda: self.slow.verdict(said.encode(), 1, []))

    async def overtake(self, ear: Ear) -> None:
        """The quick one finishes what the slow one planned, and the next release begins."""
        await self.quick_leader.do(self.quick.again)
        assert weights(ear.behind, "shop", VARIANTS) == {"control": 256, "canary": 0}
        await self.publish("control", self.made.id, applied(self.following), {})
        await self.quick_leader.do(lambda: self.quick.control(applied(self.following), 1, []))
        assert weights(ear.behind, "shop", VARIANTS) == NEXT
        ear.heard.clear()


NEXT = {"control": 256, "canary": 85}


def test_a_process_that_was_overtaken_does_not_try_its_old_rollback_again(
    config: Config, ear: Ear, tmp_path: Path
) -> None:
    """Its target was down when it was told; meanwhile another process rolled back, and the next release began."""
    path = tmp_path / "down.yaml"
    path.write_text((tmp_path / "davy.yaml").read_text().replace(str(ear.path), str(tmp_path / "none.sock")))

    async def life(two: Pair) -> None:
        await two.begin()
        two.slow.targets = targets(load_config(path))
        await two.roll_back()
        assert two.slow.rollouts[two.made.id].state is State.ROLLING_BACK
        await two.overtake(ear)
        two.slow.targets = targets(config)
        await two.slow_leader.do(two.slow.again)
        assert two.slow.rollouts[two.made.id].state is State.BAKING
        assert ear.heard == []

    asyncio.run(life(Pair(config, "overtaken")))


def test_a_process_that_froze_in_the_middle_of_a_shift_puts_right_what_it_did_then(
    config: Config, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It froze before its rollback was made; it goes on when another process has done it, and the next release began."""

    async def life(two: Pair) -> None:
        await two.begin()
        shift = two.slow._shift  # pyright: ignore[reportPrivateUsage]

        async def frozen(rollout: Rollout, planned: Shift) -> Event:
            monkeypatch.undo()
            await two.overtake(ear)
            return await shift(rollout, planned)

        monkeypatch.setattr(two.slow, "_shift", frozen)
        await two.roll_back()
        assert ear.heard == [f"set server davy_shop/canary weight {share}" for share in (0, 85)]
        assert weights(ear.behind, "shop", VARIANTS) == NEXT
        assert two.slow.strayed == {}
        assert two.slow.rollouts[two.made.id].spec.digest == two.following.digest

    two = Pair(config, "frozen")
    asyncio.run(life(two))
    heads, written = Heads(), [Decision.decode(value) for value in records(config, "decisions")]
    ledger = [decision for decision in written if heads.take(two.made.id, decision)]
    assert audited(("", d, None) for d in ledger)[two.made.id].findings == []
    failed = [d for d in ledger if d.outcome == "FAILED"]
    assert [(d.kind, d.state_before, d.state_after) for d in failed] == [("rollback", "baking", "baking")]
    bodies = [Control.decode(value).body for value in records(config, "control")]
    last = [body for body in bodies if isinstance(body, WeightIntent | WeightApplied)][-2:]
    assert [(type(body), body.weights) for body in last] == [
        (WeightIntent, {"control": 0.75, "canary": 0.25}), (WeightApplied, {"control": 0.75, "canary": 0.25})
    ]  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("action", ["PROMOTE", "ROLLBACK"])
def test_killed_at_every_point_each_effect_happens_once_and_the_ledger_tells_all(
    config: Config, ear: Ear, action: Action
) -> None:
    """Points: before and after each record of ledger and control, each line of the journal, each file and each command."""
    assert killed_everywhere(config, ear, action, 1, 1) >= 25
