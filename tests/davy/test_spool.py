from __future__ import annotations

from pathlib import Path

import pytest

from davy.spool import Spool
from streams.sinks.columns import of_rows
from streams.sinks.rows import of_verdict, of_window
from streams.sinks.tables import TABLES
from tests.streams.sinks import records


def columns(index: int = 0) -> dict[str, object]:
    """A window and a verdict with its evidence."""
    found = {
        **of_window(records.window(index, None, rows=2**60, a=0.1).encode()),
        **of_verdict(records.verdict(index).encode()),
    }
    return {name: of_rows(TABLES[name], rows) for name, rows in found.items()}


ROWS = columns()


def test_first_in_first_out_also_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    for number in range(12):
        assert spool.put(columns(number))
    spool = Spool(tmp_path, 1_000_000)
    assert spool.put(ROWS)
    seen = []
    while (found := spool.oldest()) is not None:
        seen.append(found[1])
        spool.done(found[0])
    assert seen == [*(columns(number) for number in range(12)), ROWS]
    assert (len(spool), spool.bytes, spool.age_s(), list(tmp_path.iterdir())) == (0, 0, 0.0, [])


def test_no_more_than_its_limit(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100_000)
    kept = 0
    while spool.put(ROWS):
        kept += 1
    assert kept >= 2
    assert spool.bytes == sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100_000
    found = spool.oldest()
    assert found is not None
    spool.done(found[0])
    assert spool.put(ROWS)


def test_half_a_file_is_never_seen_and_a_broken_one_set_aside(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.put(ROWS)
    spool.put(ROWS)
    first = min(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:9])
    (tmp_path / "000000000003.new").write_bytes(b"half")
    spool = Spool(tmp_path, 1_000_000)
    found = spool.oldest()
    assert found is not None
    assert found[1] == ROWS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000001.broken", "000000000002.rows"]


def test_a_disk_that_takes_nothing_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, 1_000_000)

    def full(self: Path, *_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert not spool.put(ROWS)
    assert list(tmp_path.iterdir()) == []


def test_raw_events_yield_to_the_rest_the_oldest_first_and_it_is_said(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100_000)
    assert spool.put(columns(0))
    size = spool.bytes
    numbers = range(100_000 // size)
    for number in numbers:
        assert spool.put_raw(columns(number))
    assert spool.shed.rows == 4  # the first of them: a window, a verdict and its two lines of evidence
    assert spool.bytes <= 100_000
    waiting = spool.raw_files
    assert spool.put(columns(1))
    assert (spool.raw_files, spool.shed.rows) == (waiting - 1, 8)
    spool = Spool(tmp_path, 100_000)
    assert (spool.raw_files, len(spool), spool.shed.rows) == (waiting - 1, 2, 8)
    assert spool.shed.first_us < spool.shed.last_us
    found = spool.oldest_raw()
    assert found is not None
    assert found[1] == columns(numbers[-1] - waiting + 2)
    assert found[0].name.endswith("-4.events")
    kept = 2
    while spool.put(columns(kept)):
        kept += 1
    assert (spool.raw_files, spool.shed.rows) == (0, 4 * len(numbers))
    assert not spool.put_raw(ROWS)
    assert Spool(tmp_path, 100_000).shed.rows == 4 * len(numbers) + 4
    assert len(spool) == kept
