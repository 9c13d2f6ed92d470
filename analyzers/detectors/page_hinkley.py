"""The Page-Hinkley test of river: a cumulative sum of deviations from the mean so far."""

from __future__ import annotations

from analyzers.drift import Drift, River


def _make() -> River:
    from river.drift import PageHinkley  # pyright: ignore[reportMissingTypeStubs]  # it takes seconds

    return PageHinkley()


DETECTOR = Drift(_make, 'Page, "Continuous inspection schemes" (1954), with Hinkley\'s mean, as in river')
