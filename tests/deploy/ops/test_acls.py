"""With the shipped access control lists on a real Kafka everything works, and nobody may do what is not theirs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from schemas import codec
from schemas.config import Config
from streams.scenario import load
from streams.topics import ensure_topics
from tests.streams.chaos import Worker
from tests.support.kafka import KafkaBroker
from tests.support.system import until

ROLES = ("ingest", "judge", "rollout", "sink", "web")
USERS = tuple(f"davy-{name}" for name in (*ROLES, "service", "deployer", "person"))
WAIT_S = 300.0
FORBIDDEN = {
    "davy-service": ("control", "verdicts", "deltas"),
    "davy-ingest": ("events", "control", "verdicts", "windows", "decisions"),
    "davy-judge": ("events", "control", "decisions"),
    "davy-rollout": ("events", "deltas", "verdicts", "windows"),
    "davy-sink": ("events", "control", "deltas", "verdicts", "windows", "decisions"),
    "davy-web": ("events", "deltas", "verdicts", "windows", "decisions"),
    "davy-deployer": ("events", "control", "deltas", "verdicts"),
    "davy-person": ("events", "deltas", "verdicts", "windows", "decisions"),
}
"""Topics that each may not write to."""
CLOSED = (
    ("davy-service", "verdicts"),
    ("davy-ingest", "control"),
    ("davy-deployer", "control"),
    ("davy-sink", "events"),
)
"""Topics that each may not read."""


def bindings() -> list[AclBinding]:
    """What is allowed, by the shipped list; everyone may describe topics."""
    text = files("deploy.ops").joinpath("kafka", "acls.txt").read_text("utf-8")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    found = [
        _binding(f"User:{principal}", operation, resource, pattern, name)
        for principal, operation, resource, pattern, name in rows
    ]
    return [_binding("User:*", "Describe", "topic", "prefixed", "davy."), *found]


def _binding(principal: str, operation: str, resource: str, pattern: str, name: str) -> AclBinding:
    return AclBinding(
        ResourceType[resource.upper()], name, ResourcePatternType[pattern.upper()], principal, "*",
        AclOperation[operation.upper()], AclPermissionType.ALLOW,
    )  # fmt: skip


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    broker = KafkaBroker(tmp_path_factory.mktemp("secured"), users=USERS)
    broker.start()
    client = AdminClient({"bootstrap.servers": broker.bootstrap})  # it must outlive its futures
    for future in client.create_acls(bindings()).values():
        future.result()
    ensure_topics(Config.model_validate({"kafka": {"bootstrap.servers": broker.bootstrap}}))
    yield broker
    broker.stop()


def settings(broker: KafkaBroker, user: str) -> dict[str, str]:
    return {
        "bootstrap.servers": broker.secured, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
        "sasl.username": user, "sasl.password": user,
    }  # fmt: skip


def config_of(folder: Path, broker: KafkaBroker, user: str) -> Path:
    path = folder / f"{user}.yaml"
    said = ", ".join(f"{name}: '{value}'" for name, value in settings(broker, user).items())
    path.write_text(f"kafka: {{{said}}}\ndata_dir: {folder / 'data'}\nhttp: {{port: 0}}\n")
    return path


def refused_to_write(broker: KafkaBroker, user: str, topic: str) -> bool:
    errors: list[KafkaError | None] = []
    producer = Producer(settings(broker, user))
    producer.produce(f"davy.{topic}", b"x", on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    return errors[0] is not None and errors[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def refused_to_read(broker: KafkaBroker, user: str, topic: str) -> bool:
    consumer = Consumer({**settings(broker, user), "group.id": "davy.subscriber-x", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(f"davy.{topic}", 0, 0)])  # an offset: no group is asked
    refused: list[bool] = []

    def answered() -> bool:
        message = consumer.poll(1)
        error = None if message is None else message.error()
        if message is not None and (error is None or error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED):
            refused.append(error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED)
        return bool(refused)

    until(answered, 60, f"{user} was answered about {topic}")
    consumer.close()
    return refused[0]


def test_nobody_may_do_what_is_not_theirs(secured: KafkaBroker) -> None:
    wrong = [
        f"{user} may write {topic}"
        for user, topics in FORBIDDEN.items()
        for topic in topics
        if not refused_to_write(secured, user, topic)
    ]
    wrong += [f"{user} may read {topic}" for user, topic in CLOSED if not refused_to_read(secured, user, topic)]
    assert wrong == []


@pytest.mark.full
def test_every_role_has_what_it_needs(secured: KafkaBroker, tmp_path: Path) -> None:
    with ExitStack() as stack:
        workers = [Worker(tmp_path, role, role, config_of(tmp_path, secured, f"davy-{role}")) for role in ROLES]
        for worker in workers:
            worker.start()
            stack.callback(worker.stop)
        service, person = (config_of(tmp_path, secured, f"davy-{name}") for name in ("service", "person"))
        stack.enter_context(_sending(service, tmp_path))
        spec = tmp_path / "spec.yaml"
        spec.write_text(load("errors").spec_text)
        _davy("apply", str(spec), "--config", str(person))
        seen = _verdicts(secured)
        until(lambda: "ROLLBACK" in next(seen), WAIT_S, "\n".join(worker.last_words() for worker in workers))
        assert all(worker.running for worker in workers)


def _verdicts(broker: KafkaBroker) -> Iterator[set[str]]:
    consumer = Consumer(
        {**settings(broker, "davy-deployer"), "group.id": "davy.subscriber-test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["davy.verdicts"])
    seen: set[str] = set()
    while True:
        for message in consumer.consume(100, 1.0):
            if message.error() is None:
                seen.add(codec.decode_as("Verdict", message.value() or b"")["action"])
            else:
                raise KafkaException(message.error())
        yield seen


@contextmanager
def _sending(config: Path, folder: Path) -> Iterator[None]:
    with (folder / "simulate.log").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "davy", "simulate", "errors", "--config", str(config)], stdout=log, stderr=log
        )
        try:
            yield
        finally:
            started.terminate()
            started.wait(30)


def _davy(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "davy", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
