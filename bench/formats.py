"""`python -m bench.formats`: the rate of every input format through the first stage, into docs/benchmarks.md.

The same events are written in each format to a real Kafka and read by a bare consumer and by ingest, in turns. Beside that:
the decoder alone, and the format's usual Python library, which only parses.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import fastavro
import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.document import heading, machine, rewrite
from bench.kafka import own_kafka
from davy.bench import EXPERIMENTS, FILL_SETTINGS, FLUSH_S, Headers, Round, ends, produce, read_bare, rows, timed
from davy.commands.bench import configured
from schemas import codec
from schemas.config import Config, Input
from streams import kafka
from streams.encode import encode
from streams.formats import decoders
from streams.ingest_loop import IngestLoop
from streams.packed import Packed
from streams.reader import FETCH_MAX
from streams.topics import ensure_topics
from tests.support import poison
from tests.support.otlp import request

EVENTS, ROUNDS = 400_000, 3
ALONE = 40_000
"""Events for the decoder alone and for the library."""
SPANS = 500
"""Of a record, as the collector batches them."""
BEGIN = "<!-- formats: written by python -m bench.formats -->"
NATIVE_HEADERS: Headers = [
    ("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/cart"), ("ce_type", b"served"),
    ("content-type", b"application/json"),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """How a topic is written and read. `records` gives the values of a batch, each of which holds `per_record` events."""

    title: str
    source: dict[str, Any]
    records: Callable[[pa.RecordBatch], Sequence[bytes]]
    parse: Callable[[bytes], Any]
    library: str
    headers: Headers | None = None
    per_record: int = 1


@dataclass(frozen=True, slots=True)
class Rate:
    """Medians; `decoder_us` and `library_us` are CPU microseconds per event, each alone."""

    case: Case
    bytes_per_event: float
    bare: float
    davy: float
    ratio: float
    cpu_us: float
    decoder_us: float
    library_us: float


def _filled(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    stamps = batch.column("timestamp").cast(pa.int64()).to_pylist()
    found = batch.to_pylist()
    for row, stamp in zip(found, stamps, strict=True):
        row["timestamp"] = stamp
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def _native(batch: pa.RecordBatch) -> list[bytes]:
    return [json.dumps(row).encode() for row in _filled(batch)]


def _foreign(batch: pa.RecordBatch) -> list[bytes]:
    return [
        json.dumps(
            {
                "@timestamp": row["timestamp"] / 1000, "app": {"name": row["service"], "release": row["version"]},
                "http": {"code": row["status"], "route": row["endpoint"]}, "took": {"ms": row["duration_us"] / 1000},
                "flag": {"key": row["experiment_id"], "value": row["variant"]}, "user": row["unit_id"],
                "pod": row["instance"], "cpu_ms": row["cpu_us"] / 1000, "logger": "access", "level": "INFO",
            }
        ).encode()
        for row in _filled(batch)
    ]  # fmt: skip


def _spans(batch: pa.RecordBatch) -> list[bytes]:
    found, held = _filled(batch), list[bytes]()
    for begin in range(0, len(found), SPANS):
        resources: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for row in found[begin : begin + SPANS]:
            end = row["timestamp"] * 1000
            attributes = {
                "http.route": row["endpoint"], "http.response.status_code": row["status"], "http.request.method": "GET",
                "url.path": "/cart", "davy.experiment_id": row["experiment_id"], "davy.variant": row["variant"],
                "davy.unit_id": row["unit_id"], "davy.cpu_us": row["cpu_us"],
            }  # fmt: skip
            resources.setdefault((row["service"], row["version"], row["instance"]), []).append(
                {
                    "name": row["endpoint"], "attributes": attributes, "end_time_unix_nano": end,
                    "start_time_unix_nano": end - row["duration_us"] * 1000,
                }
            )  # fmt: skip
        names = ("service.name", "service.version", "service.instance.id")
        held.append(
            request(
                [
                    ({**dict(zip(names, key, strict=True)), "deployment.environment.name": "production"}, spans)
                    for key, spans in resources.items()
                ]
            )
        )
    return held


SCHEMA = fastavro.parse_schema(codec.document("RequestEvent"))
MAPPING = {
    "timestamp": "@timestamp", "service": "app.name", "version": "app.release", "status": "http.code",
    "endpoint": "http.route", "duration_us": "took.ms", "experiment_id": "flag.key", "variant": "flag.value",
    "unit_id": "user", "instance": "pod", "cpu_us": "cpu_ms",
}  # fmt: skip
CASES = (
    Case(
        "Avro, single-object", {"format": "avro"}, lambda batch: encode(batch).to_pylist(),
        lambda value: fastavro.schemaless_reader(BytesIO(value[codec.HEADER_BYTES :]), SCHEMA, None), "fastavro",
    ),
    Case("JSON, our names", {"format": "json"}, _native, json.loads, "json"),
    Case(
        "JSON, mapped, in ms",
        {
            "format": "json", "mapping": MAPPING, "units": {"timestamp": "ms", "duration_us": "ms", "cpu_us": "ms"},
            "defaults": {"environment": "production"},
        },
        _foreign, json.loads, "json",
    ),
    Case("CloudEvents, JSON data", {"format": "cloudevents"}, _native, json.loads, "json", NATIVE_HEADERS),
    Case(
        f"OpenTelemetry spans, {SPANS} a record", {"format": "otlp_proto"}, _spans, ExportTraceServiceRequest.FromString,
        "protobuf", per_record=SPANS,
    ),
)  # fmt: skip


def measure(base: Config, number: int, case: Case) -> Rate:
    """Write the topic, read it in turns."""
    topic = f"formats-{number}.events"
    ours = base.model_copy(
        update={"prefix": f"formats-{number}.", "embedded": True, "inputs": {topic: Input.model_validate(case.source)}}
    )
    ensure_topics(ours)
    producer, sample = kafka.producer(ours, **FILL_SETTINGS), list[bytes]()
    records = size = 0
    for batch, stamps_ms, partitions in rows(EVENTS, EXPERIMENTS, time.time_ns() // 1000):
        values = case.records(batch)
        if len(sample) * case.per_record < ALONE:
            sample += values[: ALONE // case.per_record]
        for i, value in enumerate(values):
            at = i * case.per_record
            produce(producer, topic, value, partitions[at], stamps_ms[at], case.headers)
            size += len(value)
        records += len(values)
    producer.flush(FLUSH_S)
    upto = {(topic, p): end for p, end in ends(ours, topic).items()}
    pairs: list[tuple[Round, Round]] = []
    for _ in range(ROUNDS):
        bare = timed(EVENTS, lambda: read_bare(ours, topic, records))
        pairs.append((bare, timed(EVENTS, lambda: IngestLoop(ours).read_up_to(upto))))
    if poison.counted(ours) != (EVENTS, 0):
        raise AssertionError(f"{case.title}: {EVENTS} events were written; counted and dead: {poison.counted(ours)}")
    decoder = decoders(ours)[topic]
    step = max(1, FETCH_MAX // case.per_record)
    packs = [Packed.of(sample[i : i + step]) for i in range(0, len(sample), step)]
    events = len(sample) * case.per_record
    headers = [case.headers] * step if case.headers else None
    alone = timed(events, lambda: [decoder.decode(pack, headers and headers[: len(pack)]) for pack in packs])
    library = timed(events, lambda: [case.parse(value) for value in sample])
    return Rate(
        case, size / EVENTS,
        statistics.median(bare.events / bare.wall_s for bare, _ in pairs),
        statistics.median(davy.events / davy.wall_s for _, davy in pairs),
        statistics.median(bare.wall_s / davy.wall_s for bare, davy in pairs),
        statistics.median(1e6 * davy.cpu_s / davy.events for _, davy in pairs),
        1e6 * alone.cpu_s / events, 1e6 * library.cpu_s / events,
    )  # fmt: skip


def table(rates: list[Rate], where: str) -> str:
    """The figures as Markdown."""
    columns = (
        "bytes/event",
        "bare, events/s",
        "Davy, events/s",
        "ratio",
        "us CPU/event",
        "decoder alone, us",
        "library, us",
    )
    lines = [
        f"`python -m bench.formats`, {datetime.now(UTC):%Y-%m-%d}: {EVENTS:,} events, {EXPERIMENTS} experiments, {where}; "
        f"medians of {ROUNDS} rounds in turns. The library only parses.",
        "",
        *heading("format", columns),
    ]
    lines += [
        f"| {r.case.title} | {r.bytes_per_event:.0f} | {r.bare:,.0f} | {r.davy:,.0f} | {r.ratio:.2f} | {r.cpu_us:.2f} "
        f"| {r.decoder_us:.2f} | {r.library_us:.2f} | {r.case.library} |"
        for r in rates
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, then replace the table in the document."""
    where = machine()
    with own_kafka() as broker:
        rates: list[Rate] = []
        for number, case in enumerate(CASES):
            rates.append(measure(configured(broker.bootstrap), number, case))
            print(f"formats: {case.title}: {rates[-1].davy:,.0f} events/s", file=sys.stderr, flush=True)
    text = table(rates, where)
    rewrite(BEGIN, text)
    print(text)


if __name__ == "__main__":
    main()
