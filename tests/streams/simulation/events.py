"""What comes in: request events, records that are none, gaps in the offsets, specs and persons; remembered for the oracle."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas import codec
from schemas.config import Config
from schemas.control import Command, Control, SpecApplied, WeightApplied, WeightIntent
from streams.layout import Layout
from tests.streams.admission_oracle import Admission
from tests.streams.simulation.setting import BLOCK, CONTROL, EVENTS, SPEC
from tests.support.simulated_kafka import Place, SimBroker

MADE_UP = 6
"""Versions that nobody's spec names."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was produced at one offset; `fate` is counted, late, quarantined or dead, `version` under what it is counted."""

    version: str
    window: int
    error: bool
    fate: str
    event_us: int


class Events:
    """The source's partitions; `rows` by partition and offset."""

    def __init__(self, rng: random.Random, broker: SimBroker, config: Config) -> None:
        self.random = rng
        self.broker = broker
        self.config = config
        self.layout = Layout.of(config)
        self.rows: dict[Place, dict[int, Row]] = defaultdict(dict)
        self.flooded = rng.random() < 0.5
        self.partitions = self.partitions_at_first = rng.choice((1, 2, 3))
        self.last_us = 0
        """End of the last window that has rows."""
        self._admissions: dict[tuple[Place, int], Admission] = {}
        broker.create(EVENTS, self.partitions)

    def grow(self) -> None:
        """One partition more."""
        self.partitions += 1
        self.broker.create(EVENTS, self.partitions)

    @property
    def ends(self) -> Mapping[int, int]:
        """Where each partition ends."""
        return {p: self.broker.logs[EVENTS, p].end for p in range(self.partitions)}

    def event(self, now_us: int) -> None:
        """One record somewhere, or an offset without one."""
        place = (EVENTS, self.random.randrange(self.partitions))
        kind = self.random.random()
        if kind < 0.03:
            self.broker.logs[place].entries.append(None)
            return
        if kind < 0.06:
            offset = self.broker.append(place, None, self.random.choice((b"", b"junk", b"\xc3\x01" + b"x" * 20)))
            self.rows[place][offset] = Row("", 0, False, "dead", 0)
            return
        delay = self.random.choice((0.0, 0.5, 1.0, 2.0, 4.0, 7.0, 30.0, -2.0, -90.0))
        event_us = now_us - round(delay * 1e6)
        version, error = self.random.choice("12"), self.random.random() < 0.2
        if self.flooded and self.random.random() < 0.3:
            version = f"x{self.random.randrange(MADE_UP)}"
        offset = self.broker.append(place, None, _event(event_us, version, error))
        arrival_us = now_us // 1000 * 1000
        limits = self.config.limits
        fate = "counted"
        if event_us > arrival_us + limits.future_us:
            fate = "quarantined"
        elif event_us < arrival_us - limits.lateness_us:
            fate = "late"
        window = (event_us if fate == "counted" else arrival_us) // limits.window_us * limits.window_us
        self.last_us = max(self.last_us, window + limits.window_us)
        self.rows[place][offset] = Row(self._label(place, offset, version, window), window, error, fate, event_us)

    def _label(self, place: Place, offset: int, version: str, window: int) -> str:
        """Under which version the row is counted: its own, or __other__ where its block has no slot for it."""
        block = (place, offset // BLOCK)
        admission = self._admissions.setdefault(block, Admission(self.layout))
        labels = ("sim", "cart", "test", version, None, None)
        number = admission.cell(labels, window)
        admitted, _ = admission.keys[admission.late(labels, window) if number is None else number]
        return str(admitted[3])

    # -- control -------------------------------------------------------------------------------------------------

    def apply(self, now_us: int) -> None:
        """The spec comes into force."""
        self._say(now_us, SpecApplied(SPEC, "sim.yaml", "x"))

    def person(self, now_us: int) -> int:
        """Somebody pauses or resumes, or the weights are set; how many microseconds that takes."""
        number = self.broker.logs[CONTROL, 0].end
        if self.random.random() < 0.5:
            self._say(now_us, Command(f"c{number}", self.random.choice(("pause", "resume"))))
            return 0
        weights = {"canary": 0.5, "control": 0.5}
        self._say(now_us, WeightIntent(f"i{number}", 0, weights))
        if self.random.random() >= 0.8:
            return 0
        lasts_us = round(self.random.uniform(0, 2e6))
        self._say(now_us + lasts_us, WeightApplied(f"i{number}", 0, weights))
        return lasts_us

    def _say(self, now_us: int, body: Any) -> None:
        self.broker.append((CONTROL, 0), b"sim", Control("sim", now_us, "sim", "because", body).encode())


def _event(event_us: int, version: str, error: bool) -> bytes:
    nothing = ("segment", "unit_id", "instance", "endpoint", "error", "cpu_us", "memory_bytes", "measures", "variant")
    return codec.encode(
        "RequestEvent",
        dict.fromkeys(nothing) | {
            "timestamp": event_us, "service": "cart", "environment": "test", "version": version, "experiment_id": "sim",
            "status": 500 if error else 200, "duration_us": 1000, "sample_rate": 1.0,
        },
    )  # fmt: skip
