"""The judge's shell: deltas in from Kafka, windows and verdicts out, state kept in a compacted topic.

Protocol (DATAFLOW, section 5), per owned delta partition d:

1. Assigned: read the newest valid state of d, take its epoch + 1, seek to the delta offset that belongs to it.
2. Every record goes through `Judge.step`; what comes out is produced to davy.windows and davy.verdicts.
3. At the end of the log (first EOF) begin to copy davy.control into d, from the control offset that the state holds on.
   The judge applies a control record only when it reads it back.
4. Every `STATE_EVERY_S` write chunks of the state, wait for their acknowledgement, then the manifest that names them.
"""

from __future__ import annotations

import collections
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from prometheus_client import Counter, Gauge

from schemas.codec import Malformed, UnknownSchema, iso
from schemas.config import Config
from schemas.delta import ControlCopy, encode_delta
from schemas.errors import InfrastructureError
from schemas.signature import HEADER, Signer
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams import checkpoint, deltas, kafka
from streams.deltas import Read
from streams.judge import CODE_VERSION, Alarm, Judge, JudgeSettings, Output, Repair
from streams.membership import member
from streams.standing import HERE
from streams.topics import ensure_topics, topic_names

STATE_EVERY_S = 15.0
SAVE_SHARE = 0.1
"""Writing the state down takes at most that share of the time: with very many experiments the state is saved less often."""
STATE_CHUNK_BYTES = 512 * 1024
POLL_S = 0.1
BATCH_MAX = 500
TELL_EVERY_S = 1.0
WRITE_SETTINGS = {"message.timeout.ms": 0}
"""Messages wait for ever, in order: a control record that is overtaken by a later one would never apply."""

Headers = list[tuple[str, str | bytes | None]]

log = structlog.get_logger("judge")
VERDICTS = Counter("davy_judge_verdicts_total", "Verdicts issued.", ["action"])
WINDOWS = Counter("davy_judge_windows_total", "Windows summarised.")
DELTAS = Counter("davy_judge_deltas_total", "Records of the delta log handled.")
ALARMS = Counter("davy_judge_alarms_total", "Things an operator must know.")
ROWS = Counter(
    "davy_judge_rows_total", "Rows counted, by fate: `rows` are evidence, `other` of all these have no label.", ["fate"]
)
STUCK = Gauge("davy_judge_gaps", "Source partitions whose counts do not add up for long.", ["partition"])
WATERMARK = Gauge("davy_judge_closed_seconds", "Event time up to which windows are closed.", ["partition"])


@dataclass(slots=True)
class Owned:
    """One delta partition in this process."""

    judge: Judge
    next_offset: int
    generation: int
    caught_up: bool = False
    save_at: float = 0.0
    """When the state is to be saved next, in monotonic seconds."""
    told: collections.Counter[str] = field(default_factory=collections.Counter[str])
    """Rows of this judge that the metrics know."""


class JudgeLoop:
    """Owns delta partitions and moves records; all thinking is in `Judge`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.producer: Producer = kafka.producer(config, **WRITE_SETTINGS)
        self.deltas: Consumer = kafka.consumer(config, f"{config.prefix}judge", **member(config, "judge"))
        self.control: Consumer = kafka.consumer(config, f"{config.prefix}judge-control")
        self.control_next = 0
        self.delta_topic = config.topic("deltas")
        self.partitions = kafka.partitions(config, self.delta_topic)
        self.topics = topic_names(config)
        self.signer = Signer.of(config.signing)
        self.owned: dict[int, Owned] = {}
        self.control_log: list[ControlCopy] = []
        self._undelivered: KafkaError | None = None
        self._tell_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        self.begin()
        try:
            while not stop.is_set():
                self.once()
        finally:
            self.producer.flush(5)
            self.deltas.close()
            self.control.close()

    def once(self) -> None:
        """Handle what came, and what is due."""
        messages = self.deltas.consume(BATCH_MAX, POLL_S)
        found = deltas.read([message.value() if message.error() is None else None for message in messages])
        for message, delta in zip(messages, found, strict=True):
            self._take(message, delta)
        for partition, owned in self.owned.items() if messages else ():
            WATERMARK.labels(partition).set(owned.judge.closed_us / 1e6)
        self._follow_control()
        self.producer.poll(0)
        self._require_delivered()
        if time.monotonic() > self._tell_at:
            self._tell()
        for partition, owned in self.owned.items():
            if time.monotonic() > owned.save_at:
                self._save(partition, owned)

    def _tell(self) -> None:
        """Commit how far this process is, for whoever asks whether it moves: a judge begins where its state says."""
        now_s = time.monotonic()
        self._tell_at = now_s + TELL_EVERY_S
        HERE.beat(now_s)
        places = [TopicPartition(self.delta_topic, p, owned.next_offset) for p, owned in self.owned.items()]
        if places:
            try:
                self.deltas.commit(offsets=places, asynchronous=True)
            except KafkaException as error:  # the next one covers it
                log.warning("commit failed", error=str(error))
        for partition, owned in self.owned.items():
            counted = owned.judge.windows.counted
            for fate, rows in (counted - owned.told).items():
                ROWS.labels(fate).inc(rows)
            owned.told = counted.copy()
            STUCK.labels(partition).set(len(owned.judge.stuck))

    def begin(self) -> None:
        """Join the group, or take all partitions where the broker keeps no groups worth the name."""
        self.control.assign([TopicPartition(self.config.topic("control"), 0, 0)])
        if self.config.embedded:
            self._assigned(self.deltas, [TopicPartition(self.delta_topic, p) for p in self.partitions])
        else:
            self.deltas.subscribe(
                [self.delta_topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places: list[TopicPartition] = []
        for place in partitions:
            owned = self._restore(place.partition)
            self.owned[place.partition] = owned
            places.append(TopicPartition(self.delta_topic, place.partition, owned.next_offset))
            log.info("partition assigned", partition=place.partition, offset=owned.next_offset, epoch=owned.judge.epoch)
        if self.config.embedded:
            consumer.assign(places)
        else:
            consumer.incremental_assign(places)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self.owned.pop(place.partition, None)
            log.info("partition revoked", partition=place.partition)

    # -- records -------------------------------------------------------------------------------------------------

    def _take(self, message: Message, delta: Read | Malformed | UnknownSchema | None) -> None:
        partition, error = message.partition(), message.error()
        if error is not None:
            kafka.require_alive(error)
        owned = self.owned.get(partition) if partition is not None else None
        if owned is None or partition is None:
            return
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]  # its public name
                self._caught_up(partition, owned)
            else:
                log.warning("delta log error", partition=partition, error=str(error))
            return
        offset = message.offset()
        if offset is None or delta is None or offset < owned.next_offset:
            return
        owned.next_offset = offset + 1
        DELTAS.inc()
        if isinstance(delta, (Malformed, UnknownSchema)):
            ALARMS.inc()
            log.error("unreadable delta", partition=partition, offset=offset, error=str(delta))
            return
        for output in owned.judge.step(delta):
            self._publish(partition, output)

    def _publish(self, partition: int, output: Output) -> None:
        match output:
            case Verdict():
                VERDICTS.labels(output.action).inc()
                value, headers = output.encode(), cloud_event(output, self.config.prefix)
                if self.signer is not None:
                    headers.append((HEADER, self.signer.sign("Verdict", value)))
                self._produce("verdicts", output.experiment_id, value, headers)
            case WindowSummary():
                WINDOWS.inc()
                key = output.experiment_id or f"{output.service}/{output.environment}"
                self._produce("windows", key, output.encode(), [])
            case Repair(source, block):
                ALARMS.inc()
                log.error(
                    "gap",
                    source=source,
                    first_block=block,
                    todo=f"davy repair --partition {source[1]} --blocks {block}..",
                )
            case Alarm(text):
                ALARMS.inc()
                log.error("alarm", partition=partition, text=text)

    def _produce(self, topic: str, key: str, value: bytes, headers: Headers) -> None:
        self._enqueue(self.config.topic(topic), key.encode(), value, None, headers)

    def _enqueue(self, topic: str, key: bytes, value: bytes, partition: int | None, headers: Headers) -> None:
        place: dict[str, Any] = {} if partition is None else {"partition": partition}
        while True:
            try:
                self.producer.produce(topic, value, key, headers=headers, on_delivery=self._reported, **place)
                return
            except BufferError:
                self.producer.poll(POLL_S)

    def _reported(self, error: KafkaError | None, _: Message) -> None:
        self._undelivered = self._undelivered or error

    def _require_delivered(self) -> None:
        """What the broker did not take is said again by whoever goes on from the last state: end before there is a newer."""
        if self._undelivered is not None:
            raise InfrastructureError(f"the broker did not take what the judge said: {self._undelivered.str()}")

    # -- control -------------------------------------------------------------------------------------------------

    def _follow_control(self) -> None:
        """Remember the control log and copy what is new of it into every caught-up partition."""
        fresh: list[ControlCopy] = []
        for message in self.control.consume(BATCH_MAX, 0):
            offset, value = message.offset(), message.value()
            if message.error() is None and offset is not None and value is not None and offset >= self.control_next:
                self.control_next = offset + 1
                fresh.append(ControlCopy(offset, value))
        self.control_log += fresh
        for partition, owned in self.owned.items():
            if owned.caught_up:
                self._copy(partition, fresh)

    def _caught_up(self, partition: int, owned: Owned) -> None:
        """The log was read to its end for the first time: from now on this process appends the control records."""
        if not owned.caught_up:
            owned.caught_up = True
            known = owned.judge.control_offset
            self._copy(partition, [copy for copy in self.control_log if copy.control_offset > known])

    def _copy(self, partition: int, copies: list[ControlCopy]) -> None:
        for copy in copies:
            self._enqueue(self.delta_topic, b"control", encode_delta(copy), partition, [])

    # -- state ---------------------------------------------------------------------------------------------------

    def _save(self, partition: int, owned: Owned) -> None:
        """Chunks first, acknowledged; then the manifest that makes them the state."""
        begun = time.monotonic()
        data = checkpoint.dump(owned.judge)
        owned.save_at = begun + max(STATE_EVERY_S, (time.monotonic() - begun) / SAVE_SHARE)
        owned.generation += 1
        chunks = [data[i : i + STATE_CHUNK_BYTES] for i in range(0, len(data), STATE_CHUNK_BYTES)]
        topic = self.config.topic("state")
        target = partition % max(1, len(kafka.partitions(self.config, topic)))
        for i, chunk in enumerate(chunks):
            self._enqueue(topic, f"{partition}/{owned.generation % 2}/{i}".encode(), chunk, target, [])
        if self.producer.flush(STATE_EVERY_S):
            log.warning("state not acknowledged", partition=partition)
            return
        self._require_delivered()
        manifest = {
            "generation": owned.generation, "chunks": len(chunks), "digest": hashlib.sha256(data).hexdigest(),
            "epoch": owned.judge.epoch, "next_offset": owned.next_offset, "layout": owned.judge.settings.digest,
            "code_version": CODE_VERSION, "form": checkpoint.form(),
        }  # fmt: skip
        self._enqueue(topic, str(partition).encode(), json.dumps(manifest).encode(), target, [])

    def _restore(self, partition: int) -> Owned:
        """The newest valid state of a partition, under an epoch of its own; the log's beginning where there is none."""
        settings = JudgeSettings.of(self.config, partition, len(self.partitions), self.topics)
        manifest, chunks = self._read_state(partition)
        epoch = int(manifest.get("epoch", 0)) + 1
        generation = int(manifest.get("generation", 0))
        judge, offset = Judge(settings, epoch), 0
        data = b"".join(chunks.get(f"{generation % 2}/{i}", b"") for i in range(int(manifest.get("chunks", 0))))
        told = tuple(manifest.get(name) for name in ("layout", "code_version", "form"))
        usable = told == (settings.digest, CODE_VERSION, checkpoint.form())
        if usable and hashlib.sha256(data).hexdigest() == manifest["digest"]:
            judge, offset = checkpoint.load(data, settings, epoch), int(manifest["next_offset"])
        owned = Owned(judge, offset, generation)
        self._save(partition, owned)
        return owned

    def _read_state(self, partition: int) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Manifest of the highest epoch and all chunks of one judge."""
        topic = self.config.topic("state")
        count = len(kafka.partitions(self.config, topic))
        if not count:
            return {}, {}
        manifest: dict[str, Any] = {}
        chunks: dict[str, bytes] = {}
        reader = kafka.consumer(self.config, f"{self.config.prefix}judge-state", **{"fetch.wait.max.ms": 20})
        reader.assign([TopicPartition(topic, partition % count, 0)])
        ended = False
        deadline = time.monotonic() + kafka.BROKER_TIMEOUT_S
        while not ended and time.monotonic() < deadline:
            for message in reader.consume(100, POLL_S):
                if message.error() is not None:
                    ended = ended or message.error().code() == KafkaError._PARTITION_EOF  # pyright: ignore
                    continue
                deadline = time.monotonic() + kafka.BROKER_TIMEOUT_S
                key, value = (message.key() or b"").decode(), message.value()
                owner, _, rest = key.partition("/")
                if owner != str(partition) or value is None:
                    continue
                if rest:
                    chunks[rest] = value
                    continue
                found = json.loads(value)
                if found["epoch"] >= manifest.get("epoch", 0):
                    manifest = found
        reader.close()
        return manifest, chunks


def cloud_event(verdict: Verdict, prefix: str) -> Headers:
    """CloudEvents attributes of a verdict as Kafka headers (binary mode)."""
    return [
        ("ce_specversion", "1.0"), ("ce_id", verdict.verdict_id), ("ce_source", f"/{prefix.rstrip('.')}/judge"),
        ("ce_type", "davy.v1.Verdict"), ("ce_time", iso(verdict.issued_at)), ("ce_subject", verdict.experiment_id),
        ("content-type", "application/avro"),
    ]  # fmt: skip


def prepare() -> None:
    """What a process should have done before it is needed."""
    deltas.warm()


def run(config: Config, stop: threading.Event) -> None:
    """The judge role: blocks until stopped."""
    kafka.require_broker(config)
    ensure_topics(config)
    JudgeLoop(config).run(stop)
