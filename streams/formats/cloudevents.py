"""CloudEvents with JSON data, in binary mode (attributes in ``ce_`` headers) and in structured mode (one JSON envelope).

A path is that of the envelope: ``data.latency.total``, or an attribute like ``time`` and ``subject``. Where the mapping says
nothing, columns are found under ``data``, and an event without a timestamp happened at the envelope's ``time``. Avro data
need no format of their own: say ``avro``, which passes over headers.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from schemas.config import Config, Input
from schemas.event import COLUMNS
from streams.fields import Fields
from streams.formats.base import Decoded, Headers, Ints, Reject, decoded, sound
from streams.json_slots import FAULTS, Tree
from streams.packed import Packed

PREFIX = "ce_"
STRUCTURED, JSON = "application/cloudevents+json", ("application/json", "text/json", "")
NO_CLOUDEVENT = f"no CloudEvent: it has neither a header ce_specversion nor content-type {STRUCTURED}"


class CloudEvents:
    """The format."""

    name = "cloudevents"

    def decoder(self, config: Config, topic: str, source: Input) -> CloudEventsDecoder:
        """For one topic."""
        fields = Fields.of(_mapping(config, source), source.units, source.defaults, sorted(config.measures))
        return CloudEventsDecoder(fields, config.limits.record_bytes)

    def identity(self, config: Config, topic: str, source: Input) -> dict[str, Any]:
        """Mapping, units and defaults."""
        return source.model_dump(mode="json", include={"units", "defaults"}) | {"mapping": _mapping(config, source)}


FORMAT = CloudEvents()


def _mapping(config: Config, source: Input) -> dict[str, str]:
    names = (*COLUMNS, *(f"measures.{name}" for name in config.measures))
    return {name: f"data.{name}" for name in names} | {"timestamp": "data.timestamp | time"} | source.mapping


class CloudEventsDecoder:
    """Records of one topic."""

    wants_headers = True

    def __init__(self, fields: Fields, record_bytes_max: int) -> None:
        self.fields = fields
        self.tree, self.anything = Tree(fields.paths), Tree(())
        self.attributes = {PREFIX + path: path for path in fields.paths if "." not in path}
        self.record_bytes_max = record_bytes_max

    def decode(self, values: Packed, headers: Headers | None) -> Decoded:
        """A row of every record that can be used."""
        index, usable, rejects = sound(values, self.record_bytes_max)
        envelopes, reasons, bare = list[bytes](), dict[int, str](), list[int]()
        for row, (record, value) in enumerate(zip(index.tolist(), usable, strict=True)):
            opening = self._opening((headers or [None] * len(values))[record])
            if opening.startswith("{"):
                bare.append(row)
                envelopes.append(opening.encode() + value + b"}")
            else:
                envelopes.append(value)
                if opening:
                    reasons[row] = opening
        _, fault = self.anything.walk(usable.take(np.array(bare, np.int64)))  # the data alone must be an object, too
        reasons |= {bare[i]: FAULTS[int(fault[i])] for i in np.flatnonzero(fault).tolist()}
        return self._rows(envelopes, index, reasons, rejects)

    def _rows(self, envelopes: list[bytes], index: Ints, reasons: dict[int, str], rejects: list[Reject]) -> Decoded:
        slots, fault = self.tree.walk(Packed.of(envelopes))
        for row in np.flatnonzero(fault).tolist():
            reasons.setdefault(row, FAULTS[int(fault[row])])
        rows, faults = self.fields.rows(slots)
        return decoded(rows, index, sorted((dict(faults) | reasons).items()), rejects)

    def _opening(self, headers: Any) -> str:
        """What makes an envelope of the data of a record: nothing for one in structured mode, else everything up to the data;
        or why it is no CloudEvent."""
        found: dict[str, bytes | None] = dict(headers or ())
        kind = (found.get("content-type") or b"").decode("utf-8", "replace").partition(";")[0].strip().lower()
        if kind == STRUCTURED:
            return ""
        if PREFIX + "specversion" not in found:
            return NO_CLOUDEVENT
        if kind not in JSON and not kind.endswith("+json"):
            return f"its data are {kind}, not JSON"
        said = {
            path: (found[name] or b"").decode("utf-8", "replace")
            for name, path in self.attributes.items()
            if name in found
        }
        return "{" + "".join(f"{json.dumps(path)}: {json.dumps(text)}, " for path, text in said.items()) + '"data": '
