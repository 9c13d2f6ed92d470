"""Loops over arrays. Those of detectors are written for `analyzers.native`: plain functions over arrays of binary64, a series'
memory in one array, so that a state is copied and kept as it is. The others are for `analyzers.compiled`, which imports numba
and takes a second: they are imported when they are first asked for.
"""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def evidence_loops() -> Any:
    """`analyzers.kernels.evidence`."""
    from analyzers.kernels import evidence

    return evidence


@cache
def value_loops() -> Any:
    """`analyzers.kernels.values`."""
    from analyzers.kernels import values

    return values
