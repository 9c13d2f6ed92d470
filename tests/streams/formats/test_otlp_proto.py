"""OpenTelemetry spans, written by OpenTelemetry's own classes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.config import Config, Input
from schemas.errors import UserError
from streams.formats.otlp_proto import FORMAT, OtlpDecoder
from streams.kernels import otlp_walk as kernel
from streams.packed import Packed
from tests.streams.formats.events import rows
from tests.support.otlp import CLIENT, CONSUMER, request

CONFIG = Config()
BEGIN = 1_764_000_000_000_000_000
CART = {
    "service.name": "cart",
    "service.version": "2.4.0",
    "deployment.environment.name": "production",
    "host.name": "h1",
}
GET = {"http.route": "/cart", "http.response.status_code": 200, "davy.experiment_id": "e", "davy.variant": "canary"}
ROW: dict[str, Any] = {
    "timestamp": 1_764_000_000_000_250, "duration_us": 250, "service": "cart", "version": "2.4.0", "environment": "production",
    "instance": "h1", "endpoint": "/cart", "status": 200, "experiment_id": "e", "variant": "canary", "sample_rate": 1.0,
}  # fmt: skip


def decoder(config: Config = CONFIG, **source: Any) -> OtlpDecoder:
    return FORMAT.decoder(config, "spans", Input.model_validate({"format": "otlp_proto", **source}))


def span(**said: Any) -> dict[str, Any]:
    times = {"start_time_unix_nano": BEGIN, "end_time_unix_nano": BEGIN + 250_999}
    return {"name": "GET /cart", "attributes": GET, **times, **said}


def test_conventions_need_no_mapping() -> None:
    old = {"http.status_code": 503, "davy.unit_id": "u1", "davy.cpu_us": 17}
    value = request([
        (CART, [span(), span(kind=CLIENT), span(attributes=old, status=2, trace_state="x=1,ot=th:c;rv:1")]),
        (
            {"service.name": "pay", "service.version": "1", "deployment.environment": "test", "davy.segment": "eu"},
            [span(kind=CONSUMER, attributes={}), span(attributes={"rpc.method": "Pay", "rpc.grpc.status_code": 14})],
        ),
    ])  # fmt: skip
    decoded = decoder().decode(Packed.of([value]))
    assert not decoded.rejects
    assert decoded.index.tolist() == [0, 0, 0, 0]
    pay: dict[str, Any] = {k: v for k, v in ROW.items() if k in ("timestamp", "duration_us", "sample_rate")}
    pay |= {"service": "pay", "version": "1", "environment": "test", "segment": "eu"}
    failed = {"endpoint": "GET /cart", "status": 503, "error": 1, "unit_id": "u1", "cpu_us": 17, "sample_rate": 0.25}
    assert rows(decoded) == [
        ROW,
        {k: v for k, v in ROW.items() if k not in ("experiment_id", "variant")} | failed,
        pay | {"endpoint": "GET /cart", "status": 200},
        pay | {"endpoint": "Pay", "status": 503},
    ]


def test_mapping_units_and_defaults_come_first() -> None:
    value = request([({"service.name": "cart"}, [span(attributes={"app.version": 7, "wait": 1.5, "size": 3})])])
    found = decoder(
        Config.model_validate({"measures": ["basket"]}),
        mapping={"version": "attributes.app.version", "duration_us": "attributes.wait", "measures.basket": "attributes.size"},
        units={"duration_us": "ms"}, defaults={"environment": "test"},
    ).decode(Packed.of([value]))  # fmt: skip
    (row,) = rows(found, ("basket",))
    assert (row["version"], row["duration_us"], row["basket"], row["environment"]) == ("7", 1500, 3.0, "test")


def test_a_bad_span_takes_no_neighbour_in_its_record() -> None:
    nameless = {k: v for k, v in CART.items() if k != "service.version"}
    value = request([(CART, [span(), span()]), (nameless, [span(), span(), span(kind=CLIENT)]), (CART, [span()])])
    unfinished = request([(CART, [span(end_time_unix_nano=0), span()])])
    decoded = decoder().decode(
        Packed.of([value, request([(CART, [span(kind=CLIENT)])]), unfinished, b"", b"junk", value[:-2]])
    )
    assert decoded.index.tolist() == [0, 0, 0, 2]
    assert all(row == ROW for row in rows(decoded))
    assert [(reject.index, reject.reason, reject.rows) for reject in decoded.rejects] == [
        (0, "version: no value (and 1 more of its rows)", 2),
        (2, "timestamp: no value", 1),
        (3, "the record is empty", 1),
        (4, "the record ends early", 1),
        (5, "the record ends early", 1),
    ]


def test_more_spans_than_any_batch_are_refused() -> None:
    spans = b"\x12\x00" * (kernel.SPANS_MAX + 1)  # two bytes each
    scope = b"\x12" + varint(len(spans)) + spans
    bomb = b"\x0a" + varint(len(scope)) + scope
    decoded = decoder().decode(Packed.of([bomb, request([(CART, [span()])])]))
    assert "more than 10000 spans" in decoded.rejects[0].reason
    assert rows(decoded) == [ROW]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def test_a_path_that_leads_nowhere_is_told() -> None:
    with pytest.raises(UserError, match=r"'service.name' in a span: say attributes.KEY"):
        decoder(mapping={"service": "service.name"})


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_refuses_whatever_protobuf_refuses(data: st.DataObject) -> None:
    """Bytes changed anywhere: what gives rows is a request for Google's reader, too, unless a text alone is broken."""
    value = bytearray(request([(CART, [span(), span(status=2)])]))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(value) - 1))
        value[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    decoded = decoder().decode(Packed.of([bytes(value)]))
    try:
        spans = [
            s
            for r in ExportTraceServiceRequest.FromString(bytes(value)).resource_spans
            for c in r.scope_spans
            for s in c.spans
        ]
        wanted = sum(s.kind in (2, 5) for s in spans)
    except Exception:  # protobuf's own error, which has no public name in all of its implementations
        return
    assert len(decoded.rows) + sum(reject.rows for reject in decoded.rejects) in (wanted, 1)
