"""Avro on the wire: single-object encoding and Confluent framing.

Davy writes single-object encoding (``C3 01``, the little-endian CRC-64-AVRO fingerprint of the canonical schema, the
body) and reads that and Confluent framing (``00``, a big-endian schema id, the body). Times stay integer UTC
microseconds in Python; `to_json` turns them into ISO 8601.

>>> name, record = decode(encode("ProbeResult", {
...     "target": "redis", "kind": "tcp", "time": 1, "ok": True, "circuit": "CLOSED", "latency_us": 250,
...     "error": None, "error_ratio": 0.0, "services": []}))
>>> name, record["latency_us"]
('ProbeResult', 250)
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any, cast

import fastavro
from fastavro.read import LOGICAL_READERS  # pyright: ignore[reportUnknownVariableType]
from fastavro.schema import SchemaParseException, to_parsing_canonical_form
from fastavro.schema import fingerprint as avro_fingerprint

MAGIC = b"\xc3\x01"
HEADER_BYTES = 10
CONFLUENT_HEADER_BYTES = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME, _INT = "davy-time", "davy-int"
INTS = range(-(2**31), 2**31)
TIMES = range(-62_135_596_800_000_000, 221_845_392_000_000_000)
"""UTC microseconds that are taken: what calendars can say, with room behind for what is added to a time."""

Document = dict[str, Any]
Resolver = Callable[[int], Document]
"""Writer schema (as JSON) of a registry's schema id; raises `UnknownSchema`."""


class Malformed(ValueError):
    """The bytes are not what their header says."""


class UnknownSchema(ValueError):
    """No schema is known for the record's fingerprint or id."""


def names() -> list[str]:
    """Names of all schemas, sorted."""
    files = resources.files("schemas").joinpath("avro").iterdir()
    return sorted(entry.name.removesuffix(".avsc") for entry in files if entry.name.endswith(".avsc"))


@cache
def _text(name: str) -> str:
    path = resources.files("schemas").joinpath("avro", f"{name}.avsc")
    if not path.is_file():
        raise UnknownSchema(f"there is no schema named {name!r}; known: {', '.join(names())}")
    return path.read_text("utf-8")


def document(name: str) -> Document:
    """The Avro schema of that name, a fresh JSON document."""
    return json.loads(_text(name))


@cache
def _parsed(name: str) -> Document:
    return parse(document(name))


def parse(schema: Document) -> Document:
    """Parsed for fastavro with logical types of ours: times stay integers within `TIMES`, an int has 32 bits."""
    return cast(Document, fastavro.parse_schema(_with_our_types(schema)))


def _with_our_types(node: Any) -> Any:
    if isinstance(node, dict):
        items = {key: _with_our_types(value) for key, value in cast(Document, node).items() if key != "logicalType"}
        timed = node.get("logicalType") == "timestamp-micros"  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return items | ({"logicalType": _TIME} if timed else {})
    if isinstance(node, list):
        return [_with_our_types(item) for item in cast(list[Any], node)]
    return {"type": "int", "logicalType": _INT} if node == "int" else node


def _time(value: int, *_: Any) -> int:
    if value not in TIMES:
        raise ValueError(f"{value} is no time in microseconds between the years 1 and 9000")
    return value


def _int(value: int, *_: Any) -> int:
    """The library reads more than 32 bits, and cannot write what it read."""
    if value not in INTS:
        raise ValueError(f"{value} is no int of 32 bits")
    return value


LOGICAL_READERS.update({f"long-{_TIME}": _time, f"int-{_INT}": _int})  # pyright: ignore[reportUnknownMemberType]


@cache
def fingerprint(name: str) -> bytes:
    """As `schema_fingerprint` of the schema of that name."""
    return schema_fingerprint(document(name))


def schema_fingerprint(schema: Document) -> bytes:
    """CRC-64-AVRO of the parsing canonical form, 8 bytes as on the wire (little-endian). Raises ValueError for no schema."""
    try:
        canonical = to_parsing_canonical_form(schema)
    except (SchemaParseException, KeyError, TypeError) as error:
        raise ValueError(f"it is no Avro schema: {error}") from error
    return bytes.fromhex(avro_fingerprint(canonical, "CRC-64-AVRO"))


def history(name: str) -> list[Document]:
    """The schema of that name and its former versions (``avro/history/NAME-*.avsc``), the present one first."""
    past = resources.files("schemas").joinpath("avro", "history")
    files = sorted(past.iterdir(), key=lambda file: file.name, reverse=True) if past.is_dir() else []
    return [document(name), *(json.loads(f.read_text("utf-8")) for f in files if f.name.startswith(f"{name}-"))]


@cache
def header(name: str) -> bytes:
    """The ten bytes in front of every record of that schema."""
    return MAGIC + fingerprint(name)


@cache
def _by_fingerprint() -> Mapping[bytes, tuple[str, Document | None]]:
    """Name of each schema and of its former versions; of these also the schema with which they were written."""
    former = {schema_fingerprint(past): (name, parse(past)) for name in names() for past in history(name)[1:]}
    return {**former, **{fingerprint(name): (name, None) for name in names()}}


def long(value: int) -> bytes:
    """An Avro long: zigzag, then seven bits a byte.

    >>> long(-64).hex(), long(64).hex()
    ('7f', '8001')
    """
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def encode(name: str, record: Mapping[str, Any]) -> bytes:
    """One record in single-object encoding."""
    out = io.BytesIO()
    out.write(header(name))
    fastavro.schemaless_writer(out, _parsed(name), dict(record))
    return out.getvalue()


def decode(data: bytes, resolve: Resolver | None = None) -> tuple[str, Document]:
    """Name and content of one record in either framing.

    Raises `UnknownSchema` for a fingerprint or id nobody knows and `Malformed` for bytes that do not follow their
    schema, trailing ones included.
    """
    if data[:2] == MAGIC and len(data) >= HEADER_BYTES:
        name, former = _by_fingerprint().get(data[2:HEADER_BYTES], (None, None))
        if name is None:
            raise UnknownSchema(f"unknown schema fingerprint {data[2:HEADER_BYTES].hex()}")
        present = _parsed(name)
        return name, _read(data, HEADER_BYTES, former or present, None if former is None else present)
    if data[:1] == b"\x00" and len(data) >= CONFLUENT_HEADER_BYTES and resolve is not None:
        writer = _with_our_types(resolve(int.from_bytes(data[1:CONFLUENT_HEADER_BYTES], "big")))
        name = str(writer.get("name", "")).rpartition(".")[2]
        if name not in names():
            raise UnknownSchema(f"the registry's schema is named {name!r}, which Davy does not use")
        return name, _read(data, CONFLUENT_HEADER_BYTES, fastavro.parse_schema(writer), _parsed(name))
    raise Malformed("neither single-object encoding nor Confluent framing")


def decode_as(name: str, data: bytes, resolve: Resolver | None = None) -> Document:
    """Content of a record that must have the schema `name`; raises as `decode` does."""
    found, record = decode(data, resolve)
    if found != name:
        raise UnknownSchema(f"expected a {name}, found a {found}")
    return record


def _read(data: bytes, start: int, writer: Any, reader: Any) -> Document:
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        record = fastavro.schemaless_reader(
            stream, writer, reader, return_record_name=True, return_record_name_override=True
        )
    except (EOFError, IndexError) as error:
        raise Malformed("the record ends early") from error
    except (ValueError, OverflowError, MemoryError, TypeError) as error:
        raise Malformed(f"the record does not follow its schema: {error}") from error
    if stream.tell() != len(data):
        raise Malformed(f"{len(data) - stream.tell()} bytes trail the record")
    return cast(Document, record)


def iso(time_us: int) -> str:
    """ISO 8601, UTC, six digits: ``1970-01-01T00:00:00.000001Z``."""
    return (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def micros(text: str) -> int:
    """Microseconds since the epoch of an ISO 8601 time; one without a zone is UTC. Raises ValueError."""
    time = datetime.fromisoformat(text)
    return (time.replace(tzinfo=time.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1)


def to_json(name: str, record: Mapping[str, Any]) -> Document:
    """The JSON form of a record: the same names, times as ISO 8601, bytes as hex."""
    return _json_form(copy.deepcopy(document(name)), record, {})


def _json_form(schema: Any, value: Any, named: dict[str, Any]) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple):  # a branch of a union of records, with its name
        name, content = cast("tuple[str, Any]", value)
        branch = next(b for b in schema if b != "null" and name.endswith(f".{b['name']}"))
        return {"type": branch["name"]} | _json_form(branch, content, named)
    if isinstance(schema, list):
        branches = [branch for branch in cast(list[Any], schema) if branch != "null"]
        return _json_form(branches[0], value, named) if len(branches) == 1 else value
    if isinstance(schema, str):
        return _json_form(named[schema], value, named) if schema in named else value
    kind = schema["type"]
    if "name" in schema:
        named[schema["name"]] = schema
    if kind == "record":
        return {field["name"]: _json_form(field["type"], value[field["name"]], named) for field in schema["fields"]}
    if kind == "array":
        return [_json_form(schema["items"], item, named) for item in value]
    if kind == "map":
        return {key: _json_form(schema["values"], item, named) for key, item in value.items()}
    if schema.get("logicalType") == "timestamp-micros":
        return iso(value)
    return value.hex() if isinstance(value, bytes) else value
