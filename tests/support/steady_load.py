"""Request events at a steady pace, a few of them late, from the future, of unusable values or no events at all."""

from __future__ import annotations

import random
import threading
import time

from confluent_kafka import Producer

from schemas import codec

STEP_S = 0.05
PULSE_S, PAUSE_S = 3.0, 0.8
"""It comes in pulses, so that readers who do not know of each other stop at the same offsets now and then."""
EXPERIMENTS = 4
ODD = {"late": 0.02, "future": 0.004, "negative": 0.004, "keyless": 0.004, "garbage": 0.004}
AHEAD_US = {"late": -20_000_000, "future": 600_000_000}


class SteadyLoad(threading.Thread):
    """Produces until `stop`; every record was acknowledged by then. A `steady` one has no pauses and nothing odd."""

    def __init__(
        self, bootstrap: str, topic: str, partitions: int, per_second: int, seed: int, steady: bool = False
    ) -> None:
        super().__init__(daemon=True)
        self.topic, self.partitions, self.per_second = topic, partitions, per_second
        self.random = random.Random(seed)
        self.pause_s, odd = (0.0, {}) if steady else (PAUSE_S, ODD)
        self.produced = 0
        self._stopping = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 5,
                "message.timeout.ms": 0, "queue.buffering.max.messages": 1_000_000, "log_level": 2,
            }
        )  # fmt: skip
        self._events = {kind: [_halves(kind, i) for i in range(64)] for kind in ("usual", *odd)}
        self._kinds = ["usual", *odd]
        self._odds = [1 - sum(odd.values()), *odd.values()]

    def run(self) -> None:
        begun, due = time.monotonic(), 0.0
        while not self._stopping.wait(STEP_S):
            elapsed = time.monotonic() - begun
            if elapsed % (PULSE_S + self.pause_s) > PULSE_S:
                due = 0.0
                continue
            due += self.per_second * STEP_S
            while due >= 1:
                due -= 1
                self._produce()
            self._producer.poll(0)

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        assert self._producer.flush(60) == 0, "the broker did not take all events"

    def _produce(self) -> None:
        kind = self.random.choices(self._kinds, self._odds)[0]
        before, after = self.random.choice(self._events[kind])
        now_us = time.time_ns() // 1000
        value = b"no event" if kind == "garbage" else before + varint(now_us + AHEAD_US.get(kind, 0)) + after
        self._producer.produce(self.topic, value, partition=self.random.randrange(self.partitions))
        self.produced += 1


def _halves(kind: str, number: int) -> tuple[bytes, bytes]:
    """An event's bytes before and behind its timestamp, which is its first field."""
    variant = number % 2
    nothing = ("segment", "instance", "endpoint", "error", "cpu_us", "memory_bytes", "measures")
    event = codec.encode(
        "RequestEvent",
        dict.fromkeys(nothing) | {
            "timestamp": 0, "service": "" if kind == "keyless" else "cart", "environment": "test",
            "version": ("1", "2")[variant], "experiment_id": f"e{number // 2 % EXPERIMENTS}",
            "variant": ("control", "canary")[variant], "unit_id": f"u{number}", "status": 500 if number % 7 == 0 else 200,
            "duration_us": -1 if kind == "negative" else 1000 + 37 * number, "sample_rate": 1.0,
        },
    )  # fmt: skip
    return event[: codec.HEADER_BYTES], event[codec.HEADER_BYTES + 1 :]


def event(number: int) -> bytes:
    """A usual event of this moment."""
    before, after = _halves("usual", number)
    return before + varint(time.time_ns() // 1000) + after


def varint(number: int) -> bytes:
    """Avro's zigzag encoding of a number that is not negative."""
    rest, out = number << 1, bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)
