"""Avro in both framings: single-object encoding (``C3 01``, the fingerprint of the writer's schema, the body), and, where a
registry is configured, Confluent's (``00``, the schema's id, the body).

A batch is joined to one buffer and walked record by record by a compiled loop, along a program for each writer's schema. A bad
record is told with its own fault; the others never notice. Without a mapping, writers' schemas must be compatible with
RequestEvent by Avro's rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from schemas import codec
from schemas.config import Config, Input
from streams.avro_any import AnyAvro
from streams.avro_rows import FAULTS, NotFlat, Program
from streams.fields import Faults, Fields, scaled
from streams.formats.base import Decoded, Headers, Ints, Reject, unsound
from streams.kernels import avro_walk
from streams.packed import Packed
from streams.rows import LONGS, Rows
from streams.writers import Ids, SchemaRegistry, folder, shipped

MAGIC = np.frombuffer(codec.MAGIC, np.uint8)
NO_ID = -9
"""In place of a writer's number: a record in Confluent framing whose id has no usable schema."""
TIME_FACTORS = {"timestamp-millis": (1000, 1), "timestamp-micros": (1, 1), "timestamp-nanos": (1, 1000)}


class Avro:
    """The format."""

    name = "avro"

    def decoder(self, config: Config, topic: str, source: Input) -> AvroDecoder:
        """For one topic; raises `UserError` for a writer's schema that we cannot read, `InfrastructureError` where the
        registry does not answer."""
        ids = None
        if config.schema_registry is not None:
            ids = SchemaRegistry(config.schema_registry, checked=not _mapped(source))
            ids.check_subject(topic)
        measures = sorted(config.measures)
        fields = Fields.of(source.mapping, source.units, source.defaults, measures)
        return AvroDecoder(_known(source), ids, fields, _mapped(source), config.limits.record_bytes)

    def identity(self, config: Config, topic: str, source: Input) -> dict[str, Any]:
        """The writers' schemas by fingerprint, and the registry that knows the others; its ids never change their meaning."""
        mapped = source.model_dump(mode="json", include={"mapping", "units", "defaults"})
        registry = config.schema_registry.url if config.schema_registry else None
        return mapped | {"schemas": sorted(key.hex() for key in _known(source)), "registry": registry}


FORMAT = Avro()


def _mapped(source: Input) -> bool:
    return bool(source.mapping or source.units or source.defaults)


def _known(source: Input) -> dict[bytes, codec.Document]:
    more = folder(source.schemas, checked=not _mapped(source)) if source.schemas else {}
    return shipped() | more


class AvroDecoder:
    """Records of one topic, of writers' schemas `known` by fingerprint, and of those that `ids` resolves."""

    wants_headers = False

    def __init__(
        self, known: Mapping[bytes, codec.Document], ids: Ids | None, fields: Fields, mapped: bool, record_bytes_max: int
    ) -> None:  # fmt: skip
        self.ids = ids
        self.fields = fields
        self.mapped = mapped
        self.measures = [field.name.removeprefix("measures.") for field in fields.measures]
        self.record_bytes_max = record_bytes_max
        self.writers: list[_Flat | AnyAvro] = [self._writer(schema) for schema in known.values()]
        self.fingerprints = np.frombuffer(b"".join(known), np.uint64)
        self._number_of: dict[int, int] = {}

    def _writer(self, schema: codec.Document) -> _Flat | AnyAvro:
        if not self.mapped:
            try:
                return _Flat(schema, self.measures)
            except NotFlat:
                pass
        return AnyAvro(schema, self.fields)

    def decode(self, values: Packed, headers: Headers | None = None) -> Decoded:
        """Rows of all records that can be used, and the others with their reasons."""
        data, begin, end = values.data, values.begin, values.end
        which, size = np.empty(len(values), np.int64), values.size
        bad = avro_walk.headers(data, begin, end, MAGIC, self.fingerprints, which)
        body = begin + codec.HEADER_BYTES
        if bad and self.ids is not None:
            self._confluent(data, begin, size, which, body)
        large = size > self.record_bytes_max
        if large.any():
            which[large] = NO_ID
        first = self.writers[0]
        if (
            isinstance(first, _Flat) and len(which) and which.max() <= 0
        ):  # what has no writer is walked as an empty record
            rows, faults = first.rows(data, np.where(which < 0, end, body), end)
        else:
            rows, faults = self._apart(data, body, end, which)
        none = {i: self._reason(values[i], int(which[i])) for i in np.flatnonzero(which < 0).tolist()}
        reasons = dict(faults) | none
        if not reasons:
            return Decoded(rows, np.arange(len(values)), [])
        index = np.delete(np.arange(len(values)), list(reasons))
        return Decoded(rows.take(index), index, [Reject(i, reasons[i]) for i in sorted(reasons)])

    def _confluent(self, data: Any, begin: Ints, size: Ints, which: Ints, body: Ints) -> None:
        """Find the records in Confluent framing among those of no fingerprint, and their writers by id."""
        framed = np.flatnonzero((which < 0) & (size >= codec.CONFLUENT_HEADER_BYTES))
        framed = framed[data[begin[framed]] == 0]
        ids = np.zeros(len(framed), np.int64)
        for i in range(1, codec.CONFLUENT_HEADER_BYTES):
            ids = ids << 8 | data[begin[framed] + i]
        for schema_id in np.unique(ids).tolist():
            which[framed[ids == schema_id]] = self._number(schema_id)
        body[framed] = begin[framed] + codec.CONFLUENT_HEADER_BYTES

    def _number(self, schema_id: int) -> int:
        """Place in `writers` of a registry's schema, or NO_ID."""
        number = self._number_of.get(schema_id)
        if number is None:
            try:
                schema = cast(Ids, self.ids).writer(schema_id)
            except codec.UnknownSchema:
                return NO_ID
            number = self._number_of[schema_id] = len(self.writers)
            self.writers.append(self._writer(schema))
        return number

    def _apart(self, data: Any, body: Ints, end: Ints, which: Ints) -> tuple[Rows, Faults]:
        """Each writer's records by themselves."""
        rows, faults, parts = Rows.empty(data, len(body), len(self.measures)), Faults(), [data]
        numbers: list[int] = np.unique(which[which >= 0]).tolist()
        for number in numbers:
            mine, writer = np.flatnonzero(which == number), self.writers[number]
            if isinstance(writer, _Flat):
                found, wrong = writer.rows(data, body[mine], end[mine])
            else:
                bodies = [data[a:b].tobytes() for a, b in zip(body[mine].tolist(), end[mine].tolist(), strict=True)]
                found, wrong = writer.rows(bodies)
                found.start[:] += sum(map(len, parts))
                parts.append(found.data)
            rows.put(mine, found)
            faults += [(int(mine[row]), reason) for row, reason in wrong]
        return replace(rows, data=_frozen(np.concatenate(parts))) if len(parts) > 1 else rows, faults

    def _reason(self, value: bytes, which: int) -> str:
        if not 0 < len(value) <= self.record_bytes_max:
            return unsound(len(value), self.record_bytes_max)
        if which == avro_walk.UNKNOWN:
            return f"unknown schema fingerprint {value[2 : codec.HEADER_BYTES].hex()}"
        if which == NO_ID:
            try:
                cast(Ids, self.ids).writer(int.from_bytes(value[1 : codec.CONFLUENT_HEADER_BYTES], "big"))
            except codec.UnknownSchema as error:
                return str(error)
        return "the record is not in Avro single-object encoding (it does not begin with C3 01)"


class _Flat:
    """A writer whose records the compiled walk reads."""

    def __init__(self, schema: codec.Document, measures: Sequence[str]) -> None:
        self.program = Program.of(schema)
        self.measures = measures
        kinds: dict[str, Any] = {field["name"]: field["type"] for field in schema["fields"]}
        logical = kinds["timestamp"].get("logicalType") if isinstance(kinds.get("timestamp"), dict) else None
        self.factor = TIME_FACTORS.get(str(logical), (1, 1))

    def rows(self, data: Any, body: Ints, end: Ints) -> tuple[Rows, Faults]:
        """A row of each record [body, end) in `data`; one with a fault means nothing."""
        rows, fault = self.program.walk(data, body, end, self.measures)
        if self.factor != (1, 1):
            time_us = rows.longs[LONGS.index("timestamp")]
            time_us[:] = scaled(time_us, *self.factor)
        return rows, [(i, FAULTS[int(fault[i])]) for i in np.flatnonzero(fault).tolist()]


def _frozen(data: Any) -> Any:
    data.flags.writeable = False  # as what comes from bytes is: the loops are compiled for one kind of array
    return data
