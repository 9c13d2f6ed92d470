"""The main job on real parts: a foreign producer, a real Kafka, `davy run`, a foreign consumer; with and without kills."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import fastavro
import pytest
from confluent_kafka import Consumer, TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.support.kafka import KafkaBroker
from tests.support.signing import indented, key_pair
from tests.support.system import until

SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: {id}
service: {service}
environment: production
variants:
  control: {{version: 1.0.0}}
  canary: {{version: 1.1.0}}
randomization: request
slis:
  - {{name: errors, type: error_ratio, max_increase: 1pp}}
  - {{name: traffic, type: throughput, max_decrease: 30%}}
policy: {{min_duration: 20s, min_requests: 1000}}
steps:
  - {{weight: 50%, duration: 20s}}
"""
ROLES = ("ingest", "judge", "rollout", "sink")
SECONDS, EVENTS = 60, 500_000


class Service:
    """`davy run`, a process per role, so that each can be killed."""

    def __init__(self, folder: Path, bootstrap: str) -> None:
        self.folder = folder
        self.config = folder / "davy.yaml"
        private, self.public_key = key_pair()
        self.config.write_text(
            f"kafka: {{bootstrap.servers: '{bootstrap}'}}\ndata_dir: {folder / 'data'}\nprefix: main{os.getpid()}.\n"
            f"signing:\n  key_id: main-job\n  private_key: {indented(private, 4)}"
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def davy(self, *arguments: str, check: bool = True) -> str:
        command = [sys.executable, "-m", "davy", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path.cwd())
        assert not check or done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def start(self, role: str) -> None:
        with (self.folder / f"{role}.log").open("ab") as log:
            command = [sys.executable, "-m", "davy", "run", role, "--config", str(self.config)]
            self.processes[role] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, role: str) -> None:
        self.processes[role].send_signal(signal.SIGKILL)
        self.processes[role].wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for role, process in self.processes.items():
            assert process.wait(30) == 0, f"{role}: {(self.folder / f'{role}.log').read_text()[-2000:]}"


@pytest.fixture
def service(tmp_path: Path, kafka: KafkaBroker) -> Iterator[Service]:
    made = Service(tmp_path, kafka.bootstrap)
    yield made
    for process in made.processes.values():
        if process.poll() is None:
            process.kill()
            process.wait()


def foreign_read(bootstrap: str, topic: str, schema: dict[str, Any], public_key: str) -> list[dict[str, Any]]:
    """All records of a topic with a plain Avro reader; each is signed (DSSE)."""
    key = cast("Ed25519PublicKey", load_pem_public_key(public_key.encode()))
    parsed = fastavro.parse_schema(schema)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "deployer", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    records: list[dict[str, Any]] = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            break
        value = message.value()
        assert value is not None
        assert value[:2] == b"\xc3\x01"
        envelope = json.loads(dict(cast("list[tuple[str, bytes]]", message.headers()))["davy_signature"])
        kind, (signature,) = envelope["payloadType"].encode(), envelope["signatures"]
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(value), value)
        key.verify(base64.b64decode(signature["sig"]), signed)
        records.append(fastavro.schemaless_reader(io.BytesIO(value[10:]), parsed, None))  # pyright: ignore
    consumer.close()
    return records


def run_job(service: Service, bootstrap: str, kills: bool) -> None:
    prefix = f"main{os.getpid()}.{'kills' if kills else 'calm'}."
    service.config.write_text(service.config.read_text().replace(f"main{os.getpid()}.", prefix))
    plan: dict[str, Any] = {
        "bad": {"service": "cart", "errors": {"control": 0.01, "canary": 0.06}},
        "good": {"service": "checkout", "errors": {"control": 0.01, "canary": 0.01}},
    }
    specs: list[str] = []
    for name, experiment in plan.items():
        experiment["versions"] = {"control": "1.0.0", "canary": "1.1.0"}
        path = service.folder / f"{name}.yaml"
        path.write_text(SPEC.format(id=name, service=experiment["service"]))
        specs.append(str(path))
    schema = service.folder / "RequestEvent.avsc"
    schema.write_text(service.davy("schema", "RequestEvent"))
    fingerprint = fastavro.schema.fingerprint(  # pyright: ignore
        fastavro.schema.to_parsing_canonical_form(json.loads(schema.read_text())), "CRC-64-AVRO"
    )
    for role in ROLES:
        service.start(role)
    service.davy("apply", *specs, "--config", str(service.config))
    flags = [service.folder / "data" / "traffic" / name / "flagd.json" for name in plan]
    until(lambda: all(flag.exists() for flag in flags), 60, "the first weights were set")
    producer = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "support" / "foreign_producer.py"), bootstrap, f"{prefix}events",
         str(schema), fingerprint, str(SECONDS), str(EVENTS), json.dumps(plan)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if kills:
        begun = time.monotonic()
        for role, at_s in (("ingest", 12), ("judge", 16), ("ingest", 30), ("judge", 34)):
            until(lambda at_s=at_s: time.monotonic() - begun > at_s, at_s + 30, "time passed")
            service.kill(role)
            service.start(role)
    out, _ = producer.communicate(timeout=SECONDS + 120)
    assert producer.returncode == 0
    expected = {tuple(json.loads(key)): tuple(tally) for key, tally in json.loads(out).items()}
    assert sum(rows for rows, _ in expected.values()) == EVENTS

    sql = (
        "SELECT experiment_id, version, variant, toUnixTimestamp64Micro(start) AS begin, rows, errors FROM windows "
        "WHERE rows > 0"
    )

    def counted() -> dict[tuple[Any, ...], tuple[int, int]]:
        lines = service.davy("query", sql, "--json", "--config", str(service.config)).splitlines()
        rows = [json.loads(line) for line in lines]
        return {
            (r["experiment_id"], r["version"], r["variant"], int(r["begin"])): (int(r["rows"]), int(r["errors"]))
            for r in rows
        }

    until(lambda: sum(rows for rows, _ in counted().values()) == EVENTS, 60, "every event was in a closed window")
    assert counted() == expected
    verdicts = foreign_read(
        bootstrap, f"{prefix}verdicts", json.loads(service.davy("schema", "Verdict")), service.public_key
    )
    final = {
        v["experiment_id"]: v["action"]
        for v in verdicts
        if v["action"] in ("PROMOTE", "ROLLBACK") and v["phase"] == "rollout"
    }
    assert final == {"bad": "ROLLBACK", "good": "PROMOTE"}
    by_id: dict[str, set[str]] = {}
    for verdict in verdicts:
        content = {key: value for key, value in verdict.items() if key != "epoch"}
        by_id.setdefault(verdict["verdict_id"], set()).add(repr(content))
    assert all(len(contents) == 1 for contents in by_id.values()), "one id with two contents"
    schema_of = json.loads(service.davy("schema", "Decision"))
    decisions = foreign_read(bootstrap, f"{prefix}decisions", schema_of, service.public_key)
    ended = {
        d["experiment_id"]: (d["kind"], d["weights"]) for d in decisions if d["outcome"] == "DONE" and d["weights"]
    }
    assert ended["bad"] == ("rollback", {"control": 1.0, "canary": 0.0})
    assert ended["good"] == ("promote", {"control": 0.0, "canary": 1.0})
    for experiment in final:  # any verdict comes out again, bit for bit, whoever was killed meanwhile
        (last,) = [v["verdict_id"] for v in verdicts if v["experiment_id"] == experiment][-1:]
        assert "the same in every field" in service.davy("replay", "--verdict", last, "--config", str(service.config))
    service.stop()


@pytest.mark.full  # all that it asks is asked with kills, too
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("alone")
def test_a_bad_release_rolls_back_and_a_good_one_is_promoted(service: Service, kafka: KafkaBroker) -> None:
    run_job(service, kafka.bootstrap, kills=False)


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("alone")
def test_the_same_with_ingest_and_judge_killed(service: Service, kafka: KafkaBroker) -> None:
    run_job(service, kafka.bootstrap, kills=True)
