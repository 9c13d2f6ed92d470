"""Each gate at its border, on tiny samples, and for one arm alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzers.arm import SparseCounts
from analyzers.gates import ArmQuality, Gates
from tests.analyzers.builders import arm, pair


def fault(quality: ArmQuality, randomization: str = "request") -> str | None:
    return quality.fault("canary", randomization != "request", randomization)


@pytest.mark.parametrize(
    ("quality", "says"),
    [
        (ArmQuality(rows=990, mislabelled=10), None),
        (ArmQuality(rows=989, mislabelled=11), "1.1 % of the requests of canary carry another version"),
        (ArmQuality(rows=0, mislabelled=5), "100 % of the requests"),
        (ArmQuality(rows=20, mislabelled=4), None),
        (ArmQuality(rows=800, late=200), None),
        (ArmQuality(rows=799, late=201), "came too late"),
        (ArmQuality(rows=10, late=30), None),
        (ArmQuality(rows=950, quarantined=50), None),
        (ArmQuality(rows=949, quarantined=51), "unusable values"),
        (
            ArmQuality(rows=9000, sampled=200, distinct=150, copied=50),
            "are copies of others (50 of 200 in the sample",
        ),
        (ArmQuality(rows=9000, sampled=200, distinct=161, copied=39), None),
        (ArmQuality(rows=600, sampled=20, distinct=10, copied=10), None),
        (ArmQuality(rows=9000, sampled=10_000, distinct=150, copied=1), None),
    ],
)
def test_borders(quality: ArmQuality, says: str | None) -> None:
    sentence = fault(quality)
    assert sentence is None if says is None else says in (sentence or "")


def test_units_are_asked_for_only_where_they_are_the_randomisation() -> None:
    quality = ArmQuality(rows=1000, with_unit=980)
    assert fault(quality) is None
    assert "no unit_id (20 of 1000), but the spec randomises by user" in (fault(quality, "user") or "")
    assert fault(replace(quality, with_unit=990), "user") is None
    assert fault(ArmQuality(rows=50), "user") is None


def test_windows_add_up_and_either_arm_counts() -> None:
    window = replace(pair(0, arm(500, late=10), arm(500)), mislabelled_control=6)
    gates = Gates().add(window).add(window)
    assert gates.candidate == ArmQuality(rows=1000, late=20)
    assert gates.control.mislabelled == 12
    assert "of control carry" in (gates.fault("control", "canary", "request") or "")


def identical(rng: np.random.Generator, rows: int, share: float) -> SparseCounts:
    """The sample of one window: distinct rows, of which enough are sent twice that `share` of all rows are
    copies."""
    distinct = round(rows * (1 - share))
    counts = np.ones(distinct, np.int64)
    counts[: rows - distinct] = 2
    taken = np.flatnonzero(rng.random(distinct) < 1 / 64)
    return SparseCounts(taken.astype(np.int64), counts[taken])


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0.0, 0.0), (0.1, 0.0, 0.05), (0.4, 1.0, 1.0)])
def test_identical_rows_are_found_by_the_sample_and_only_where_they_are(share: float, low: float, high: float) -> None:
    """500 rows a window for 60 windows, looked at each time."""
    fired = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        gates = Gates()
        for i in range(60):
            gates = gates.add(pair(i, arm(500, row_sample=identical(rng, 500, share)), arm(500)))
            if gates.fault("control", "canary", "request"):
                fired += 1
                break
    assert low <= fired / 60 <= high


def test_clocks_that_disagree_are_told() -> None:
    late = replace(arm(500), lag_us=500 * 3_000_000)
    said = Gates().add(pair(0, late, arm(500))).fault("control", "canary", "request") or ""
    assert "events of canary reach the log 3 s after their own timestamp and those of control 0 s" in said
    assert Gates().add(pair(0, late, late)).fault("control", "canary", "request") is None
    assert Gates().add(pair(0, replace(late, rows=50), arm(500))).fault("control", "canary", "request") is None
