"""Layout: everything that the content of a cell depends on, besides the rows, and its digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any, Self

from analyzers import histogram
from schemas.config import Config
from schemas.frozen import frozen
from streams.formats import identity

AGGREGATE_VERSION = 2
"""Raised only when the meaning of the aggregate changes, so that ordinary releases roll."""


@frozen()
class Layout:
    """Times in microseconds; `measures` are (name, resolution) of the registered ones, in order of name; `inputs` says per
    source topic what its rows depend on besides its records, as JSON text."""

    block_records: int
    window_us: int
    lateness_us: int
    future_us: int
    keys_per_block: int
    arms_per_service: int
    label_bytes: int
    dimensions: tuple[str, ...]
    measures: tuple[tuple[str, float], ...]
    delta_partitions: int
    inputs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, config: Config) -> Self:
        """From the configuration."""
        limits = config.limits
        return cls(
            limits.block_records, limits.window_us, limits.lateness_us, limits.future_us, limits.keys_per_block,
            limits.arms_per_service, limits.label_bytes, tuple(config.dimensions),
            tuple(sorted((name, measure.resolution) for name, measure in config.measures.items())),
            limits.delta_partitions,
            tuple(sorted((topic, _text(identity(config, topic, source))) for topic, source in config.sources.items())),
        )  # fmt: skip

    @property
    def digest(self) -> str:
        """16 hex digits; deltas of different digests never mix."""
        content = [AGGREGATE_VERSION, histogram.BINS_PER_OCTAVE, histogram.EXPONENT_MIN, "fnv1a64", "read_committed"]
        return hashlib.sha256(_text([*content, asdict(self)]).encode()).hexdigest()[:16]


def _text(content: Any) -> str:
    return json.dumps(content, sort_keys=True)
