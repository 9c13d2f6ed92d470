"""The judge's shell: deltas in from Kafka, windows and verdicts out.

Protocol (DATAFLOW, section 5), per owned delta partition d:

1. Assigned: read the newest valid state of d, claim d in its own log, go on at the delta offset that belongs to the state
   (`streams.judge_state`). Who reads a later claim than its own has been superseded, and ends, to begin anew.
2. Every record goes through `Judge.step`; what comes out is produced to davy.windows, davy.verdicts and davy.budgets.
3. At the end of the log begin to copy davy.control into d, from the control offset that the state holds on. The judge
   applies a control record only when it reads it back, and only where none is missing before it. A copy that did not come
   back by a later end of the log was lost: all that is missing is copied again.
4. Now and then the state is saved.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Sequence

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import Counter, Gauge

from schemas.budget import BudgetStatus
from schemas.codec import Malformed, UnknownSchema, iso
from schemas.config import Config
from schemas.delta import Claim, ControlCopy, encode_delta
from schemas.errors import InfrastructureError
from schemas.signature import HEADER, Signer
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams import deltas, kafka
from streams.control_log import ControlLog
from streams.deltas import Read
from streams.judge import Alarm, Output, Repair
from streams.judge_settings import JudgeSettings
from streams.judge_state import JudgeState, Owned
from streams.membership import member
from streams.outbox import Headers, Outbox
from streams.standing import HERE
from streams.topics import ensure_topics, topic_names
from streams.warm import warm_judge

POLL_S = 0.1
BATCH_MAX = 500
TELL_EVERY_S = 1.0
COPY_AGAIN_S = 5.0
"""How long copies of control records may take to come back before they are written again."""
CLOSE_S = 5.0
GC_THRESHOLD = (100_000, 20, 100)
"""A judge makes many objects that live for minutes and hardly a cycle: the usual threshold (700) takes a third of its time."""

log = structlog.get_logger("judge")
VERDICTS = Counter("davy_judge_verdicts_total", "Verdicts issued.", ["action"])
WINDOWS = Counter("davy_judge_windows_total", "Windows summarised.")
DELTAS = Counter("davy_judge_deltas_total", "Records of the delta log handled.")
ALARMS = Counter("davy_judge_alarms_total", "Things an operator must know.")
ROWS = Counter(
    "davy_judge_rows_total", "Rows counted, by fate: `rows` are evidence, `other` of all these have no label.", ["fate"]
)
STUCK = Gauge("davy_judge_gaps", "Source partitions whose counts do not add up for long.", ["partition"])
COPIED_AGAIN = Counter("davy_judge_control_copied_again_total", "Control records whose copies were lost.")
WATCHED = Gauge("davy_judge_watched", "Versions of services without an experiment under watch.", ["partition"])
LEFT_OUT = Gauge(
    "davy_judge_watch_left_out", "Versions that are not watched: more than limits.watched_versions.", ["partition"]
)
WATERMARK = Gauge("davy_judge_closed_seconds", "Event time up to which windows are closed.", ["partition"])


class JudgeLoop:
    """Owns delta partitions and moves records; all thinking is in `Judge`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.outbox = Outbox(config)
        membership = member(config, "judge")
        self.deltas: Consumer = kafka.consumer(config, f"{config.prefix}judge", **membership)
        self.control = ControlLog(config)
        self.state = JudgeState(config, self.outbox, str(membership.get("group.instance.id", "")))
        self.delta_topic = config.topic("deltas")
        self.partitions = kafka.partitions(config, self.delta_topic)
        self.topics = topic_names(config)
        self.signer = Signer.of(config.signing)
        self.owned: dict[int, Owned] = {}
        self._tell_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        self.begin()
        try:
            while not stop.is_set():
                self.once()
        finally:
            self.outbox.close(CLOSE_S)
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
        fresh = self.control.read()
        for partition, owned in self.owned.items():
            if owned.caught_up:
                self._copy(partition, owned, fresh)
        self.outbox.poll()
        if time.monotonic() > self._tell_at:
            self._tell()
        for partition, owned in list(self.owned.items()):
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
            WATCHED.labels(partition).set(owned.judge.services.watched)
            LEFT_OUT.labels(partition).set(owned.judge.services.left_out)

    def begin(self) -> None:
        """Join the group, or take all partitions where the broker keeps no groups worth the name."""
        self.control.begin()
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
            self.state.settle(place.partition, owned)
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
                self._at_end(partition, owned)
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
        if isinstance(delta, Claim) and offset > owned.claim:
            raise InfrastructureError(
                f"another judge {delta.member} has claimed partition {partition} of {self.delta_topic}: this one begins anew"
            )
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
            case BudgetStatus():
                self._produce("budgets", output.key, output.encode(), [])
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
        self.outbox.put(self.config.topic(topic), key.encode(), value, headers=headers)

    # -- control and state ---------------------------------------------------------------------------------------

    def _at_end(self, partition: int, owned: Owned) -> None:
        """All of the log was read: copy what it does not hold of the control topic."""
        missing = self.control.after(owned.judge.control_offset)
        if not owned.caught_up:
            owned.caught_up = True
        elif not missing or time.monotonic() - owned.copied_s < COPY_AGAIN_S:
            return
        else:
            COPIED_AGAIN.inc(len(missing))
            log.warning("control records did not come back, copied again", partition=partition, records=len(missing))
        self._copy(partition, owned, missing)

    def _copy(self, partition: int, owned: Owned, copies: Sequence[ControlCopy]) -> None:
        if copies:
            owned.copied_s = time.monotonic()
        for copy in copies:
            self.outbox.put(self.delta_topic, b"control", encode_delta(copy), partition)

    def _save(self, partition: int, owned: Owned) -> None:
        if not self.state.save(partition, owned):
            log.warning("state not acknowledged", partition=partition)

    def _restore(self, partition: int) -> Owned:
        settings = JudgeSettings.of(self.config, partition, len(self.partitions), self.topics)
        return self.state.restore(partition, settings)


def cloud_event(verdict: Verdict, prefix: str) -> Headers:
    """CloudEvents attributes of a verdict as Kafka headers (binary mode)."""
    return [
        ("ce_specversion", "1.0"), ("ce_id", verdict.verdict_id), ("ce_source", f"/{prefix.rstrip('.')}/judge"),
        ("ce_type", "davy.v1.Verdict"), ("ce_time", iso(verdict.issued_at)), ("ce_subject", verdict.experiment_id),
        ("content-type", "application/avro"),
    ]  # fmt: skip


def prepare() -> None:
    """For a process that has this role alone, before `run`."""
    gc.set_threshold(*GC_THRESHOLD)
    warm_judge()


def run(config: Config, stop: threading.Event) -> None:
    """The judge role: blocks until stopped."""
    kafka.require_broker(config)
    ensure_topics(config)
    JudgeLoop(config).run(stop)
