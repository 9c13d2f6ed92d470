"""Section 6: forecasts against its rules of thumb, and against what simulated runs really took."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers import forecast
from analyzers.counts import ABOVE, BELOW, growth
from analyzers.means import log_evidence
from tests.analyzers.increments import increments


@pytest.mark.parametrize(("p", "d"), [(0.005, 0.001), (0.01, 0.005), (0.05, 0.01)])
def test_safety_is_about_the_rule_of_thumb(p: float, d: float) -> None:
    both_arms = 2 * 6 * (2 * p + d) / d**2
    assert forecast.safety_requests(0.5, p, 1.0, d, 0.05) == pytest.approx(both_arms, rel=0.25)


@pytest.mark.parametrize("ratio", [1.5, 2.0, 5.0])
def test_harm_is_about_the_rule_of_thumb(ratio: float) -> None:
    share, p = 0.1, 0.005
    pi, pi0 = ratio * share / (ratio * share + 1 - share), share
    kl = pi * math.log(pi / pi0) + (1 - pi) * math.log((1 - pi) / (1 - pi0))
    errors_per_request = p * (ratio * share + 1 - share)
    requests = forecast.harm_requests(share, p, 1.0, 0.0, ratio, 0.01)
    assert requests == pytest.approx(6 / kl / errors_per_request, rel=0.1)


def test_safety_forecast_is_near_the_median_of_runs() -> None:
    p, d, rows = 0.01, 0.005, 500
    predicted = forecast.safety_requests(0.5, p, 1.0, d, 0.05)
    assert predicted is not None
    rng = np.random.default_rng(3)
    took: list[int] = []
    for _ in range(200):
        total, windows = np.zeros(8), 0
        while np.logaddexp.reduce(total) - math.log(8) < math.log(20):
            total = (
                total
                + increments(rows, rows, float(rng.binomial(rows, p)), float(rng.binomial(rows, p)), 1.0, d)[0, BELOW]
            )
            windows += 1
        took.append(windows * 2 * rows)
    assert 0.6 < float(np.median(took)) / predicted < 2.0
    assert float(np.quantile(took, 0.9)) / predicted < 1.7 * forecast.NINE_IN_TEN


def test_hopeless_questions_have_no_forecast() -> None:
    assert forecast.safety_requests(0.5, 0.01, 1.0, 0.0, 0.05) is None
    assert forecast.harm_requests(0.5, 0.01, 1.0, 0.01, 0.5, 0.01) is None
    assert forecast.mean_factor(0.0, 100.0, 0.05) is None


def test_growth_is_positive_beyond_the_limit_only() -> None:
    assert growth(0.5, 0.02, 0.01, 1.0, 0.0, ABOVE) > 0
    assert growth(0.5, 0.01, 0.01, 1.0, 0.0, ABOVE) < 0


def test_means_need_information() -> None:
    wanted = forecast.mean_information(0.05, 0.05)
    assert wanted is not None
    assert log_evidence(0.05, wanted) == pytest.approx(math.log(20), rel=1e-6)
    assert forecast.mean_factor(0.05, wanted / 3, 0.05) == pytest.approx(3)
    assert forecast.mean_factor(0.05, wanted * 3, 0.05) == 1
    assert forecast.missing(10.0, 0.05) == 0
