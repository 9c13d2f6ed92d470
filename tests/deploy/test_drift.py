"""Traffic that is not split any more as decided: found on a real HAProxy and in the splitter's files, and set right."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deploy import splitter
from deploy.audit import audited
from deploy.drift import in_force
from deploy.hands import Hands
from deploy.rollout_state import Rollout, recalled
from deploy.transitions import State
from schemas.config import Config
from schemas.control import Command, Control, SpecApplied, WeightApplied, WeightIntent
from schemas.decision import Decision
from schemas.spec import ExperimentSpec, load_specs
from tests.support.haproxy import ask, haproxy, weights

VARIANTS = ("control", "canary")
DAY_US = 86_400_000_000


def spec(name: str, service: str = "shop", more: str = "") -> ExperimentSpec:
    (made,) = load_specs(f"""\
id: {name}
service: {service}
environment: test
variants: {{control: {{version: "1"}}, canary: {{version: "2"}}}}
slis: [{{name: errors, type: error_ratio, max_increase: 1pp}}]
steps: [{{weight: 50%, duration: 1m}}]
{more}""")
    return made


class Role:
    """The production hands over logs that are lists."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.config = Config.model_validate(
            {"data_dir": str(folder), "traffic": [{"type": "haproxy", "socket": str(socket)}]}
        )
        self.hands = Hands(self.config, self._publish)
        self.offset = 0

    async def _publish(self, topic: str, key: str, value: bytes, headers: Mapping[str, bytes]) -> None:
        self.said.append((topic, value))

    def take(self, record: Control) -> None:
        self.offset += 1
        asyncio.run(self.hands.control(record.encode(), self.offset, []))

    def look(self) -> list[str]:
        found = self.hands.drifted()
        for name in found:
            asyncio.run(self.hands.restore(name))
        return found

    @property
    def ledger(self) -> list[Decision]:
        return [Decision.decode(value) for topic, value in self.said if topic == "decisions"]


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    with haproxy(tmp_path / "proxy", "shop", VARIANTS) as path:
        yield path


@pytest.mark.parametrize(("command", "holds"), [
    (None, {"control": 256, "canary": 256}),
    ("pause", {"control": 256, "canary": 256}),
    ("promote", {"control": 0, "canary": 256}),
    ("rollback", {"control": 256, "canary": 0}),
])  # fmt: skip
def test_a_proxy_that_forgot_its_weights_is_told_them_again(
    tmp_path: Path, socket: Path, command: str | None, holds: dict[str, int]
) -> None:
    role, made = Role(tmp_path, socket), spec("e")
    role.take(Control(made.id, 1, "ann", "applied", SpecApplied(made.source, made.path, made.digest)))
    if command is not None:
        role.take(Control(made.id, 1, "ann", "why", Command("c", command)))
    before = role.hands.rollouts["e"]
    assert role.look() == []
    for name in VARIANTS:  # as its configuration file has them
        ask(socket, f"set server davy_shop/{name} weight 1")
    role.said, earlier = [], role.ledger
    assert role.look() == ["e"]
    assert weights(socket, "shop", VARIANTS) == holds
    assert role.look() == []
    (told,) = role.ledger
    assert (told.kind, told.outcome, told.weights) == ("restore", "DONE", before.weights)
    assert "davy_shop/" in told.reason
    after = role.hands.rollouts["e"]
    assert (after.state, after.weights) == (before.state, before.weights)
    again = Rollout(made)
    for decision in [*earlier, told]:
        again = recalled(again, decision)
    assert (again.state, again.weights, again.shift, again.chain) == (after.state, after.weights, None, after.chain)
    assert audited(("", d, None) for d in [*earlier, told])["e"].findings == []
    bodies = [Control.decode(value).body for topic, value in role.said if topic == "control"]
    assert [type(body) for body in bodies] == [WeightIntent, WeightApplied]


def test_the_splitters_own_files_are_written_again(tmp_path: Path, socket: Path) -> None:
    role, made = Role(tmp_path, socket), spec("e")
    role.take(Control(made.id, 1, "ann", "applied", SpecApplied(made.source, made.path, made.digest)))
    (role.config.traffic / "e" / splitter.FLAGD).unlink()
    assert role.look() == ["e"]
    assert splitter.read_back(role.config.traffic / "e") == {"control": 0.5, "canary": 0.5}


def test_a_proxy_that_does_not_answer_is_no_drift(tmp_path: Path) -> None:
    with haproxy(tmp_path / "proxy", "shop", VARIANTS) as path:
        role, made = Role(tmp_path, path), spec("e")
        role.take(Control(made.id, 1, "ann", "applied", SpecApplied(made.source, made.path, made.digest)))
    role.said = []
    assert (role.look(), role.said) == ([], [])


def test_whose_split_holds() -> None:
    baking = replace(Rollout(spec("a")), state=State.BAKING, split_us=100)
    ended = replace(Rollout(spec("b")), state=State.ROLLED_BACK, split_us=50)
    elsewhere = replace(Rollout(spec("c", "cart", "rollback: {window: 1h}")), state=State.PROMOTED, split_us=0)
    waiting = replace(Rollout(spec("d")), state=State.QUEUED)
    assert in_force([baking, ended, elsewhere, waiting], DAY_US // 24) == [baking, elsewhere]
    assert in_force([baking, ended, elsewhere, waiting], DAY_US // 24 + 1) == [baking]
    assert in_force([replace(ended, split_us=101), baking], 200) == [replace(ended, split_us=101)]
    assert in_force([baking], 10 * DAY_US) == [baking]


def test_a_promotion_waits_for_a_proxy_that_is_away_and_is_made_when_it_is_back(tmp_path: Path) -> None:
    with haproxy(tmp_path / "proxy", "shop", VARIANTS) as path:
        role, made = Role(tmp_path, path), spec("e")
        role.take(Control(made.id, 1, "ann", "applied", SpecApplied(made.source, made.path, made.digest)))
    role.take(Control(made.id, 1, "ann", "why", Command("c", "promote")))
    for _ in range(2):
        asyncio.run(role.hands.again())
    told = [(d.kind, d.outcome) for d in role.ledger[2:]]
    assert told == [("force promote", "PLANNED"), ("force promote", "FAILED")]
    assert "it is tried again until it is done" in role.ledger[-1].reason
    assert role.hands.rollouts["e"].state is State.PROMOTING
    with haproxy(tmp_path / "proxy", "shop", VARIANTS) as path:
        asyncio.run(role.hands.again())
        assert weights(path, "shop", VARIANTS) == {"control": 0, "canary": 256}
        assert role.hands.rollouts["e"].state is State.PROMOTED
        assert role.look() == []
    assert audited(("", d, None) for d in role.ledger)["e"].findings == []


def test_what_is_planned_and_waits_for_a_proxy_gives_way_to_a_rollback(tmp_path: Path) -> None:
    with haproxy(tmp_path / "proxy", "shop", VARIANTS) as path:
        role, made = Role(tmp_path, path), spec("e")
        role.take(Control(made.id, 1, "ann", "applied", SpecApplied(made.source, made.path, made.digest)))
    role.take(Control(made.id, 1, "ann", "why", Command("c1", "promote")))
    role.take(Control(made.id, 1, "ann", "why", Command("c2", "rollback")))
    with haproxy(tmp_path / "proxy", "shop", VARIANTS) as path:
        asyncio.run(role.hands.again())
        assert weights(path, "shop", VARIANTS) == {"control": 256, "canary": 0}
        assert role.hands.rollouts["e"].state is State.ROLLED_BACK


def test_a_full_disk_keeps_a_rollback_from_no_proxy_and_a_promotion_waits(tmp_path: Path, socket: Path) -> None:
    role, made = Role(tmp_path / "data", socket), spec("e")
    role.take(Control(made.id, 1, "ann", "applied", SpecApplied(made.source, made.path, made.digest)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with capture_logs():  # what a test prints goes to a file, too
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
        try:
            role.take(Control(made.id, 1, "ann", "why", Command("c1", "promote")))
            assert role.hands.rollouts["e"].state is State.PROMOTING
            assert weights(socket, "shop", VARIANTS) == {"control": 256, "canary": 256}
            role.take(Control(made.id, 1, "ann", "why", Command("c2", "rollback")))
            assert weights(socket, "shop", VARIANTS) == {"control": 256, "canary": 0}
            assert role.hands.rollouts["e"].state is State.ROLLING_BACK
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    asyncio.run(role.hands.again())
    assert role.hands.rollouts["e"].state is State.ROLLED_BACK
    assert splitter.read_back(role.config.traffic / "e") == {"control": 1.0, "canary": 0.0}
