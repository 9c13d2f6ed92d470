"""`davy detect`: find anomalies and changes in any series."""

from __future__ import annotations

import csv
import json
import math
import sys
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from analyzers.detectors import detector, names
from davy.options import ConfigFile, DataDir, Json
from schemas.errors import UserError

BATCH_ROWS = 8192
FIRST_BATCH_ROWS = 256
"""A short first batch has its answers at once."""
MILLISECONDS_FROM, MICROSECONDS_FROM, MICROSECONDS_MAX = 1e11, 1e14, 2.0**53
"""A number from which on a timestamp is taken for milliseconds, for microseconds, for none."""
SHOWN_SCORE = 0.5
"""People are shown rows with at least this score, and changes."""
DEFAULT_COLUMN = "value"


class Rows:
    """Rows of a batch as columns: what stood in the file, and what it means."""

    def __init__(self) -> None:
        self.timestamps: list[str] = []
        self.times_us = array("q")
        self.values = array("d")


class Counter:
    """A number that only grows, until it begins anew."""

    def __init__(self) -> None:
        self.known: tuple[int, float] | None = None
        """Time and value of the latest row that has one."""

    def growth(self, times_us: array[int], values: array[float]) -> array[float]:
        """By how much it grew a second since the row before; NaN where it began anew, or no time went by."""
        return array("d", map(self._since, times_us, values))

    def _since(self, time_us: int, value: float) -> float:
        if math.isnan(value):
            return value
        before, self.known = self.known, (time_us, value)
        if before is None or value < before[1] or time_us <= before[0]:
            return math.nan
        return (value - before[1]) / (time_us - before[0]) * 1e6


def detect(file: Path, column: str | None, name: str, as_json: bool, is_counter: bool = False) -> int:
    """Print what is found. Returns the exit code."""
    if name not in names():
        raise UserError(f"--detector {name}: there are {', '.join(names())}")
    chosen, counter = detector(name), Counter() if is_counter else None
    state, rows, changes = chosen.start(), 0, 0
    for batch in read(file, column):
        seen = batch.values if counter is None else counter.growth(batch.times_us, batch.values)
        state, found = chosen.step(state, batch.times_us, seen)
        write = _json_line if as_json else _line
        lines = map(write, batch.timestamps, batch.values, found.scores, found.changes)
        sys.stdout.write("".join(lines))
        rows += len(batch.values)
        changes += int(sum(found.changes))
    if not as_json:
        print(f"{rows:,} row{'' if rows == 1 else 's'}, {changes} change{'' if changes == 1 else 's'}")
    return 0


def _json_line(timestamp: str, value: float, score: float, change: float) -> str:
    known = "null" if math.isnan(value) else repr(value)
    told = "true" if change else "false"
    return f'{{"timestamp": {json.dumps(timestamp)}, "value": {known}, "score": {score:.6g}, "change": {told}}}\n'


def _line(timestamp: str, value: float, score: float, change: float) -> str:
    if not change and score < SHOWN_SCORE:
        return ""
    return f"{timestamp}  {value:g}  {'change' if change else f'anomaly, score {score:.2f}'}\n"


def read(file: Path, column: str | None) -> Iterator[Rows]:
    """Batches of rows. What stands before a row that cannot be read is given first, then UserError is raised."""
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="backslashreplace") as lines:
            yield from _batches(csv.reader(lines), file, column)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from error


def _batches(reader: Any, file: Path, column: str | None) -> Iterator[Rows]:
    header = next(reader, None)
    if not header:
        raise UserError(f"{file}: is empty: its first line must name the columns, like timestamp,value")
    at = _column(header, file, column)
    row, size, batch, problem = 0, FIRST_BATCH_ROWS, Rows(), None
    while True:
        try:
            cells = next(reader, None)
            if cells is None:
                break
            if not cells:
                continue  # a blank line is no row
            row += 1
            value, time_us = _value(cells, at), _time_us(cells[0])
        except csv.Error as error:
            problem = UserError(f"{file}: row {row + 1}: {error}")
            break
        except ValueError as error:
            problem = UserError(f"{file}: row {row} (line {reader.line_num}): {error}")
            break
        batch.timestamps.append(cells[0])
        batch.times_us.append(time_us)
        batch.values.append(value)
        if len(batch.values) == size:
            yield batch
            batch, size = Rows(), BATCH_ROWS
    if batch.values:
        yield batch
    if problem is not None:
        raise problem


def _column(header: list[str], file: Path, column: str | None) -> int:
    """Which column has the values: that named, `value`, or the only one there is beside the timestamp."""
    if len(header) < 2:
        raise UserError(f"{file}: has one column only: it takes a timestamp and a value, separated by a comma")
    wanted = column or DEFAULT_COLUMN
    if wanted in header[1:]:
        return header.index(wanted, 1)
    if column is None and len(header) == 2:
        return 1
    raise UserError(f"{file}: has no column {wanted!r}: say --column with one of {', '.join(header[1:])}")


def _value(cells: list[str], at: int) -> float:
    """NaN for a missing one."""
    text = cells[at].strip() if len(cells) > at else ""
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no number: leave it empty where there is none") from None
    if math.isinf(value):
        raise ValueError(f"{text!r} is not finite: leave it empty where there is no number")
    return value


def _time_us(text: str) -> int:
    """ISO 8601 (UTC unless it has a zone), or seconds since 1970; where these would be too many, milli- or microseconds."""
    try:
        time = datetime.fromisoformat(text)
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e6)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    size = abs(number)
    if not size < MICROSECONDS_MAX:
        raise ValueError(
            f"{text[:40]!r} is no timestamp: say it like 2026-11-25T20:15:00Z, or in seconds since 1970"
        ) from None
    unit_us = 1_000_000 if size < MILLISECONDS_FROM else 1000 if size < MICROSECONDS_FROM else 1
    return int(number * unit_us)


def command(
    series: Annotated[Path, typer.Argument(metavar="SERIES.csv", help="First column a timestamp, first line names.")],
    column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which has the values (default: value, or the only one).")
    ] = None,
    detector: Annotated[
        str,
        typer.Option(metavar="NAME", help="How: adwin, bayesian, e-detector, ensemble, page-hinkley, seasonal, ..."),
    ] = "ensemble",
    counter: Annotated[
        bool, typer.Option("--counter", help="It only grows, until it begins anew: its growth a second is looked at.")
    ] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """An empty value is a missing one. Rows are taken in the file's order.

    \b
    Example: davy detect latency.csv
             davy detect series.csv --column p99_us --json
             davy detect requests_total.csv --counter

    Exit code: 0; 2 bad input.
    """
    raise typer.Exit(detect(series, column, detector, as_json, counter))
