"""What is fuzzed: a target takes bytes and answers, or raises one of the errors that it promises; all else is a find."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastavro import schemaless_writer
from fastavro.utils import generate_many

from davy.importers import SYSTEMS, written
from schemas import codec, packing
from schemas.budget import BudgetStatus
from schemas.codec import Malformed, UnknownSchema, encode
from schemas.config import Config, Input, parse_config
from schemas.control import Control
from schemas.decision import Decision
from schemas.delta import Cell, Cells, Measure, encode_delta
from schemas.errors import UserError
from schemas.flag import EXAMPLE, FlagChange, load_flag
from schemas.located import Errors, read
from schemas.probe import ProbeResult
from schemas.record import Record
from schemas.signature import Keys
from schemas.spec import load_specs
from schemas.units import parse_duration, parse_share
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams import deltas
from streams import scenario as scenarios
from streams.formats import formats
from streams.packed import Packed
from tests.support.otlp import request

RECORDS_MAX = 8
"""Records of a batch that one input is cut into."""
UNREADABLE = (Malformed, UnknownSchema)
REFUSED = (UserError,)
CONFIG = b"http: {port: 1}\ninputs: {x: {format: json, mapping: {duration_us: a.b}}}\nlimits: {lateness: 10s}\n"
OTHERS = b"kind: Canary\nspec: {analysis: {metrics: [{name: request-success-rate, thresholdRange: {min: 99}}]}}\n"


@dataclass(frozen=True, slots=True)
class Target:
    """`share` of all executions; `seeds` are sound inputs, from which others are made; `made` gives the function."""

    name: str
    share: float
    seeds: Callable[[], Sequence[bytes]]
    made: Callable[[], Callable[[bytes], object]]
    promised: tuple[type[Exception], ...] = ()


EVENT: dict[str, Any] = {
    "timestamp": 1_764_000_000_000_000, "service": "cart", "environment": "test", "version": "1", "experiment_id": "e",
    "variant": "canary", "segment": None, "unit_id": "u1", "instance": None, "endpoint": "/", "status": 200, "error": None,
    "duration_us": 1500, "cpu_us": 7, "memory_bytes": None, "measures": {"basket": 2.5}, "sample_rate": 0.5,
}  # fmt: skip
"""A request event, every kind of value in it."""


def cut(data: bytes) -> list[bytes]:
    """An input as a batch of records: its first byte says how many, in equal parts."""
    if not data:
        return []
    parts, rest = data[0] % RECORDS_MAX + 1, data[1:]
    size = -(-len(rest) // parts) or 1
    return [rest[i * size : (i + 1) * size] for i in range(parts)]


def _format(name: str) -> Callable[[bytes], object]:
    """Every record of a batch gives rows or a reject, and never both."""
    config = Config.model_validate({"measures": ["basket"]})
    decoder = formats()[name].decoder(config, "t", Input.model_validate({"format": name}))

    def decode(data: bytes) -> None:
        records = cut(data)
        headers = [
            [("content-type", b"application/json"), ("ce_type", b"x"), ("ce_time", record[:40])] for record in records
        ]
        found = decoder.decode(Packed.of(records), headers if decoder.wants_headers else None)
        used, refused = set(found.index.tolist()), {reject.index for reject in found.rejects}
        told = used | refused
        assert told <= set(range(len(records))), "a place that is not there"
        assert len(found.rows) == len(found.index), "rows without a place"
        assert name == "otlp_proto" or told == set(range(len(records))), "a record that nobody told of"

    return decode


def _events(name: str) -> list[bytes]:
    if name == "avro":
        bodies = [encode("RequestEvent", EVENT)]
    elif name == "otlp_proto":
        span = {"start_time_unix_nano": 1, "end_time_unix_nano": 2, "attributes": {"http.response.status_code": 500}}
        bodies = [request([({"service.name": "cart", "service.version": "1"}, [span, span])])]
    else:
        event = {key: value for key, value in EVENT.items() if value is not None}
        envelope = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": event}
        bodies = [json.dumps(envelope if name == "cloudevents" else event).encode()]
    return [b"\0" + body for body in bodies] + [b"\1" + body + body for body in bodies]


def _record(kind: type[Record]) -> Callable[[bytes], object]:
    """What can be read is written again and read as the same."""

    def decode(data: bytes) -> None:
        found = kind.decode(data)
        again = kind.decode(found.encode())
        assert again == found or repr(again) == repr(found), "written and read again it is something else"  # NaN
        json.dumps(found.to_json())

    return decode


def _sample(kind: type[Record]) -> list[bytes]:
    """Records of that schema with values by chance, always the same."""
    random.seed(0)
    return [
        _framed(kind.SCHEMA, _tamed(record)) for record in generate_many(codec.parse(codec.document(kind.SCHEMA)), 20)
    ]


def _tamed(value: Any) -> Any:
    """With numbers of a size that times may have."""
    if isinstance(value, dict):
        return {key: _tamed(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_tamed(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value % (1 << 50) if isinstance(value, int) and abs(value) > 1 << 31 else value


def _framed(schema: str, record: Any) -> bytes:
    out = io.BytesIO()
    schemaless_writer(out, codec.parse(codec.document(schema)), record)
    return codec.header(schema) + out.getvalue()


def _deltas(data: bytes) -> None:
    for found in deltas.read(cut(data)):
        if isinstance(found, deltas.PackedCells):
            deltas.total([cell.body for cell in found.cells])


def _delta_seeds() -> list[bytes]:
    labels = ("e", "cart", "test", "1", "canary", (None,), 5_000_000)
    packed = [packing.pack(np.array(keys), np.ones(len(keys), np.int64)) for keys in ([3, 9], [5], [2, 900])]
    measure = Measure("duration_us", 3000, 2, packed[2], packed[0])
    cell = Cell(*labels, 2, 2, 1, 0, 0, 2, 1 << 21, 1 << 20, 1 << 20, 1 << 20, 5, *packed, (measure,))
    told = [encode_delta(Cells("d", "id", 0, 1, 2, (cell,) * n)) for n in (1, 3)]
    return [b"\0" + told[0], b"\1" + told[1] + told[1]]


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "replace"))


def _imported(system: str, text: str) -> None:
    documents, findings = read(text, "x")
    if findings:
        raise Errors(findings)
    written(system, documents)


def _units(text: str) -> None:
    for parse in (parse_duration, parse_share):
        try:
            parse(text)
        except ValueError as error:
            told = str(error)
        else:
            continue
        assert told
        assert "\n" not in told


def _config(text: str) -> None:
    parse_config(text, "davy.yaml", {})


def _signatures() -> Callable[[bytes], object]:
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32).public_key()
    return partial(Keys({"a": key}).fault, "Verdict", b"value")


def _targets() -> Iterator[Target]:
    for name, share in (("avro", 0.1), ("otlp_proto", 0.04), ("json", 0.01), ("cloudevents", 0.01)):
        yield Target(f"events as {name}", share, partial(_events, name), partial(_format, name))
    kinds: tuple[type[Record], ...] = (Decision, Control, WindowSummary, BudgetStatus, FlagChange, ProbeResult)
    for kind in (Verdict, *kinds):
        share = 0.01 if kind is Verdict else 0.1
        yield Target(f"record {kind.SCHEMA}", share, partial(_sample, kind), partial(_record, kind), UNREADABLE)
    yield Target("deltas", 0.02, _delta_seeds, lambda: _deltas)
    envelope = b'{"payload": "", "payloadType": "x", "signatures": [{"keyid": "a", "sig": "AA=="}]}'
    yield Target("signatures", 0.1, lambda: [envelope], _signatures)
    yield Target("units", 0.1, lambda: [b"10m", b"2.5pp", b"10 %", b"30MiB"], lambda: _text(_units))
    specs = [scenarios.load(name).spec.source.encode() for name in ("errors", "blip")]
    yield Target("specs", 0.0005, lambda: specs, lambda: _text(load_specs), REFUSED)
    yield Target("davy.yaml", 0.0005, lambda: [CONFIG], lambda: _text(_config), REFUSED)
    yield Target("flags", 0.001, lambda: [EXAMPLE.encode()], lambda: _text(load_flag), REFUSED)
    for system in SYSTEMS:
        yield Target(
            f"davy import {system}", 0.002, lambda: [OTHERS], partial(_text, partial(_imported, system)), REFUSED
        )


TARGETS = tuple(_targets())
