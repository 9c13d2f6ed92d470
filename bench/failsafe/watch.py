"""What a deployer, the proxy and an analyst see of a running Davy: read around the relays, never from Davy's own memory."""

from __future__ import annotations

import math
import threading
import time
from typing import cast

from clickhouse_driver import Client  # pyright: ignore[reportMissingTypeStubs]
from clickhouse_driver.errors import Error  # pyright: ignore[reportMissingTypeStubs]
from confluent_kafka import Consumer, TopicPartition

from deploy.traffic.base import TargetError
from deploy.traffic.haproxy import Options, RuntimeSocket
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.decision import Decision
from schemas.verdict import Verdict

POLL_S = 0.2


class Watch(threading.Thread):
    """Every verdict and every line of the ledger, as they come; the latest verdict of each experiment."""

    def __init__(self, config: Config) -> None:
        super().__init__(daemon=True)
        self.config = config
        self.lock = threading.Lock()
        self.latest: dict[str, Verdict] = {}
        self.said: dict[str, set[str]] = {}
        """Final actions of rollouts, by experiment."""
        self.ledger: dict[str, list[Decision]] = {}
        self._over = threading.Event()
        settings = dict(config.kafka) | {"group.id": "watch", "enable.auto.commit": False, "log_level": 2}
        self._consumer = Consumer(settings)
        self._consumer.assign([TopicPartition(config.topic(name), 0, 0) for name in ("verdicts", "decisions")])

    def run(self) -> None:
        """Until `end`."""
        while not self._over.is_set():
            for message in self._consumer.consume(500, POLL_S):
                value, topic = message.value(), message.topic()
                if message.error() is None and value is not None and topic is not None:
                    self._take(topic, value)
        self._consumer.close()

    def end(self) -> None:
        """No more."""
        self._over.set()
        self.join()

    def _take(self, topic: str, value: bytes) -> None:
        try:
            record = (Verdict if topic == self.config.topic("verdicts") else Decision).decode(value)
        except (Malformed, UnknownSchema):
            return
        with self.lock:
            if isinstance(record, Decision):
                self.ledger.setdefault(record.experiment_id, []).append(record)
                return
            self.latest[record.experiment_id] = record
            if record.phase == "rollout" and record.final:
                self.said.setdefault(record.experiment_id, set()).add(record.action)

    # -- what they mean ------------------------------------------------------------------------------------------------

    def holds(self, name: str) -> bool:
        """Whether a deployer who reads verdicts would hold now."""
        with self.lock:
            verdict = self.latest.get(name)
        return verdict is None or now_us() >= verdict.expires_at or verdict.action == "HOLD"

    def age_s(self, name: str) -> float:
        """How old the events are that the latest verdict saw."""
        with self.lock:
            verdict = self.latest.get(name)
        return math.inf if verdict is None else (now_us() - verdict.event_time) / 1e6

    def state(self, name: str) -> str:
        """Where the ledger says that a rollout is."""
        with self.lock:
            lines = [d for d in self.ledger.get(name, ()) if d.outcome != "REFUSED"]
        return lines[-1].state_after if lines else "pending"

    def done(self, name: str, kind: str) -> int:
        """How often this was done, by the ledger: each decision counts once."""
        with self.lock:
            return len({d.decision_id for d in self.ledger.get(name, ()) if (d.kind, d.outcome) == (kind, "DONE")})


def weights(admin: int, service: str) -> dict[str, int] | None:
    """What HAProxy itself says; None while it is silent."""
    socket = RuntimeSocket(Options(socket=f"127.0.0.1:{admin}"))
    try:
        return {name: int(socket.ask(f"get weight davy_{service}/{name}").split()[0]) for name in ("control", "canary")}
    except (TargetError, ValueError, IndexError):
        return None


def stored(port: int, experiment: str) -> float:
    """How old the newest window of an experiment in the store is, in seconds; infinite while there is none or no answer."""
    client = Client("127.0.0.1", port, user="analyst", password="s3cret", connect_timeout=2, send_receive_timeout=3)
    asked = "SELECT max(toUnixTimestamp(start)) FROM davy.windows WHERE experiment_id = %(name)s"
    try:
        ((newest,),) = cast("list[tuple[int]]", client.execute(asked, {"name": experiment}))  # pyright: ignore
    except (Error, OSError, EOFError):
        return math.inf
    finally:
        client.disconnect()
    return time.time() - newest if newest else math.inf


def now_us() -> int:
    """The right time."""
    return time.time_ns() // 1000
