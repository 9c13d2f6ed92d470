"""Both framings, against a public Avro library; times; what is malformed is told."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.control import Command, Control, WeightIntent

longs = st.integers(0, 2**52)
optional = st.none() | st.text(max_size=20)
events = st.fixed_dictionaries({
    "timestamp": longs, "service": st.text(max_size=20), "environment": st.text(max_size=20), "version": st.text(max_size=20),
    "experiment_id": optional, "variant": optional, "segment": optional, "unit_id": optional, "instance": optional,
    "endpoint": optional, "status": st.integers(0, 999), "error": st.none() | st.booleans(), "duration_us": longs,
    "cpu_us": st.none() | longs, "memory_bytes": st.none() | longs,
    "measures": st.none() | st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False), max_size=3),
    "sample_rate": st.floats(0.001, 1.0),
})  # fmt: skip


def parsed(name: str) -> Any:
    return fastavro.parse_schema(codec.document(name))


def plain_times(record: dict[str, Any]) -> dict[str, Any]:
    """The library's datetimes as microseconds."""
    return record | {"timestamp": codec.micros(record["timestamp"].isoformat())}


@given(events)
def test_a_record_comes_back_and_a_public_library_reads_it(event: dict[str, Any]) -> None:
    data = codec.encode("RequestEvent", event)
    assert codec.decode(data) == ("RequestEvent", event)
    read = fastavro.schemaless_reader(io.BytesIO(data[10:]), parsed("RequestEvent"), None)
    assert plain_times(read) == event


def test_the_fingerprint_is_the_specifications() -> None:
    """CRC-64-AVRO, little-endian, of the parsing canonical form; the value is the specification's example for "int"."""
    assert fastavro.schema.fingerprint('"int"', "CRC-64-AVRO") == "8f5c393f1ad57572"
    for name in codec.names():
        canonical = fastavro.schema.to_parsing_canonical_form(codec.document(name))
        assert codec.fingerprint(name).hex() == fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")
        assert codec.header(name) == b"\xc3\x01" + codec.fingerprint(name)


@given(events, st.integers(0, 2**31 - 1))
def test_confluent_framing_is_read_with_the_writers_schema(event: dict[str, Any], schema_id: int) -> None:
    writer = codec.document("RequestEvent")
    out = io.BytesIO()
    fastavro.schemaless_writer(out, codec.parse(writer), event)
    data = b"\x00" + schema_id.to_bytes(4, "big") + out.getvalue()
    asked: list[int] = []

    def resolve(number: int) -> dict[str, Any]:
        asked.append(number)
        return writer

    assert codec.decode(data, resolve) == ("RequestEvent", event)
    assert asked == [schema_id]


def test_what_is_wrong_is_told() -> None:
    event = {
        "timestamp": 1, "service": "s", "environment": "e", "version": "v", "experiment_id": None, "variant": None,
        "segment": None, "unit_id": None, "instance": None, "endpoint": None, "status": 200, "error": None, "duration_us": 1,
        "cpu_us": None, "memory_bytes": None, "measures": None, "sample_rate": 1.0,
    }  # fmt: skip
    good = codec.encode("RequestEvent", event)
    for data in (good[:-1], good + b"x", good[:9], b"", b"\x01\x02\x03"):
        with pytest.raises(codec.Malformed):
            codec.decode(data)
    with pytest.raises(codec.UnknownSchema):
        codec.decode(good[:2] + b"\x00" * 8 + good[10:])
    with pytest.raises(codec.Malformed):  # no registry, no writer's schema
        codec.decode(b"\x00\x00\x00\x00\x07" + good[10:])
    with pytest.raises(codec.UnknownSchema, match="there is no schema named"):
        codec.document("Nothing")


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_are_iso_with_six_digits_and_come_back(time_us: int) -> None:
    text = codec.iso(time_us)
    assert text.endswith("Z")
    assert len(text.rpartition(".")[2]) == 7
    assert codec.micros(text) == time_us


def test_json_never_holds_what_json_has_not() -> None:
    probe = {
        "target": "redis", "kind": "tcp", "time": 1, "ok": True, "circuit": "CLOSED", "latency_us": 250, "error": None,
        "error_ratio": 0.0, "services": ["a"],
    }  # fmt: skip
    form = codec.to_json("ProbeResult", probe)
    assert form["time"] == "1970-01-01T00:00:00.000001Z"
    assert json.loads(json.dumps(form, allow_nan=False)) == form


@pytest.mark.parametrize("time", [2**62, -(2**62)])
def test_a_time_that_no_calendar_has_is_malformed(time: int) -> None:
    note = Control("e", time, "jo", "why", Command("c", "pause"))
    with pytest.raises(codec.Malformed, match=f"{time} is no time"):
        Control.decode(note.encode())


def test_an_int_of_more_than_32_bits_is_malformed() -> None:
    weights = Control("e", 1, "jo", "why", WeightIntent("i", 2**31 - 1, {"canary": 0.1}))
    data = weights.encode()
    longer = data.replace(codec.long(2**31 - 1), codec.long(2**31))
    assert (Control.decode(data), longer == data) == (weights, False)
    with pytest.raises(codec.Malformed, match=f"{2**31} is no int of 32 bits"):
        Control.decode(longer)
