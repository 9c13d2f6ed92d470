"""JSON objects to slots: one walk over each record's bytes, along a tree of the keys that are wanted.

The tree is int64 (edges, 5), sorted by node: node, start and length of the key in `keys`, node below (-1: none), slot (-1:
none); the edges of a node are `[first[node], first[node + 1])`, the root is 0. The grammar is that of RFC 8259, strictly. Of a
key that stands twice the last counts; what is not wanted is only passed over. Texts are unescaped where they lie, so the
buffer must be ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streams.kernels import Array, compiled, making
from streams.kernels.avro_walk import is_utf8
from streams.kernels.slots import BOOL, FLOAT, INT, NULL, NUMERAL, OTHER, TEXT

OK, SHORT, TRAILING, SYNTAX, DEPTH, ENCODING, NO_OBJECT = range(7)
DEPTH_MAX = 64
ARRAY, UNWANTED = -2, -1
"""Nodes of arrays, and of objects with nothing wanted in them."""
QUOTE, BACKSLASH, COMMA, COLON, MINUS, PLUS, POINT, ZERO, NINE = 34, 92, 44, 58, 45, 43, 46, 48, 57
OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY = 123, 125, 91, 93
TRUE, FALSE, NOTHING = (
    np.frombuffer(b"true", np.uint8),
    np.frombuffer(b"false", np.uint8),
    np.frombuffer(b"null", np.uint8),
)
EXACT_DIGITS, EXACT_POWER, INT_DIGITS = 15, 22, 18
"""Numbers of so few digits and so small a power of ten are exact in binary64 by one operation (Clinger 1990)."""
POWERS = np.array([float(f"1e{i}") for i in range(EXACT_POWER + 1)])


@compiled
def _space(data: Array, place: int, end: int) -> int:
    while place < end and (data[place] == 32 or data[place] == 10 or data[place] == 13 or data[place] == 9):
        place += 1
    return place


@compiled
def _hex(data: Array, place: int) -> Any:
    """The number that four hexadecimal digits say, or -1."""
    value = 0
    for i in range(place, place + 4):
        c = np.int64(data[i])
        if 48 <= c <= 57:
            digit = c - 48
        elif 65 <= c <= 70:
            digit = c - 55
        elif 97 <= c <= 102:
            digit = c - 87
        else:
            return -1
        value = value * 16 + digit
    return value


@compiled
def _text(data: Array, place: int, end: int) -> tuple[int, bool, bool]:
    """Place behind the closing quote of the text from `place` on, or minus the fault; has it escapes, is it not ASCII."""
    escaped, wide = False, False
    while place < end:
        c = data[place]
        if c == QUOTE:
            return place + 1, escaped, wide
        if c < 32:
            return -SYNTAX, False, False
        if c >= 128:
            wide = True
        if c != BACKSLASH:
            place += 1
            continue
        escaped = True
        if place + 1 >= end:
            return -SHORT, False, False
        c = data[place + 1]
        if c == 117:  # \uXXXX
            if place + 6 > end:
                return -SHORT, False, False
            if _hex(data, place + 2) < 0:
                return -SYNTAX, False, False
            place += 6
        elif c == QUOTE or c == BACKSLASH or c == 47 or c == 98 or c == 102 or c == 110 or c == 114 or c == 116:
            place += 2
        else:
            return -SYNTAX, False, False
    return -SHORT, False, False


@compiled
def _put(data: Array, place: int, code: int) -> int:
    """Write a code point as UTF-8; the next place."""
    if code < 0x80:
        data[place] = code
        return place + 1
    if code < 0x800:
        data[place] = 0xC0 | (code >> 6)
        data[place + 1] = 0x80 | (code & 63)
        return place + 2
    if code < 0x10000:
        data[place] = 0xE0 | (code >> 12)
        data[place + 1] = 0x80 | ((code >> 6) & 63)
        data[place + 2] = 0x80 | (code & 63)
        return place + 3
    data[place] = 0xF0 | (code >> 18)
    data[place + 1] = 0x80 | ((code >> 12) & 63)
    data[place + 2] = 0x80 | ((code >> 6) & 63)
    data[place + 3] = 0x80 | (code & 63)
    return place + 4


@compiled
def _unescape(data: Array, start: int, end: int) -> int:
    """Replace the escapes of a text of sound grammar where it lies (it never grows); its end, -1 for half a surrogate pair."""
    place, out = start, start
    while place < end:
        c = np.int64(data[place])
        if c != BACKSLASH:
            data[out] = c
            place, out = place + 1, out + 1
            continue
        c = np.int64(data[place + 1])
        if c == 117:
            code = _hex(data, place + 2)
            place += 6
            if 0xD800 <= code < 0xE000:
                if code >= 0xDC00 or place + 6 > end or data[place] != BACKSLASH or data[place + 1] != 117:
                    return -1
                low = _hex(data, place + 2)
                if low < 0xDC00 or low > 0xDFFF:
                    return -1
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                place += 6
            out = _put(data, out, code)
            continue
        if c == 98:
            c = 8
        elif c == 102:
            c = 12
        elif c == 110:
            c = 10
        elif c == 114:
            c = 13
        elif c == 116:
            c = 9
        data[out] = c
        place, out = place + 2, out + 1
    return out


@compiled
def _number(data: Array, place: int, end: int) -> tuple[int, int, Any, float]:
    """Place behind the number, or minus the fault; its kind; its value as integer, as binary64."""
    negative = data[place] == MINUS
    if negative:
        place += 1
    whole, digits, power, exact = np.int64(0), 0, 0, True
    first = place
    while place < end and ZERO <= data[place] <= NINE:
        if digits < INT_DIGITS:
            whole = whole * 10 + (np.int64(data[place]) - ZERO)
            digits += whole > 0
        else:
            exact = False
        place += 1
    if place == first or (data[first] == ZERO and place > first + 1):
        return -SYNTAX, NULL, 0, 0.0
    integer = True
    if place < end and data[place] == POINT:
        integer = False
        place += 1
        first = place
        while place < end and ZERO <= data[place] <= NINE:
            if digits < INT_DIGITS:
                whole = whole * 10 + (np.int64(data[place]) - ZERO)
                digits += whole > 0
                power -= 1
            else:
                exact = False
            place += 1
        if place == first:
            return -SYNTAX, NULL, 0, 0.0
    if place < end and (data[place] == 101 or data[place] == 69):
        integer = False
        place += 1
        down = place < end and data[place] == MINUS
        if place < end and (data[place] == MINUS or data[place] == PLUS):
            place += 1
        first, exponent = place, np.int64(0)
        while place < end and ZERO <= data[place] <= NINE:
            exponent = min(exponent * 10 + (np.int64(data[place]) - ZERO), np.int64(100_000))
            place += 1
        if place == first:
            return -SYNTAX, NULL, 0, 0.0
        power += -exponent if down else exponent
    if not exact or (not integer and (digits > EXACT_DIGITS or power < -EXACT_POWER or power > EXACT_POWER)):
        return place, NUMERAL, 0, 0.0
    if integer:
        return place, INT, -whole if negative else whole, 0.0
    value = np.float64(whole) * POWERS[power] if power > 0 else np.float64(whole) / POWERS[-power]
    return place, FLOAT, 0, -value if negative else value


@compiled
def _is(data: Array, place: int, end: int, word: Array) -> bool:
    if place + len(word) > end:
        return False
    for i in range(len(word)):
        if data[place + i] != word[i]:
            return False
    return True


@compiled
def _edge(data: Array, start: int, length: int, node: int, first: Array, edges: Array, keys: Array, hint: Array) -> int:
    """The edge of a node with that key, or -1; looks first behind the last one found, as writers keep an order."""
    low, high = first[node], first[node + 1]
    edge = hint[node]
    for _ in range(high - low):
        if edge >= high:
            edge = low
        if edges[edge, 2] == length:
            same = True
            for i in range(length):
                if keys[edges[edge, 1] + i] != data[start + i]:
                    same = False
                    break
            if same:
                hint[node] = edge + 1
                return edge
        edge += 1
    return -1


@compiled
def _scalar(data: Array, place: int, end: int, wanted: bool) -> tuple[int, int, Any, float, int, int]:
    """Walk the text, number or word at `place`: the next place, or minus the fault; kind, value as integer and as binary64,
    and where its text begins and ends."""
    c = data[place]
    if c == QUOTE:
        begin = place + 1
        place, escaped, wide = _text(data, begin, end)
        if place < 0 or not wanted:
            return place, TEXT, 0, 0.0, begin, begin
        stop = _unescape(data, begin, place - 1) if escaped else place - 1
        if stop < 0 or (wide and not is_utf8(data, begin, stop - begin)):
            return -ENCODING, TEXT, 0, 0.0, begin, begin
        return place, TEXT, 0, 0.0, begin, stop
    if c == MINUS or ZERO <= c <= NINE:
        begin = place
        place, kind, value, binary = _number(data, place, end)
        return place, kind, value, binary, begin, place
    if _is(data, place, end, TRUE):
        return place + 4, BOOL, 1, 0.0, place, place + 4
    if _is(data, place, end, FALSE):
        return place + 5, BOOL, 0, 0.0, place, place + 5
    if _is(data, place, end, NOTHING):
        return place + 4, NULL, 0, 0.0, place, place
    return -SYNTAX, NULL, 0, 0.0, place, place


@compiled
def _record(
    data: Array, place: int, end: int, first: Array, edges: Array, keys: Array, hint: Array, stack: Array,
    kind: Array, bits: Array, binaries: Array, start: Array, length: Array, row: int,
) -> int:  # fmt: skip
    """Walk one record; its fault."""
    place = _space(data, place, end)
    if place >= end or data[place] != OPEN_OBJECT:
        return NO_OBJECT
    depth, after = 0, False
    stack[0] = 0
    place += 1
    while depth >= 0:
        place = _space(data, place, end)
        if place >= end:
            return SHORT
        node, slot, below = stack[depth], -1, UNWANTED
        if data[place] == (CLOSE_ARRAY if node == ARRAY else CLOSE_OBJECT):
            depth, place, after = depth - 1, place + 1, True
            continue
        if after:
            if data[place] != COMMA:
                return SYNTAX
            place = _space(data, place + 1, end)
            if place >= end:
                return SHORT
        if node != ARRAY:
            if data[place] != QUOTE:
                return SYNTAX
            begin = place + 1
            place, escaped, _ = _text(data, begin, end)
            if place < 0:
                return -place
            if node >= 0:
                stop = _unescape(data, begin, place - 1) if escaped else place - 1
                edge = _edge(data, begin, stop - begin, node, first, edges, keys, hint)
                if edge >= 0:
                    below, slot = edges[edge, 3], edges[edge, 4]
            place = _space(data, place, end)
            if place >= end:
                return SHORT
            if data[place] != COLON:
                return SYNTAX
            place = _space(data, place + 1, end)
            if place >= end:
                return SHORT
        if data[place] == OPEN_OBJECT or data[place] == OPEN_ARRAY:
            depth += 1
            if depth >= DEPTH_MAX:
                return DEPTH
            stack[depth] = below if data[place] == OPEN_OBJECT else ARRAY
            if slot >= 0:
                kind[slot, row] = OTHER
            place, after = place + 1, False
            continue
        place, found, value, binary, begin, stop = _scalar(data, place, end, slot >= 0)
        if place < 0:
            return -place
        if slot >= 0:
            kind[slot, row], start[slot, row], length[slot, row] = found, begin, stop - begin
            if found == FLOAT:
                binaries[slot, row] = binary
            else:
                bits[slot, row] = value
        after = True
    return OK if _space(data, place, end) == end else TRAILING


@making
def walk(
    data: Array, begin: Array, end: Array, first: Array, edges: Array, keys: Array,
    kind: Array, bits: Array, binaries: Array, start: Array, length: Array, fault: Array,
) -> None:  # fmt: skip
    """Fill the slots of the records [begin, end), int64 (n,), in `data`; `binaries` are the same memory as `bits`, as
    binary64; `fault` uint8 (n,) is OK or what is wrong with each."""
    hint, stack = first[:-1].copy(), np.zeros(DEPTH_MAX, np.int64)
    for row in range(len(begin)):
        fault[row] = _record(
            data, begin[row], end[row], first, edges, keys, hint, stack, kind, bits, binaries, start, length, row
        )  # fmt: skip
