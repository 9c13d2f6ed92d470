"""The one layout of every histogram: logarithmic bins, 64 to the octave, from the bits of the binary64 value.

A bin is found from the exponent and the top ten bits of the mantissa through one frozen table, never through ``log()``,
so that every machine agrees. Bins are about 1.1 % wide: a midpoint is at most 0.6 % off.

>>> bin_of(np.array([0.0, 1.0, 1.02, 2.0])).tolist()
[0, 1281, 1282, 1345]
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzers.kernels import value_loops

BINS_PER_OCTAVE = 64
EXPONENT_MIN = -20
EXPONENT_MAX = 47
BINS = 1 + BINS_PER_OCTAVE * (EXPONENT_MAX - EXPONENT_MIN + 1)
"""Bin 0 holds what lies below 2**-20, zero included; the last bin also holds what lies beyond it."""
BINS_PER_QUARTER = BINS_PER_OCTAVE // 4

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def _table() -> Ints:
    """Bin within the octave of each ten-bit mantissa: the j with 2**(j/64) <= 1 + m/1024 < 2**((j+1)/64), exactly."""
    table: list[int] = []
    j = 0
    for m in range(1024):
        power = (1024 + m) ** BINS_PER_OCTAVE
        while (1 << (j + 1)) * 1024**BINS_PER_OCTAVE <= power:
            j += 1
        table.append(j)
    return np.array(table, np.int64)


BIN_OF_MANTISSA = _table()
_FIRST_MANTISSA = np.searchsorted(BIN_OF_MANTISSA, np.arange(BINS_PER_OCTAVE))


def bin_of(values: Floats) -> npt.NDArray[np.uint16]:
    """Bins uint16 (n,) of non-negative finite values float64 (n,)."""
    bits = np.ascontiguousarray(values, np.float64).view(np.int64)
    octave = (bits >> 52) - (1023 + EXPONENT_MIN)
    bins = 1 + octave * BINS_PER_OCTAVE + BIN_OF_MANTISSA[(bits >> 42) & 1023]
    return np.where(octave < 0, 0, np.minimum(bins, BINS - 1)).astype(np.uint16)


def lower_edge(bins: Ints) -> Floats:
    """Smallest value of each bin, float64 (n,)."""
    octave, within = np.divmod(np.asarray(bins, np.int64) - 1, BINS_PER_OCTAVE)
    edge = np.ldexp(1 + _FIRST_MANTISSA[within] / 1024, octave + EXPONENT_MIN)
    return np.where(np.asarray(bins) == 0, 0.0, edge)


def midpoint(bins: Ints) -> Floats:
    """Arithmetic middle of each bin, float64 (n,); 0 for bin 0."""
    bins = np.asarray(bins, np.int64)
    return np.where(bins == 0, 0.0, (lower_edge(bins) + lower_edge(bins + 1)) / 2)


def quarter_octave(bins: Ints | npt.NDArray[np.uint16]) -> Ints:
    """Coarser bins, four to the octave, for the joint counts with unit buckets; bin 0 stays 0."""
    return (np.asarray(bins, np.int64) + BINS_PER_QUARTER - 1) // BINS_PER_QUARTER


def quarter_midpoint(quarters: Ints) -> Floats:
    """Arithmetic middle of each quarter octave, float64 (n,); 0 for quarter 0."""
    quarters = np.asarray(quarters, np.int64)
    first = (quarters - 1) * BINS_PER_QUARTER + 1
    middle = (lower_edge(first) + lower_edge(first + BINS_PER_QUARTER)) / 2
    return np.where(quarters == 0, 0.0, middle)


MIDPOINTS: Floats = midpoint(np.arange(BINS))
"""Of every bin."""


def quantiles(keys: Ints, counts: Ints | Floats, qs: tuple[float, ...]) -> list[float | None]:
    """Midpoints of the bins that hold the quantiles `qs`, ascending, of sparse counts (ascending bins); None where nothing was
    counted.

    >>> quantiles(np.array([1281, 1345]), np.array([9, 1]), (0.5, 0.99))
    [1.005859375, 2.01171875]
    """
    if not len(keys):
        return [None] * len(qs)
    return MIDPOINTS[value_loops().quantiles(keys, counts, np.array(qs))].tolist()
