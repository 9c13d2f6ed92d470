"""What the tests of formats look at: rows as dictionaries."""

from __future__ import annotations

from typing import Any

from streams.formats.base import Decoded
from streams.rows import LONGS, TEXTS


def rows(decoded: Decoded, measures: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Every row's filled columns."""
    found = decoded.rows
    said: list[dict[str, Any]] = []
    for k in range(len(found)):
        row: dict[str, Any] = {"sample_rate": float(found.rate[k])}
        for i, name in enumerate(TEXTS):
            if found.length[i, k] >= 0:
                start = int(found.start[i, k])
                row[name] = found.data[start : start + int(found.length[i, k])].tobytes().decode()
        row |= {name: int(found.longs[i, k]) for i, name in enumerate(LONGS) if found.present[i, k]}
        row |= {name: float(found.values[i, k]) for i, name in enumerate(measures) if found.has[i, k]}
        said.append(row)
    return said
