"""For deployers: verdicts, each applied once, the latest only, none that is forged, old or said before.

    from deploy.subscriber import Subscriber

    with Subscriber(load_config(Path("davy.yaml")), "my-deployer", apply=deploy) as subscriber:
        subscriber.run(stop)

`apply(verdict, attempt)` says None when it was applied, or why not: then it is tried again, with growing pauses, until a
later verdict takes its place, it expires, or `TRIES_MAX` is reached. The state is one file that is replaced by rename:

1. Read to the end of the log; check each verdict's signature, epoch and sequence (`deploy.subscription`). Save.
2. Take the next verdict that is due, save that it is being tried, apply it, save that it was applied.
3. Write what was refused to the ledger, acknowledged; then forget the outbox.

A crash between applying and saving makes the same verdict come again with a higher `attempt`; whoever applies it recognises
its `verdict_id`. So its effect happens once, also across crashes.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Self

import structlog
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from prometheus_client import Counter

from deploy.subscription import Refusal, Subscription
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.errors import InfrastructureError, UserError
from schemas.signature import HEADER, Keys, Signer, of_headers
from schemas.verdict import WATCHED, Action, Verdict
from streams import kafka
from streams.clock import Clock

BATCH_MAX = 500
POLL_S = 0.2
TRIES_MAX = 5
PAUSE_FIRST_S, PAUSE_MAX_S = 1.0, 30.0
LEDGER_TIMEOUT_S = 10.0
OUTBOX_MAX = 10_000
"""Refusals kept for a ledger that takes none; of more, the oldest are only counted."""

Apply = Callable[[Verdict, int], str | None]
Told = Callable[[str, Verdict, str], None]
"""Called with applied, refused, failed or retried, the verdict, and the reason."""

log = structlog.get_logger("subscriber")
VERDICTS = Counter("davy_subscriber_verdicts_total", "What became of verdicts.", ["outcome"])


class Subscriber:
    """One subscriber by its name; only one process at a time may use a name. Raises `UserError` where another does, or where
    its state cannot be read, `InfrastructureError` where the broker is not there."""

    def __init__(
        self, config: Config, name: str, apply: Apply, experiment: str | None = None, actions: Sequence[Action] = (),
        told: Told | None = None, ledger: bool = True,
    ) -> None:  # fmt: skip
        self.config, self.name, self.apply = config, name, apply
        self.experiment, self.actions, self.told, self.ledger = experiment, frozenset(actions), told, ledger
        self.keys, self.signer, self.clock = Keys.of(config.signing), Signer.of(config.signing), Clock.of(config)
        self.folder = config.data_dir / "subscribers"
        self.path = self.folder / f"{name}.json"
        self.topic = config.topic("verdicts")
        self.state = Subscription()
        self.failed = 0
        self._behind: set[int] = set()
        self._retry_s: dict[str, float] = {}
        self._lock: IO[str] | None = None
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / f"{self.name}.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another subscriber named {self.name} runs here: end it, or say another --name") from None
        kafka.require_broker(self.config)
        self._load()
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        if self._consumer is not None:
            self._consumer.close()
        if self._lock is not None:
            self._lock.close()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            self.once()

    def catch_up(self, stop: threading.Event) -> None:
        """Until the log's present end was read and nothing waits any more."""
        self.once()
        while not stop.is_set() and (self._behind or self.state.waiting):
            self.once()

    def once(self) -> None:
        """Read what came; at the end of the log refuse what has expired, and apply what is due."""
        assert self._consumer is not None
        messages = self._consumer.consume(BATCH_MAX, POLL_S)
        refused = [refusal for message in messages if (refusal := self._take(message)) is not None]
        if not self._behind:
            refused += [(refusal, refusal.verdict.verdict_id) for refusal in self.state.expired(self.clock.now_us())]
        for refusal, cause in refused:
            self._refuse(refusal, cause)
        if messages or refused:
            self._save()
        if not self._behind:
            self._apply_due()
        self._write_ledger()

    # -- reading -------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        partitions = kafka.partitions(self.config, self.topic)
        if not partitions:
            raise InfrastructureError(f"there is no topic {self.topic}: is Davy running on this Kafka?")
        self._consumer = consumer = kafka.consumer(self.config, f"{self.config.prefix}subscriber-{self.name}")
        ends = {
            p: consumer.get_watermark_offsets(TopicPartition(self.topic, p), kafka.BROKER_TIMEOUT_S)[1]
            for p in partitions
        }
        if any(self.state.offsets.get(p, 0) > end for p, end in ends.items()):
            log.warning("the log begins anew", topic=self.topic)
            self.state.forget_log()
        self._behind = set(partitions)
        consumer.assign([TopicPartition(self.topic, p, self.state.offsets.get(p, 0)) for p in partitions])

    def _take(self, message: Message) -> tuple[Refusal, str] | None:
        partition, offset, value, error = message.partition(), message.offset(), message.value(), message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF and partition is not None:  # pyright: ignore[reportPrivateUsage]
                self._behind.discard(partition)
            elif error.code() == KafkaError._ALL_BROKERS_DOWN:  # pyright: ignore[reportPrivateUsage]
                log.warning("no broker answers", topic=self.topic)
            return None
        if partition is None or offset is None:
            return None
        self._behind.add(partition)
        self.state.offsets[partition] = offset + 1
        try:
            verdict = Verdict.decode(value or b"")
        except (Malformed, UnknownSchema) as unreadable:
            VERDICTS.labels("unreadable").inc()
            log.warning("unreadable verdict", partition=partition, offset=offset, error=str(unreadable))
            return None
        if not self._asked(verdict):
            return None
        fault = self.keys.fault("Verdict", value or b"", of_headers(message.headers()))
        wanted = not self.actions or verdict.action in self.actions
        refusal = self.state.take(verdict, fault, offset if partition == 0 else -1, wanted)
        return None if refusal is None else (refusal, f"{verdict.verdict_id} {partition}/{offset}")

    def _asked(self, verdict: Verdict) -> bool:
        """Of the experiment that was named; without one of all, but not of services that are only watched."""
        if self.experiment is None:
            return not verdict.experiment_id.startswith(WATCHED)
        return verdict.experiment_id == self.experiment

    # -- applying ------------------------------------------------------------------------------------------------------

    def _apply_due(self) -> None:
        """What is due now, one verdict after the other; between two the log is looked at again."""
        verdict = self.state.due(self.clock.now_us())
        if verdict is None or time.monotonic() < self._retry_s.get(verdict.verdict_id, 0.0):
            return
        attempt = self.state.trying(verdict)
        self._save()
        fault = self.apply(verdict, attempt)
        if fault is None:
            self.state.settled(verdict, applied=True)
            self._tell("applied", verdict, verdict.reason)
        elif attempt < TRIES_MAX:
            pause = min(PAUSE_FIRST_S * 2 ** (attempt - 1), PAUSE_MAX_S)
            self._retry_s = {verdict.verdict_id: time.monotonic() + pause}
            self._tell("retried", verdict, f"{fault}; it is tried again in {pause:g} s")
        else:
            self.state.settled(verdict, applied=False)
            self.failed += 1
            refusal = Refusal(verdict, f"{fault}, {attempt} times", "FAILED")
            self._refuse(refusal, verdict.verdict_id)
        self._save()

    def _refuse(self, refusal: Refusal, cause: str) -> None:
        self.state.record(refusal, self.name, cause, self.clock.now_us())
        if not self.ledger:
            self.state.outbox.clear()
        del self.state.outbox[:-OUTBOX_MAX]
        self._tell(refusal.outcome.lower(), refusal.verdict, refusal.reason)

    def _tell(self, outcome: str, verdict: Verdict, reason: str) -> None:
        VERDICTS.labels(outcome).inc()
        if self.told is not None:
            self.told(outcome, verdict, reason)

    # -- the ledger and the state --------------------------------------------------------------------------------------

    def _write_ledger(self) -> None:
        """Send the outbox; what the broker does not take now is sent again the next time."""
        if not self.state.outbox:
            return
        self._producer = self._producer or kafka.producer(
            self.config, **{"message.timeout.ms": int(LEDGER_TIMEOUT_S * 1000)}
        )
        faults: list[str] = []
        for value in self.state.outbox:
            headers: dict[str, str | bytes | None] = {}
            if self.signer is not None:
                headers[HEADER] = self.signer.sign("Decision", value)
            self._producer.produce(
                self.config.topic("decisions"), value, self.name.encode(), headers=headers,
                on_delivery=lambda error, _: faults.append(str(error)) if error else None,
            )  # fmt: skip
        left = self._producer.flush(LEDGER_TIMEOUT_S)
        if left or faults:
            log.warning("the ledger does not take what was refused", records=len(self.state.outbox), error=faults[:1])
            return
        self.state.outbox.clear()
        self._save()

    def _load(self) -> None:
        try:
            self.state = Subscription.load(json.loads(self.path.read_text("utf-8")))
        except FileNotFoundError:
            self.state = Subscription()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.path} cannot be read ({error}): mend it, or remove it to begin with the latest verdicts"
            ) from error

    def _save(self) -> None:
        fresh = self.path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(self.state.dump(), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
