"""Sparse counts as bytes: ascending keys with their counts, as LEB128 varints of (gap to the key before, count).

Vectorised both ways; many cells are packed in one pass. The first key of a cell counts from zero.

>>> import numpy as np
>>> data = pack(np.array([3, 10, 500]), np.array([1, 7, 70000]))
>>> [part.tolist() for part in unpack(data)]
[[3, 10, 500], [1, 7, 70000]]
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_VARINT_BYTES_MAX = 9  # int64 values are non-negative here: 63 bits


def pack(keys: Ints, counts: Ints) -> bytes:
    """One cell's counts; `keys` int64 (n,) ascending and distinct, `counts` int64 (n,) positive."""
    return pack_many(keys, counts, np.zeros(1, np.int64))[0]


def pack_many(keys: Ints, counts: Ints, starts: Ints) -> list[bytes]:
    """Counts of many cells laid end to end; cell i is ``[starts[i], starts[i+1])``, the last one to the end."""
    n = len(keys)
    if n == 0:
        return [b""] * len(starts)
    gaps = np.diff(keys, prepend=0)
    first = starts[starts < n]
    gaps[first] = keys[first]
    values = np.empty(2 * n, np.uint64)
    values[0::2] = gaps
    values[1::2] = counts
    data, ends = _varints(values)
    borders = np.concatenate(([0], ends))[2 * np.append(starts, n)]
    return [data[borders[i] : borders[i + 1]] for i in range(len(starts))]


def _varints(values: npt.NDArray[np.uint64]) -> tuple[bytes, Ints]:
    """LEB128 of every value, end to end, and the exclusive end of each."""
    length = np.ones(len(values), np.int64)
    for shift in range(7, 7 * _VARINT_BYTES_MAX, 7):
        longer = values >= np.uint64(1 << shift)
        if not longer.any():
            break
        length += longer
    ends = np.cumsum(length)
    out = np.empty(int(ends[-1]), np.uint8)
    place, rest = ends - length, values
    while len(place):
        more = rest >= np.uint64(128)
        out[place] = (rest & np.uint64(127)).astype(np.uint8) | (more.astype(np.uint8) << 7)
        place, rest = place[more] + 1, rest[more] >> np.uint64(7)
    return out.tobytes(), ends


def unpack(data: bytes) -> tuple[Ints, Ints]:
    """Keys and counts, int64 (n,) each; raises ValueError for bytes that `pack` does not make."""
    if not data:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    raw = np.frombuffer(data, np.uint8)
    last = raw < 128
    ends = np.flatnonzero(last)
    if not last[-1] or len(ends) % 2:
        raise ValueError("packed counts end in the middle of a pair")
    starts = np.concatenate(([0], ends[:-1] + 1))
    length = ends - starts + 1
    if length.max() > _VARINT_BYTES_MAX:
        raise ValueError("a packed count is larger than 63 bits")
    values = (raw[starts] & 127).astype(np.int64)
    for position in range(1, int(length.max())):
        longer = length > position
        values[longer] |= (raw[starts[longer] + position] & 127).astype(np.int64) << (7 * position)
    return np.cumsum(values[0::2]), values[1::2]
