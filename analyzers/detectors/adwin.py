"""ADWIN of river: two halves of an adaptive window whose means differ."""

from __future__ import annotations

from analyzers.drift import Drift, River


def _make() -> River:
    from river.drift import ADWIN  # pyright: ignore[reportMissingTypeStubs]  # it takes seconds

    return ADWIN()


DETECTOR = Drift(
    _make, 'Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing" (2007), as in river'
)
