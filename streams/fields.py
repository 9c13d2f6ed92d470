"""From what records call things to `Rows`: the mapping, units and defaults of an input, a column at a time.

A path leads to one place in a record; of several, joined by ``|``, the first one that is filled counts. A number may be
written as a text, since many logs quote everything. Whole numbers stay exact; what cannot be a number of microseconds or bytes
at all becomes `UNUSABLE`, which governance then quarantines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from schemas import codec
from schemas.event import COLUMNS, REQUIRED
from schemas.frozen import frozen
from streams.kernels.slots import BOOL, FLOAT, INT, NULL, NUMERAL, OTHER, TEXT, times
from streams.rows import LONGS, TEXTS, Rows

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Faults = list[tuple[int, str]]
"""Rows that cannot be used, ascending, with the reason."""

FACTORS = {
    "ns": (1, 1000), "us": (1, 1), "ms": (1000, 1), "s": (1_000_000, 1), "iso8601": (1, 1), "B": (1, 1),
    "KB": (1000, 1), "MB": (10**6, 1), "GB": (10**9, 1), "KiB": (2**10, 1), "MiB": (2**20, 1), "GiB": (2**30, 1),
}  # fmt: skip
"""What a number in that unit is multiplied with, and divided by, to be microseconds or bytes."""
UNUSABLE, LARGEST = -(1 << 62), 1 << 62
YES, NO = ("true", "True", "TRUE", "1", "yes"), ("false", "False", "FALSE", "0", "no")


@frozen()
class Slots:
    """What was found in n records at the wanted places; see `streams.kernels.slots`."""

    data: npt.NDArray[np.uint8]
    kind: npt.NDArray[np.uint8]
    bits: Ints
    start: Ints
    length: npt.NDArray[np.int32]

    @classmethod
    def empty(cls, data: npt.NDArray[np.uint8], slots: int, n: int) -> Self:
        """Nothing found."""
        return cls(
            data, np.zeros((slots, n), np.uint8), np.zeros((slots, n), np.int64),
            np.full((slots, n), -1, np.int64), np.zeros((slots, n), np.int32),
        )  # fmt: skip

    @property
    def arrays(self) -> tuple[Any, ...]:
        """As kernels take them."""
        return self.kind, self.bits, self.start, self.length

    def head(self, n: int) -> Slots:
        """Those of the first n rows."""
        return Slots(self.data, *(array[:, :n].copy() for array in self.arrays))

    def text(self, slot: int, row: int) -> str:
        """The text there, or that of the number."""
        start = int(self.start[slot, row])
        if start < 0:
            bits = self.bits[slot, row]
            return str(int(bits) if self.kind[slot, row] == INT else float(bits.view(np.float64)))
        return self.data[start : start + int(self.length[slot, row])].tobytes().decode()

    def first(self, wanted: Sequence[int]) -> Slots:
        """One slot: of those wanted, the first that is filled."""
        one, *others = wanted
        if not others:
            part = slice(one, one + 1)
            return Slots(self.data, self.kind[part], self.bits[part], self.start[part], self.length[part])
        take = np.full(self.kind.shape[1], one)
        for other in reversed(others):
            take[self.kind[other] > NULL] = other
        take[self.kind[one] > NULL] = one
        row = np.arange(len(take))
        return Slots(
            self.data, self.kind[take, row][None], self.bits[take, row][None],
            self.start[take, row][None], self.length[take, row][None],
        )  # fmt: skip


@frozen()
class Field:
    """Where one column comes from: slots, unit, and what stands for nothing (None: nothing does)."""

    name: str
    slots: tuple[int, ...]
    unit: str | None
    default: str | int | float | bool | None

    @property
    def factor(self) -> tuple[int, int]:
        """As in `FACTORS`."""
        return FACTORS[self.unit or "us"]


@frozen()
class Fields:
    """All columns of an input. `paths` are the distinct places wanted in a record: one slot each."""

    paths: tuple[str, ...]
    fields: tuple[Field, ...]
    measures: tuple[Field, ...]

    @classmethod
    def of(
        cls, mapping: Mapping[str, str], units: Mapping[str, str], defaults: Mapping[str, Any], measures: Sequence[str]
    ) -> Self:  # fmt: skip
        """Column -> path; a column that is not mapped is found under its own name, a measure under ``measures.NAME``."""
        paths: dict[str, int] = {}

        def field(name: str) -> Field:
            ways = [way.strip() for way in mapping.get(name, name).split("|")]
            slots = tuple(paths.setdefault(way, len(paths)) for way in ways)
            return Field(name, slots, units.get(name), defaults.get(name))

        fields = tuple(field(name) for name in COLUMNS if name != "measures")
        registered = tuple(field(f"measures.{name}") for name in measures)
        return cls(tuple(paths), fields, registered)

    def rows(self, slots: Slots) -> tuple[Rows, Faults]:
        """All rows; one with a fault means nothing."""
        n = slots.kind.shape[1]
        words = _Words(slots.data)
        rows = Rows.empty(slots.data, n, len(self.measures))
        faults: dict[int, str] = {}
        given = np.zeros(n, np.uint8)
        for field in self.fields:
            found = slots.first(field.slots)
            if field.name in TEXTS:
                i = TEXTS.index(field.name)
                _texts(field, found, rows.start[i], rows.length[i], words, faults)
            elif field.name == "sample_rate":
                _binaries(field, found, rows.rate, given, faults)
            else:
                i = LONGS.index(field.name)
                read = {"error": _errors, "timestamp": _timestamps}.get(field.name) or _longs
                read(field, found, rows.longs[i], rows.present[i], faults)
                if field.name == "status":
                    _small(rows.longs[i], faults)
        for i, field in enumerate(self.measures):
            _binaries(field, slots.first(field.slots), rows.values[i], rows.has[i], faults)
        data = words.data().view()
        data.flags.writeable = False  # as what comes from bytes is: the loops are compiled for one kind of array
        return replace(rows, data=data), sorted(faults.items())


class _Words:
    """The buffer of a batch, and the texts that are not in it."""

    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self._data = data
        self._more = bytearray()
        self._places: dict[str, int] = {}

    def place(self, word: str) -> tuple[int, int]:
        """Start and length in the buffer to be."""
        encoded = word.encode()
        if word not in self._places:
            self._places[word] = len(self._data) + len(self._more)
            self._more += encoded
        return self._places[word], len(encoded)

    def data(self) -> npt.NDArray[np.uint8]:
        return np.concatenate((self._data, np.frombuffer(self._more, np.uint8))) if self._more else self._data


def _fault(faults: dict[int, str], rows: npt.NDArray[np.bool_], reason: str) -> None:
    for row in np.flatnonzero(rows).tolist():
        faults.setdefault(row, reason)


def _lacking(field: Field, missing: Bools, faults: dict[int, str]) -> None:
    if field.name in REQUIRED:
        _fault(faults, missing, f"{field.name}: no value")


def _texts(
    field: Field, found: Slots, start: Ints, length: npt.NDArray[np.int32], words: _Words,
    faults: dict[int, str],
) -> None:  # fmt: skip
    kind = found.kind[0]
    start[:], length[:] = found.start[0], found.length[0]
    if kind.min(initial=TEXT) == kind.max(initial=TEXT) == TEXT:
        return
    missing = kind <= NULL
    length[missing] = -1
    if missing.any():
        if field.default is not None:
            start[missing], length[missing] = words.place(_word(field.default))
        else:
            _lacking(field, missing, faults)
    for row in np.flatnonzero(np.isin(kind, (INT, FLOAT)) & (found.start[0] < 0)).tolist():
        start[row], length[row] = words.place(found.text(0, row))
    _fault(faults, (kind == BOOL) | (kind == OTHER), f"{field.name}: neither a text nor a number")


def _word(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _written(
    field: Field, found: Slots, faults: dict[int, str], read: Callable[[str], int], out: Ints, present: Any
) -> None:
    """Values that only Python's own reading tells: `read` gives the value, or raises ValueError."""
    known: dict[str, int | None] = {}
    for row in np.flatnonzero((found.kind[0] == TEXT) | (found.kind[0] == NUMERAL)).tolist():
        if present[row]:
            continue
        text = found.text(0, row)
        if text not in known:
            try:
                known[text] = read(text)
            except (ValueError, OverflowError):
                known[text] = None
        value = known[text]
        if value is None:
            faults.setdefault(row, f"{field.name}: {text[:40]!r} cannot be read")
        else:
            out[row], present[row] = value, 1


def _longs(field: Field, found: Slots, out: Ints, present: npt.NDArray[np.uint8], faults: dict[int, str]) -> None:
    kind = found.kind[0]
    up, down = field.factor
    whole = kind == INT
    if whole.all():
        out[:], present[:] = scaled(found.bits[0], up, down), 1
        return
    out[whole], present[whole] = scaled(found.bits[0][whole], up, down), 1
    binary = kind == FLOAT
    if binary.any():
        out[binary], present[binary] = _rounded(found.bits[0].view(np.float64)[binary] * (up / down)), 1
    _written(field, found, faults, lambda text: _long(text, up, down), out, present)
    missing = kind <= NULL
    if missing.any():
        if field.default is not None:
            out[missing], present[missing] = int(field.default), 1
        else:
            _lacking(field, missing, faults)
    _fault(faults, (kind == BOOL) | (kind == OTHER), f"{field.name}: no number")


def scaled(values: Ints, up: int, down: int) -> Ints:
    """values * up / down; what is too large for that stays too large."""
    if down > 1:
        return values // down
    if up == 1:
        return values
    bound = LARGEST // up
    return np.where(values > bound, LARGEST, np.where(values < -bound, UNUSABLE, values * up))


def _rounded(values: npt.NDArray[np.float64]) -> Ints:
    """The nearest integer; UNUSABLE for no number at all."""
    sound = np.where(np.isfinite(values), values, float(UNUSABLE))
    return np.clip(np.round(sound), float(UNUSABLE), float(LARGEST)).astype(np.int64)


def _long(text: str, up: int, down: int) -> int:
    try:
        return min(max(int(text) * up // down, UNUSABLE), LARGEST)
    except ValueError:
        value = float(text) * up / down
        return min(max(round(value), UNUSABLE), LARGEST) if math.isfinite(value) else UNUSABLE


def _timestamps(field: Field, found: Slots, out: Ints, present: npt.NDArray[np.uint8], faults: dict[int, str]) -> None:
    text = found.kind[0] == TEXT
    if text.any():
        rows = np.flatnonzero(text)
        time_us, ok = np.empty(len(rows), np.int64), np.empty(len(rows), np.bool_)
        times(found.data, found.start[0][rows], found.length[0][rows], time_us, ok)
        out[rows[ok]], present[rows[ok]] = time_us[ok], 1
        if ok.all() and len(rows) == len(out):
            return
        _written(field, found, faults, lambda text: _instant(text, field), out, present)
    if field.unit == "iso8601":
        _fault(faults, (found.kind[0] == INT) | (found.kind[0] == FLOAT), "timestamp: a number, not an ISO 8601 time")
    _longs(field, found, out, present, faults)


def _instant(text: str, field: Field) -> int:
    try:
        return codec.micros(text)
    except ValueError:
        if field.unit == "iso8601":
            raise
        return _long(text, *field.factor)


def _errors(field: Field, found: Slots, out: Ints, present: npt.NDArray[np.uint8], faults: dict[int, str]) -> None:
    kind, bits = found.kind[0], found.bits[0]
    plain = (kind == BOOL) | ((kind == INT) & ((bits == 0) | (bits == 1)))
    out[plain], present[plain] = bits[plain], 1
    _written(field, found, faults, _flag, out, present)
    if field.default is not None:
        missing = kind <= NULL
        out[missing], present[missing] = bool(field.default), 1
    _fault(faults, (kind > NULL) & (present == 0), "error: neither true nor false")


def _flag(text: str) -> int:
    if text not in YES + NO:
        raise ValueError(text)
    return int(text in YES)


def _small(status: Ints, faults: dict[int, str]) -> None:
    _fault(faults, (status < -(1 << 31)) | (status >= 1 << 31), "status: more than 32 bits")


def _binaries(
    field: Field, found: Slots, out: npt.NDArray[np.float64], has: npt.NDArray[np.uint8], faults: dict[int, str]
) -> None:
    kind, factor = found.kind[0], field.factor[0] / field.factor[1]
    whole, binary = kind == INT, kind == FLOAT
    out[whole] = found.bits[0][whole] * factor
    out[binary] = found.bits[0].view(np.float64)[binary] * factor
    has[:] = whole | binary
    for row in np.flatnonzero((kind == TEXT) | (kind == NUMERAL)).tolist():
        text = found.text(0, row)
        try:
            out[row], has[row] = float(text) * factor, 1
        except ValueError:
            faults.setdefault(row, f"{field.name}: {text[:40]!r} cannot be read")
    if field.default is not None:
        missing = kind <= NULL
        out[missing], has[missing] = float(field.default), 1
    _fault(faults, (kind == BOOL) | (kind == OTHER), f"{field.name}: no number")
