from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.clock import ANCHOR_US, BELIEVED_S, STEP_US, S, Steady

NOON_US = 1_764_000_000 * S
HOUR_US = 3600 * S


class Set(Steady):
    """By clocks that the test turns."""

    wall_us, passed_us = NOON_US, 5 * S

    def _now(self) -> tuple[int, int]:
        return self.wall_us, self.passed_us

    def later(self, us: int, rate: float = 1.0) -> int:
        self.wall_us, self.passed_us = self.wall_us + round(us * rate), self.passed_us + us
        return self.now_us()


@pytest.mark.parametrize("set_us", [HOUR_US, -HOUR_US, 5 * S])
def test_a_step_that_is_taken_back_was_never_told(set_us: int) -> None:
    clock = Set()
    assert clock.later(10 * S) == NOON_US + 10 * S
    clock.wall_us += set_us
    assert clock.later(30 * S) == NOON_US + 40 * S
    clock.wall_us -= set_us
    assert clock.later(S) == NOON_US + 41 * S == clock.wall_us


def test_a_step_that_stays_is_believed() -> None:
    clock = Set()
    clock.wall_us += HOUR_US
    assert clock.now_us() == NOON_US
    assert clock.later(int(BELIEVED_S * S) - 1) == NOON_US + BELIEVED_S * S - 1
    assert clock.later(1) == NOON_US + HOUR_US + BELIEVED_S * S == clock.wall_us


@pytest.mark.parametrize("rate", [0.0, 0.5, 2.0])
def test_a_clock_that_goes_wrong_is_off_by_a_second_at_most(rate: float) -> None:
    clock, right_us = Set(), NOON_US
    for _ in range(300):
        right_us += S // 10
        assert abs(clock.later(S // 10, rate) - right_us) <= STEP_US


@given(st.lists(st.tuples(st.integers(1, 20 * S), st.floats(0.9995, 1.0005)), max_size=60))
def test_a_clock_that_is_slewed_is_followed(steps: list[tuple[int, float]]) -> None:
    clock = Set()
    for us, rate in steps:
        clock.later(min(us, ANCHOR_US), rate)
        assert clock.now_us() == clock.wall_us
