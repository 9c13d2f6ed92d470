"""Roll-ups: windows told together by ten seconds, minute, hour and day, for histories of months.

A row of a roll-up is computed anew from all windows of its bucket whenever one of them came, and replaces the one before:
what is sent twice, late or again after a crash changes nothing. (Tables that add up what is inserted, AggregatingMergeTree
behind a materialised view, would count such rows twice.) Counts are sums, means are weighted by requests. Quantiles cannot be
added up: `p99_us` is the mean of the windows' p99 weighted by requests, `p99_max_us` the worst window's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from schemas.frozen import frozen
from streams.sinks.tables import ROLLED, WINDOWS, Dialect, Table

SECOND_US = 1_000_000
_QUANTILES = ("p50_us", "p90_us", "p95_us", "p99_us", "p999_us")
_SUMS = ("rows", "errors", "requests", "late", "quarantined", "duplicates")


@frozen()
class Rollup:
    """Buckets of `seconds` made of another table's rows."""

    table: Table
    source: Table
    seconds: int

    def bucket_us(self, time_us: int) -> int:
        """Where the bucket of a time begins."""
        return time_us // (self.seconds * SECOND_US) * self.seconds * SECOND_US

    def sql(self, dialect: Dialect, begin_us: int, end_us: int) -> str:
        """Compute the buckets again that begin in [`begin_us`, `end_us`), which are borders of buckets."""
        source = self.source.raw
        bucket = f"intDiv(toUnixTimestamp(start), {self.seconds}) * {self.seconds}"
        first = self.source is WINDOWS
        weighted = {
            name: f"sum({name} * requests) / nullIf(sumIf(requests, isNotNull({name})), 0)"
            for name in ("mean_us", *_QUANTILES)
        }
        values: dict[str, str] = {
            **{name: name for name in WINDOWS.key[:-1]}, **{name: f"sum({name})" for name in _SUMS}, **weighted,
            "p99_max_us": f"max({'p99_us' if first else 'p99_max_us'})",
            "windows": "toInt64(count())" if first else "sum(windows)",
            "start": bucket, "end": f"{bucket} + {self.seconds}", "revision": "toInt64(toUnixTimestamp(now()))",
        }  # fmt: skip
        columns: list[str] = []
        selected: list[str] = []
        for column, name, part in dialect.parts(self.table):
            columns.append(f"`{column}`")
            if self.table.columns[name] != "time":
                selected.append(values[name])
            elif part.suffix:
                selected.append(f"toInt64({values[name]}) * {SECOND_US}")
            else:
                selected.append(f"toDateTime({values[name]}, 'UTC')")
        group = ", ".join([*WINDOWS.key[:-1], bucket])
        seconds = (
            f"toUnixTimestamp(start) >= {begin_us // SECOND_US} AND toUnixTimestamp(start) < {end_us // SECOND_US}"
        )
        return (
            f"INSERT INTO {self.table.raw} ({', '.join(columns)}) SELECT {', '.join(selected)} FROM {source} FINAL "
            f"WHERE {seconds} GROUP BY {group}"
        )


TEN_SECONDS = Rollup(ROLLED["windows_10s"], WINDOWS, 10)
MINUTE = Rollup(ROLLED["windows_1m"], TEN_SECONDS.table, 60)
HOUR = Rollup(ROLLED["windows_1h"], MINUTE.table, 3600)
DAY = Rollup(ROLLED["windows_1d"], HOUR.table, 86_400)
ROLLUPS = (TEN_SECONDS, MINUTE, HOUR, DAY)
"""Each after its source."""
NEWEST = "SELECT toInt64(toUnixTimestamp(max(start))) FROM windows_1d"


def statements(dialect: Dialect, begin_us: int, end_us: int, gone_us: Mapping[str, int]) -> Iterator[str]:
    """What brings all roll-ups up to date after windows with starts in [`begin_us`, `end_us`) came. `gone_us` says by table
    before when retention may have removed rows: buckets that reach there stay as they are."""
    for rollup in ROLLUPS:
        step_us = rollup.seconds * SECOND_US
        begin = max(rollup.bucket_us(begin_us), rollup.bucket_us(gone_us.get(rollup.source.name, -step_us) + step_us))
        end = rollup.bucket_us(end_us - 1) + step_us
        if begin < end:
            yield rollup.sql(dialect, begin, end)


def not_rolled_up_us(newest_s: int) -> int:
    """Where to begin after a start, given what `NEWEST` answers: the day before the newest one."""
    return max(0, newest_s - DAY.seconds) * SECOND_US


def gone_us(keep_us: Mapping[str, int]) -> dict[str, int]:
    """Before when rows may have been removed, by table."""
    now_us = time.time_ns() // 1000
    return {name: now_us - keep for name, keep in keep_us.items()}
