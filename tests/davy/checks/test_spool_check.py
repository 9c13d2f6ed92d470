"""What the doctor says of a spool."""

from __future__ import annotations

import os
import time
from pathlib import Path

from davy.checks.base import Level
from davy.checks.spool import look
from davy.spool import Spool
from schemas.config import Config
from streams.sinks.columns import Columns, of_rows
from streams.sinks.tables import EVENTS
from tests.streams.sinks import records

LIMIT = 2**20


def config_of(folder: Path) -> Config:
    return Config.model_validate({"data_dir": str(folder), "limits": {"spool_bytes": LIMIT}})


def events(number: int) -> Columns:
    """A thousand, with noise that no disk packs."""
    return of_rows(EVENTS, [records.event(1000 * number + n) | {"unit_id": os.urandom(60).hex()} for n in range(1000)])


def test_a_machine_without_a_sink_and_one_whose_sink_is_up_to_date(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path / "one"):
        if folder.name == "one":
            Spool(folder / "spool" / "0", LIMIT)
        ((finding),) = look(config_of(folder))
        assert (finding.level, finding.what) == (Level.OK, "nothing waits on this machine's disk for the store")


def test_size_age_and_what_was_shed_are_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool" / "0", LIMIT)
    spool.put_raw({"events": events(0)})
    (young,) = look(config_of(tmp_path))
    assert (young.level, young.remedy) == (Level.OK, "")
    assert young.what.startswith("1 files with 0.1 MiB wait in ")
    assert "of limits.spool_bytes, 0.1 MiB of it raw events), the oldest for" in young.what
    for path in spool.folder.iterdir():
        os.utime(path, (time.time() - 3600,) * 2)
    (old,) = look(config_of(tmp_path))
    assert old.level is Level.WARNING
    assert old.what.endswith("the oldest for 60 min")
    while not spool.shed.rows:
        spool.put_raw({"events": events(1)})
    for path in spool.folder.glob("*.events"):
        spool.done(path)
    (shed,) = look(config_of(tmp_path))
    assert shed.level is Level.WARNING
    assert shed.what.startswith("1,000 raw events were shed in ")
    assert shed.what.endswith("to keep to limits.spool_bytes, last 0.0 s ago")
    assert "windows and verdicts are complete" in shed.remedy


def test_a_spool_that_fills_with_what_cannot_be_shed_is_a_problem(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool" / "3", LIMIT)
    while spool.bytes <= LIMIT // 2:
        assert spool.put({"events": events(0)})
    (spool.folder / "000000000099.broken").write_bytes(b"?")
    full, broken = look(config_of(tmp_path))
    assert full.level is Level.PROBLEM
    assert "once it is full the rest waits in Kafka" in full.remedy
    assert broken.level is Level.WARNING
    assert broken.what.startswith("1 files in ")
