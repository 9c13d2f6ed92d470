"""What of one window's excess counts before other windows confirm it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzers.bursts import ALL, BELIEVED, CONFIRMING, LEVEL, LEVEL_EVENTS, Bursts, believed


def after(*zs: float) -> Bursts:
    bursts = Bursts()
    for z in zs:
        bursts = bursts.add(z)
    return bursts


def test_one_or_two_windows_confirm_nothing_and_three_of_five_do() -> None:
    assert after(9.0).above() == after(9.0, 9.0).above() == after(9.0, 0.1, 9.0, -1.0).above() - 0.1 == BELIEVED
    assert after(9.0, 0.0, 8.0, 0.0, 7.0).above() == BELIEVED + 7
    assert after(9.0, 8.0, 7.0).above() == BELIEVED + 7
    assert after(9.0, 8.0, 7.0).below() == BELIEVED
    assert after(-9.0, -8.0, -7.0).below() == BELIEVED + 7
    assert len(after(*range(20)).recent) == CONFIRMING


def test_a_burst_counts_up_to_the_cap_and_what_is_expected_counts_in_full() -> None:
    kept = believed(100.0, 100.0, 0.1, 1000.0, Bursts())
    assert abs(100 * kept.candidate - (20 + BELIEVED * 18**0.5 + (BELIEVED**2 - 1) * 0.8 / 6)) < 1e-9
    assert kept.control == 1.0
    assert believed(22.0, 178.0, 0.1, 1000.0, Bursts()) == ALL
    assert believed(0.0, 100.0, 0.5, 1000.0, Bursts()).control < 1.0
    assert believed(1.0, 0.0, 0.001, 1000.0, Bursts()) == ALL


def test_a_burst_of_the_large_arm_alone_counts_no_further_than_its_level_lately() -> None:
    calm = Bursts()
    for _ in range(9):
        calm = calm.add(0.0, 0.01, 1000.0)
    kept = believed(1.0, 100.0, 0.01, 1000.0, calm)
    assert abs(100 * kept.control - (LEVEL * 10 + LEVEL_EVENTS)) < 1e-9
    assert abs(kept.control + kept.dropped - 1) < 1e-9
    lasting = calm
    for _ in range(20):
        lasting = lasting.add(0.0, 0.1, 1000.0)
    assert believed(1.0, 100.0, 0.01, 1000.0, lasting).dropped == 0


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.001, 0.999), st.lists(st.floats(-50, 50), max_size=7))
def test_parts_are_parts(ec: float, eb: float, pi: float, zs: list[float]) -> None:
    kept = believed(ec, eb, pi, 1e6, after(*zs))
    for part in (kept.candidate, kept.control, kept.dropped):
        assert 0 <= part <= 1
    assert kept.control + kept.dropped <= 1 + 1e-9
