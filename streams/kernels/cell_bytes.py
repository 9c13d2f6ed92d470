"""Cells to Avro bytes (`schemas/avro/Delta.avsc`), straight from the tallies.

The bytes are those of the general writer; a test reads them with the general reader and writes them again.
"""

from __future__ import annotations

import numpy as np

from streams.kernels import Array, compiled, unsigned_varint, unsigned_varint_bytes, varint
from streams.kernels.admission import (
    AFFECTED,
    ERROR_KEYS,
    ERROR_WEIGHT,
    ERRORS,
    LAG,
    LATE,
    QUARANTINED,
    ROWS,
    SAMPLED,
    WEIGHT,
    WEIGHT_MAX,
    WEIGHT_MIN,
    WINDOW,
    WITH_UNIT,
    Tallies,
)
from streams.kernels.tally import BIN_BITS, BUCKET_BITS, HASH_BITS, JOINT_BITS

LONG_BYTES = 10
"""At most that many in a varint."""


@compiled
def _begin(keys: Array, least: np.uint64) -> int:
    """First place of ascending keys that is not below `least`."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if np.uint64(keys[middle]) < least:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _packed(keys: Array, cell: int, bits: int, largest: int, out: Array, place: int) -> int:
    """`schemas.packing.pack` of a cell's keys (of the `largest` smallest), behind its length; the next place.

    The keys are walked twice, since the length comes first.
    """
    begin = _begin(keys, np.uint64(cell) << np.uint64(bits))
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    size = 0
    for write in range(2):
        if write:
            place = varint(size, out, place)
        at, before, distinct = begin, np.uint64(0), 0
        while at < len(keys) and np.int64(np.uint64(keys[at]) >> np.uint64(bits)) == cell and distinct < largest:
            key = np.uint64(keys[at])
            run = at + 1
            while run < len(keys) and np.uint64(keys[run]) == key:
                run += 1
            what = key & mask
            if write:
                place = unsigned_varint(what - before, out, place)
                place = unsigned_varint(np.uint64(run - at), out, place)
            else:
                size += unsigned_varint_bytes(what - before) + unsigned_varint_bytes(np.uint64(run - at))
            at, before, distinct = run, what, distinct + 1
    return place


@compiled
def _text(t: Tallies, word: int, out: Array, place: int) -> int:
    size, begin = t.w_length[word], t.w_start[word]
    place = varint(size, out, place)
    for i in range(size):
        out[place + i] = t.w_bytes[begin + i]
    return place + size


@compiled
def _optional(t: Tallies, word: int, out: Array, place: int) -> int:
    if word < 0:
        out[place] = 0
        return place + 1
    out[place] = 2
    return _text(t, word, out, place + 1)


@compiled
def write(
    t: Tallies, which: Array, window_us: int, affected_max: int, order: Array, names: Array, name_start: Array, out: Array,
    ends: Array,
) -> None:  # fmt: skip
    """Bodies of the cells `which` into `out`; each ends at `ends`. The keys must be sorted. `order` is that of the measures,
    whose names are `names` uint8, measure m's at [name_start[m], name_start[m + 1])."""
    everything = len(t.histogram[0]) + len(t.affected) + len(t.sampled) + len(t.error_buckets)
    errors, affected, sampled = (
        t.error_buckets[: t.n[ERROR_KEYS]],
        t.affected[: t.n[AFFECTED]],
        t.sampled[: t.n[SAMPLED]],
    )
    place = 0
    for i in range(len(which)):
        cell = which[i]
        place = _optional(t, t.c_words[cell, 0], out, place)
        for c in range(1, 4):
            place = _text(t, t.c_words[cell, c], out, place)
        place = _optional(t, t.c_words[cell, 4], out, place)
        dimensions = t.c_words.shape[1] - 5
        if dimensions:
            place = varint(dimensions, out, place)
            for c in range(5, 5 + dimensions):
                place = _optional(t, t.c_words[cell, c], out, place)
        out[place] = 0
        place += 1
        held = t.cells[cell]
        rows, failed, late, quarantined = held[ROWS], held[ERRORS], held[LATE], held[QUARANTINED]
        place = varint(held[WINDOW] * window_us, out, place)
        place = varint(rows + late + quarantined, out, place)
        place = varint(rows, out, place)
        place = varint(failed, out, place)
        place = varint(late, out, place)
        place = varint(quarantined, out, place)
        for number in (WITH_UNIT, WEIGHT, ERROR_WEIGHT, WEIGHT_MIN, WEIGHT_MAX, LAG):
            place = varint(held[number], out, place)
        place = _packed(errors, cell, BUCKET_BITS, everything, out, place)
        place = _packed(affected, cell, HASH_BITS, affected_max, out, place)
        place = _packed(sampled, cell, HASH_BITS, everything, out, place)
        carried = 0
        for m in order:
            carried += t.c_sums[cell, m, 0] > 0
        if carried:
            place = varint(carried, out, place)
        for m in order:
            if t.c_sums[cell, m, 0] == 0:
                continue
            place = varint(name_start[m + 1] - name_start[m], out, place)
            for at in range(name_start[m], name_start[m + 1]):
                out[place] = names[at]
                place += 1
            place = varint(t.c_sums[cell, m, 0], out, place)
            place = varint(t.c_sums[cell, m, 1], out, place)
            place = _packed(t.histogram[m, : t.m_keys[m, 0]], cell, BIN_BITS, everything, out, place)
            place = _packed(t.joint[m, : t.m_keys[m, 1]], cell, JOINT_BITS, everything, out, place)
        out[place] = 0
        place += 1
        ends[i] = place
