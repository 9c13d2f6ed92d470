"""What bodies of cells add up to (`streams.kernels.cell_read` found them and saw that they are in order)."""

from __future__ import annotations

import numpy as np

from streams.kernels import Array, compiled, making, unsigned_varint, unsigned_varint_bytes, varint
from streams.kernels.avro_walk import read_varint
from streams.kernels.cell_read import SCALARS, SECTIONS

WEIGHT_MIN, WEIGHT_MAX = 7, 8
"""Among the scalars."""
LOW = np.int64(0xFFFFFFFF)
LONG_BYTES = 10
"""At most that many in a varint."""
DENSE = 4
"""Keys are ranked, by a bit for each possible one, where these are at most 64 times so many; else runs of them are merged."""


@compiled
def _same(data: Array, a: int, b: int, size: int) -> bool:
    for i in range(size):
        if data[a + i] != data[b + i]:
            return False
    return True


@compiled
def _measure(data: Array, place: int, size: int, names: Array, n: int) -> int:
    """Number of the measure whose name is at `place`; `n` where it is a new one."""
    for m in range(n):
        if names[m, 1] == size and _same(data, names[m, 0], place, size):
            return m
    return n


@compiled
def _unpacked(data: Array, place: int, stop: int, keys: Array, counts: Array, n: int) -> int:
    """Keys and counts of one packed section behind the first `n`; how many there are then."""
    key = np.int64(0)
    while place < stop:
        for which in range(2):
            value, shift = np.int64(0), np.int64(0)
            while True:
                byte = np.int64(data[place])
                place += 1
                value |= (byte & np.int64(127)) << shift
                if byte < 128:
                    break
                shift += np.int64(7)
            if which == 0:
                key += value
            else:
                keys[n], counts[n] = key, value
                n += 1
    return n


@compiled
def _merged(keys: Array, counts: Array, borders: Array, runs: int, keys2: Array, counts2: Array) -> int:
    """Make one ascending run of the `runs` ascending runs that begin at `borders`; equal keys are added up. How many keys."""
    while runs > 1:
        at, made = 0, 0
        for r in range(0, runs, 2):
            a, a_end = borders[r], borders[r + 1]
            b = a_end
            b_end = borders[r + 2] if r + 1 < runs else b
            borders[made] = at
            while a < a_end or b < b_end:
                if b >= b_end or (a < a_end and keys[a] < keys[b]):
                    keys2[at], counts2[at] = keys[a], counts[a]
                    a += 1
                else:
                    keys2[at], counts2[at] = keys[b], counts[b]
                    if a < a_end and keys[a] == keys[b]:
                        counts2[at] += counts[a]
                        a += 1
                    b += 1
                at += 1
            made += 1
        borders[made] = at
        runs = made
        for i in range(at):
            keys[i], counts[i] = keys2[i], counts2[i]
    return borders[1]


@compiled
def _ones(word: np.uint64) -> np.int64:
    """How many bits are set (Warren, Hacker's Delight, 5-1)."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _ranked(
    keys: Array, counts: Array, n: int, first: np.int64, seen: Array, below: Array, keys2: Array, counts2: Array
) -> int:  # fmt: skip
    """Like `_merged` of the first `n`: a key's place is how many lie below. `seen` uint64, zero, has a bit for each key from
    64 `first` on, `below` int64 as many places."""
    for i in range(n):
        seen[(keys[i] >> 6) - first] |= np.uint64(1) << np.uint64(keys[i] & 63)
    found = 0
    for w in range(len(seen)):
        below[w] = found
        found += int(_ones(seen[w]))
    for i in range(found):
        counts2[i] = 0
    for i in range(n):
        w = (keys[i] >> 6) - first
        at = below[w] + _ones(seen[w] & ((np.uint64(1) << np.uint64(keys[i] & 63)) - np.uint64(1)))
        keys2[at] = keys[i]
        counts2[at] += counts[i]
    for i in range(found):
        keys[i], counts[i] = keys2[i], counts2[i]
    return found


@compiled
def _measures(data: Array, begin: Array) -> int:
    """How many measures the bodies have together."""
    found = 0
    for i in range(len(begin) - 1):
        place, end = begin[i], begin[i + 1]
        for _ in range(1 + SCALARS):
            _, place = read_varint(data, place, end)
        for _ in range(SECTIONS):
            size, place = read_varint(data, place, end)
            place += size
        count = np.int64(1)
        while count:
            count, place = read_varint(data, place, end)
            found += count
            for _ in range(count):
                for v in range(5):
                    size, place = read_varint(data, place, end)
                    if v == 0 or v > 2:
                        place += size
    return found


@making
def add_up(data: Array, begin: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Sum of the bodies that lie in `data` uint8 from each of `begin` int64 (k + 1,) to the next.

    Gives `scalars` int64 (2, 10), high and low 32 bits of each sum (of minimum and maximum of weights: themselves, low);
    `names` int64 (m, 2), where the name of each measure lies, and its length; `measures` int64 (m, 4), rows and total, high
    and low; `starts` int64 (3 + 2m + 1,) of each section's `keys` and `counts` int64.
    """
    parts, most = len(begin) - 1, _measures(data, begin)
    scalars = np.zeros((2, SCALARS), np.int64)
    names, measures = np.zeros((most, 2), np.int64), np.zeros((most, 4), np.int64)
    spans, n_spans = np.empty((SECTIONS * parts + 2 * most, 3), np.int64), 0
    known, weighed = 0, False
    for i in range(parts):
        place, end = begin[i], begin[i + 1]
        _, place = read_varint(data, place, end)
        rows = np.int64(0)
        for s in range(SCALARS):
            value, place = read_varint(data, place, end)
            if s == 0:
                rows = value
            if s == WEIGHT_MIN or s == WEIGHT_MAX:
                if rows and (not weighed or (value < scalars[1, s]) == (s == WEIGHT_MIN)):
                    scalars[1, s] = value
                weighed = weighed or (rows != 0 and s == WEIGHT_MAX)
            else:
                scalars[0, s] += value >> np.int64(32)
                scalars[1, s] += value & LOW
        for s in range(SECTIONS):
            size, place = read_varint(data, place, end)
            spans[n_spans, 0], spans[n_spans, 1], spans[n_spans, 2] = s, place, place + size
            n_spans += 1
            place += size
        while True:
            count, place = read_varint(data, place, end)
            if count == 0:
                break
            for _ in range(count):
                size, place = read_varint(data, place, end)
                m = _measure(data, place, size, names, known)
                if m == known:
                    names[m, 0], names[m, 1] = place, size
                    known += 1
                place += size
                for v in range(2):
                    value, place = read_varint(data, place, end)
                    measures[m, 2 * v] += value >> np.int64(32)
                    measures[m, 2 * v + 1] += value & LOW
                for v in range(2):
                    size, place = read_varint(data, place, end)
                    spans[n_spans, 0], spans[n_spans, 1], spans[n_spans, 2] = SECTIONS + 2 * m + v, place, place + size
                    n_spans += 1
                    place += size
    sections = SECTIONS + 2 * known
    room = (begin[parts] - begin[0]) // 2 + 1
    keys, counts = np.empty(room, np.int64), np.empty(room, np.int64)
    keys2, counts2 = np.empty(room, np.int64), np.empty(room, np.int64)
    borders, starts = np.empty(n_spans + 1, np.int64), np.zeros(sections + 1, np.int64)
    done = 0
    for s in range(sections):
        n, runs = 0, 0
        least, most = np.int64(0), np.int64(0)
        for i in range(n_spans):
            if spans[i, 0] == s and spans[i, 2] > spans[i, 1]:
                borders[runs] = n
                n = _unpacked(data, spans[i, 1], spans[i, 2], keys[done:], counts[done:], n)
                first, last = keys[done + borders[runs]] >> 6, keys[done + n - 1] >> 6
                least, most = (min(least, first), max(most, last)) if runs else (first, last)
                runs += 1
        borders[runs] = n
        if runs > 1:
            words = most - least + 1
            if words <= DENSE * n:
                seen, below = np.zeros(words, np.uint64), np.empty(words, np.int64)
                n = _ranked(keys[done:], counts[done:], n, np.int64(least), seen, below, keys2, counts2)
            else:
                n = _merged(keys[done:], counts[done:], borders, runs, keys2, counts2)
        done += n
        starts[s + 1] = done
    return scalars, names[:known], measures[:known], starts, keys[:done].copy(), counts[:done].copy()


@compiled
def _pack(keys: Array, counts: Array, out: Array, place: int) -> int:
    """`schemas.packing.pack`, behind its length; the next place."""
    size = 0
    for write in range(2):
        if write:
            place = varint(size, out, place)
        before = np.int64(0)
        for i in range(len(keys)):
            gap, count = np.uint64(keys[i] - before), np.uint64(counts[i])
            if write:
                place = unsigned_varint(count, out, unsigned_varint(gap, out, place))
            else:
                size += unsigned_varint_bytes(gap) + unsigned_varint_bytes(count)
            before = keys[i]
    return place


@compiled
def body(
    longs: Array, data: Array, names: Array, measures: Array, starts: Array, keys: Array, counts: Array, out: Array
) -> int:
    """A body of what `add_up` gave, into `out`; its size. `longs` int64 (11,), `measures` int64 (m, 2) rows and total."""
    place = 0
    for i in range(len(longs)):
        place = varint(longs[i], out, place)
    for s in range(SECTIONS):
        place = _pack(keys[starts[s] : starts[s + 1]], counts[starts[s] : starts[s + 1]], out, place)
    if len(names):
        place = varint(len(names), out, place)
    for m in range(len(names)):
        place = varint(names[m, 1], out, place)
        for i in range(names[m, 1]):
            out[place] = data[names[m, 0] + i]
            place += 1
        place = varint(measures[m, 1], out, varint(measures[m, 0], out, place))
        for s in range(SECTIONS + 2 * m, SECTIONS + 2 * m + 2):
            place = _pack(keys[starts[s] : starts[s + 1]], counts[starts[s] : starts[s + 1]], out, place)
    out[place] = 0
    return place + 1
