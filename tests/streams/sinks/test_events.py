"""Records of a source as rows of `events`: on each engine the same, whatever the format and the batches."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

from schemas import codec
from schemas.codec import micros
from schemas.config import Config
from streams.fetch import Records
from streams.kernels import tally as kernel
from streams.packed import Packed
from streams.sinks.base import Store
from streams.sinks.events import EventReader, Sample
from streams.sinks.tables import EVENTS
from tests.support.otlp import request

NOW_US = time.time_ns() // 1_000_000_000 * 1_000_000
EVENT: dict[str, Any] = {
    "timestamp": NOW_US, "service": "cart", "environment": "test", "version": "1", "experiment_id": "e", "variant": "canary",
    "segment": "eu", "unit_id": "ü", "instance": "pod-1", "endpoint": "/cart", "status": 200, "error": None,
    "duration_us": 1500, "cpu_us": 7, "memory_bytes": None, "measures": {"basket": 2.5, "other": 1.0}, "sample_rate": 0.5,
}  # fmt: skip
PLAIN = EVENT | dict.fromkeys(
    ("experiment_id", "variant", "segment", "unit_id", "instance", "endpoint", "cpu_us", "measures")
)


def config_of(**said: Any) -> Config:
    return Config.model_validate({"raw_events": {"sample": "100%"}, "measures": ["basket", "queue"]} | said)


def records(values: list[bytes], topic: str = "davy.events", first: int = 0, kafka_us: int = NOW_US) -> Records:
    n = len(values)
    return Records(
        topic, Packed.of(values), Packed.of([None] * n), np.zeros(n, np.bool_), np.full(n, 3), np.arange(first, first + n),
        np.full(n, kafka_us),
    )  # fmt: skip


def read(config: Config, *found: Records) -> tuple[Any, list[tuple[int, int, str]]]:
    reader = EventReader(config)
    return reader.read(Sample.joined([Sample.of(some, config.raw_events.sample) for some in found]))


def avro(**said: Any) -> bytes:
    return codec.encode("RequestEvent", EVENT | said)


def rows(columns: Any) -> list[dict[str, Any]]:
    found = columns.to_pylist()
    for row in found:
        row["measures"] = dict(row["measures"])
        row |= {name: round(row[name].timestamp() * 1e6) for name in ("timestamp", "received")}
    return found


def test_every_field_is_there_and_says_where_it_comes_from() -> None:
    columns, unreadable = read(
        config_of(), records([avro(), codec.encode("RequestEvent", PLAIN | {"error": False})], first=41)
    )
    assert not unreadable
    columns.validate(full=True)
    place = {"received": NOW_US, "fate": "counted", "topic": "davy.events", "partition": 3, "row": 0}
    assert rows(columns) == [
        EVENT | place | {"offset": 41, "measures": {"basket": 2.5}},
        PLAIN | place | {"offset": 42, "error": False, "measures": {}},
    ]


@pytest.mark.parametrize("kind", ["avro", "json", "cloudevents", "otlp_proto"])
def test_every_format_is_compiled_before_it_is_needed(kind: str) -> None:
    reader = EventReader(config_of(inputs={"t": {"format": kind}}))
    reader.warm()
    assert kernel.fates.signatures


def test_what_a_sample_keeps_stands_for_what_it_leaves_out() -> None:
    config = config_of(raw_events={"sample": "10%"})
    columns, _ = read(config, records([avro()] * 5000))
    assert 400 < len(columns) < 600
    assert set(columns.column("sample_rate").to_pylist()) == {0.5 * 0.1}


def test_batches_make_no_difference() -> None:
    values = [avro(status=n % 600, unit_id=str(n)) for n in range(700)]
    whole, _ = read(config_of(raw_events={"sample": "50%"}), records(values))
    parts, _ = read(
        config_of(raw_events={"sample": "50%"}), *(records(values[i : i + 60], first=i) for i in range(0, 700, 60))
    )
    assert parts.to_pylist() == whole.to_pylist()
    assert len(whole) > 200


def test_what_ingest_does_not_count_says_so_and_what_it_buries_is_told() -> None:
    late, future = NOW_US - 60_000_000, NOW_US + 3_600_000_000
    values = [
        avro(timestamp=late), avro(timestamp=future), avro(sample_rate=0.0), avro(duration_us=-1), b"junk",
        avro(service=""), avro(version="a\u202eb"), avro(timestamp=2**62), avro(timestamp=-5),
    ]  # fmt: skip
    columns, unreadable = read(config_of(), records(values))
    found = {row["offset"]: (row["fate"], row["timestamp"]) for row in rows(columns)}
    assert found == {
        0: ("late", late), 1: ("quarantined", future), 2: ("quarantined", NOW_US), 3: ("quarantined", NOW_US),
        7: ("quarantined", (2**32 - 1) * 1_000_000), 8: ("late", 0),
    }  # fmt: skip
    assert sorted((partition, offset) for partition, offset, _ in unreadable) == [(3, 4), (3, 5), (3, 6)]
    said = {offset: why for _, offset, why in unreadable}
    assert "Avro" in said[4]
    assert said[5] == "service is empty or longer than 256 bytes"
    assert "do not print" in said[6]


def test_a_record_of_many_rows_numbers_them() -> None:
    begin = NOW_US * 1000
    span = {"name": "GET", "start_time_unix_nano": begin, "end_time_unix_nano": begin + 250_000}
    resource = {"service.name": "cart", "service.version": "2", "deployment.environment.name": "test"}
    nameless = {"service.version": "2", "deployment.environment.name": "test"}
    value = request([(resource, [span, span]), (nameless, [span]), (resource, [span])])
    config = config_of(inputs={"spans": {"format": "otlp_proto"}})
    columns, unreadable = read(config, records([value, value], "spans", 8))
    assert [(row["offset"], row["row"]) for row in rows(columns)] == [(8, 0), (8, 1), (8, 2), (9, 0), (9, 1), (9, 2)]
    assert {row["topic"] for row in rows(columns)} == {"spans"}
    assert [offset for _, offset, _ in unreadable] == [8, 9]


def test_fields_that_must_not_be_kept_stay_empty() -> None:
    config = config_of(raw_events={"sample": "100%", "leave_out": ["unit_id", "measures", "endpoint"]})
    ((row),) = rows(read(config, records([avro()]))[0])
    assert (row["unit_id"], row["measures"], row["endpoint"], row["instance"]) == (None, {}, None, "pod-1")


def test_each_engine_shows_the_same_rows_once(store: Store) -> None:
    values = [avro(status=500 - n % 2, error=[None, True, False][n % 3], unit_id=f"u{n}\\'") for n in range(50)]
    values += [json.dumps({}).encode(), codec.encode("RequestEvent", PLAIN), avro(sample_rate=0.0)]
    columns, _ = read(config_of(), records(values))
    store.add("events", columns)
    store.add("events", columns.slice(10, 20))
    shown = store.query("SELECT * FROM events ORDER BY offset").dicts()
    assert [_as_read(row) for row in shown] == rows(columns)
    failed = [row["error"] if row["error"] is not None else row["status"] >= 500 for row in rows(columns)]
    assert [bool(row["failed"]) for row in shown] == failed
    assert {row["weight"] for row in shown} == {2.0, 0.0}
    ((count, weight),) = store.query("SELECT count(), sum(weight) FROM events WHERE fate = 'counted'").rows
    assert (count, weight) == (51, 102.0)


def _as_read(shown: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, kind in EVENTS.columns.items():
        if kind == "time":
            row[name] = shown[f"{name}_us"] if f"{name}_us" in shown else micros(shown[name])
        elif kind == "floats" and name not in shown:
            row[name] = dict(zip(shown[f"{name}.key"], shown[f"{name}.value"], strict=True))
        elif kind == "bool?":
            row[name] = None if shown[name] is None else bool(shown[name])
        else:
            row[name] = shown[name]
    return row


@pytest.mark.parametrize("kafka_us", [0, -1000, 2**62])
def test_a_producer_that_sets_wild_times_stops_nothing(store: Store, kafka_us: int) -> None:
    """A thousand records from as many months, of which each engine would allow a hundred partitions in one insert."""
    values = [avro(timestamp=NOW_US - n * 31 * 86_400_000_000) for n in range(600)]
    columns, unreadable = read(config_of(), records(values, kafka_us=kafka_us))
    assert (len(columns), unreadable) == (600, [])
    store.add("events", columns)
    assert store.query("SELECT count() FROM events").rows[0][0] in (0, 600)  # those of 1970 are gone at once
