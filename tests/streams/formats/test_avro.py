"""Avro in both framings, of several writers at once; the general library is the oracle, the registry a real one."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.config import Config
from schemas.errors import InfrastructureError, UserError
from streams.formats.avro import FORMAT, AvroDecoder
from streams.layout import Layout
from streams.packed import Packed
from tests.streams.formats.events import rows
from tests.support.registry import SchemaRegistryServer

EVENT: dict[str, Any] = {
    "timestamp": 1_764_000_000_000_000, "service": "cart", "environment": "test", "version": "1", "status": 200,
    "duration_us": 1500, "unit_id": "u1", "error": True, "cpu_us": 7,
}  # fmt: skip
ROW = EVENT | {"error": 1, "sample_rate": 1.0}
NULLS: dict[str, Any] = {field["name"]: None for field in codec.document("RequestEvent")["fields"]}
GOOD = codec.encode("RequestEvent", NULLS | EVENT | {"sample_rate": 1.0})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchemaRegistryServer]:
    server = SchemaRegistryServer(tmp_path_factory.mktemp("registry"))
    server.start()
    yield server
    server.stop()


def config(topic: str = "orders", registry: str | None = None, measures: tuple[str, ...] = (), **source: Any) -> Config:
    more = {"schema_registry": {"url": registry}} if registry else {}
    return Config.model_validate({"inputs": {topic: source}, "measures": list(measures), **more})


def decoder(topic: str = "orders", **said: Any) -> AvroDecoder:
    made = config(topic, **said)
    return FORMAT.decoder(made, topic, made.sources[topic])


def older() -> dict[str, Any]:
    """A schema from before some fields were there, in another order, with milliseconds, and one that is gone by now."""
    schema = codec.document("RequestEvent")
    by_name = {field["name"]: field for field in schema["fields"]}
    names = ("status", "service", "version", "environment", "unit_id", "error", "cpu_us", "duration_us")
    time = {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}}
    gone = {"name": "region", "type": ["string", "null"]}
    kinds = {"name": "mesh", "type": {"type": "enum", "name": "Mesh", "symbols": ["A", "B"]}}
    return schema | {"fields": [gone, *(by_name[name] for name in names), time, kinds]}


def single(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    out = io.BytesIO(codec.MAGIC + codec.schema_fingerprint(schema))
    out.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(out, codec.parse(schema), record)
    return out.getvalue()


OLD = single(older(), EVENT | {"timestamp": 1_764_000_000_000, "region": "eu", "mesh": "B"})


def test_writers_of_several_versions_share_a_topic(tmp_path: Path) -> None:
    (tmp_path / "RequestEvent-1.avsc").write_text(json.dumps(older()))
    decoded = decoder(schemas=str(tmp_path)).decode(Packed.of([GOOD, OLD, OLD[:-1], GOOD, OLD + b"x", OLD]))
    assert rows(decoded) == [ROW] * 4
    assert decoded.index.tolist() == [0, 1, 3, 5]
    assert [reject.index for reject in decoded.rejects] == [2, 4]
    alone = decoder().decode(Packed.of([GOOD, OLD]))
    assert rows(alone) == [ROW]
    assert "unknown schema fingerprint" in alone.rejects[0].reason


def test_a_writer_that_we_cannot_read_is_told_at_start(tmp_path: Path) -> None:
    schema = older()
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "service"]
    (tmp_path / "bad.avsc").write_text(json.dumps(schema))
    with pytest.raises(UserError, match=r"bad.avsc: records of this schema cannot be read as RequestEvents: service"):
        decoder(schemas=str(tmp_path))
    (tmp_path / "bad.avsc").write_text("{")
    with pytest.raises(UserError, match=r"bad.avsc"):
        decoder(schemas=str(tmp_path))
    with pytest.raises(UserError, match="no such folder"):
        decoder(schemas=str(tmp_path / "none"))


def test_the_present_schema_is_the_one_that_writers_have() -> None:
    """Before you change RequestEvent, put the present schema into schemas/avro/history; then correct this."""
    assert codec.fingerprint("RequestEvent").hex() == "1d0ecbbbbd64315c"


def test_nested_fields_are_mapped(tmp_path: Path) -> None:
    schema = {
        "type": "record", "name": "Order", "fields": [
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "app", "type": {"type": "record", "name": "App", "fields": [
                {"name": "name", "type": "string"}, {"name": "release", "type": ["null", "bytes", "string"]}]}},
            {"name": "took", "type": "double"}, {"name": "tags", "type": {"type": "array", "items": "string"}},
        ],
    }  # fmt: skip
    (tmp_path / "order.avsc").write_text(json.dumps(schema))
    value = single(
        schema, {"at": 1_764_000_000_001, "app": {"name": "cart", "release": "7"}, "took": 0.25, "tags": ["a"]}
    )
    decoded = decoder(
        schemas=str(tmp_path),
        mapping={"timestamp": "at", "service": "app.name", "version": "app.release", "duration_us": "took"},
        units={"duration_us": "s"}, defaults={"environment": "test", "status": 200},
    ).decode(Packed.of([value, value[:-1], value + b"x", GOOD]))  # fmt: skip
    assert rows(decoded) == [{
        "timestamp": 1_764_000_000_001_000, "service": "cart", "environment": "test", "version": "7", "status": 200,
        "duration_us": 250_000, "sample_rate": 1.0,
    }]  # fmt: skip
    assert [reject.index for reject in decoded.rejects] == [1, 2, 3]


def test_confluents_framing_with_a_real_registry(registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": registry.url})
    place = SerializationContext("orders", MessageField.VALUE)
    new, old = (
        AvroSerializer(client, json.dumps(schema), conf={"normalize.schemas": False})
        for schema in (codec.document("RequestEvent"), older())
    )
    time = datetime.fromtimestamp(1_764_000_000, UTC)
    first = new(NULLS | EVENT | {"timestamp": time, "sample_rate": 1.0}, place)
    reader = decoder(registry=registry.url)
    second = old(EVENT | {"timestamp": time, "region": None, "mesh": "A"}, place)
    assert first is not None
    assert second is not None
    unknown = b"\x00\x00\x0f\x42\x3f" + first[5:]
    decoded = reader.decode(Packed.of([first, GOOD, second, unknown, second[:-1], b"\x00\x00"]))
    assert rows(decoded) == [ROW] * 3
    assert [(reject.index, reject.reason) for reject in decoded.rejects] == [
        (3, "schema id 999999: the registry does not know it"),
        (4, "the record ends early"),
        (5, "the record is not in Avro single-object encoding (it does not begin with C3 01)"),
    ]


def test_a_registered_schema_that_we_cannot_read(registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": registry.url})
    other = {
        "type": "record",
        "name": "RequestEvent",
        "namespace": "davy.v1",
        "fields": [{"name": "a", "type": "string"}],
    }
    number = client.register_schema("alien-value", Schema(json.dumps(other), "AVRO"))
    with pytest.raises(UserError, match=r"alien: version 1 of alien-value cannot be read: .*timestamp"):
        decoder("alien", registry=registry.url)
    decoded = decoder(registry=registry.url).decode(Packed.of([b"\x00" + number.to_bytes(4, "big") + b"\x02x", GOOD]))
    assert rows(decoded) == [ROW]
    assert f"schema id {number}: " in decoded.rejects[0].reason


def test_a_registry_that_is_silent_stops_the_reader(registry: SchemaRegistryServer, tmp_path: Path) -> None:
    gone = SchemaRegistryServer(tmp_path)
    with pytest.raises(InfrastructureError, match="does not answer"):
        decoder(registry=gone.url)


def test_what_rows_depend_on_is_in_the_digest(tmp_path: Path) -> None:
    (tmp_path / "old.avsc").write_text(json.dumps(older()))
    several = [
        {}, {"registry": "http://a"}, {"registry": "http://b"}, {"schemas": str(tmp_path)}, {"units": {"timestamp": "ms"}},
        {"mapping": {"service": "app"}}, {"defaults": {"status": 200}}, {"format": "json"}, {"format": "otlp_proto"},
    ]  # fmt: skip
    digests = {Layout.of(config(**said)).digest for said in several}
    assert len(digests) == len(several)


BODY = len(codec.MAGIC) + 8


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_accepts_what_the_general_library_accepts(data: st.DataObject) -> None:
    body = bytearray(GOOD[BODY:])
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    value = GOOD[:BODY] + bytes(body)
    decoded = decoder().decode(Packed.of([GOOD, value, GOOD]))
    try:
        record = codec.decode_as("RequestEvent", value)
    except codec.Malformed as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        # a time that no calendar has is late, or of the future, for ingest: such a row is counted
        assert decoded.index.tolist() == [0, 2] or "is no time" in refused
        return
    if decoded.rejects:  # stricter than the library: booleans of 2, ints beyond 32 bits, lengths beyond the record
        assert decoded.index.tolist() == [0, 2]
        return
    row = rows(decoded)[1]
    assert {k: v for k, v in record.items() if v is not None and k not in ("measures", "sample_rate", "error")} == {
        k: v for k, v in row.items() if k not in ("sample_rate", "error")
    }
