"""Avro in single-object encoding: ``C3 01``, the fingerprint of the writer's schema, the body.

A batch is joined to one buffer and walked record by record by a compiled loop, along a program for each writer's schema. A
bad record is told with its own fault; the others never notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from schemas import codec
from schemas.config import Config, Input
from streams.avro_rows import FAULTS, Program
from streams.formats.base import Decoded, Headers, Ints, Reject, Values
from streams.kernels import avro_walk
from streams.rows import Rows

MAGIC = np.frombuffer(codec.MAGIC, np.uint8)


class Avro:
    """The format."""

    name = "avro"

    def decoder(self, config: Config, topic: str, source: Input) -> AvroDecoder:
        """For single-object encoding."""
        known = {codec.fingerprint("RequestEvent"): codec.document("RequestEvent")}
        return AvroDecoder(known, sorted(config.measures), config.limits.record_bytes)

    def identity(self, config: Config, topic: str, source: Input) -> dict[str, Any]:
        """The schema that records must have."""
        return {"schemas": [codec.fingerprint("RequestEvent").hex()]}


class AvroDecoder:
    """Records of one topic, of some writers' schemas by fingerprint; `measures` are the registered ones, sorted."""

    wants_headers = False

    def __init__(
        self, known: Mapping[bytes, Mapping[str, Any]], measures: Sequence[str], record_bytes_max: int
    ) -> None:  # fmt: skip
        self.programs = [Program.of(schema) for schema in known.values()]
        self.fingerprints = np.frombuffer(b"".join(known), np.uint64)
        self.measures = measures
        self.record_bytes_max = record_bytes_max

    def decode(self, values: Values, headers: Headers | None = None) -> Decoded:
        """Rows of all records that can be used, and the others with their reasons."""
        data, begin, end = _joined(values)
        which, size = np.empty(len(values), np.int64), end - begin
        bad = avro_walk.headers(data, begin, end, MAGIC, self.fingerprints, which)
        too_large = size > self.record_bytes_max
        fault = np.zeros(len(values), np.uint8)
        if len(self.programs) == 1 and not bad:
            rows, fault = self.programs[0].walk(data, begin + codec.HEADER_BYTES, end, self.measures)
        else:
            rows = self._apart(data, begin, end, which, fault)
        unusable = (which < 0) | too_large | (fault != avro_walk.OK)
        if not unusable.any():
            return Decoded(rows, np.arange(len(values)), [])
        rejects = [
            Reject(i, self._reason(values[i], int(which[i]), int(fault[i]), bool(too_large[i])))
            for i in np.flatnonzero(unusable).tolist()
        ]
        index = np.flatnonzero(~unusable)
        return Decoded(rows.take(index), index, rejects)

    def _apart(self, data: Any, begin: Ints, end: Ints, which: Ints, fault: Any) -> Rows:
        """Each writer's records along its own program; `fault` is filled in."""
        rows = Rows.empty(data, len(begin), len(self.measures))
        for number, program in enumerate(self.programs):
            mine = np.flatnonzero(which == number)
            found, fault[mine] = program.walk(data, begin[mine] + codec.HEADER_BYTES, end[mine], self.measures)
            rows.put(mine, found)
        return rows

    def _reason(self, value: bytes | None, which: int, fault: int, too_large: bool) -> str:
        if not value:
            return "the record is empty"
        if too_large:
            return f"the record has {len(value)} bytes, more than limits.record_bytes ({self.record_bytes_max})"
        if which == avro_walk.NO_MAGIC:
            return "the record is not in Avro single-object encoding (it does not begin with C3 01)"
        if which == avro_walk.UNKNOWN:
            return f"unknown schema fingerprint {value[2 : codec.HEADER_BYTES].hex()}"
        return FAULTS[fault]


def _joined(values: Values) -> tuple[Any, Ints, Ints]:
    """All bytes end to end, uint8, and where each value begins and ends."""
    held = values if all(values) else [value or b"" for value in values]
    size = np.fromiter(map(len, cast("Sequence[bytes]", held)), np.int64, len(held))
    end = np.cumsum(size)
    return np.frombuffer(b"".join(cast("Sequence[bytes]", held)), np.uint8), end - size, end


FORMAT = Avro()
