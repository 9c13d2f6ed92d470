"""From a request to Kafka: a bounded queue, and a thread that encodes and sends.

Whoever serves a request only appends to the queue. The thread alone makes events and meets Avro and Kafka, so that a broker
that is down, slow or refuses costs events, never requests. It rests after a few events, since only one thread of Python runs
at a time: a request that comes meanwhile waits for those at most.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import random
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from importlib.resources import files
from io import BytesIO
from typing import Any

import fastavro
import fastavro.schema
from confluent_kafka import KafkaError, KafkaException, Message, Producer

QUEUE_EVENTS_MAX = 10_000
"""More wait neither here nor in the Kafka library; what comes then is dropped."""
IDLE_S = 0.05
RUN_EVENTS = 16
"""Between two rests; some 200 us."""
REST_S = 1e-6
"""The system makes some 60 us of it."""
CLOSE_S = 2.0
COUNT_S = 0.2
"""Of the time to close: for counting what was not delivered."""
WARN_EVERY_S = 60.0
SETTINGS: Mapping[str, Any] = {
    "linger.ms": 50, "compression.type": "lz4", "queue.buffering.max.messages": QUEUE_EVENTS_MAX, "log_level": 2,
    "message.timeout.ms": 30_000,
}  # fmt: skip

log = logging.getLogger("davy_emit")
Fields = Mapping[str, Any]


class Emitter:
    """One per service; processes that are forked from this one get a thread and a connection of their own.

    `kafka` is `HOST:PORT` or librdkafka settings; `sample_rate` in (0, 1] is the share of events kept. Once made it neither
    raises nor blocks. Counters: `sent` (acknowledged by Kafka), `dropped` (no room, or not an event), `failed` (not taken
    by Kafka in time).
    """

    def __init__(
        self, kafka: str | Mapping[str, Any], *, service: str, environment: str, version: str, instance: str | None = None,
        topic: str = "davy.events", sample_rate: float = 1.0, queue_events_max: int = QUEUE_EVENTS_MAX,
    ) -> None:  # fmt: skip
        if not 0 < sample_rate <= 1:
            raise ValueError(f"sample_rate is {sample_rate}: it must be above 0 and at most 1")
        self.settings = {**SETTINGS, **({"bootstrap.servers": kafka} if isinstance(kafka, str) else kafka)}
        self.topic = topic
        self.sample_rate = sample_rate
        self.queue_events_max = queue_events_max
        self.sent = self.dropped = self.failed = 0
        self._always: dict[str, Any] = {
            "service": service, "environment": environment, "version": version,
            "instance": socket.gethostname() if instance is None else instance, "sample_rate": sample_rate,
        }  # fmt: skip
        self._schema, self._head = _schema()
        self._waiting: deque[tuple[int, Callable[..., Fields], tuple[Any, ...]]] = deque()
        """Nanoseconds at which it was emitted, and what makes its fields."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed_s: float | None = None
        """Monotonic second up to which the thread may still send; set once the emitter is closed."""
        self._warned_s = -WARN_EVERY_S
        atexit.register(self.close)
        _LIVE.add(self)

    def emit(self, fields: Fields) -> None:
        """Queue one event: RequestEvent's fields beside the emitter's own; `timestamp` is in UTC microseconds, else now.

        The mapping is the emitter's from then on.
        """
        self.emit_later(_as_it_is, fields)

    def emit_later(self, make: Callable[..., Fields], *arguments: Any) -> None:
        """Queue one event, whose fields `make(*arguments)` says in the emitter's thread."""
        if self.sample_rate < 1 and random.random() >= self.sample_rate:
            return
        if self._thread is None:
            self._start()
        if self._closed_s is not None or len(self._waiting) >= self.queue_events_max:
            self.dropped += 1
            return
        self._waiting.append((time.time_ns(), make, arguments))

    def close(self, wait_s: float = CLOSE_S) -> None:
        """Send what waits, for at most so long; what is left then is dropped."""
        if self._closed_s is not None:
            return
        self._closed_s = time.monotonic() + max(0.0, wait_s - COUNT_S)
        atexit.unregister(self.close)
        if self._thread is not None:
            self._thread.join(wait_s)
        self.dropped += len(self._waiting)
        self._waiting.clear()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="davy-emit", daemon=True)
                self._thread.start()

    def after_fork(self) -> None:
        """In the child: what waited is sent by the process that it waited in."""
        self._lock = threading.Lock()
        self._waiting.clear()
        self._thread = None

    def _run(self) -> None:
        try:
            producer = Producer(self.settings)
        except (KafkaException, ValueError, TypeError) as error:
            log.error("davy-emit: the Kafka settings cannot be used, so that no event is sent: %s", error)
            self.queue_events_max = 0
            return
        while self._waiting or self._closed_s is None:
            if self._waiting:
                for _ in range(min(RUN_EVENTS, len(self._waiting))):
                    self._send(producer, *self._waiting.popleft())
                producer.poll(0)
                time.sleep(REST_S)
            else:
                producer.poll(IDLE_S)
            if self._closed_s is not None and time.monotonic() > self._closed_s:
                break
        left_s = (self._closed_s or 0.0) - time.monotonic()
        self.failed += producer.flush(max(0.0, left_s))

    def _send(
        self, producer: Producer, emitted_ns: int, make: Callable[..., Fields], arguments: tuple[Any, ...]
    ) -> None:
        try:
            event = {**self._always, "timestamp": emitted_ns // 1000, **make(*arguments)}
            body = BytesIO()
            fastavro.schemaless_writer(body, self._schema, event)
            producer.produce(self.topic, self._head + body.getvalue(), on_delivery=self._delivered)
        except BufferError:  # the Kafka library is full
            self.dropped += 1
        except Exception as error:  # whatever a service put into its event: it must not end the thread
            self.dropped += 1
            self._warn("an event was dropped", error)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.sent += 1
        else:
            self.failed += 1
            self._warn("an event was not delivered", KafkaException(error))

    def _warn(self, what: str, error: Exception) -> None:
        """At most once a minute."""
        if time.monotonic() - self._warned_s >= WARN_EVERY_S:
            self._warned_s = time.monotonic()
            log.warning("davy-emit: %s: %s (dropped %d, failed %d so far)", what, error, self.dropped, self.failed)


def _as_it_is(fields: Fields) -> Fields:
    return fields


_LIVE: weakref.WeakSet[Emitter] = weakref.WeakSet()


def _in_child() -> None:
    for emitter in _LIVE:
        emitter.after_fork()


os.register_at_fork(after_in_child=_in_child)


def _schema() -> tuple[Any, bytes]:
    """RequestEvent, and what stands before each body: single-object encoding's marker and the schema's fingerprint."""
    document = json.loads(files("davy_emit").joinpath("RequestEvent.avsc").read_text("utf-8"))
    canonical = fastavro.schema.to_parsing_canonical_form(document)
    fingerprint = int(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"), 16)
    return fastavro.parse_schema(document), b"\xc3\x01" + fingerprint.to_bytes(8, "big")
