"""OpenTelemetry's ExportTraceServiceRequest (protobuf) to slots: one row per span of a wanted kind.

Field numbers are those of opentelemetry/proto/trace/v1/trace.proto. `out` are the slot arrays: kind, bits, start, length.
Wanted attributes are int64 (k, 3): start and length of the key in `keys`, slot. What resources say is copied to each of their
spans. A record of unsound framing gives one fault and no row, since nothing in it can be trusted to be where it seems.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streams.kernels import Array, compiled
from streams.kernels.avro_walk import is_utf8
from streams.kernels.slots import BOOL, FLOAT, INT, MISSING, OTHER, TEXT

OK, SHORT, VARINT, WIRE, SPANS = range(5)
SPANS_MAX = 10_000
"""More in one record are refused: the collector's batches hold 8,192 unless told otherwise."""
NAME, KIND, START, END, DURATION, STATUS, FAILED, STATE = range(8)
"""Parts of a span that are wanted by name, as places in `special`, which holds their slots."""
SPECIAL = (
    "name", "kind", "start_time_unix_nano", "end_time_unix_nano", "duration_nano", "status.code", "status.error",
    "trace_state",
)  # fmt: skip
STATUS_UNSET, STATUS_ERROR = 0, 2
VARINT_WIRE, I64_WIRE, LEN_WIRE, I32_WIRE = 0, 1, 2, 5


@compiled
def _varint(data: Array, place: int, end: int) -> tuple[Any, int]:
    """The 64 bits at `place`, and the next place, or minus the fault."""
    value, shift = np.uint64(0), np.uint64(0)
    while place < end:
        byte = np.uint64(data[place])
        place += 1
        value |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            return np.int64(value), place
        shift += np.uint64(7)
        if shift > np.uint64(63):
            return 0, -VARINT
    return 0, -SHORT


@compiled
def _field(data: Array, place: int, end: int) -> tuple[int, int, int, Any, int, int]:
    """One field: the next place, or minus the fault; its number and wire type; its bits; where its bytes begin and end."""
    tag, place = _varint(data, place, end)
    number, wire = (tag >> 3) & 0x1FFFFFFF, tag & 7
    if place < 0 or number == 0:
        return (place if place < 0 else -WIRE), 0, 0, 0, 0, 0
    if wire == VARINT_WIRE:
        value, place = _varint(data, place, end)
        return place, number, wire, value, 0, 0
    if wire == LEN_WIRE:
        size, place = _varint(data, place, end)
        if place < 0 or size < 0 or size > end - place:
            return (place if place < 0 else -SHORT), 0, 0, 0, 0, 0
        return place + size, number, wire, 0, place, place + size
    if wire != I64_WIRE and wire != I32_WIRE:
        return -WIRE, 0, 0, 0, 0, 0
    size = 8 if wire == I64_WIRE else 4
    if size > end - place:
        return -SHORT, 0, 0, 0, 0, 0
    bits = np.uint64(0)
    for i in range(size):
        bits |= np.uint64(data[place + i]) << np.uint64(8 * i)
    return place + size, number, wire, np.int64(bits), place, place + size


@compiled
def _value(data: Array, place: int, end: int) -> tuple[int, int, Any, int, int]:
    """An AnyValue: OK or the fault; kind, bits, and where its text begins and ends."""
    kind, bits, begin, stop = OTHER, np.int64(0), 0, 0
    while place < end:
        place, number, wire, value, first, last = _field(data, place, end)
        if place < 0:
            return -place, OTHER, 0, 0, 0
        if number == 1 and wire == LEN_WIRE:
            kind, begin, stop = (TEXT if is_utf8(data, first, last - first) else OTHER), first, last
        elif number == 2 and wire == VARINT_WIRE:
            kind, bits = BOOL, np.int64(value != 0)
        elif number == 3 and wire == VARINT_WIRE:
            kind, bits = INT, value
        elif number == 4 and wire == I64_WIRE:
            kind, bits = FLOAT, value
        else:
            kind = OTHER
    return OK, kind, bits, begin, stop


@compiled
def _slot(data: Array, begin: int, stop: int, keys: Array, wanted: Array) -> int:
    """The slot of the attribute with that key, or -1."""
    for k in range(len(wanted)):
        if wanted[k, 1] != stop - begin:
            continue
        same = True
        for i in range(stop - begin):
            if keys[wanted[k, 0] + i] != data[begin + i]:
                same = False
                break
        if same:
            return wanted[k, 2]
    return -1


@compiled
def _attribute(data: Array, place: int, end: int, keys: Array, wanted: Array) -> tuple[int, int, int, Any, int, int]:
    """A KeyValue: the fault; its slot, or -1; and as `_value`."""
    slot, from_value, to_value = -1, 0, 0
    while place < end:
        place, number, wire, _, first, last = _field(data, place, end)
        if place < 0:
            return -place, -1, OTHER, 0, 0, 0
        if number == 1 and wire == LEN_WIRE:
            slot = _slot(data, first, last, keys, wanted)
        elif number == 2 and wire == LEN_WIRE:
            from_value, to_value = first, last
    fault, kind, bits, begin, stop = _value(data, from_value, to_value)
    return fault, slot, kind, bits, (begin if kind == TEXT else -1), (stop if kind == TEXT else -1)


@compiled
def _put(out: Any, slot: int, row: int, kind: int, bits: Any, begin: int, stop: int) -> None:
    if slot >= 0:
        out[0][slot, row], out[1][slot, row] = kind, bits
        out[2][slot, row], out[3][slot, row] = begin, stop - begin


@compiled
def _span(
    data: Array, place: int, end: int, keys: Array, wanted: Array, special: Array, out: Any, row: int
) -> tuple[int, int]:
    """A Span into a row: the fault, and the span's kind."""
    kind, begun, ended, status = 0, np.int64(0), np.int64(0), np.int64(0)
    while place < end:
        place, number, wire, value, first, last = _field(data, place, end)
        if place < 0:
            return -place, 0
        if number == 9 and wire == LEN_WIRE:
            fault, slot, found, bits, begin, stop = _attribute(data, first, last, keys, wanted)
            if fault != OK:
                return fault, 0
            if slot >= 0:
                _put(out, slot, row, found, bits, begin, stop)
        elif number == 6 and wire == VARINT_WIRE:
            kind = value
        elif number == 7 and wire == I64_WIRE:
            begun = value
        elif number == 8 and wire == I64_WIRE:
            ended = value
        elif number == 5 and wire == LEN_WIRE:
            _put(out, special[NAME], row, TEXT if is_utf8(data, first, last - first) else OTHER, 0, first, last)
        elif number == 3 and wire == LEN_WIRE:
            _put(out, special[STATE], row, TEXT if is_utf8(data, first, last - first) else OTHER, 0, first, last)
        elif number == 15 and wire == LEN_WIRE:
            inner = first
            while inner < last:
                inner, number, wire, value, _, _ = _field(data, inner, last)
                if inner < 0:
                    return -inner, 0
                if number == 3 and wire == VARINT_WIRE:
                    status = value
    _put(out, special[KIND], row, INT, kind, -1, -1)
    _put(out, special[STATUS], row, INT, status, -1, -1)
    if status != STATUS_UNSET:
        _put(out, special[FAILED], row, BOOL, np.int64(status == STATUS_ERROR), -1, -1)
    if begun != 0:
        _put(out, special[START], row, INT, begun, -1, -1)
    if ended != 0:
        _put(out, special[END], row, INT, ended, -1, -1)
    if begun != 0 and ended != 0:
        _put(out, special[DURATION], row, INT, ended - begun, -1, -1)
    return OK, kind


@compiled
def _resource(data: Array, place: int, end: int, keys: Array, wanted: Array, said: Any) -> int:
    """The attributes of the resource of a ResourceSpans into the one row of `said`; the fault."""
    said[0][:, 0], said[2][:, 0] = MISSING, -1
    while place < end:
        place, number, wire, _, first, last = _field(data, place, end)
        if place < 0:
            return -place
        if number != 1 or wire != LEN_WIRE:
            continue
        while first < last:
            first, number, wire, _, begin, stop = _field(data, first, last)
            if first < 0:
                return -first
            if number == 1 and wire == LEN_WIRE:
                fault, slot, kind, bits, begin, stop = _attribute(data, begin, stop, keys, wanted)
                if fault != OK:
                    return fault
                _put(said, slot, 0, kind, bits, begin, stop)
    return OK


@compiled
def spans(data: Array, begin: Array, end: Array, count: Array, fault: Array) -> None:
    """How many spans each record [begin, end) holds, int64 (n,), and its fault, as far as its frame shows one."""
    for i in range(len(begin)):
        place, count[i], fault[i] = begin[i], 0, OK
        while place < end[i] and fault[i] == OK:
            place, number, wire, _, first, last = _field(data, place, end[i])
            if place < 0:
                fault[i] = -place
                break
            if number != 1 or wire != LEN_WIRE:
                continue
            while first < last:
                first, number, wire, _, inner, stop = _field(data, first, last)
                if first < 0:
                    fault[i] = -first
                    break
                if number != 2 or wire != LEN_WIRE:
                    continue
                while inner < stop:
                    inner, number, wire, _, _, _ = _field(data, inner, stop)
                    if inner < 0:
                        fault[i] = -inner
                        break
                    count[i] += number == 2 and wire == LEN_WIRE
        if fault[i] == OK and count[i] > SPANS_MAX:
            fault[i] = SPANS


@compiled
def walk(
    data: Array, begin: Array, end: Array, keys: Array, of_resource: Array, of_span: Array, special: Array, kinds: int,
    said: Any, out: Any, record: Array, fault: Array,
) -> int:  # fmt: skip
    """Fill a row for each span whose kind is a bit of `kinds`, and `record` with the record it came from; records with a fault
    are passed over. `said` are slot arrays of one row to work with. How many rows there are."""
    row = 0
    for i in range(len(begin)):
        place, before = begin[i], row
        while place < end[i] and fault[i] == OK:
            place, number, wire, _, first, last = _field(data, place, end[i])
            if number != 1 or wire != LEN_WIRE:
                continue
            fault[i] = _resource(data, first, last, keys, of_resource, said)
            while first < last and fault[i] == OK:
                first, number, wire, _, inner, stop = _field(data, first, last)
                if number != 2 or wire != LEN_WIRE:
                    continue
                while inner < stop and fault[i] == OK:
                    inner, number, wire, _, from_span, to_span = _field(data, inner, stop)
                    if number != 2 or wire != LEN_WIRE:
                        continue
                    for slot in range(len(said[0])):
                        out[0][slot, row], out[1][slot, row] = said[0][slot, 0], said[1][slot, 0]
                        out[2][slot, row], out[3][slot, row] = said[2][slot, 0], said[3][slot, 0]
                    fault[i], kind = _span(data, from_span, to_span, keys, of_span, special, out, row)
                    if fault[i] == OK and 0 <= kind < 32 and (kinds >> kind) & 1:
                        record[row] = i
                        row += 1
        if fault[i] != OK:
            row = before
    return row
