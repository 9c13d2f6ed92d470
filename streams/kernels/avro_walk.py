"""Avro records to columns: one walk over each record's bytes, along a program that says what its writer wrote.

A program is int64 (fields, 4): kind, place of null in the union (-1: no union), target, and the column there (-1: passed over)
or, for `FIXED`, its size. `streams.avro_rows` makes it from the writer's schema. A record that does not follow it gets a
fault of its own; its neighbours never notice.
"""

from __future__ import annotations

import numpy as np

from streams.kernels import Array, compiled
from streams.kernels.memory import HIGH_BITS, few

LONG, INT, BOOL, DOUBLE, FLOAT, TEXT, BYTES, MAP, FIXED = range(9)
NOWHERE, TO_LONGS, TO_RATE, TO_TEXTS, TO_MEASURES = range(5)
EMPTY, NO_MAGIC, UNKNOWN = -1, -2, -3
OK, SHORT, TRAILING, VARINT, BRANCH, BOOLEAN, LENGTH, ENCODING, RANGE = range(9)
INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1


@compiled
def read_varint(data: Array, place: int, end: int) -> tuple[int, int]:
    """The zigzag long at `place`, and the next place: -1 where the record ends in it, -2 where it has no end."""
    if place < end and data[place] < 128:
        first = np.uint64(data[place])
        return np.int64(first >> np.uint64(1)) ^ -np.int64(first & np.uint64(1)), np.int64(place + 1)  # pyright: ignore
    value, shift = np.uint64(0), np.uint64(0)
    while True:
        if place >= end:
            return np.int64(0), np.int64(-1)  # pyright: ignore[reportReturnType]  # numba keeps what it is told
        byte = np.uint64(data[place])
        place += 1
        value |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            if shift == np.uint64(63) and byte > np.uint64(1):
                return np.int64(0), np.int64(-2)  # pyright: ignore[reportReturnType]
            break
        shift += np.uint64(7)
        if shift > np.uint64(63):
            return np.int64(0), np.int64(-2)  # pyright: ignore[reportReturnType]
    signed = np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1))
    return signed, np.int64(place)  # pyright: ignore[reportReturnType]


@compiled
def _double(data: Array, place: int, size: int) -> np.uint64:
    bits = np.uint64(0)
    for i in range(size):
        bits |= np.uint64(data[place + i]) << np.uint64(8 * i)
    return bits


@compiled
def headers(data: Array, begin: Array, end: Array, magic: Array, known: Array, which: Array) -> int:
    """Which of the `known` ids, uint64, follows the `magic` bytes of each record [begin, end): `which` int64 (n,), or EMPTY,
    NO_MAGIC, UNKNOWN. How many have none."""
    none, size = 0, len(magic)
    for row in range(len(begin)):
        place, left = begin[row], end[row] - begin[row]
        which[row] = EMPTY
        if left > 0:
            which[row] = UNKNOWN if left >= size + 8 else NO_MAGIC
            for i in range(min(size, left)):
                if data[place + i] != magic[i]:
                    which[row] = NO_MAGIC
        if which[row] == UNKNOWN:
            found = _double(data, place + size, 8)
            for i in range(len(known)):
                if known[i] == found:
                    which[row] = i
                    break
        none += which[row] < 0
    return none


@compiled
def is_utf8(data: Array, start: int, length: int) -> bool:
    """Whether the bytes are well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing beyond U+10FFFF."""
    place, end = start, start + length
    while place < end:
        size = min(8, end - place)
        if few(data, place, size) & HIGH_BITS == np.uint64(0):
            place += size
            continue
        first = data[place]
        if first < 0x80:
            place += 1
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= first <= 0xDF:
            more = 1
        elif 0xE0 <= first <= 0xEF:
            more = 2
            if first == 0xE0:
                low = 0xA0
            elif first == 0xED:
                high = 0x9F
        elif 0xF0 <= first <= 0xF4:
            more = 3
            if first == 0xF0:
                low = 0x90
            elif first == 0xF4:
                high = 0x8F
        else:
            return False
        if place + more >= end:
            return False
        if data[place + 1] < low or data[place + 1] > high:
            return False
        for i in range(2, more + 1):
            if data[place + i] < 0x80 or data[place + i] > 0xBF:
                return False
        place += more + 1
    return True


@compiled
def _fault_of(place: int) -> int:
    return SHORT if place == -1 else VARINT


@compiled
def _map(
    data: Array, place: int, end: int, names: Array, name_start: Array, target: int, values: Array, has: Array, row: int
) -> tuple[int, int]:
    """Walk a map of double, keeping the registered names: next place, fault. `values` are the bits of binary64."""
    while True:
        count, place = read_varint(data, place, end)
        if place < 0:
            return place, _fault_of(place)
        if count == 0:
            return place, OK
        if count < 0:
            count = -count
            _, place = read_varint(data, place, end)
            if place < 0:
                return place, _fault_of(place)
        if count < 0 or count > end - place:
            return place, LENGTH
        for _ in range(count):
            size, place = read_varint(data, place, end)
            if place < 0:
                return place, _fault_of(place)
            if size < 0:
                return place, LENGTH
            if size + 8 > end - place:
                return place, SHORT
            if not is_utf8(data, place, size):
                return place, ENCODING
            if target == TO_MEASURES:
                for m in range(len(name_start) - 1):
                    if name_start[m + 1] - name_start[m] != size:
                        continue
                    same = True
                    for i in range(size):
                        if names[name_start[m] + i] != data[place + i]:
                            same = False
                            break
                    if same:
                        values[m, row] = _double(data, place + size, 8)
                        has[m, row] = 1
            place += size + 8


@compiled
def walk(
    data: Array, begin: Array, end: Array, program: Array, names: Array, name_start: Array, start: Array, length: Array,
    longs: Array, present: Array, rate: Array, values: Array, has: Array, fault: Array,
) -> int:  # fmt: skip
    """Fill the columns of `streams.rows.Rows` (`rate` and `values` as bits, uint64) from the records [begin, end), int64
    (n,), in `data`; `fault` uint8 (n,) is OK or what is wrong with each. How many are wrong."""
    wrong = 0
    for row in range(len(begin)):
        place, stop, found = begin[row], end[row], OK
        for field in range(len(program)):
            kind, null, target, column = program[field, 0], program[field, 1], program[field, 2], program[field, 3]
            if null >= 0:
                if place < stop and (data[place] == 0 or data[place] == 2):
                    branch, place = np.int64(data[place] >> 1), place + 1
                else:
                    branch, place = read_varint(data, place, stop)
                    if place < 0:
                        found = _fault_of(place)
                        break
                    if branch < 0 or branch > 1:
                        found = BRANCH
                        break
                if branch == null:
                    continue
            if kind in (LONG, INT):
                value, place = read_varint(data, place, stop)
                if place < 0:
                    found = _fault_of(place)
                    break
                if kind == INT and (value < INT_MIN or value > INT_MAX):
                    found = RANGE
                    break
                if target == TO_LONGS:
                    longs[column, row], present[column, row] = value, 1
                elif target == TO_RATE:
                    rate[row] = np.float64(value).view(np.uint64)
            elif kind in (TEXT, BYTES):
                size, place = read_varint(data, place, stop)
                if place < 0:
                    found = _fault_of(place)
                    break
                if size < 0:
                    found = LENGTH
                    break
                if size > stop - place:
                    found = SHORT
                    break
                if kind == TEXT and not is_utf8(data, place, size):
                    found = ENCODING
                    break
                if target == TO_TEXTS:
                    start[column, row], length[column, row] = place, size
                place += size
            elif kind == BOOL:
                if place >= stop:
                    found = SHORT
                    break
                if data[place] > 1:
                    found = BOOLEAN
                    break
                if target == TO_LONGS:
                    longs[column, row], present[column, row] = data[place], 1
                place += 1
            elif kind in (DOUBLE, FLOAT):
                size = 8 if kind == DOUBLE else 4
                if size > stop - place:
                    found = SHORT
                    break
                if target == TO_RATE:
                    if kind == DOUBLE:
                        rate[row] = _double(data, place, 8)
                    else:
                        rate[row] = np.float64(np.uint32(_double(data, place, 4)).view(np.float32)).view(np.uint64)
                place += size
            elif kind == MAP:
                place, found = _map(data, place, stop, names, name_start, target, values, has, row)
                if found != OK:
                    break
            else:
                if column > stop - place:
                    found = SHORT
                    break
                place += column
        if found == OK and place != stop:
            found = TRAILING
        fault[row] = found
        wrong += found != OK
    return wrong
