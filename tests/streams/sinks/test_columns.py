from __future__ import annotations

import pytest

from schemas import codec
from streams.sinks.columns import of_rows, plain, read, span_us
from streams.sinks.rows import READERS
from streams.sinks.tables import MODERN, OLD, TABLES, WINDOWS
from tests.streams.sinks import records

VALUES = [
    records.window(i, [None, "", "canary"][i % 3], 1 + i, **{"a": i / 7} if i % 2 else {}).encode() for i in range(9)
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


@pytest.mark.parametrize("uniform", [True, False])
def test_lists_are_the_values_of_rows(uniform: bool) -> None:
    rows = [records.window(i, None, **({"a": 1.5, "b": 2.0} if uniform or i else {})).to_avro() for i in range(4)]
    found = plain(WINDOWS, OLD, of_rows(WINDOWS, rows))
    assert found["measures.key"] == [list(row["measures"]) for row in rows]
    assert found["measures.value"] == [list(row["measures"].values()) for row in rows]
    assert found["start"] == [row["start"] // 1_000_000 for row in rows]
    for name in ("start_us", "service", "variant", "rows", "mean_us", "p999_us"):
        assert found[name] == [row[name.removesuffix("_us") if name == "start_us" else name] for row in rows]
    assert plain(WINDOWS, MODERN, of_rows(WINDOWS, rows))["measures"] == [row["measures"] for row in rows]


def test_flags_and_texts() -> None:
    (row,) = READERS["probes"](records.probe().encode())["probes"]
    found = plain(TABLES["probes"], OLD, of_rows(TABLES["probes"], [row]))
    assert (found["ok"], found["services"], found["error"]) == ([0], [["checkout"]], ["refused"])
