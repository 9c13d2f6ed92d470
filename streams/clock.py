"""One clock for all roles: real time, or for the demo a faster one that was equal to it at `origin_us`.

Times that roles write down cannot be taken back: a judge whose log was told of a time an hour ahead has closed that hour's
windows. So a wall clock that parts from the time that has passed is not believed at once: meanwhile we count on from where
they parted. Whoever set it rightly is followed after `BELIEVED_S`.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import Self

import structlog

from schemas.config import Config
from schemas.frozen import frozen

S = 1_000_000
STEP_US = 1 * S
"""More than a clock that is merely slewed is off by within `ANCHOR_US`."""
ANCHOR_US = 60 * S
BELIEVED_S = 300.0

log = structlog.get_logger("clock")


class Steady:
    """The wall clock of this process, without steps."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._wall_us, self._passed_us = self._now()
        """When both were read together; what is between them since then is how far the wall clock is off."""
        self._off_since_us: int | None = None

    def now_us(self) -> int:
        """UTC microseconds."""
        with self._lock:
            wall_us, passed_us = self._now()
            expected_us = self._wall_us + passed_us - self._passed_us
            off_us = wall_us - expected_us
            if abs(off_us) <= STEP_US:
                self._off_since_us = None
                if passed_us - self._passed_us >= ANCHOR_US:
                    self._wall_us, self._passed_us = wall_us, passed_us
                return wall_us
            if self._off_since_us is None:
                self._off_since_us = passed_us
                log.error(
                    "the clock was set, or does not go right; not believed yet", off_s=off_us / S, until_s=BELIEVED_S
                )
            if passed_us - self._off_since_us < BELIEVED_S * S:
                return expected_us
            log.warning("the clock is believed now", off_s=off_us / S)
            self._wall_us, self._passed_us, self._off_since_us = wall_us, passed_us, None
            return wall_us

    def _now(self) -> tuple[int, int]:
        return time.time_ns() // 1000, _passed_ns() // 1000


def _passed_ns() -> int:
    """Time that has passed, where the system knows it with the time that it slept."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic_ns()


STEADY = Steady()


@frozen()
class Clock:
    """`speed` seconds pass in a real one."""

    speed: float = 1.0
    origin_us: int = 0

    @classmethod
    def of(cls, config: Config) -> Self:
        """From the configuration."""
        return cls(config.clock.speed, config.clock.origin_us)

    def now_us(self) -> int:
        """UTC microseconds."""
        real_us = STEADY.now_us()
        if self.speed == 1.0:
            return real_us
        return self.origin_us + round((real_us - self.origin_us) * self.speed)

    def real_s(self, us: int) -> float:
        """Real seconds that so many microseconds of this clock take."""
        return us / 1e6 / self.speed
