"""The alert role: reads verdicts, the ledger, circuits and budgets, and tells incidents to every receiver of `alerts:` and to
`davy.incidents`, from where they come into the analysts' store.

1. Take a batch; what is news goes into the outbox of each receiver, on disk, and into the topic.
2. Save the book of open incidents, with the offsets up to which it has read, by rename.

Offsets are in the book's file, nowhere else: a crash between the two makes the same news again, with the same identity, which
receivers recognise. Open incidents are sent again to receivers that forget them (`REPEAT_S`).
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from confluent_kafka import KafkaError, Message, TopicPartition

from deploy.courier import Courier, packed
from deploy.incident_book import Book, Record
from deploy.incidents import types
from deploy.outbox import Outbox
from schemas.budget import BudgetStatus
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.decision import Decision
from schemas.errors import InfrastructureError, UserError
from schemas.incident import Incident
from schemas.probe import ProbeResult
from schemas.verdict import Verdict
from streams import kafka
from streams.clock import Clock
from streams.standing import HERE
from streams.topics import ensure_topics

READS: dict[str, type[Record]] = {
    "verdicts": Verdict, "decisions": Decision, "probes": ProbeResult,
    "budgets": BudgetStatus,
}  # fmt: skip
BATCH_MAX, POLL_S = 500, 0.5
PUBLISH_S = 30.0
REPEAT_S = 60.0
BOOK = "book.json"

log = structlog.get_logger("alert")


def run(config: Config, stop: threading.Event) -> None:
    """Blocks until stopped; raises UserError where a receiver's type is unknown."""
    for name, receiver in config.alerts.receivers.items():
        if receiver.type not in types():
            raise UserError(
                f"alerts.receivers.{name}: there is no type {receiver.type!r}; there are {', '.join(types())}"
            )
    kafka.require_broker(config)
    ensure_topics(config)
    _Role(config).run(stop)


class _Role:
    def __init__(self, config: Config) -> None:
        self._config, self._clock = config, Clock.of(config)
        folder = config.data_dir / "alerts"
        names = config.alerts.receivers
        self._outboxes = {name: Outbox(folder / name, config.alerts.outbox_max) for name in names}
        self._path = folder / BOOK
        self._book, self._offsets = load(self._path)
        self._topics = {config.topic(name): kind for name, kind in READS.items()}
        self._producer, self._untold = kafka.producer(config), 0
        self._repeated_s = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Take batches until stopped."""
        alerts = self._config.alerts
        for name, outbox in self._outboxes.items():
            Courier(name, alerts, outbox, self._clock.now_us, stop).start()
        consumer = kafka.consumer(self._config, f"{self._config.prefix}alert")
        places = [(topic, p) for topic in self._topics for p in kafka.partitions(self._config, topic)]
        consumer.assign([TopicPartition(topic, p, self._offsets.get(f"{topic}/{p}", 0)) for topic, p in places])
        try:
            while not stop.is_set():
                messages = consumer.consume(BATCH_MAX, POLL_S)
                HERE.beat(time.monotonic())
                self._take([message for message in messages if _usable(message)])
                self._repeat()
        finally:
            consumer.close()

    def _take(self, messages: list[Message]) -> None:
        before = self._book
        for message in messages:
            topic, value = str(message.topic()), message.value()
            self._offsets[f"{topic}/{message.partition()}"] = int(message.offset() or 0) + 1
            if value is None:
                continue
            try:
                record = self._topics[topic].decode(value)
            except (Malformed, UnknownSchema) as error:
                log.warning("a record was passed over", topic=topic, offset=message.offset(), error=str(error))
                continue
            self._book, news = self._book.take(record, self._config.alerts.sustained_us, self._clock.now_us())
            for incident in news:
                self._tell(incident)
                self._publish(incident)
        if self._producer.flush(PUBLISH_S) or self._untold:  # begun again, the book is that of before this batch
            raise InfrastructureError(
                f"{self._config.topic('incidents')} does not take incidents: see what the broker says"
            )
        if messages or self._book is not before:
            save(self._path, self._book, self._offsets)

    def _tell(self, incident: Incident, *, again: bool = False) -> None:
        if not again:
            log.warning("incident", key=incident.key, title=incident.title, over=incident.ended is not None)
        for name, outbox in self._outboxes.items():
            if not again or (types()[self._config.alerts.receivers[name].type].repeats and not len(outbox)):
                outbox.put(packed(incident))

    def _publish(self, incident: Incident) -> None:
        topic, key = self._config.topic("incidents"), incident.key.encode()
        self._producer.produce(topic, incident.encode(), key=key, on_delivery=self._delivered)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        del message
        self._untold += error is not None

    def _repeat(self) -> None:
        if time.monotonic() - self._repeated_s >= REPEAT_S:
            self._repeated_s = time.monotonic()
            for incident in self._book.open.values():
                self._tell(incident, again=True)


def _usable(message: Message) -> bool:
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]  # its public name
        log.warning("the broker", error=error.str())
    return error is None


def load(path: Path) -> tuple[Book, dict[str, int]]:
    """What `save` wrote; empty where there is nothing. Raises UserError where it cannot be read."""
    try:
        document: Any = json.loads(path.read_text("utf-8"))
        held = ({key: Incident(**each) for key, each in document[name].items()} for name in ("open", "pending"))
        return Book(*held), {str(place): int(offset) for place, offset in document["offsets"].items()}
    except FileNotFoundError:
        return Book(), {}
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}): remove it, then history is read again") from error


def save(path: Path, book: Book, offsets: dict[str, int]) -> None:
    """By rename."""
    document = {
        "open": {key: asdict(each) for key, each in book.open.items()},
        "pending": {key: asdict(each) for key, each in book.pending.items()},
        "offsets": offsets,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(document), "utf-8")
    draft.replace(path)
