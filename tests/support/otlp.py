"""Spans as OpenTelemetry's own protobuf classes write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

SERVER, CLIENT, CONSUMER = 2, 3, 5
Attributes = Mapping[str, Any]


def attribute(key: str, value: Any) -> KeyValue:
    """A KeyValue of the type that fits."""
    kind = {bool: "bool_value", str: "string_value", int: "int_value", float: "double_value"}[type(value)]
    return KeyValue(key=key, value=AnyValue(**{kind: value}))


def request(resources: Sequence[tuple[Attributes, Sequence[Mapping[str, Any]]]]) -> bytes:
    """Resources with their spans. A span's `attributes`, `status` and `kind` (SERVER) aside, keys are its fields."""
    whole = ExportTraceServiceRequest()
    for attributes, spans in resources:
        resource = whole.resource_spans.add()
        resource.resource.attributes.extend(attribute(k, v) for k, v in attributes.items())
        scope = resource.scope_spans.add()
        scope.scope.name = "otelhttp"
        for said in spans:
            span = scope.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, kind=said.get("kind", SERVER))
            for name, value in said.items():
                if name == "attributes":
                    span.attributes.extend(attribute(k, v) for k, v in value.items())
                elif name == "status":
                    span.status.code = value
                elif name != "kind":
                    setattr(span, name, value)
            span.events.add(name="exception", time_unix_nano=7).attributes.append(attribute("exception.type", "E"))
    return whole.SerializeToString()
