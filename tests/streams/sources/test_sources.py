"""Every format gives back what was written, and tells of what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import codec
from schemas.errors import UserError
from streams.columns import EVENT_SCHEMA
from streams.scenario import load
from streams.simulator import Simulator
from streams.sources import read, sources, write

EVENT = {
    "timestamp": "2026-01-01T00:00:00.000001Z", "service": "checkout", "environment": "production",
    "version": "1", "status": 200, "duration_us": 1200,
}  # fmt: skip
# its stubs are open
write_avro: Any = fastavro.writer  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
BEGIN = 1_767_225_600_000_000


def traffic(seconds: int = 1) -> pa.RecordBatch:
    return Simulator(load("errors")).events(BEGIN, BEGIN + seconds * 1_000_000, {"canary": 0.3})


def one(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def with_measures(batch: pa.RecordBatch) -> pa.RecordBatch:
    measures = pa.array([[("queue", 1.5)]] + [None] * (batch.num_rows - 1), EVENT_SCHEMA.field("measures").type)
    return batch.set_column(batch.schema.get_field_index("measures"), "measures", measures)


@pytest.mark.parametrize("extension", sorted(sources()))
def test_what_was_written_is_read(tmp_path: Path, extension: str) -> None:
    batch, path = with_measures(traffic()), tmp_path / f"events{extension}"
    write(path, [batch.slice(0, 10), batch.slice(10)])
    table, rejects = read(path)
    assert rejects == []
    assert table.schema.equals(EVENT_SCHEMA)
    assert one(table).equals(pa.RecordBatch.from_arrays(batch.columns, schema=EVENT_SCHEMA))


@pytest.mark.parametrize("extension", sorted(sources()))
def test_writing_twice_gives_the_same_bytes(tmp_path: Path, extension: str) -> None:
    paths = [tmp_path / f"{name}{extension}" for name in "ab"]
    for path in paths:
        write(path, [traffic()])
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("extension", sorted(sources()))
def test_no_events_is_no_error(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"none{extension}"
    write(path, [])
    table, rejects = read(path)
    assert (table.num_rows, rejects) == (0, [])
    assert table.schema.equals(EVENT_SCHEMA)


def test_an_unknown_extension_and_a_missing_file_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.avro, \.ndjson, \.parquet"):
        read(tmp_path / "events.csv")
    with pytest.raises(UserError, match="there is no such file"):
        read(tmp_path / "events.avro")
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path / "no" / "events.avro", [])


@pytest.mark.parametrize("extension", [".avro", ".parquet"])
def test_a_file_of_another_format_is_a_sentence(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"events{extension}"
    path.write_text("hello, this is not what its name says")
    with pytest.raises(UserError, match="it is not a"):
        read(path)


# -- ndjson


def test_optional_fields_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text(json.dumps(EVENT) + "\n\n" + json.dumps(EVENT | {"timestamp": 7, "extra": [1]}) + "\n")
    table, rejects = read(path)
    assert rejects == []
    assert table.column("timestamp").cast(pa.int64()).to_pylist() == [BEGIN + 1, 7]
    assert table.column("sample_rate").to_pylist() == [1.0, 1.0]
    assert table.column("unit_id").null_count == table.column("error").null_count == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "200"}, "status"),
        ({"duration_us": 1.5}, "duration_us"),
        ({"duration_us": 2**63}, "duration_us"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": None}, "timestamp"),
        ({"error": 1}, "error"),
        ({"measures": {"queue": "long"}}, "measures.queue"),
        ({"version": 2}, "version"),
    ],
)
def test_a_bad_line_is_told_with_its_place_and_the_rest_goes_on(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    path = tmp_path / "events.ndjson"
    lines = [json.dumps(EVENT), json.dumps(EVENT | change), "{broken", json.dumps(EVENT)]
    path.write_text("\n".join(lines))
    table, rejects = read(path)
    assert table.num_rows == 2
    assert [reject.place for reject in rejects] == [f"{path}:2", f"{path}:3"]
    assert rejects[0].reason.startswith(reason)


def test_a_line_without_a_required_field_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text(json.dumps({k: v for k, v in EVENT.items() if k != "version"}))
    _, rejects = read(path)
    assert str(rejects[0]) == f"{path}:1: version: field required"


# -- parquet


def test_a_row_without_a_required_value_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    rows = [EVENT | {"timestamp": i, "status": None if i == 1 else 200} for i in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    table, rejects = read(path)
    assert table.column("timestamp").cast(pa.int64()).to_pylist() == [0, 2]
    assert [str(reject) for reject in rejects] == [f"{path} row 2: status: no value"]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([1_000], pa.int64()),
        pa.array([1_000_999], pa.timestamp("ns")),
        pa.array([1], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([1_000], pa.timestamp("us", "UTC")),
        pa.array(["1970-01-01T01:00:00.001000+01:00"]),
    ],
    ids=str,
)
def test_times_of_any_kind_are_the_same_instant(tmp_path: Path, times: pa.Array) -> None:
    path = tmp_path / "events.parquet"
    table = pa.Table.from_pylist([{k: v for k, v in EVENT.items() if k != "timestamp"}])
    pq.write_table(table.append_column("timestamp", times), path)
    assert read(path)[0].column("timestamp").cast(pa.int64()).to_pylist() == [1_000]


def test_columns_that_are_missing_or_of_another_kind_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pq.write_table(pa.Table.from_pylist([{"timestamp": 1}]), path)
    with pytest.raises(UserError, match="it has no column service, environment, version, status, duration_us"):
        read(path)
    pq.write_table(pa.Table.from_pylist([EVENT | {"status": "fine"}]), path)
    with pytest.raises(UserError, match="column status is string"):
        read(path)


# -- avro


def records(batch: pa.RecordBatch) -> list[dict[str, object]]:
    times = batch.column("timestamp").cast(pa.int64()).to_pylist()
    return [row | {"timestamp": time} for time, row in zip(times, batch.to_pylist(), strict=True)]


@pytest.mark.parametrize("kind", ["null", "deflate", "snappy", "zstandard", "bzip2"])
def test_any_codec_is_read(tmp_path: Path, kind: str) -> None:
    batch, path = traffic(), tmp_path / "events.avro"
    with path.open("wb") as file:
        write_avro(file, codec.document("RequestEvent"), records(batch), codec=kind)
    assert one(read(path)[0]).equals(batch)


def test_what_is_written_is_read_by_others(tmp_path: Path) -> None:
    batch, path = traffic(), tmp_path / "events.avro"
    write(path, [batch])
    with path.open("rb") as file:
        rows = cast("list[dict[str, object]]", list(fastavro.reader(file)))
    assert len(rows) == batch.num_rows
    assert rows[0]["unit_id"] == batch.column("unit_id")[0].as_py()


FOREIGN: dict[str, Any] = {
    "type": "record", "name": "Hit", "namespace": "com.example", "fields": [
        {"name": "duration_us", "type": "int"},
        {"name": "status", "type": "int"},
        {"name": "version", "type": "string"},
        {"name": "environment", "type": "string"},
        {"name": "service", "type": "string"},
        {"name": "region", "type": ["null", "string"]},
        {"name": "unit_id", "type": ["string", "null"]},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}  # fmt: skip
HIT = {
    "duration_us": 5, "status": 200, "version": "1", "environment": "e", "service": "s", "region": "eu",
    "unit_id": "u", "timestamp": 42,
}  # fmt: skip


@pytest.mark.parametrize("extra", [[], [{"name": "trace", "type": "bytes", "default": ""}]], ids=["plain", "bytes"])
def test_a_foreign_schema_is_read_by_names(tmp_path: Path, extra: list[dict[str, object]]) -> None:
    path = tmp_path / "hits.avro"
    schema = FOREIGN | {"fields": [*FOREIGN["fields"], *extra]}
    with path.open("wb") as file:
        write_avro(file, schema, [HIT | {"trace": b"\x01"}] * 3)
    table, rejects = read(path)
    assert rejects == []
    row = table.slice(0, 1).to_pylist()[0]
    assert (row["unit_id"], row["duration_us"], row["segment"], row["sample_rate"]) == ("u", 5, None, 1.0)
    assert table.column("timestamp").cast(pa.int64()).to_pylist() == [42_000] * 3


def test_a_broken_record_ends_its_block_and_a_broken_frame_the_file(tmp_path: Path) -> None:
    batch, path = traffic(4), tmp_path / "events.avro"
    with path.open("wb") as file:
        write_avro(file, codec.document("RequestEvent"), records(batch), codec="null")
    data = bytearray(path.read_bytes())
    place = data.index(b"checkout-control", len(data) // 2)
    data[place - 1] = 0x01  # a negative length
    path.write_bytes(data[:-40])
    table, rejects = read(path)
    assert len(rejects) == 2
    assert "nothing behind it was read" in rejects[0].reason
    assert "rows were left out" in rejects[1].reason
    assert table.num_rows + rejects[1].rows < batch.num_rows
    assert 0.8 * batch.num_rows < table.num_rows < batch.num_rows
    kept = one(table)
    assert kept.slice(0, 1000).equals(batch.slice(0, 1000))
