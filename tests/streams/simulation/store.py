"""The analysts' store, simulated: of rows with one key the one of the highest version is seen, of equals the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from streams.sinks.base import Result, StoreUnavailable
from streams.sinks.columns import Columns, of_rows
from streams.sinks.tables import TABLES, Row
from tests.support.simulated_kafka import Crash, SimBroker


class Store:
    """A ReplacingMergeTree server; it refuses rows now and then, also after it has taken them."""

    def __init__(self, broker: SimBroker) -> None:
        self.broker = broker
        self.tables: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in TABLES}

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """See `streams.sinks.base.Store`."""
        self.add(table, of_rows(TABLES[table], rows))

    def add(self, table: str, columns: Columns) -> None:
        """See `streams.sinks.base.Store`."""
        if self.broker.happens("crash"):
            raise Crash
        if self.broker.happens("store refuses"):
            raise StoreUnavailable("simulated: not taken")
        definition, held = TABLES[table], self.tables[table]
        times = [name for name, kind in definition.columns.items() if kind == "time"]
        for name in times:
            place = columns.schema.get_field_index(name)
            columns = columns.set_column(place, name, columns.column(name).cast("int64"))
        for row in columns.to_pylist():
            key = tuple(row[name] for name in definition.key)
            before = held.get(key)
            version = definition.version
            if before is None or version is None or row[version] >= before[version]:
                held[key] = row
        if self.broker.happens("store answers late"):
            raise StoreUnavailable("simulated: taken, but not told")

    def migrate(self, measures: Sequence[str], keep_us: Mapping[str, int] | None = None) -> None:
        """Nothing to create."""

    def expire(self) -> None:
        """Rows stay."""

    def roll_up(self, begin_us: int, end_us: int) -> None:
        """Rows are all there is."""

    def not_rolled_up_us(self) -> int:
        """Nothing is rolled up."""
        return 0

    def query(self, sql: str) -> Result:
        """The oracle looks into `tables`."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
