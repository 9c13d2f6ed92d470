"""Tells one other system what was done, from the ledger: in order, at least once, without holding up anybody else.

A thread of the rollout role for each receiver reads `davy.decisions` from where it was (a file in `data_dir`; the first time
what was decided from then on). What a receiver does not take is told again, with growing pauses, `TRIES` times; then it is
said in the log, and the next one follows.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaException, Message, TopicPartition
from prometheus_client import Counter

from deploy.notify.base import Notice, Notifier, NotTold, notices, tells
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.control import Control, SpecApplied
from schemas.decision import Decision
from schemas.errors import InfrastructureError
from schemas.located import Errors
from schemas.spec import ExperimentSpec, load_specs
from streams import kafka

TRIES = 6
PAUSE_FIRST_S, PAUSE_MAX_S = 1.0, 60.0
BATCH_MAX = 100
POLL_S = 0.2
SPECS_MAX = 1_000
"""Specs that are remembered; others are looked up in the control topic again."""

log = structlog.get_logger("notifier")
TOLD = Counter("davy_notifier_notices_total", "What became of notices to other systems.", ["outcome"])


class LedgerNotifier(threading.Thread):
    """Runs until `stop` is set."""

    def __init__(self, config: Config, notifier: Notifier, now_us: Callable[[], int], stop: threading.Event) -> None:
        super().__init__(name=notifier.name, daemon=True)
        self.config, self.notifier, self._halt = config, notifier, stop
        self.topic = config.topic("decisions")
        place = hashlib.sha256(notifier.name.encode()).hexdigest()[:16]
        self.path = config.data_dir / "notify" / f"{place}.json"
        self._specs: dict[str, ExperimentSpec] = {}
        self._next, self._since_us = self._position(now_us)

    def run(self) -> None:
        while not self._halt.is_set():
            try:
                self._follow()
            except (InfrastructureError, KafkaException, OSError) as error:
                log.warning("begins again", receiver=self.notifier.name, error=str(error))
                self._halt.wait(PAUSE_FIRST_S)

    def _follow(self) -> None:
        consumer = kafka.consumer(self.config, f"{self.config.prefix}notifier")
        try:
            consumer.assign([TopicPartition(self.topic, 0, self._next)])
            while not self._halt.is_set():
                for message in consumer.consume(BATCH_MAX, POLL_S):
                    if message.error() is None and not self._take(message):
                        return
        finally:
            consumer.close()

    def _position(self, now_us: Callable[[], int]) -> tuple[int, int]:
        """The next offset, and the time from which on decisions are told."""
        try:
            held = json.loads(self.path.read_text("utf-8"))
            return int(held["next"]), int(held["since_us"])
        except (OSError, ValueError, KeyError, TypeError):
            self._next, self._since_us = 0, now_us()
            self._keep()
            return self._next, self._since_us

    def _keep(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        said = {"receiver": self.notifier.name, "next": self._next, "since_us": self._since_us}
        fresh.write_text(json.dumps(said) + "\n", "utf-8")
        fresh.replace(self.path)

    def _take(self, message: Message) -> bool:
        """Tell what a record has to tell; False where we were stopped before it was told."""
        for notice in self._notices(message.value() or b""):
            if not self._tell(notice):
                return False
        self._next = int(message.offset() or 0) + 1
        self._keep()
        return True

    def _notices(self, value: bytes) -> list[Notice]:
        try:
            decision = Decision.decode(value)
        except (Malformed, UnknownSchema):
            return []  # `davy ledger verify` tells about it
        if decision.time < self._since_us or not tells(decision):
            return []
        spec = self._spec(decision.config_digest or "")
        if spec is None:
            log.warning("not told: its spec is not in the control topic", experiment=decision.experiment_id)
            return []
        return notices(decision, spec)

    def _spec(self, digest: str) -> ExperimentSpec | None:
        """As it was when the decision was made."""
        if digest not in self._specs:
            if len(self._specs) >= SPECS_MAX:
                self._specs.clear()
            for message in kafka.to_end(self.config, self.config.topic("control"), "notifier-specs"):
                try:
                    body = Control.decode(message.value() or b"").body
                    if isinstance(body, SpecApplied) and body.digest == digest:
                        self._specs[digest] = load_specs(body.document, path=body.path)[0]
                except (Malformed, UnknownSchema, Errors):
                    continue
        return self._specs.get(digest)

    def _tell(self, notice: Notice) -> bool:
        """Whether it is settled: told, or given up."""
        for attempt in range(1, TRIES + 1):
            try:
                self.notifier.tell(notice)
                TOLD.labels("told").inc()
                return True
            except NotTold as error:
                last = attempt == TRIES
                TOLD.labels("given up" if last else "again").inc()
                log.warning(
                    "given up" if last else "not told", receiver=self.notifier.name, what=notice.what,
                    experiment=notice.spec.id, attempt=attempt, error=str(error),
                )  # fmt: skip
            if attempt < TRIES and self._halt.wait(min(PAUSE_FIRST_S * 2 ** (attempt - 1), PAUSE_MAX_S)):
                return False
        return True
