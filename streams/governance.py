"""Which rows count: too late, from the future or with unusable values, decided per row and by the row alone.

A row is late against its own Kafka timestamp, never against a clock or its neighbours, so that whoever reads the log
decides the same. Recorded files have no such time: nothing in them is late. The decision itself is part of the compiled loop
(`streams.kernels.tally`); here stands what people are told of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streams.kernels import admission, tally
from streams.layout import Layout
from streams.rows import TEXTS, Rows

Ints = npt.NDArray[np.int64]
LABELS = ("experiment_id", "service", "environment", "version", "variant")

INTEGER_MEASURES = ("duration_us", "cpu_us", "memory_bytes")
"""Measures that are columns of the event, in whole units."""


def reason(fate: int, layout: Layout, labels: Sequence[str]) -> str:
    """Why a row with this fate is not counted."""
    if fate >= tally.UNSEEN:
        return f"{labels[fate - tally.UNSEEN]} is not UTF-8 or holds characters that do not print"
    if fate >= tally.DEAD:
        return f"{labels[fate - tally.DEAD]} is empty or longer than {layout.label_bytes} bytes"
    if fate >= tally.MEASURE:
        names = (*INTEGER_MEASURES, *(name for name, _ in layout.measures))
        return f"{names[fate - tally.MEASURE]} is negative, too large or no number"
    if fate == tally.RATE:
        return "sample_rate is not between 2^-20 and 1"
    return "the event's timestamp lies in the future"


def knobs(layout: Layout) -> admission.Knobs:
    """The layout's numbers, as the compiled loops take them."""
    return admission.Knobs(
        layout.window_us, layout.lateness_us, layout.future_us, layout.keys_per_block, layout.arms_per_service,
        layout.label_bytes,
    )  # fmt: skip


def fates(layout: Layout, rows: Rows, kafka_us: Ints) -> Ints:
    """Of n rows with these Kafka timestamps, int64 (n,), whether each counts (`streams.kernels.tally`), int64 (n,)."""
    fate = np.empty(len(rows), np.int64)
    labels = np.array([TEXTS.index(name) for name in (*LABELS, *layout.dimensions)], np.int64)
    resolutions = np.array([resolution for _, resolution in layout.measures], np.float64)
    tally.fates(
        rows.data, rows.start, rows.length, rows.longs, rows.present, rows.rate, rows.values, rows.has, kafka_us, labels,
        resolutions, knobs(layout), fate,
    )  # fmt: skip
    return fate
