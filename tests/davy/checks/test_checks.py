"""The doctor on a real Kafka: each thing that is made wrong is found, with its remedy, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from davy.checks import checks, examine
from davy.checks.base import Check, Level, problem
from davy.commands.doctor import doctor as command
from schemas import codec
from schemas.config import Config, load_config
from schemas.delta import Progress, encode_delta
from schemas.errors import UserError
from streams.embedded import free_port
from streams.topics import ensure_topics, topic_names
from tests.support.kafka import KafkaBroker
from tests.support.system import until

Findings = list[dict[str, Any]]
NOTHING = dict.fromkeys(
    (
        "experiment_id",
        "variant",
        "segment",
        "unit_id",
        "instance",
        "endpoint",
        "error",
        "cpu_us",
        "memory_bytes",
        "measures",
    )
)


def doctor(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Findings]:
    """Exit code, and everything that is not in order."""
    code = command(load_config(path), as_json=True)
    return code, rows(capsys.readouterr().out)


def rows(output: str) -> Findings:
    found = [json.loads(line) for line in output.splitlines()]
    assert {row["check"] for row in found} == {check.name for check in checks()}
    assert all(row["remedy"] for row in found if row["level"] in ("warning", "problem"))
    return [row for row in found if row["level"] != "ok"]


def event(time_us: int) -> bytes:
    record = NOTHING | {"service": "cart", "environment": "test", "version": "1", "status": 200, "duration_us": 1000}
    return codec.encode("RequestEvent", record | {"timestamp": time_us, "sample_rate": 1.0})


@pytest.fixture
def place(kafka: KafkaBroker, tmp_path: Path) -> Iterator[Path]:
    """A configuration whose topics are there and empty."""
    path = tmp_path / "davy.yaml"
    prefix = f"{tmp_path.name}."
    path.write_text(
        f"kafka: {{bootstrap.servers: '{kafka.bootstrap}'}}\nprefix: '{prefix}'\ndata_dir: {tmp_path / 'data'}\n"
    )
    ensure_topics(load_config(path))
    yield path
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    ours = [name for name in client.list_topics(timeout=10).topics if name.startswith(prefix)]
    for future in client.delete_topics(ours).values():
        future.result()


def send(config: Config, topic: str, *values: bytes, key: bytes | None = None, ahead_s: float = 0.0) -> None:
    producer = Producer(dict(config.kafka))
    for value in values:
        producer.produce(topic, value, key, partition=0, timestamp=int(1000 * (time.time() + ahead_s)))
    assert producer.flush(10) == 0


def progress(config: Config, upto: int, spoke_s: float) -> bytes:
    topic_id = next(iter(topic_names(config)))
    return encode_delta(
        Progress("x", topic_id, 0, 0, upto, upto, upto, 0, upto, 4, upto, None, int(1e6 * (time.time() + spoke_s)))
    )


def test_topics_as_they_should_be_and_then_not(
    place: Path, kafka: KafkaBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = doctor(place, capsys)
    assert (code, found) == (0, []), found
    config = load_config(place)
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    client.delete_topics([config.topic("probes")])[config.topic("probes")].result()
    client.create_partitions([NewPartitions(config.topic("control"), 2)])[config.topic("control")].result()
    compact = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
    short = ConfigEntry("retention.ms", "60000", incremental_operation=AlterConfigOpType.SET)
    changed = [
        ConfigResource(ResourceType.TOPIC, config.topic("decisions"), incremental_configs=[compact]),
        ConfigResource(ResourceType.TOPIC, config.topic("deltas"), incremental_configs=[short]),
    ]
    for future in client.incremental_alter_configs(changed).values():
        future.result()
    until(lambda: config.topic("probes") not in client.list_topics(timeout=10).topics, 10, "the topic is gone")

    code, found = doctor(place, capsys)
    assert code == 4
    assert {row["finding"] for row in found if row["check"] == "topics"} == {
        f"the topic {config.topic('probes')} is missing",
        f"{config.topic('control')} has 2 partitions, not 1",
        f"{config.topic('decisions')} has cleanup.policy compact, not delete",
        f"{config.topic('deltas')} has retention.ms 60000, less than 604800000",
    }
    (remedy,) = (row["remedy"] for row in found if "compact" in row["finding"])
    assert remedy.endswith(f"--entity-name {config.topic('decisions')} --add-config cleanup.policy=delete")
    assert [(row["check"], row["level"]) for row in found if row["check"] != "topics"] == [("lag", "skipped")]


def test_clocks_ahead_and_events_that_nobody_reads(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config(place)
    send(config, config.topic("events"), event(int(1e6 * (time.time() + 900))), ahead_s=600)
    code, found = doctor(place, capsys)
    assert code == 4
    (of_sender, of_service), (lag,) = (
        [row["finding"] for row in found if row["check"] == name] for name in ("clocks", "lag")
    )
    assert of_sender.endswith("come from a clock that is 10 min ahead")
    assert of_service.endswith("say they ended 5 min after they were sent: such rows are quarantined")
    assert lag == "there are events, but ingest never said that it read any"


def test_lag_of_each_role(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config(place)
    now_us = time.time_ns() // 1000
    old_s = -100.0
    send(config, config.topic("events"), *[event(now_us)] * 7, ahead_s=old_s)
    send(config, config.topic("deltas"), progress(config, 2, old_s), key=b"progress", ahead_s=old_s)
    send(config, config.topic("probes"), b"no Avro", ahead_s=old_s)
    code, found = doctor(place, capsys)
    assert code == 4
    silent, ingest, judge, sink = [row["finding"] for row in found if row["check"] == "lag"]
    assert silent.startswith("ingest has said nothing for 10")
    assert ingest.startswith("ingest is 5 records behind, the oldest 10")
    assert judge.startswith("the judge's saved states lack counts that are 10")
    assert sink.startswith("the sink is 1 records behind, the oldest 10")

    send(config, config.topic("deltas"), progress(config, 7, 0.0), key=b"progress")
    send(config, config.topic("state"), json.dumps({"next_offset": 1}).encode(), key=b"0")
    _, found = doctor(place, capsys)
    assert [row["finding"][:31] for row in found if row["check"] == "lag"] == [sink[:31]]


def test_records_that_cannot_be_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config(place)
    send(config, config.topic("events"), *[event(time.time_ns() // 1000)] * 3, b"{}")
    send(config, config.topic("verdicts"), b"hello")
    code, found = doctor(place, capsys)
    assert code == 4
    ours, source = [row["finding"] for row in found if row["check"] == "schemas"]
    assert ours.startswith(f"1 of the newest 1 records of {config.topic('verdicts')} cannot be read: neither single-")
    assert source.startswith(f"1 of the newest 4 records of {config.topic('events')} cannot be used, mostly: ")


def test_no_broker_and_a_dead_clickhouse(tmp_path: Path) -> None:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '127.0.0.1:{free_port()}'}}\ndata_dir: {tmp_path}\n"
        f"clickhouse: {{url: 'clickhouse://127.0.0.1:{free_port()}/davy'}}\n"
    )
    run = [sys.executable, "-m", "davy", "doctor", "--json", "--config", str(path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (4, "")
    found = rows(done.stdout)
    assert [(row["check"], row["level"]) for row in found] == [
        ("broker", "problem"), ("clickhouse", "problem"), ("clocks", "skipped"), ("schemas", "skipped"),
        ("topics", "skipped"), ("lag", "skipped"),
    ]  # fmt: skip
    assert found[0]["finding"].startswith("no Kafka broker answers at 127.0.0.1:")
    assert found[1]["finding"].startswith("ClickHouse at 127.0.0.1:")


def test_what_a_check_raises_is_a_problem_and_stops_only_those_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(config: Config) -> Iterator[Any]:
        yield problem("a", "b")
        raise UserError("inputs: no use")

    def slow(config: Config) -> Iterator[Any]:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # pyright: ignore[reportPrivateUsage]
        yield

    fake = (
        Check("one", raises), Check("two", raises, needs=("one",)), Check("three", lambda _: [], needs=("four",)),
        Check("five", slow),
    )  # fmt: skip
    monkeypatch.setattr("davy.checks.checks", lambda: fake)
    told = [(check.name, finding.level, finding.what) for check, finding in examine(Config())]
    assert told == [
        ("one", Level.PROBLEM, "a"), ("one", Level.PROBLEM, "inputs: no use"),
        ("two", Level.SKIPPED, "not looked at: needs one"),
        ("five", Level.PROBLEM, "the broker does not answer: Local: Timed out"),
    ]  # fmt: skip
