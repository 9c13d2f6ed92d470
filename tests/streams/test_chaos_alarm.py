"""An ingest that is not pure, on a real Kafka: the judge sees that one range was told with two contents, and says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from davy.commands.apply import apply
from schemas.config import Config, load_config
from schemas.verdict import Verdict
from streams import ingest_loop, judge_loop
from streams.ingest import Ingest
from streams.ingest_loop import IngestLoop
from streams.topics import ensure_topics
from tests.support.kafka import KafkaBroker
from tests.support.steady_load import event
from tests.support.system import until

WAIT_S = 60
BLOCK, RECORDS, MIDDLE = 1024, 3000, 2500
SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: e0
service: cart
environment: test
variants: {control: {version: '1'}, canary: {version: '2'}}
randomization: request
slis: [{name: errors, type: error_ratio, max_increase: 50%}]
policy: {min_duration: 1h, min_requests: 1000000, max_duration: 2h}
steps: [{weight: 50%, duration: 1h}]
"""


@pytest.fixture
def config(tmp_path: Path, kafka: KafkaBroker) -> Config:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{kafka.bootstrap}'}}\nprefix: {tmp_path.name}.\ndata_dir: {tmp_path / 'data'}\n"
        f"limits: {{block_records: {BLOCK}, event_partitions: 1, delta_partitions: 1, lateness: 1s}}\n"
    )
    loaded = load_config(path)
    ensure_topics(loaded)
    (tmp_path / "e0.yaml").write_text(SPEC)
    return loaded


@contextmanager
def roles(config: Config) -> Iterator[None]:
    """Ingest and judge as they run."""
    stop = threading.Event()
    threads = [threading.Thread(target=role.run, args=(config, stop)) for role in (ingest_loop, judge_loop)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(WAIT_S)


def a_table_in_the_middle_of_a_block(self: Ingest, source: Any, topic_id: str, offset: int) -> None:
    """What the first prototype did: the table begins where the records do."""
    original(self, source, topic_id, offset // BLOCK * BLOCK)
    self.tables[source].position = offset


original = Ingest.assigned


def test_an_impure_ingest_makes_verdicts_invalid(config: Config, tmp_path: Path) -> None:
    producer = Producer(dict(config.kafka))
    for number in range(RECORDS):
        producer.produce(config.topic("events"), event(number), partition=0)
        producer.poll(0)
    assert producer.flush(WAIT_S) == 0
    consumer = Consumer(dict(config.kafka) | {"group.id": "test", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(config.topic("verdicts"), 0, 0)])
    verdicts: list[Verdict] = []

    def said(text: str) -> bool:
        verdicts.extend(Verdict.decode(m.value() or b"") for m in consumer.consume(100, 0.1) if m.error() is None)
        return any(text in verdict.reason for verdict in verdicts)

    with ExitStack() as stack:
        stack.enter_context(roles(config))
        apply([tmp_path / "e0.yaml"], config)
        until(lambda: said(""), WAIT_S, "the judge said something")
        time.sleep(2)  # everything is counted, and ingest only repeats how far it is
        assert not said("two contents")
        with patch.object(Ingest, "assigned", a_table_in_the_middle_of_a_block):
            source = (config.topic("events"), 0)
            IngestLoop(config, {source: MIDDLE}).read_up_to({source: RECORDS})
        until(lambda: said("two contents"), WAIT_S, "the judge noticed")
    consumer.close()
    found = next(verdict for verdict in verdicts if "two contents" in verdict.reason)
    assert (found.action, found.conclusion) == ("HOLD", "INVALID")
    assert f"block {MIDDLE // BLOCK} of {config.topic('events')}/0" in found.reason
    last = verdicts[-1]
    assert (last.action, last.conclusion) == ("HOLD", "INVALID")
