from __future__ import annotations

import pytest

from schemas import codec
from streams.sinks.columns import of_rows, read, span_us
from streams.sinks.rows import READERS
from streams.sinks.tables import WINDOWS
from tests.streams.sinks import records

LABELS = (None, "", "canary")
VALUES = [
    records.window(i, LABELS[i % 3], 1 + i, **{"a": i / 7} if i % 2 else {}).encode()  # pyright: ignore[reportArgumentType]
    for i in range(9)
]


def one_by_one(values: list[bytes]) -> object:
    return of_rows(WINDOWS, [row for value in values for row in READERS["windows"](value)["windows"]])


def test_windows_by_the_thousand_are_those_one_by_one() -> None:
    found, unreadable = read("windows", VALUES)
    assert unreadable == []
    assert found == {"windows": one_by_one(VALUES)}
    assert span_us(found["windows"], "start") == (records.BEGIN_US, records.BEGIN_US + 8 * records.WINDOW_US)


@pytest.mark.parametrize(
    "bad", [b"", b"junk", VALUES[0][:-1], VALUES[0] + b"x", VALUES[0] + VALUES[0], records.probe().encode()]
)
def test_a_bad_value_is_told_and_the_others_are_read(bad: bytes) -> None:
    found, unreadable = read("windows", [*VALUES[:4], bad, *VALUES[4:]])
    assert [index for index, _ in unreadable] == [4]
    assert unreadable[0][1]
    assert found == {"windows": one_by_one(VALUES)}


def test_the_fast_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "decode_as", None)
    assert len(read("windows", VALUES)[0]["windows"]) == len(VALUES)
