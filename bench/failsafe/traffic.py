"""Experiments in every state of a rollout, and events of theirs: both arms the same, row for row, until one is made bad."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field

from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from schemas import codec
from streams.encode import schema_text
from tests.support.steady_load import varint

STEP_S = 0.1
PER_SECOND = 60
"""Of each experiment."""
ERROR_EVERY, BAD_EVERY = 50, 2
"""One of so many requests fails; of those of a candidate gone bad."""
SUBJECT = "safe.events-value"
SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: {name}
hypothesis: round {round}
service: {service}
environment: test
variants: {{control: {{version: '1'}}, canary: {{version: '2'}}}}
randomization: request
slis: [{{name: errors, type: error_ratio, max_increase: 0.5pp}}]
policy: {{min_duration: 1s, min_requests: 100}}
steps: [{{weight: 50%, duration: {duration}}}]
{more}
"""
SHIFTED = ("promoting", "rolling-back", "aborting", "shifting")
"""Experiments whose traffic is being shifted when the fault comes."""
STILL = ("paused", "promoted", "rolled-back", "aborted")
"""Experiments that stay as they are, whatever comes."""
STATES = 11
"""Of a rollout: pending, queued and baking, each of `STILL`, and the five that shifts begin, go through and end in."""
SERVICES = ("baking", "trap", *STILL, *SHIFTED)


def spec(name: str, number: int = 0) -> str:
    """An experiment's document; `trap-N` would be promoted as soon as it is safe, the others bake for hours."""
    service = {"queued": "baking"}.get(name, name.partition("-")[0] if name.startswith(("trap-", "pending-")) else name)
    more = "overlap: queue" if name == "queued" else "mode: shadow" if service == "pending" else ""
    duration = "1s" if service == "trap" else "10h"
    return SPEC.format(name=name, round=number, service=service, duration=duration, more=more)


@dataclass(slots=True)
class Arms:
    """One experiment's requests."""

    service: str
    bad: bool = False
    sent: int = 0
    rests: dict[tuple[str, int, bool], bytes] = field(default_factory=dict[tuple[str, int, bool], bytes])


class Traffic(threading.Thread):
    """Sends until `stop`; every event was acknowledged by then. `renew` changes the writers' schema, as a new version of the
    services would."""

    def __init__(self, bootstrap: str, registry: str, topic: str, partitions: int) -> None:
        super().__init__(daemon=True)
        self.topic, self.partitions = topic, partitions
        self.arms: dict[str, Arms] = {}
        self.lock = threading.Lock()
        self._registry = SchemaRegistryClient({"url": registry})
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 0,
                "queue.buffering.max.messages": 1_000_000, "log_level": 2,
            }
        )  # fmt: skip
        self._over = threading.Event()
        self._next, self._header, self._sent, self._made = 0, b"", 0, 0
        self.prepare()
        self.renew()

    def run(self) -> None:
        """At a steady pace; what was missed is not made up for."""
        while not self._over.wait(STEP_S):
            with self.lock:
                for name, arms in self.arms.items():
                    for _ in range(round(PER_SECOND * STEP_S)):
                        self._send(name, arms)
            self._producer.poll(0)

    def stop(self) -> None:
        """When all is acknowledged."""
        self._over.set()
        self.join()
        left = self._producer.flush(60)
        assert left == 0, f"the broker did not take {left} events"

    def send(self, name: str, service: str) -> None:
        """From now on, an experiment's requests."""
        with self.lock:
            self.arms[name] = Arms(service)

    def prepare(self) -> None:
        """Register the schema that `renew` takes into use: nobody has read it before."""
        document = json.loads(schema_text())
        self._made += 1
        document["fields"].append({"name": f"extra_{self._made}", "type": ["null", "int"], "default": None})
        self._next = self._registry.register_schema(SUBJECT, Schema(json.dumps(document), "AVRO"))

    def renew(self) -> None:
        """Write with the schema that was prepared."""
        with self.lock:
            self._header = b"\0" + self._next.to_bytes(4, "big")

    def _send(self, name: str, arms: Arms) -> None:
        number, arms.sent = arms.sent // 2, arms.sent + 1
        variant = ("control", "canary")[(arms.sent - 1) % 2]
        bad = arms.bad and variant == "canary"
        failed = number % (BAD_EVERY if bad else ERROR_EVERY) == 0
        key = (variant, number % 97, failed)
        if key not in arms.rests:
            arms.rests[key] = _rest(name, arms.service, *key)
        self._sent += 1
        value = self._header + varint(time.time_ns() // 1000) + arms.rests[key] + b"\0"
        self._producer.produce(self.topic, value, partition=self._sent % self.partitions)


def _rest(name: str, service: str, variant: str, number: int, failed: bool) -> bytes:
    """An event's bytes behind its timestamp, which is its first field."""
    nothing = ("segment", "instance", "endpoint", "error", "cpu_us", "memory_bytes", "measures")
    event = codec.encode(
        "RequestEvent",
        dict.fromkeys(nothing) | {
            "timestamp": 0, "service": service, "environment": "test", "version": "1" if variant == "control" else "2",
            "experiment_id": name, "variant": variant, "unit_id": f"u{number}", "status": 500 if failed else 200,
            "duration_us": 15_000 + 37 * number, "sample_rate": 1.0,
        },
    )  # fmt: skip
    return event[codec.HEADER_BYTES + 1 :]
