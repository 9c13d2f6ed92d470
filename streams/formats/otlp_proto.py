"""OpenTelemetry spans as the collector's Kafka exporter writes them with encoding ``otlp_proto``: requests of many spans.

A span of kind SERVER or CONSUMER is a request; others are passed over. Where the mapping says nothing, columns come from the
semantic conventions (opentelemetry.io/docs/specs/semconv), old names included, and from ``davy.*`` attributes for what these
do not know. A path is ``attributes.KEY``, ``resource.KEY``, or a part of the span: name, kind, start_time_unix_nano,
end_time_unix_nano, duration_nano, status.code, status.error (whether it is ERROR; nothing where it is unset), trace_state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.config import Config, Input
from schemas.errors import UserError
from streams.fields import Fields, Slots
from streams.formats.base import Decoded, Headers, Ints, Reject, decoded, sound
from streams.kernels import otlp_walk as kernel
from streams.kernels.slots import FLOAT, INT, TEXT
from streams.packed import Packed

SERVER, CONSUMER = 2, 5
RECORD_BYTES_MIN = 1 << 20
"""Requests hold many spans, so the limit of a record is at least that of a topic unless told otherwise."""
GRPC_STATUS = "attributes.rpc.grpc.status_code"
SPAN_STATUS = "status.code"
THRESHOLD = "trace_state"
MAPPING = {
    "timestamp": "end_time_unix_nano",
    "duration_us": "duration_nano",
    "service": "resource.service.name",
    "environment": "resource.deployment.environment.name | resource.deployment.environment",
    "version": "resource.service.version",
    "instance": "resource.service.instance.id | resource.k8s.pod.name | resource.host.name",
    "endpoint": "attributes.http.route | attributes.rpc.method | name",
    "status": f"attributes.http.response.status_code | attributes.http.status_code | {GRPC_STATUS} | {SPAN_STATUS}",
    "error": "attributes.davy.error | status.error",
    "sample_rate": THRESHOLD,
}
NAMED = ("experiment_id", "variant", "segment", "unit_id", "cpu_us", "memory_bytes")
"""Columns that no convention knows: ``davy.NAME`` on the span, or on its resource."""
UNITS = {"timestamp": "ns", "duration_us": "ns"}
HTTP_OF_GRPC = np.array([200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401])
"""By gRPC code, as google.rpc.Code documents them."""
THRESHOLD_DIGITS = 14
FAULTS = {
    kernel.SHORT: "the record ends early",
    kernel.VARINT: "a number in it has no end",
    kernel.WIRE: "the record is no ExportTraceServiceRequest",
    kernel.SPANS: f"the record holds more than {kernel.SPANS_MAX} spans: let the collector send smaller batches",
}


class OtlpProto:
    """The format."""

    name = "otlp_proto"

    def decoder(self, config: Config, topic: str, source: Input) -> OtlpDecoder:
        """For one topic; raises `UserError` for a path that leads nowhere in a span."""
        mapping, units = _mapping(config, source), _units(source)
        fields = Fields.of(mapping, units, source.defaults, sorted(config.measures))
        for path in fields.paths:
            if path not in kernel.SPECIAL and not path.startswith(("attributes.", "resource.")):
                raise UserError(
                    f"inputs: {topic}: there is no {path!r} in a span: say attributes.KEY, resource.KEY or one of "
                    f"{', '.join(kernel.SPECIAL)}"
                )
        return OtlpDecoder(fields, max(config.limits.record_bytes, RECORD_BYTES_MIN))

    def identity(self, config: Config, topic: str, source: Input) -> dict[str, Any]:
        """Mapping (the conventions included), units and defaults."""
        return {"mapping": _mapping(config, source), "units": _units(source), "defaults": dict(source.defaults)}


FORMAT = OtlpProto()


def _mapping(config: Config, source: Input) -> dict[str, str]:
    named = (*NAMED, *(f"measures.{name}" for name in sorted(config.measures)))
    ours = {name: name.removeprefix("measures.") for name in named}
    return (
        MAPPING | {name: f"attributes.davy.{key} | resource.davy.{key}" for name, key in ours.items()} | source.mapping
    )


def _units(source: Input) -> dict[str, str]:
    return {name: unit for name, unit in UNITS.items() if name not in source.mapping} | source.units


class OtlpDecoder:
    """Records of one topic."""

    wants_headers = False

    def __init__(self, fields: Fields, record_bytes_max: int) -> None:
        self.fields = fields
        self.record_bytes_max = record_bytes_max
        keys = bytearray()
        wanted: dict[str, list[tuple[int, int, int]]] = {"attributes": [], "resource": []}
        for slot, path in enumerate(fields.paths):
            where, _, key = path.partition(".")
            if path not in kernel.SPECIAL:
                wanted[where].append((len(keys), len(key.encode()), slot))
                keys += key.encode()
        self.keys = np.frombuffer(bytes(keys), np.uint8)
        self.of_span = np.array(wanted["attributes"], np.int64).reshape(-1, 3)
        self.of_resource = np.array(wanted["resource"], np.int64).reshape(-1, 3)
        self.special = np.array([self._slot(name) for name in kernel.SPECIAL], np.int64)

    def _slot(self, path: str) -> int:
        return self.fields.paths.index(path) if path in self.fields.paths else -1

    def decode(self, values: Packed, headers: Headers | None = None) -> Decoded:
        """A row of every span that is a request."""
        index, usable, rejects = sound(values, self.record_bytes_max)
        slots, record, fault = self._walk(usable)
        rejects += [Reject(int(index[i]), FAULTS[int(fault[i])]) for i in np.flatnonzero(fault)]
        self._statuses(slots)
        self._rates(slots)
        rows, faults = self.fields.rows(slots)
        return decoded(rows, index[record], faults, rejects)

    def _walk(self, values: Packed) -> tuple[Slots, Ints, Any]:
        n, wide = len(values), len(self.fields.paths)
        data, begins, ends = values.data, values.begin, values.end
        count, fault = np.zeros(n, np.int64), np.zeros(n, np.uint8)
        kernel.spans(data, begins, ends, count, fault)
        most = int(count[fault == 0].sum()) + 1  # a span that is passed over needs a place, too
        slots, said = Slots.empty(data, wide, most), Slots.empty(data, wide, 1)
        record = np.zeros(most, np.int64)
        rows = kernel.walk(
            data, begins, ends, self.keys, self.of_resource, self.of_span, self.special, 1 << SERVER | 1 << CONSUMER,
            said.arrays, slots.arrays, record, fault,
        )  # fmt: skip
        return slots.head(rows), record[:rows], fault

    def _statuses(self, slots: Slots) -> None:
        """gRPC's codes and the span's own to HTTP's."""
        slot = self._slot(GRPC_STATUS)
        if slot >= 0:
            known = (slots.kind[slot] == INT) & (slots.bits[slot] >= 0) & (slots.bits[slot] < len(HTTP_OF_GRPC))
            slots.bits[slot][known] = HTTP_OF_GRPC[slots.bits[slot][known]]
        slot = self._slot(SPAN_STATUS)
        if slot >= 0:
            slots.bits[slot] = np.where(slots.bits[slot] == kernel.STATUS_ERROR, 500, 200)

    def _rates(self, slots: Slots) -> None:
        """The rejection threshold in the trace state to a rate (OpenTelemetry, TraceState: probability sampling)."""
        slot = self._slot(THRESHOLD)
        if slot < 0:
            return
        known: dict[str, float | None] = {}
        for row in np.flatnonzero(slots.kind[slot] == TEXT).tolist():
            state = slots.text(slot, row)
            if state not in known:
                known[state] = _rate(state)
            rate = known[state]
            slots.kind[slot, row] = 0 if rate is None else FLOAT
            slots.bits.view(np.float64)[slot, row] = rate or 0.0


def _rate(state: str) -> float | None:
    """Probability with which the span was kept, or None where the state does not say so."""
    for member in state.split(","):
        vendor, _, parts = member.strip().partition("=")
        for part in parts.split(";") if vendor == "ot" else ():
            name, _, digits = part.partition(":")
            if name == "th" and 0 < len(digits) <= THRESHOLD_DIGITS:
                try:
                    return 1 - int(digits, 16) / 16 ** len(digits)
                except ValueError:
                    return None
    return None
