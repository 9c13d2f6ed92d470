# ruff: noqa: E501  # tables of cases read better with one case a line
from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.units import Dimension, Tolerance, parse_duration, parse_level, parse_share, parse_tolerance


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0s", 0), ("250us", 250), ("500ms", 500_000), ("30s", 30_000_000), ("5m", 300_000_000), ("1.5h", 5_400_000_000),
        ("24h", 86_400_000_000), ("30d", 2_592_000_000_000), (" 10 s ", 10_000_000),
    ],
)  # fmt: skip
def test_durations(text: str, micros: int) -> None:
    assert parse_duration(text) == micros


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30", "'30' has no unit: say 30s"),
        (30, "'30' has no unit: say 30s"),
        ("5 minutes", "'5 minutes' is not a duration: say 5m"),
        ("10sec", "'10sec' is not a duration: say 10s"),
        ("3 weeks", "'3 weeks' is not a duration: say 21d"),
        ("2M", "'2M' is not a duration: say 2m"),
        ("5 parsecs", "'5 parsecs' is not a duration: say a number with us, ms, s, m, h or d, like 30s"),
        ("1h30m", "'1h30m' is not a duration: say 30s, 5m or 24h"),
        ("-5m", "'-5m' is not between 0s and 3650d"),
        ("9999d", "'9999d' is not between 0s and 3650d"),
        ("soon", "'soon' is not a duration: say 30s, 5m or 24h"),
        (None, "nothing is not a duration: say 30s, 5m or 24h"),
        (["5m"], "a list is not a duration: say 30s, 5m or 24h"),
        (True, "'True' is not a duration: say 30s, 5m or 24h"),
    ],
)
def test_bad_durations(text: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [("1%", 0.01), ("0.01", 0.01), ("99.9%", 0.999), ("100%", 1.0), ("0", 0.0), (0.5, 0.5), (".5", 0.5)],
)
def test_shares(text: object, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", "'10' is more than everything: say 10%"),
        ("150", "'150' is more than everything: a share lies between 0% and 100%"),
        ("150%", "'150%' is more than everything: a share lies between 0% and 100%"),
        ("-1%", "'-1%' is below zero: a share lies between 0% and 100%"),
        ("0.5pp", "'0.5pp' is not a share: say 0.5%, or a number between 0 and 1"),
        ("nan", "'nan' is not a share: say 1% or 0.01"),
        ("1e-2", "'1e-2' is not a share: say 1% or 0.01"),
        ("one percent", "'one percent' is not a share: say 1% or 0.01"),
    ],
)
def test_bad_shares(text: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_share(text)


@pytest.mark.parametrize(
    ("text", "dimension", "tolerance"),
    [
        ("10%", "ratio", Tolerance("relative", 0.1)),
        ("0.5pp", "ratio", Tolerance("absolute", 0.005)),
        ("0.1pp", "ratio", Tolerance("absolute", 0.001)),
        ("20ms", "time", Tolerance("absolute", 20_000.0)),
        ("1.5s", "time", Tolerance("absolute", 1_500_000.0)),
        ("250", "time", Tolerance("absolute", 250.0)),
        ("50MB", "bytes", Tolerance("absolute", 50e6)),
        ("1GiB", "bytes", Tolerance("absolute", 2.0**30)),
        ("2.5", "number", Tolerance("absolute", 2.5)),
        ("0%", "number", Tolerance("relative", 0.0)),
        ("30%", "traffic", Tolerance("relative", 0.3)),
    ],
)
def test_tolerances(text: str, dimension: Dimension, tolerance: Tolerance) -> None:
    assert parse_tolerance(text, dimension) == tolerance


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        ("0.5", "ratio", "'0.5' has no unit: say 50pp (percentage points) or 50% (relative)"),
        ("0.005", "ratio", "'0.005' has no unit: say 0.5pp (percentage points) or 0.5% (relative)"),
        ("10", "ratio", "'10' has no unit: say 10pp (percentage points) or 10% (relative)"),
        ("0", "ratio", "'0' has no unit: say 0.5pp (percentage points) or 10% (relative)"),
        ("100pp", "ratio", "'100pp' allows everything to fail: say for example 0.5pp"),
        ("5ms", "ratio", "'5ms' is a time, but this measures a share of requests: say 0.5pp (percentage points) or 10% (relative)"),
        ("1pp", "time", "'1pp' is in percentage points, but this measures a time: say 10% (relative) or 20ms (absolute)"),
        ("5MB", "time", "'5MB' is a size, but this measures a time: say 10% (relative) or 20ms (absolute)"),
        ("5ms", "bytes", "'5ms' is a time, but this measures a size: say 10% (relative) or 50MB (absolute)"),
        ("5ms", "number", "'5ms' is a time, but this measures a number: say 10% (relative) or 5 (absolute, in the measure's own unit)"),
        ("5 apples", "time", "'5 apples' has an unknown unit 'apples': say 10% (relative) or 20ms (absolute)"),
        ("-5%", "time", "'-5%' is below zero: a tolerance says how much worse is still fine, like 10% (relative) or 20ms (absolute)"),
        ("20000%", "time", "'20000%' is more than 10000%: say 10% (relative) or 20ms (absolute)"),
        ("100%", "traffic", "'100%' is not between 0% and 100%: say what part of traffic may be missing, like 30%"),
        ("30", "traffic", "'30' has no unit: say 30%"),
        ("much", "time", "'much' is not a tolerance: say 10% (relative) or 20ms (absolute)"),
    ],
)  # fmt: skip
def test_bad_tolerances(text: str, dimension: Dimension, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_tolerance(text, dimension)


@given(st.integers(0, 10_000))
def test_a_percentage_and_its_fraction_are_the_same_share(hundredths: int) -> None:
    percent = f"{hundredths // 100}.{hundredths % 100:02}%"
    assert parse_share(percent) == parse_share(f"{hundredths / 10_000:.4f}") == hundredths / 10_000


@given(st.integers(0, 3_000), st.sampled_from(["us", "ms", "s", "m", "h", "d"]))
def test_durations_are_exact(count: int, unit: str) -> None:
    assert parse_duration(f"{count}{unit}") == count * parse_duration(f"1{unit}")


@given(st.text(max_size=20), st.sampled_from(["ratio", "time", "bytes", "number", "traffic"]))
def test_any_text_is_a_value_or_a_sentence(text: str, dimension: Dimension) -> None:
    parsers: list[Callable[[object], object]] = [
        parse_duration,
        parse_share,
        partial(parse_tolerance, dimension=dimension),
    ]
    for parse in parsers:
        try:
            said = None if parse(text) is not None else ""
        except ValueError as error:
            said = str(error)
        assert said is None or ": " in said or "between" in said


@pytest.mark.parametrize(
    ("text", "dimension", "level"),
    [
        ("0.5%", "ratio", 0.005),
        ("0.95", "points", 0.95),
        ("120ms", "time", 120_000.0),
        ("5MB", "bytes", 5e6),
        ("3", "number", 3.0),
    ],
)
def test_levels(text: str, dimension: Dimension, level: float) -> None:
    assert parse_level(text, dimension) == level


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [("10%", "time", "'10%' is not a level: say for example 120ms"), ("0ms", "time", "'0ms' is not a level: say for example 120ms"),
     ("10%", "number", "'10%' is not a level: say for example 5"), ("2", "ratio", "'2' is more than everything: say 2%")],
)  # fmt: skip
def test_bad_levels(text: str, dimension: Dimension, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_level(text, dimension)
