"""What a store of the analysts' tables can do, whichever engine is behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

from schemas.config import Config
from schemas.errors import InfrastructureError, UserError
from schemas.frozen import frozen
from streams.sinks.columns import Columns
from streams.sinks.tables import Row

QUERY_SECONDS_MAX = 30
QUERY_ROWS_MAX = 1_000_000
QUERY_BYTES_MAX = 256 * 1024 * 1024
QUERY_MEMORY_BYTES_MAX = 1024 * 1024 * 1024
SQL_BYTES_MAX = 256 * 1024
ERROR_TEXT_MAX = 300
DATABASE = "davy"
"""Where the tables are, unless the server's address names another database."""

LIMITS: Mapping[str, int | str] = {
    "max_execution_time": QUERY_SECONDS_MAX,
    "max_result_rows": QUERY_ROWS_MAX,
    "max_result_bytes": QUERY_BYTES_MAX,
    "max_memory_usage": QUERY_MEMORY_BYTES_MAX,
    "result_overflow_mode": "throw",
    "readonly": 1,
}
"""ClickHouse settings of a query by other people; beyond a limit it ends with an error."""

_HARMLESS = frozenset({"select", "with", "show", "describe", "desc", "explain", "exists"})
_NO_CODE = re.compile(r"'(?:\\.|''|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`(?:\\.|[^`\\])*`|--[^\n]*|/\*.*?\*/", re.DOTALL)


class QueryError(UserError):
    """The SQL is wrong, not allowed, or wants too much."""


class StoreUnavailable(InfrastructureError):  # a state, told as a sentence
    """The store cannot be reached, or another process has it."""


@frozen()
class Result:
    """Rows in the order of `columns`; values are JSON's own, times ISO 8601, NaN and infinities None."""

    columns: tuple[str, ...]
    rows: list[list[Any]]
    types: tuple[str, ...] = ()
    """ClickHouse's, by column."""

    def dicts(self) -> list[dict[str, Any]]:
        """One mapping per row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Store(Protocol):
    """An open store. All methods may be called from several threads."""

    def migrate(self, measures: Sequence[str], keep_us: Mapping[str, int] = ...) -> None:
        """Create what is missing; each measure becomes a column of `windows`; rows of the tables in `keep_us` are kept that
        long, others for ever, `events` three days. Raises `StoreUnavailable`."""
        ...

    def expire(self) -> None:
        """Remove rows that are older than `migrate` was told to keep, where the engine does not by itself. Raises
        `StoreUnavailable`."""
        ...

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """As `add`, for rows as mappings."""
        ...

    def add(self, table: str, columns: Columns) -> None:
        """Add rows to a table; the same rows again change nothing that is seen. Raises `StoreUnavailable`."""
        ...

    def roll_up(self, begin_us: int, end_us: int) -> None:
        """Bring roll-ups up to date after windows with starts in [`begin_us`, `end_us`) came. Raises `StoreUnavailable`."""
        ...

    def not_rolled_up_us(self) -> int:
        """From when on roll-ups may lack windows that a former process stored. Raises `StoreUnavailable`."""
        ...

    def query(self, sql: str) -> Result:
        """The answer to one read-only statement. Raises `QueryError` or `StoreUnavailable`."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def __enter__(self) -> Self:
        """Itself."""
        ...

    def __exit__(self, *_: object) -> None:
        """Close."""
        ...


@frozen()
class Sink:
    """What one module of this package exports as `SINK`: which addresses it serves (None: no address), and
    how it opens."""

    schemes: tuple[str | None, ...]
    open: Callable[[Config], Store]


def checked(sql: str) -> str:
    """The statement without a trailing semicolon; raises `QueryError` unless it is one statement that only
    reads."""
    if len(sql.encode()) > SQL_BYTES_MAX:
        raise QueryError(f"the statement is longer than {SQL_BYTES_MAX // 1024} KiB")
    code = _NO_CODE.sub(lambda match: (" " if match[0][0] in "-/" else "'") * len(match[0]), sql).rstrip()
    while code.endswith(";"):
        code = code[:-1].rstrip()
    words = re.findall(r"[A-Za-z_]+|;", code)
    if not words:
        raise QueryError("there is no statement; try: select * from verdicts")
    if ";" in words:
        raise QueryError("one statement at a time: there is a semicolon in the middle")
    if words[0].lower() not in _HARMLESS:
        raise QueryError(
            f"{words[0].upper()} is not allowed here: queries only read (SELECT, WITH, SHOW, DESCRIBE, EXPLAIN)"
        )
    if re.search(r"\binto\s+outfile\b", code, re.IGNORECASE):
        raise QueryError("INTO OUTFILE is not allowed here: redirect the output instead")
    if re.search(r"\bformat\s+[A-Za-z]+$", code, re.IGNORECASE):
        raise QueryError("leave the FORMAT clause away: the answer is a table, or JSON lines with --json")
    return sql[: len(code)]


def said(error: object) -> str:
    """ClickHouse's message as one short sentence."""
    text = str(error).strip()
    text = re.sub(r"Stack trace:.*", "", text, flags=re.DOTALL)
    text = re.sub(r"^(?:Code: \d+\.\s*)?(?:DB::\w*Exception[.:] )*|(?<=\s)Code: \d+\. DB::\w*Exception: ", "", text)
    text = re.sub(r"\s*\(version [^)]*\)\)?|\s*\([A-Z_]{4,}\)|\s*Expected one of: .*", "", text, flags=re.DOTALL)
    text = " ".join(text.split()).rstrip(". ")
    return text if len(text) <= ERROR_TEXT_MAX else text[: ERROR_TEXT_MAX - 1] + "…"


def quote(text: str) -> str:
    """A ClickHouse string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
