"""The console's ear: a thread that reads Davy's topics into `State` and tells who listens.

Control and flags are read to their ends first: verdicts are only taken for specs that are in force, and nobody is told half
of the flags. Partitions are assigned from their beginning, without a group; of the deltas only Progress is looked at, from now
on, to know whether the stream moves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from davy.positions import Positions
from davy.web.state import Record, State
from schemas.budget import BudgetStatus
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.control import Control
from schemas.decision import Decision
from schemas.delta import Progress, decode_delta
from schemas.flag import FlagChange
from schemas.probe import ProbeResult
from schemas.signature import Keys, of_headers
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams import kafka
from streams.standing import Standing

READERS: dict[str, type[Record]] = {
    "control": Control,
    "verdicts": Verdict,
    "windows": WindowSummary,
    "decisions": Decision,
    "probes": ProbeResult,
    "flags": FlagChange,
    "budgets": BudgetStatus,
}
FIRST = ("control", "flags")
BATCH_MAX = 2_000
POLL_S = 0.1
TELL_EVERY_S = 1.0

log = structlog.get_logger("web")
Listener = Callable[[str, dict[str, Any]], None]
"""Called with the kind of a record and its JSON form, from the feed's thread."""


class Feed(threading.Thread):
    """Reads until `stop` is set. Whoever reads `state` holds `lock`."""

    def __init__(self, config: Config, stop: threading.Event) -> None:
        super().__init__(name="feed", daemon=True)
        self.config = config
        self.state = State()
        self.lock = threading.Lock()
        self.positions = Positions(config, stop)
        self.standing = Standing("web", config.limits.standstill_us / 1e6)
        self.unreadable = 0
        self._listener: Listener | None = None
        self._halt = stop
        self._readers = {config.topic(name): (name, kind) for name, kind in READERS.items()}
        self._deltas = config.topic("deltas")
        self._keys = Keys.of(config.signing)
        self._caught_up = threading.Event()
        self._told_s = 0.0
        self._broker_down = False

    def listen(self, listener: Listener) -> None:
        """Tell every further piece of news."""
        self._listener = listener

    def start(self) -> None:
        self.positions.start()
        super().start()

    @property
    def caught_up(self) -> bool:
        """Whether it knows all specs and flags."""
        return self._caught_up.is_set()

    def faults(self) -> dict[str, str | None]:
        """By role: why it is not ready; None where it is."""
        return {**self.positions.faults(), "web": self._own_fault()}

    def fault(self) -> str | None:
        """Why the stream does not move, or is not shown; None while it is."""
        return self._own_fault() or self.positions.fault()

    def _own_fault(self) -> str | None:
        if self._broker_down:
            return "no Kafka broker answers: start it, or see why it is out of reach"
        if not self._caught_up.is_set():
            return "the console still reads what was: wait"
        return self.standing.fault(time.monotonic())

    def run(self) -> None:
        consumer = kafka.consumer(self.config, f"{self.config.prefix}web", **{"fetch.wait.max.ms": 100})
        try:
            self._assign_all(consumer, [self._read(consumer, self.config.topic(name)) for name in FIRST])
            while not self._halt.is_set():
                self._take(consumer)
        except KafkaException as error:
            log.error("the feed ended", error=str(error))
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, topic: str) -> TopicPartition:
        """Read a topic of one partition to its end; where it is to be gone on with."""
        consumer.assign([TopicPartition(topic, 0, 0)])
        while not self._halt.is_set() and not self._take(consumer):
            pass
        (position,) = consumer.position([TopicPartition(topic, 0)])
        return TopicPartition(topic, 0, max(position.offset, 0))

    def _assign_all(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        begun = {place.topic for place in places}
        for topic in self._readers:
            if topic not in begun:
                places += [TopicPartition(topic, p, 0) for p in kafka.partitions(self.config, topic)]
        consumer.assign([*places, TopicPartition(self._deltas, 0, OFFSET_END)])
        self._caught_up.set()

    def _take(self, consumer: Consumer) -> bool:
        """Handle a batch; whether the end of a partition was among it."""
        ended = False
        messages = consumer.consume(BATCH_MAX, POLL_S)
        if time.monotonic() - self._told_s > TELL_EVERY_S:
            self._tell(consumer)
        for message in messages:
            error = message.error()
            if error is None:
                self._broker_down = False
                self._record(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]  # its public name
                ended, self._broker_down = True, False
            elif error.code() == KafkaError._ALL_BROKERS_DOWN:  # pyright: ignore[reportPrivateUsage]  # the same
                self._broker_down = True
        return ended

    def _tell(self, consumer: Consumer) -> None:
        """Where this reader stands."""
        now_s = self._told_s = time.monotonic()
        self.standing.beat(now_s)
        for place in consumer.position(consumer.assignment()):
            _, high = consumer.get_watermark_offsets(place, cached=True)
            if place.offset >= 0 and high >= 0:
                self.standing.take((str(place.topic), place.partition), place.offset, high, now_s)

    def _record(self, message: Message) -> None:
        topic, value = message.topic() or "", message.value()
        if value is None:
            return
        try:
            if topic == self._deltas:
                self._progress(message, value)
                return
            name, kind = self._readers[topic]
            record = kind.decode(value)
            if isinstance(record, Verdict) and not self._believed(record, value, message):
                return
        except (Malformed, UnknownSchema) as error:
            self.unreadable += 1
            log.warning("unreadable record", topic=topic, offset=message.offset(), error=str(error))
            return
        with self.lock:
            news = self.state.take(record)
        if news and self._listener is not None and self._caught_up.is_set():
            self._listener(name.removesuffix("s"), record.to_json())

    def _believed(self, verdict: Verdict, value: bytes, message: Message) -> bool:
        """Whether a verdict is signed as the configuration asks: the hooks answer by it."""
        fault = self._keys.fault("Verdict", value, of_headers(message.headers()))
        if fault is None:
            return True
        with self.lock:
            self.state.refused += 1
        log.warning("verdict refused", experiment=verdict.experiment_id, verdict=verdict.verdict_id, reason=fault)
        return False

    def _progress(self, message: Message, value: bytes) -> None:
        if message.key() == b"progress":
            delta = decode_delta(value)
            if isinstance(delta, Progress):
                self.positions.progress(delta, time.monotonic())
