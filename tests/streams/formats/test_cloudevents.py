"""CloudEvents as the CNCF's own library writes them to Kafka, in both modes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cloudevents.core.bindings.kafka import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from schemas.config import Config, Input
from streams.formats.cloudevents import FORMAT, CloudEventsDecoder
from streams.packed import Packed
from tests.streams.formats.events import rows

DATA: dict[str, Any] = {"service": "cart", "environment": "test", "version": "1", "status": 200, "duration_us": 1500}
ROW = DATA | {"timestamp": 1_764_000_000_000_000, "sample_rate": 1.0}


def decoder(**source: Any) -> CloudEventsDecoder:
    return FORMAT.decoder(Config(), "orders", Input.model_validate({"format": "cloudevents", **source}))


def event(data: Any = DATA, **more: str) -> CloudEvent:
    time = datetime.fromtimestamp(1_764_000_000, UTC)
    return CloudEvent(
        {"id": "1", "source": "/cart", "type": "served", "time": time, "specversion": "1.0", **more}, data
    )


def sent(*messages: Any) -> tuple[Packed, list[list[tuple[str, bytes]]]]:
    return Packed.of([m.value for m in messages]), [list(m.headers.items()) for m in messages]


def test_both_modes_say_the_same() -> None:
    binary = to_binary(event(datacontenttype="application/json"), JSONFormat())
    structured = to_structured(event(), JSONFormat())
    values, headers = sent(binary, structured)
    decoded = decoder().decode(values, headers)
    assert not decoded.rejects
    assert rows(decoded) == [ROW, ROW]


def test_attributes_and_data_are_mapped() -> None:
    message = to_binary(event({"took": {"ms": 2.5}, "timestamp": 7}, subject="cart"), JSONFormat())
    found = decoder(
        mapping={"service": "subject", "duration_us": "data.took.ms", "endpoint": "type", "timestamp": "time"},
        units={"duration_us": "ms"}, defaults={"environment": "test", "version": "1", "status": 200},
    ).decode(*sent(message))  # fmt: skip
    assert rows(found) == [ROW | {"duration_us": 2500, "endpoint": "served"}]


def test_what_is_no_cloudevent_takes_no_neighbour() -> None:
    good = to_binary(event(), JSONFormat())
    values, headers = sent(good)
    value, said = values[0], headers[0]
    bad: list[tuple[bytes | None, Any, str]] = [
        (value, None, "no CloudEvent"),
        (value, [("content-type", b"application/cloudevents+json")], "timestamp: no value"),
        (b"x", said, "no JSON object"),
        (value + b', "time": "x"', said, "behind the object"),
        (None, said, "empty"),
        (value, [*said, ("content-type", b"application/xml")], "application/xml"),
    ]
    decoded = decoder().decode(
        Packed.of([v for b in bad for v in (b[0], value)]),
        [h for b in bad for h in (b[1], said)],
    )
    assert rows(decoded) == [ROW] * len(bad)
    for reject, (_, _, reason) in zip(decoded.rejects, bad, strict=True):
        assert reason in reject.reason
