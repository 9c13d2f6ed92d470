"""Plain JSON: what Python's own reader accepts and reads, mapped, in our units; every bad record alone."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.config import Config, Input
from streams.formats.json import FORMAT, JsonDecoder
from streams.json_slots import FAULTS
from streams.kernels import json_walk as kernel
from streams.packed import Packed
from tests.streams.formats.events import rows

EVENT: dict[str, Any] = {
    "timestamp": 1_764_000_000_000_000, "service": "cart", "environment": "test", "version": "1", "status": 200,
    "duration_us": 1500,
}  # fmt: skip
CONFIG = Config.model_validate({"measures": ["basket"]})


def decoder(**source: Any) -> JsonDecoder:
    return FORMAT.decoder(CONFIG, "orders", Input.model_validate({"format": "json", **source}))


def read(*records: Any, **source: Any) -> list[dict[str, Any]]:
    decoded = decoder(**source).decode(Packed.of([json.dumps(record).encode() for record in records]))
    assert not decoded.rejects, decoded.rejects
    return rows(decoded, ("basket",))


def refused(record: Any, **source: Any) -> str:
    value = record if isinstance(record, bytes) else json.dumps(record).encode()
    decoded = decoder(**source).decode(Packed.of([value]))
    assert len(decoded.rows) == 0
    (reject,) = decoded.rejects
    return reject.reason


def test_our_own_names_need_no_mapping() -> None:
    more = {"unit_id": "u1", "error": True, "cpu_us": 7, "measures": {"basket": 2.5, "other": 1}, "sample_rate": 0.5}
    assert read(EVENT | more) == [EVENT | {
        "unit_id": "u1", "error": 1, "cpu_us": 7, "basket": 2.5, "sample_rate": 0.5,
    }]  # fmt: skip


def test_paths_alternatives_defaults_and_units() -> None:
    record = {
        "@timestamp": "2025-11-24T16:00:00.25+02:00", "app": {"name": "cart", "build": 17}, "http.status": "503",
        "took": {"total": 12.5}, "rss": 3, "ok": "false", "basket": {"size": "4"},
    }  # fmt: skip
    found = read(
        record,
        mapping={
            "timestamp": "@timestamp", "service": "app.name", "version": "app.release | app.build", "status": r"http\.status",
            "duration_us": "took.total", "memory_bytes": "rss", "error": "ok", "measures.basket": "basket.size",
        },
        units={"duration_us": "ms", "memory_bytes": "MiB"},
        defaults={"environment": "production", "sample_rate": 0.25, "variant": "canary"},
    )  # fmt: skip
    assert found == [{
        "timestamp": 1_763_992_800_250_000, "service": "cart", "environment": "production", "version": "17", "status": 503,
        "duration_us": 12_500, "memory_bytes": 3 << 20, "error": 0, "basket": 4.0, "sample_rate": 0.25, "variant": "canary",
    }]  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "written"),
    [
        ("s", 1_764_000_000), ("s", 1_764_000_000.000001), ("ms", 1_764_000_000_000), ("us", 1_764_000_000_000_000),
        ("ns", 1_764_000_000_000_000_999), ("s", "1764000000"), ("ms", "1764000000000"), ("iso8601", "2025-11-24T16:00:00Z"),
        ("ms", "2025-11-24T16:00:00"), ("iso8601", "20251124T160000Z"), ("iso8601", "2025-11-24 17:30:00+01:30"),
    ],
)  # fmt: skip
def test_event_time_becomes_utc_microseconds(unit: str, written: Any) -> None:
    (row,) = read(EVENT | {"timestamp": written}, units={"timestamp": unit})
    assert row["timestamp"] - 1_764_000_000_000_000 in (0, 1)


@pytest.mark.parametrize(
    ("written", "read_as"), [("1e400", -(1 << 62)), ("1e30", 1 << 62), ("-5", -5), (str(10**30), 1 << 62)]
)
def test_what_no_duration_can_be_is_left_to_governance(written: str, read_as: int) -> None:
    text = json.dumps(EVENT).replace("1500", written).encode()
    (row,) = rows(decoder().decode(Packed.of([text])))
    assert row["duration_us"] == read_as


def test_reasons_name_the_field() -> None:
    assert refused({k: v for k, v in EVENT.items() if k != "service"}) == "service: no value"
    assert refused(EVENT | {"service": None}) == "service: no value"
    assert refused(EVENT | {"duration_us": "soon"}) == "duration_us: 'soon' cannot be read"
    assert refused(EVENT | {"status": [200]}) == "status: no number"
    assert refused(EVENT | {"status": 1 << 40}) == "status: more than 32 bits"
    assert refused(EVENT | {"service": {"name": "cart"}}) == "service: neither a text nor a number"
    assert refused(EVENT | {"error": "maybe"}) == "error: 'maybe' cannot be read"
    assert refused(EVENT | {"timestamp": "2025-02-30T00:00:00Z"}) == "timestamp: '2025-02-30T00:00:00Z' cannot be read"
    assert refused(EVENT, units={"timestamp": "iso8601"}) == "timestamp: a number, not an ISO 8601 time"


def test_one_bad_record_takes_no_neighbour() -> None:
    good = json.dumps(EVENT).encode()
    bad = [
        b"", b"x", good[:-1], good + b"}", good + good, b"[" + good, b"{" * 100, b'{"a":' * 100, b"null", good[:-1] + b',}',
        good.replace(b"cart", b"\xff\xfe"), good.replace(b"cart", b"\\ud800"), good.replace(b"cart", b"\\x"),
        good.replace(b"1500", b"01500"), good.replace(b"1500", b"NaN"), good.replace(b"cart", b"a\nb"), b" " * 70_000,
    ]  # fmt: skip
    values = [value for record in bad for value in (record, good)]
    decoded = decoder().decode(Packed.of([*values, None]))
    assert decoded.index.tolist() == list(range(1, 2 * len(bad), 2))
    assert [reject.index for reject in decoded.rejects] == [*range(0, 2 * len(bad), 2), 2 * len(bad)]
    assert all(row == rows(decoded)[0] for row in rows(decoded))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(JSON, st.booleans(), st.text(), st.floats(allow_nan=False, allow_infinity=False)), max_size=4)
)
def test_reads_what_python_reads(parts: list[tuple[Any, bool, str, float]]) -> None:
    records = [
        {
            "junk": junk,
            **EVENT,
            "service": text + "x",
            "measures": {"basket": number},
            "more": [junk, {"service": junk}],
        }
        for junk, _, text, number in parts
    ]
    values = [
        json.dumps(r, ensure_ascii=ascii_, indent=None if ascii_ else 1).encode("utf-8", "surrogatepass")
        for r, (_, ascii_, _, _) in zip(records, parts, strict=True)
    ]
    found = decoder().decode(Packed.of(values))
    kept = [records[i] for i in found.index.tolist()]
    for row, record in zip(rows(found, ("basket",)), kept, strict=True):
        assert row["service"] == record["service"]
        assert math.isclose(row["basket"], record["measures"]["basket"], rel_tol=0, abs_tol=0)
    assert all(reject.reason == FAULTS[kernel.ENCODING] for reject in found.rejects)  # half a surrogate pair is no text


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_accepts_only_json(data: st.DataObject) -> None:
    """Bytes changed anywhere: never a row from what Python's strict reader refuses."""
    value = bytearray(json.dumps(EVENT | {"a": [1.5, True, None, {"b": "\n"}]}).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(value) - 1))
        value[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b'"', b"{", b"]", b",", b"0", b"\\", b"e"])
        )
    decoded = decoder().decode(Packed.of([bytes(value)]))
    try:
        json.loads(bytes(value), parse_constant=lambda name: 1 / 0)
        sound = True
    except (ValueError, ZeroDivisionError):
        sound = False
    if len(decoded.rows):
        assert sound, bytes(value)
    elif sound:
        assert decoded.rejects[0].reason not in {FAULTS[k] for k in (kernel.SHORT, kernel.TRAILING, kernel.SYNTAX)}, (
            bytes(value)
        )
