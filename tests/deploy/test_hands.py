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


def test_a_process_that_was_overtaken_does_not_try_its_old_rollback_again(
    config: Config, ear: Ear, tmp_path: Path
) -> None:
    """Its target was down when it was told; meanwhile another process rolled back, and the next version began."""
    made, producer = spec("overtaken"), kafka.producer(config)
    (following,) = load_specs(made.source.replace('"2"', '"3"'))

    async def publish(topic: str, key: str, value: bytes, _: Mapping[str, bytes]) -> None:
        producer.produce(config.topic(topic), value, key.encode())
        assert producer.flush(10) == 0

    async def life() -> None:
        path = tmp_path / "down.yaml"
        path.write_text((tmp_path / "davy.yaml").read_text().replace(str(ear.path), str(tmp_path / "none.sock")))
        slow, quick = Hands(config, publish), Hands(config, publish)
        slow_leader, quick_leader = Leader(config, slow), Leader(config, quick)
        await publish("control", made.id, applied(made), {})
        await slow_leader.do(lambda: slow.control(applied(made), 0, []))
        slow.targets = targets(load_config(path))
        said = verdict("ROLLBACK", 1, at_us=time.time_ns() // 1000, experiment=made.id)
        await slow_leader.do(lambda: slow.verdict(said.encode(), 1, []))
        assert slow.rollouts[made.id].state is State.ROLLING_BACK
        assert weights(ear.behind, "shop", VARIANTS)["canary"] > 0
        await quick_leader.do(quick.again)
        assert weights(ear.behind, "shop", VARIANTS) == {"control": 256, "canary": 0}
        await publish("control", made.id, applied(following), {})
        await quick_leader.do(lambda: quick.control(applied(following), 1, []))
        assert weights(ear.behind, "shop", VARIANTS) == {"control": 256, "canary": 85}
        ear.heard.clear()
        slow.targets = targets(config)
        await slow_leader.do(slow.again)
        assert slow.rollouts[made.id].state is State.BAKING
        assert ear.heard == []

    asyncio.run(life())


@pytest.mark.full
@pytest.mark.parametrize("action", ["PROMOTE", "ROLLBACK"])
def test_killed_at_every_point_each_effect_happens_once_and_the_ledger_tells_all(
    config: Config, ear: Ear, action: Action
) -> None:
    """Points: before and after each record of ledger and control, each line of the journal, each file and each command."""
    assert killed_everywhere(config, ear, action, 1, 1) >= 25
