"""What is done to which part, and how it is healed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from bench.failsafe.system import ROLES, System
from tests.support.wrong_clock import WrongClock

MODES = ("killed", "frozen", "slowed", "disk full", "queue full")
CLOCK = ("an hour ahead", "an hour behind", "stands still", "half as fast")
PARTS = ("broker", "registry", *ROLES, "clickhouse", "proxy")
NOT_APPLICABLE = {("proxy", "disk full"): "HAProxy writes no file"}
NAMES = {"web": "console", "clickhouse": "ClickHouse", "proxy": "proxy (HAProxy)"}
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Fault:
    """One part, one way to fail."""

    part: str
    mode: str

    def __str__(self) -> str:
        return f"{NAMES.get(self.part, self.part)} {self.mode}"

    def strike(self, system: System) -> None:
        """Now."""
        if self.part == "clock":
            self._set(system.clock)
            return
        part = system.parts[self.part]
        match self.mode:
            case "killed":
                part.kill()
            case "frozen":
                part.freeze()
            case "slowed":
                part.slow()
            case "disk full":
                part.fill()
            case _:
                for name in self._links():
                    system.relays[name].freeze()

    def heal(self, system: System) -> None:
        """The part is as it should be again; nobody helps it to its feet but a keeper."""
        if self.part == "clock":
            system.clock.right()
            return
        for name in self._links():
            system.relays[name].heal()
        system.parts[self.part].heal()

    def _links(self) -> tuple[str, ...]:
        return ROLES if self.part == "broker" else (self.part,)

    def _set(self, clock: WrongClock) -> None:
        match self.mode:
            case "an hour ahead":
                clock.off(HOUR_S)
            case "an hour behind":
                clock.off(-HOUR_S)
            case "stands still":
                clock.at_rate(0.0)
            case _:
                clock.at_rate(0.5)


def singles() -> list[Fault]:
    """All that applies, one at a time."""
    faults = [Fault(part, mode) for part in PARTS for mode in MODES if (part, mode) not in NOT_APPLICABLE]
    return faults + [Fault("clock", mode) for mode in CLOCK]


def pairs(count: int, seed: int) -> Iterator[tuple[Fault, Fault]]:
    """A sample of two faults of different parts at once; the clock, which needs processes of its own, is left out."""
    chosen, faults = random.Random(seed), [fault for fault in singles() if fault.part != "clock"]
    made = 0
    while made < count:
        one, other = chosen.sample(faults, 2)
        if one.part != other.part:
            made += 1
            yield one, other
