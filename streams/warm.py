"""Compiles the loops of `streams.kernels` before they are needed: `python -m streams.warm`; ingest as it starts, for itself.

Once compiled they come from the cache folder in a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analyzers.detectors import extremes, seasonal
from schemas import codec
from schemas.config import Config, Input
from streams import deltas
from streams.aggregate import OpenBlock
from streams.formats import formats
from streams.formats.base import Decoder
from streams.layout import Layout
from streams.packed import Packed

EVENT = {
    "timestamp": 1, "service": "warm", "environment": "up", "version": "1", "experiment_id": None, "variant": None,
    "segment": None, "unit_id": "u", "instance": None, "endpoint": None, "status": 500, "error": None, "duration_us": 1,
    "cpu_us": 1, "memory_bytes": None, "measures": None, "sample_rate": 1.0,
}  # fmt: skip


def warm(decoders: Iterable[Decoder] = ()) -> None:
    """One event through the whole first stage, and a record that is none through every decoder."""
    for decoder in decoders:
        decoder.decode(Packed.of([b"\n\0"]), None)
    config, event = Config(), Packed.of([codec.encode("RequestEvent", EVENT)])
    decoded = formats()["avro"].decoder(config, "warm", Input()).decode(event, None)
    block = OpenBlock.start(Layout.of(config))
    block.add(decoded.rows, np.ones(1, np.int64))
    list(block.changed_groups(1))


def warm_detectors() -> None:
    """The loops of `davy detect`."""
    extremes.LOOP.warm()
    seasonal.LOOP.warm()


if __name__ == "__main__":
    warm()
    warm_detectors()
    deltas.warm()
