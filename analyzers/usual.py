"""What is usual for a series at this time: shops close at eight, a batch runs at night, traffic falls back after a burst.

A change is no news where its level was seen

* on two of the last seven days within a quarter of an hour of this time of day, or a week ago, or
* in most of the last two hours.

Levels are medians of a minute, so that a spike is not what is usual; of each quarter of an hour the worst counts. A quarter
enters the memory of the week two hours late: until then a week ago is remembered, and what happens now is not its own past.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import field, replace
from statistics import median

from schemas.frozen import frozen

MINUTE_US, QUARTER_US = 60_000_000, 900_000_000
DAY = 96
WEEK = 7 * DAY
"""Quarters of an hour."""
HELD = 8
"""Latest quarters: two hours."""
HELD_MIN = 4
DAYS_MIN = 2
"""Days on which it must have been so."""


def _nothing() -> array[float]:
    return array("d")


def _unknown() -> array[float]:
    return array("d", [math.nan]) * WEEK


@frozen(eq=False)
class Usual:
    """`worse` is 1 where more is worse and -1 where less is. `week` (WEEK,): of each quarter of the week the worst minute,
    NaN where there was none; `worst` and `middle` of the quarters before `quarter`, at most HELD; `minutes` of this one,
    `values` of this minute."""

    worse: float
    quarter: int = 0
    minute: int = 0
    week: array[float] = field(default_factory=_unknown)
    worst: array[float] = field(default_factory=_nothing)
    middle: array[float] = field(default_factory=_nothing)
    minutes: array[float] = field(default_factory=_nothing)
    values: array[float] = field(default_factory=_nothing)

    def step(self, start_us: int, value: float) -> Usual:
        """After one more window; NaN is none. One from before the minute that is known changes nothing."""
        minute = start_us // MINUTE_US
        if minute < self.minute:
            return self
        usual = self if minute == self.minute else self._closed(minute)
        return usual if math.isnan(value) else replace(usual, values=array("d", [*usual.values, value]))

    def _closed(self, minute: int) -> Usual:
        """Its minute is over, and perhaps its quarter."""
        minutes = array("d", [*self.minutes, median(self.values)]) if self.values else self.minutes
        quarter = minute * MINUTE_US // QUARTER_US
        if quarter == self.quarter:
            return replace(self, minute=minute, minutes=minutes, values=_nothing())
        worst, middle, week = self.worst[:], self.middle[:], self.week[:]
        for number in range(max(self.quarter, quarter - WEEK), quarter) if self.minute else ():
            worst.append(max(minutes, key=self._badness) if minutes else math.nan)
            middle.append(median(minutes) if minutes else math.nan)
            if len(worst) > HELD:
                week[(number - HELD) % WEEK] = worst.pop(0)
                middle.pop(0)
            minutes = _nothing()  # of quarters without a window
        return Usual(self.worse, quarter, minute, week, worst, middle)

    def _badness(self, value: float) -> float:
        return self.worse * value

    def bound(self, time_us: int) -> float:
        """The worst level that is usual at a time that is not before the latest window; NaN where nothing is known."""
        quarter = time_us // QUARTER_US
        days = [
            self._worst_of([self.week[(quarter - day * DAY + near) % WEEK] for near in (-1, 0, 1)])
            for day in range(1, 8)
        ]
        seen = sorted((day for day in days if not math.isnan(day)), key=self._badness, reverse=True)
        lately = [value for value in self.middle if not math.isnan(value)]
        known = [days[-1]] if not math.isnan(days[-1]) else []
        known += [seen[DAYS_MIN - 1]] if len(seen) >= DAYS_MIN else []
        known += [median(lately)] if len(lately) >= HELD_MIN else []
        return self._worst_of(known)

    def _worst_of(self, values: list[float]) -> float:
        return max((value for value in values if not math.isnan(value)), key=self._badness, default=math.nan)
