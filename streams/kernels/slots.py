"""What a walk over a self-describing record finds at the places it was asked for: one slot a place.

Arrays (slots, n): `kind` uint8, `bits` int64, `start` int64 and `length` int32. A text lies at `start` in the buffer. So does
the text of a number out of JSON; a number that had no text has `start` -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streams.kernels import Array, compiled

MISSING, NULL, INT, FLOAT, TEXT, BOOL, NUMERAL, OTHER = range(8)
"""`bits` of an INT are its value, of a FLOAT the bits of its binary64, of a BOOL 0 or 1; a NUMERAL is a number that only its
text tells exactly; OTHER has parts of its own."""

MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
US_PER_S, S_PER_DAY = 1_000_000, 86_400


@compiled
def _digits(data: Array, place: int, count: int) -> Any:
    """The number that so many digits say, or -1."""
    value = 0
    for i in range(place, place + count):
        digit = np.int64(data[i]) - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value


@compiled
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March."""
    if month <= 2:
        year -= 1
        month += 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469


@compiled
def _offset_s(data: Array, place: int, end: int) -> int:
    """Seconds east of UTC of what is left of a time; nothing left is UTC; S_PER_DAY where it is no offset."""
    if place == end or (place + 1 == end and data[place] == 90):
        return 0
    if place + 6 != end or (data[place] != 43 and data[place] != 45) or data[place + 3] != 58:
        return S_PER_DAY
    hours, minutes = _digits(data, place + 1, 2), _digits(data, place + 4, 2)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return S_PER_DAY
    seconds = (hours * 60 + minutes) * 60
    return seconds if data[place] == 43 else -seconds


@compiled
def _time(data: Array, start: int, length: int) -> tuple[Any, bool]:
    """UTC microseconds of ``YYYY-MM-DDTHH:MM:SS[.fraction][Z or +HH:MM]``, and whether it is one; more digits are cut off."""
    end = start + length
    if (
        length < 19
        or data[start + 4] != 45
        or data[start + 7] != 45
        or (data[start + 10] != 84 and data[start + 10] != 32)
    ):
        return 0, False
    if data[start + 13] != 58 or data[start + 16] != 58:
        return 0, False
    year, month, day = _digits(data, start, 4), _digits(data, start + 5, 2), _digits(data, start + 8, 2)
    hour, minute, second = _digits(data, start + 11, 2), _digits(data, start + 14, 2), _digits(data, start + 17, 2)
    if year < 1 or month < 1 or month > 12 or day < 1 or hour < 0 or hour > 23 or minute < 0 or minute > 59:
        return 0, False
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if second < 0 or second > 59 or day > MONTH_DAYS[month - 1] + leap:
        return 0, False
    place, fraction, worth = start + 19, 0, US_PER_S
    if place < end and data[place] == 46:
        place += 1
        first = place
        while place < end and 48 <= data[place] <= 57:
            if worth > 1:
                worth //= 10
                fraction += (np.int64(data[place]) - 48) * worth
            place += 1
        if place == first:
            return 0, False
    offset_s = _offset_s(data, place, end)
    if offset_s == S_PER_DAY:
        return 0, False
    seconds = _days(year, month, day) * S_PER_DAY + (hour * 60 + minute) * 60 + second - offset_s
    return seconds * US_PER_S + fraction, True


@compiled
def times(data: Array, start: Array, length: Array, time_us: Array, ok: Array) -> None:
    """`_time` of many texts: int64 (n,) and bool (n,)."""
    for i in range(len(start)):
        time_us[i], ok[i] = _time(data, start[i], length[i])
