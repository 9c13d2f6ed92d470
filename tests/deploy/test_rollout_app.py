"""The rollout role as a process: killed in the middle of a shift, it finishes it once, and tells it once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from davy.commands import apply
from davy.snapshot import snapshot
from deploy import splitter
from deploy.rollout import Event, Kind, Record, Rollout, step
from schemas.config import Config, load_config
from schemas.decision import Decision
from schemas.verdict import Verdict
from streams import kafka
from streams import scenario as scenarios
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.support.system import until

SPEC = scenarios.load("errors").spec
ID = SPEC.id


def start(config: Path) -> subprocess.Popen[bytes]:
    with (config.parent / "rollout.log").open("ab") as log:
        command = [sys.executable, "-m", "davy", "run", "rollout", "--config", str(config)]
        return subprocess.Popen(command, stdout=log, stderr=log)


def send(config: Config, topic: str, value: bytes) -> None:
    producer = kafka.producer(config)
    producer.produce(config.topic(topic), value, ID.encode())
    assert producer.flush(10) == 0


def verdict(action: str, sequence: int, at: int) -> Verdict:
    now = time.time_ns() // 1000
    conclusion = "HARM" if action == "ROLLBACK" else "HEALTHY"
    return Verdict(
        f"00000000-0000-0000-0000-{sequence:012d}", ID, "canary", SPEC.service, SPEC.environment, 1, sequence, now, now,
        now + 60_000_000, "rollout", action, conclusion, at, 0.1, f"because {sequence}", (), None, {}, SPEC.digest[:32],  # pyright: ignore
        "davy",
    )  # fmt: skip


def done(config: Config) -> list[Decision]:
    return [decision for decision in snapshot(config).decisions.of(ID) if decision.outcome == "DONE"]


def test_a_planned_shift_is_finished_after_a_crash_and_nothing_is_done_twice(
    tmp_path: Path, tansu: EmbeddedBroker
) -> None:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path / 'data'}\n"
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
    finally:
        process.terminate()
        code = process.wait(20)
    assert code == 0, (tmp_path / "rollout.log").read_text()[-2000:]
    ledger = snapshot(config).decisions.of(ID)
    assert [(d.kind, d.outcome) for d in ledger] == [
        ("apply", "PLANNED"), ("apply", "DONE"), ("shift", "PLANNED"), ("shift", "DONE"), ("rollback", "PLANNED"),
        ("rollback", "DONE"),
    ]  # fmt: skip
    assert len({d.decision_id for d in ledger}) == 6
    assert [d.sequence for d in ledger] == [1, 2, 3, 4, 5, 6]
