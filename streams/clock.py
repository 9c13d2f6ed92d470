"""One clock for all roles: real time, or for the demo a faster one that was equal to it at `origin_us`."""

from __future__ import annotations

import time
from typing import Self

from schemas.config import Config
from schemas.frozen import frozen


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
        real_us = time.time_ns() // 1000
        if self.speed == 1.0:
            return real_us
        return self.origin_us + round((real_us - self.origin_us) * self.speed)

    def real_s(self, us: int) -> float:
        """Real seconds that so many microseconds of this clock take."""
        return us / 1e6 / self.speed
