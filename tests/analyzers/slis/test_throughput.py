"""throughput: vanished requests, and what is none of its business."""

from __future__ import annotations

import math

import pytest

from analyzers.arm import PairWindow
from analyzers.counts import FROM_START
from analyzers.sli import Plan, Reading
from analyzers.slis.throughput import SLI
from tests.analyzers.builders import TRAFFIC, arm, pair, sli

PLAN = Plan(units=False, alpha=0.01, beta=0.05, steps=1, duration_us=600_000_000)


def read(*windows: PairWindow) -> Reading:
    state = SLI.start(sli(TRAFFIC), PLAN)
    for window in windows:
        state = SLI.step(state, window)
    return SLI.read(state)


def test_evidence_is_section_1_with_exposures_in_place_of_requests() -> None:
    windows = [(100, 950), (90, 960), (85, 930)]  # within what one window is believed
    reading = read(*(pair(i, arm(x), arm(y), 0.1) for i, (x, y) in enumerate(windows)))
    e = 0.0
    for r in (0.97, 0.93, 0.87, 0.75, 0.6, 0.4, 0.15, 0.02):
        nc, nb = 0.1 * 0.7, 0.9
        a, b = r * (nc + nb) / (r * nc + nb), (nc + nb) / (r * nc + nb)
        e += math.prod(a**x * b**y for x, y in windows) / 8
    # the later start points have not begun
    assert reading.log_harm == pytest.approx(math.log(FROM_START * e + 1 - FROM_START))
    assert reading.log_safety is None


def test_rates_are_requests_per_second() -> None:
    reading = read(*(pair(i, arm(50), arm(900), 0.1) for i in range(20)))
    assert reading.baseline == pytest.approx(20)
    assert reading.candidate == pytest.approx(10)
    assert reading.effect == pytest.approx(-0.5)
    assert reading.upper is not None
    assert reading.upper < -0.3


def test_a_candidate_that_answers_nothing_is_harm() -> None:
    assert read(*(pair(i, arm(0), arm(100), 0.5) for i in range(5))).log_harm > math.log(100)


@pytest.mark.parametrize("share", [None, 0.0, 1.0])
def test_unknown_weights_are_not_judged(share: float | None) -> None:
    assert read(pair(0, arm(0), arm(1000), share)).log_harm == 0


def test_more_traffic_than_asked_is_no_harm() -> None:
    assert read(*(pair(i, arm(700), arm(300), 0.5) for i in range(20))).log_harm < 0
