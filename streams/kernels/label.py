"""Labels that a person can see and tell from others."""

from __future__ import annotations

import numpy as np

from streams.kernels import Array, compiled
from streams.kernels.avro_walk import is_utf8

_SPACES = (
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
)
_UNPRINTABLE = (
    (0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xE000, 0xF8FF), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFF), (0xE0000, 0x10FFFF),
)  # fmt: skip
SPACES, UNPRINTABLE = np.array(_SPACES, np.int64), np.array(_UNPRINTABLE, np.int64)
"""Ranges of code points; fixed here and not Unicode's newest: what ingest refuses must not depend on a library's version."""


@compiled
def _among(point: np.int64, ranges: Array) -> bool:
    for i in range(len(ranges)):
        if ranges[i, 0] <= point <= ranges[i, 1]:
            return True
    return False


@compiled
def printable(data: Array, start: int, length: int) -> bool:
    """Whether a label is UTF-8 with no control characters, nothing of no width or that turns the direction of writing, no
    line or paragraph separator, nothing private, no space at its ends."""
    if not is_utf8(data, start, length):
        return False
    place, end = start, start + length
    while place < end:
        first = np.int64(data[place])
        more = 0 if first < 0x80 else 1 if first < 0xE0 else 2 if first < 0xF0 else 3
        point = first if more == 0 else first & (0x3F >> more)
        for i in range(1, more + 1):
            point = (point << 6) | (np.int64(data[place + i]) & 0x3F)
        at_end = place == start or place + more + 1 == end
        if _among(point, UNPRINTABLE) or (at_end and _among(point, SPACES)):
            return False
        place += more + 1
    return True
