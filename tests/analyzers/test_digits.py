from __future__ import annotations

import math

from analyzers.digits import e_value, six


def test_e_values_are_capped() -> None:
    assert e_value(1e6) == 1e300
    assert math.isclose(e_value(math.log(20)), 20)


def test_six_significant_digits_and_nothing_stays_nothing() -> None:
    assert six(1234567.8) == 1234570
    assert six(-0.000123456789) == -0.000123457
    assert six(None) is None
