"""What of one window's excess counts before other windows confirm it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.bursts import ALL, ALWAYS, BELIEVED, BELIEVED_SAFE, CONFIRMING, LEVEL, LEVEL_EVENTS, Bursts, believed


def after(*zs: float) -> Bursts:
    bursts = Bursts()
    for z in zs:
        bursts = bursts.add(z)
    return bursts


def test_up_to_three_windows_confirm_nothing_and_four_of_five_do() -> None:
    assert (
        after(9.0).counting()[0]
        == after(9.0, 9.0).counting()[0]
        == after(9.0, 0.0, 9.0, 9.0, -1.0).counting()[0]
        == BELIEVED
    )
    assert after(9.0, 0.0, 8.0, 7.0, 9.0).counting()[0] == BELIEVED + 7
    assert after(9.0, 8.0, 7.0).counting()[0] == BELIEVED
    assert after(9.0, 8.0, 7.0, 9.0).counting()[0] == BELIEVED + 7
    assert after(9.0, 8.0, 7.0, 9.0).counting()[1] == BELIEVED_SAFE
    assert after(-9.0, -8.0, -7.0, -9.0).counting()[1] == BELIEVED_SAFE + 7
    assert len(after(*range(20)).recent) == CONFIRMING


def test_a_burst_counts_as_far_as_the_other_arm_bears_it_out() -> None:
    most = 100 * believed(100.0, 10.0, 0.5, 1000.0, Bursts()).candidate
    both = most + 10
    skewless = both / 2 + BELIEVED * (both / 4) ** 0.5
    assert most == pytest.approx(skewless)
    assert believed(1000.0, 10.0, 0.5, 1e3, Bursts()).candidate == pytest.approx(
        most / 1000
    )  # it cannot vouch for itself
    assert believed(1000.0, 1000.0, 0.5, 1e6, Bursts()) == ALL  # but one of both arms does
    assert believed(22.0, 178.0, 0.1, 1000.0, Bursts()) == ALL
    assert believed(0.0, 100.0, 0.5, 1000.0, Bursts()).control < 0.05
    assert believed(ALWAYS, 0.0, 0.001, 1000.0, Bursts()) == ALL
    assert believed(2 * ALWAYS, 0.0, 0.001, 1000.0, Bursts()).candidate == 0.5


def test_a_burst_of_the_large_arm_alone_counts_no_further_than_its_level_lately() -> None:
    calm = Bursts()
    for _ in range(9):
        calm = calm.add(0.0, 0.01, 1000.0)
    kept = believed(1.0, 100.0, 0.01, 1000.0, calm)
    assert 100 * kept.control == pytest.approx(LEVEL * 10 + LEVEL_EVENTS)
    common = believed(100.0, 100.0, 0.5, 1000.0, calm)
    assert 100 * common.control == pytest.approx(100 - BELIEVED_SAFE * 10)  # as far as the candidate bears it out
    lasting = calm
    for _ in range(20):
        lasting = lasting.add(0.0, 0.1, 1000.0)
    assert believed(1.0, 100.0, 0.01, 1000.0, lasting) == ALL


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.001, 0.999), st.lists(st.floats(-50, 50), max_size=7))
def test_parts_are_parts(ec: float, eb: float, pi: float, zs: list[float]) -> None:
    kept = believed(ec, eb, pi, 1e6, after(*zs))
    for part in (kept.candidate, kept.control):
        assert 0 <= part <= 1
