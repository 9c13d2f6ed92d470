"""The rollout role as a process: killed in the middle of a shift, it finishes it once, and tells it once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from davy.commands import apply
from davy.snapshot import snapshot
from deploy import splitter
from deploy.ledger import digest
from deploy.rollout import step
from deploy.rollout_state import Event, Record, Rollout
from deploy.transitions import Kind
from schemas.config import Config, load_config
from schemas.decision import Decision
from schemas.signature import HEADER, Signer, Signing
from schemas.verdict import Verdict
from streams import kafka
from streams import scenario as scenarios
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.support.haproxy import haproxy, weights
from tests.support.receiver import Receiver, receiver
from tests.support.signing import indented, key_pair
from tests.support.system import until

SPEC = scenarios.load("errors").spec
ID = SPEC.id


def start(config: Path) -> subprocess.Popen[bytes]:
    with (config.parent / "rollout.log").open("ab") as log:
        command = [sys.executable, "-m", "davy", "run", "rollout", "--config", str(config)]
        return subprocess.Popen(command, stdout=log, stderr=log)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Path]:
    with haproxy(tmp_path / "proxy", SPEC.service, tuple(SPEC.variants)) as path:
        yield path


@pytest.fixture
def told() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def send(config: Config, topic: str, value: bytes, key: str = ID, headers: dict[str, bytes] | None = None) -> None:
    producer = kafka.producer(config)
    producer.produce(config.topic(topic), value, key.encode(), headers=cast("Any", headers or {}))
    assert producer.flush(10) == 0


def verdict(action: str, sequence: int, at: int, epoch: int = 1, age_s: int = 0) -> Verdict:
    now = time.time_ns() // 1000 - age_s * 1_000_000
    conclusion = "HARM" if action == "ROLLBACK" else "HEALTHY"
    return Verdict(
        f"00000000-0000-0000-0000-{sequence:012d}", ID, "canary", SPEC.service, SPEC.environment, epoch, sequence, now, now,
        now + 60_000_000, "rollout", action, conclusion, at, 0.1, f"because {sequence}", (), None, {}, SPEC.digest[:32],  # pyright: ignore
        "davy",
    )  # fmt: skip


def done(config: Config) -> list[Decision]:
    return [decision for decision in snapshot(config).decisions.of(ID) if decision.outcome == "DONE"]


def test_a_planned_shift_is_finished_after_a_crash_and_nothing_is_done_twice(
    tmp_path: Path, tansu: EmbeddedBroker, proxy: Path, told: Receiver
) -> None:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path / 'data'}\n"
        f"traffic: [{{type: haproxy, socket: {proxy}}}]\nnotify: [{{type: cdevents, url: '{told.url}'}}]\n"
    )
    config = load_config(path)
    ensure_topics(config)
    now = time.time_ns() // 1000
    apply.send(config, [apply.applied(SPEC, now, "ann", "applied")])
    # the ledger of a process that died right after it had planned the first shift
    _, actions = step(Rollout(SPEC), Event(Kind.APPLY, SPEC.digest, "applied", "ann", spec=SPEC), now)
    plan = next(action.decision for action in actions if isinstance(action, Record))
    send(config, "decisions", plan.encode())
    folder = config.traffic / ID

    process = start(path)
    try:
        until(lambda: splitter.read_back(folder).get("canary") == 0.1, 40, "the planned shift was finished")
        until(lambda: len(done(config)) == 1, 20, "it was told")
        send(config, "verdicts", verdict("ADVANCE", 1, 0).encode())
        send(config, "verdicts", verdict("ADVANCE", 1, 0).encode())
        until(lambda: splitter.read_back(folder).get("canary") == 0.25, 20, "the second step began")
        until(lambda: len(done(config)) == 2, 20, "it was told")
        process.kill()
        process.wait()
        send(config, "verdicts", verdict("ROLLBACK", 2, 1).encode())
        process = start(path)
        until(lambda: splitter.read_back(folder).get("canary") == 0.0, 40, "it was rolled back")
        until(lambda: len(done(config)) == 3, 20, "it was told")
        until(lambda: len(told.calls) == 2, 20, "other systems were told")
    finally:
        process.terminate()
        code = process.wait(20)
    assert code == 0, (tmp_path / "rollout.log").read_text()[-2000:]
    assert weights(proxy, SPEC.service, tuple(SPEC.variants)) == {"control": 256, "canary": 0}
    assert [call.headers["ce-type"].split(".")[3] for call in told.calls] == ["deployed", "rolledback"]
    ledger = snapshot(config).decisions.of(ID)
    assert all(f"haproxy {proxy}: done" in d.details["trace"] for d in ledger if d.outcome == "DONE")
    assert [(d.kind, d.outcome) for d in ledger] == [
        ("apply", "PLANNED"), ("apply", "DONE"), ("shift", "PLANNED"), ("shift", "DONE"), ("shift", "REFUSED"),
        ("rollback", "PLANNED"), ("rollback", "DONE"),
    ]  # fmt: skip
    assert len({d.decision_id for d in ledger}) == len(ledger)
    assert_chained(ledger)


def assert_chained(ledger: list[Decision]) -> None:
    assert [d.sequence for d in ledger] == list(range(1, len(ledger) + 1))
    assert [d.previous_hash for d in ledger] == [None, *(d.hash for d in ledger[:-1])]
    assert all(d.hash == digest(d) for d in ledger)


def test_what_is_forged_old_or_out_of_order_moves_nothing_and_stands_in_the_ledger(
    tmp_path: Path, tansu: EmbeddedBroker
) -> None:
    private, public = key_pair()
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path / 'data'}\n"
        f"specs: {tmp_path / 'specs'}\nsigning:\n  public_keys:\n    judge: {indented(public, 6)}"
    )
    config = load_config(path)
    ensure_topics(config)
    signer = Signer.of(Signing.model_validate({"key_id": "judge", "private_key": private}))
    assert signer is not None

    def say(said: Verdict, signed_as: Verdict | None = None) -> None:
        header = signer.sign("Verdict", (signed_as or said).encode())
        send(config, "verdicts", said.encode(), said.experiment_id, {HEADER: header})

    def refused(experiment: str = ID) -> list[str]:
        return [d.reason for d in everything(config) if d.outcome == "REFUSED" and d.experiment_id == experiment]

    folder = config.traffic / ID
    process = start(path)
    try:
        (tmp_path / "specs").mkdir()
        (tmp_path / "specs" / "bad.yaml").write_text("id: bad")
        until(lambda: "nothing of the folder of specs is applied" in (tmp_path / "rollout.log").read_text(), 40, "told")
        (tmp_path / "specs" / "bad.yaml").write_text(SPEC.source)
        until(lambda: splitter.read_back(folder).get("canary") == 0.1, 40, "the spec in the folder was applied")
        send(config, "verdicts", verdict("ADVANCE", 2, 0, epoch=2).encode())  # not signed
        say(verdict("PROMOTE", 2, 0, epoch=2), signed_as=verdict("ADVANCE", 2, 0, epoch=2))
        say(verdict("ADVANCE", 2, 0, epoch=2, age_s=90))
        say(verdict("ADVANCE", 3, 0, epoch=2))
        until(lambda: splitter.read_back(folder).get("canary") == 0.25, 20, "what is true is done")
        say(verdict("ROLLBACK", 4, 1, epoch=1))
        say(verdict("ROLLBACK", 2, 1, epoch=2))
        say(verdict("ADVANCE", 3, 0, epoch=2))
        say(replace(verdict("ROLLBACK", 1, 0), experiment_id="nobody-applied-this"))
        until(lambda: len(refused("nobody-applied-this")) == 1, 20, "all was read")
        assert splitter.read_back(folder).get("canary") == 0.25
    finally:
        process.terminate()
        code = process.wait(20)
    assert code == 0, (tmp_path / "rollout.log").read_text()[-2000:]
    said = refused()
    assert [reason.partition(" had expired at")[0] for reason in said] == [
        "refused: a verdict to ADVANCE: it is not signed",
        "refused: a verdict to PROMOTE: its signature is not of any trusted key (judge)",
        "refused: the verdict to ADVANCE",
        "refused: its epoch 1 is below 2: an old judge",
        "refused: its sequence 2 is not above 3: it was said before",
        "refused: its sequence 3 is not above 3: it was said before",
    ]
    assert_chained([d for d in everything(config) if d.experiment_id == ID])


def everything(config: Config) -> list[Decision]:
    return [Decision.decode(message.value() or b"") for message in kafka.to_end(config, config.topic("decisions"), "t")]
