"""What waits on the sinks' disks of this machine for the store: how much, how long, and what had to be given up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from davy.checks.base import Check, Finding, ok, problem, seconds, warning
from davy.spool import BROKEN, RAW_SUFFIX, SUFFIX, Shed
from schemas.config import Config

FULL_SHARE = 0.5
"""Of `limits.spool_bytes`; beyond, an outage that goes on will soon stop the sink's reading."""
WAITS_MAX_S = 60.0
"""A sink whose store is there stores a file of its spool in less."""
SHED_RECENT_S = 86_400.0


def look(config: Config) -> Iterator[Finding]:
    """One finding per sink with this data folder that has anything to tell, or one that none has."""
    folders = sorted(folder for folder in (config.data_dir / "spool").glob("*") if folder.is_dir())
    found = [finding for folder in folders for finding in _spool(folder, config.limits.spool_bytes)]
    yield from found or [ok("nothing waits on this machine's disk for the store")]


def _spool(folder: Path, bytes_max: int) -> Iterator[Finding]:
    files = [(path.suffix, path.stat()) for path in _files(folder)]
    waiting = [stat for suffix, stat in files if suffix != BROKEN]
    if waiting:
        size, age_s = sum(stat.st_size for stat in waiting), time.time() - min(stat.st_mtime for stat in waiting)
        raw = sum(stat.st_size for suffix, stat in files if suffix == RAW_SUFFIX)
        what = (
            f"{len(waiting)} files with {_mib(size)} wait in {folder} ({size / bytes_max:.0%} of limits.spool_bytes"
            f"{f', {_mib(raw)} of it raw events' if raw else ''}), the oldest for {seconds(age_s)}"
        )
        if size - raw > FULL_SHARE * bytes_max:
            yield problem(
                what, "bring ClickHouse back, or raise limits.spool_bytes: once it is full the rest waits in Kafka"
            )
        elif age_s > WAITS_MAX_S:
            yield warning(what, "see whether ClickHouse takes rows and `davy run sink` runs")
        else:
            yield ok(what)
    shed = Shed.of(folder)
    if shed.rows:
        ago_s = time.time() - shed.last_us / 1e6
        what = (
            f"{shed.rows:,} raw events were shed in {folder} to keep to limits.spool_bytes, last {seconds(ago_s)} ago"
        )
        if ago_s < SHED_RECENT_S:
            yield warning(
                what, "raise limits.spool_bytes, or lower raw_events.sample; windows and verdicts are complete"
            )
        else:
            yield ok(what)
    broken = sum(suffix == BROKEN for suffix, _ in files)
    if broken:
        yield warning(
            f"{broken} files in {folder} could not be read and were set aside",
            "docs/backup.md says how their rows are read from Kafka again; then delete them",
        )


def _files(folder: Path) -> list[Path]:
    return [path for suffix in (SUFFIX, RAW_SUFFIX, BROKEN) for path in folder.glob(f"*{suffix}")]


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


CHECK = Check("spool", look)
