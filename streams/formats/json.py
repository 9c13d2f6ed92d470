"""Plain JSON, one object a record, with the fields of RequestEvent or whatever the mapping makes of others.

A path in a mapping names keys from the outside in, with dots between them (``latency.total``); a dot that belongs to a key
is written ``\\.``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.config import Config, Input
from streams.fields import Fields
from streams.formats.base import Decoded, Headers, decoded, sound
from streams.json_slots import FAULTS, Tree
from streams.packed import Packed


class Json:
    """The format."""

    name = "json"

    def decoder(self, config: Config, topic: str, source: Input) -> JsonDecoder:
        """For one topic."""
        fields = Fields.of(source.mapping, source.units, source.defaults, sorted(config.measures))
        return JsonDecoder(fields, config.limits.record_bytes)

    def identity(self, config: Config, topic: str, source: Input) -> dict[str, Any]:
        """Mapping, units and defaults."""
        return source.model_dump(mode="json", include={"mapping", "units", "defaults"})


FORMAT = Json()


class JsonDecoder:
    """Records of one topic."""

    wants_headers = False

    def __init__(self, fields: Fields, record_bytes_max: int) -> None:
        self.fields = fields
        self.tree = Tree(fields.paths)
        self.record_bytes_max = record_bytes_max

    def decode(self, values: Packed, headers: Headers | None = None) -> Decoded:
        """A row of every record that can be used."""
        index, usable, rejects = sound(values, self.record_bytes_max)
        slots, fault = self.tree.walk(usable)
        rows, faults = self.fields.rows(slots)
        reasons = {row: FAULTS[int(fault[row])] for row in np.flatnonzero(fault).tolist()}
        faults = [(row, why) for row, why in faults if row not in reasons]
        return decoded(rows, index, [*faults, *reasons.items()], rejects)
