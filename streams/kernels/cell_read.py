"""Cells from Avro bytes (`schemas/avro/Delta.avsc`) without a Python object for every field: where each cell of a message
lies, and whether it is one.

A cell is its key (labels and window) and its body: eleven longs, then packed counts (`schemas.packing`).
"""

from __future__ import annotations

from streams.kernels import Array, compiled
from streams.kernels.avro_walk import is_utf8, read_varint

CELL_BYTES_MIN = 22
"""No cell has fewer: that many fields of a byte at least."""
MESSAGE = 5
"""Columns that `index` writes for a message: end of digest, topic id and partition; block, upto, first cell, cells."""
CELL = 10
"""For a cell: begin, ends of its labels, of its key, of its longs and of itself; window, seen, rows, late, quarantined."""
SCALARS = 10
"""Longs of a body without the first, `seen`; those that `ArmWindow` begins with."""
INT32_END = 1 << 31
SECTIONS = 3
"""Packed counts before the measures'; each measure has two more."""


@compiled
def _text(data: Array, place: int, end: int) -> int:
    """Behind the text at `place`; -1 where there is none."""
    size, place = read_varint(data, place, end)
    if place < 0 or size < 0 or size > end - place or not is_utf8(data, place, size):
        return -1
    return place + size


@compiled
def _optional(data: Array, place: int, end: int) -> int:
    if place < 0 or place >= end or (data[place] != 0 and data[place] != 2):
        return -1
    return place + 1 if data[place] == 0 else _text(data, place + 1, end)


@compiled
def _packed(data: Array, place: int, end: int) -> int:
    """Behind the packed counts at `place`; -1 where they are none: pairs of varints of at most 63 bits."""
    size, place = read_varint(data, place, end)
    if place < 0 or size < 0 or size > end - place:
        return -1
    stop, run, varints = place + size, 0, 0
    while place < stop:
        run += 1
        if data[place] < 128:
            run, varints = 0, varints + 1
        elif run >= 9:
            return -1
        place += 1
    return place if run == 0 and varints % 2 == 0 else -1


@compiled
def _cell(data: Array, place: int, end: int, out: Array) -> int:
    """Behind the cell at `place`, whose columns go to `out` int64 (CELL,); -1 where it is none."""
    out[0] = place
    place = _optional(data, place, end)
    for _ in range(3):
        if place >= 0:
            place = _text(data, place, end)
    place = _optional(data, place, end)
    if place < 0:
        return -1
    dimensions, place = read_varint(data, place, end)
    if place < 0 or dimensions < 0:
        return -1
    if dimensions:
        for _ in range(dimensions):
            place = _optional(data, place, end)
            if place < 0:
                return -1
        none, place = read_varint(data, place, end)
        if place < 0 or none:
            return -1
    out[1] = place
    out[5], place = read_varint(data, place, end)
    out[2] = place
    for i in range(1 + SCALARS):
        if place < 0:
            return -1
        value, place = read_varint(data, place, end)
        if i < 2:
            out[6 + i] = value
        elif i == 3 or i == 4:
            out[5 + i] = value
    out[3] = place
    for _ in range(SECTIONS):
        if place >= 0:
            place = _packed(data, place, end)
    while place >= 0:
        measures, place = read_varint(data, place, end)
        if place < 0 or measures < 0:
            return -1
        if measures == 0:
            break
        for _ in range(measures):
            place = _text(data, place, end)
            for _ in range(2):
                if place >= 0:
                    _, place = read_varint(data, place, end)
            for _ in range(2):
                if place >= 0:
                    place = _packed(data, place, end)
            if place < 0:
                return -1
    out[4] = place
    return place


@compiled
def _message(data: Array, place: int, end: int, m: Array, cells: Array, n: int) -> int:
    """Cells with the message's; -1 where it does not hold cells in the usual form."""
    for _ in range(2):
        if place >= 0:
            place = _text(data, place, end)
    for i in range(3):
        if place < 0:
            return -1
        value, place = read_varint(data, place, end)
        if i == 0 and not -INT32_END <= value < INT32_END:  # the partition
            return -1
        m[i] = value if i else place
    m[3] = n
    while place >= 0:
        count, place = read_varint(data, place, end)
        if place < 0 or count < 0:
            return -1
        if count == 0:
            break
        for _ in range(count):
            if n >= len(cells):
                return -1
            place = _cell(data, place, end, cells[n])
            if place < 0:
                return -1
            n += 1
    m[4] = n - m[3]
    return n if place == end else -1


@compiled
def index(data: Array, begin: Array, end: Array, messages: Array, cells: Array) -> None:
    """Where the cells of messages lie: `data` uint8, each message's fields from `begin` to `end`; `messages` int64
    (n, MESSAGE), the last column -1 where the general reader must look; `cells` int64 (k, CELL)."""
    n = 0
    for i in range(len(begin)):
        after = _message(data, begin[i], end[i], messages[i], cells, n) if end[i] > begin[i] else -1
        if after < 0:
            messages[i, 4] = -1
        else:
            n = after
