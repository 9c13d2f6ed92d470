"""What the sink has read and neither stored nor spooled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import structlog
from prometheus_client import Counter

from streams.fetch import Records
from streams.sinks.columns import Columns, joined, read

log = structlog.get_logger("sink")
UNREADABLE = Counter("davy_sink_unreadable_total", "Records that could not be read.", ["topic"])


class Held:
    """Records, then the columns that became of them; `topics` gives our name of each of Kafka's."""

    def __init__(self, topics: Mapping[str, str]) -> None:
        self._topics = topics
        self._records: defaultdict[str, list[Records]] = defaultdict(list)
        """What was not decoded yet, by topic."""
        self.rows: dict[str, Columns] = {}
        """What was, by table."""
        self.next: dict[tuple[str, int], int] = {}
        """Where to go on, by topic and partition."""
        self.count = 0

    def take(self, records: Records) -> None:
        """Hold them."""
        self.next |= records.ends()
        self.count += len(records)
        self._records[records.topic].append(records)

    def decode(self) -> None:
        """Make columns of what is held; a record that cannot be read is counted and passed over."""
        for topic, held in self._records.items():
            found, unreadable = read(self._topics[topic], [value for records in held for value in records.values])
            for index, error in unreadable:
                partition, offset = _place(held, index)
                UNREADABLE.labels(topic).inc()
                log.warning("unreadable record", topic=topic, partition=partition, offset=offset, error=error)
            for table, columns in found.items():
                self.rows[table] = joined(self.rows.get(table), columns)
        self._records.clear()


def _place(held: list[Records], index: int) -> tuple[int, int]:
    """Partition and offset."""
    for records in held:
        if index < len(records):
            return int(records.partition[index]), int(records.offset[index])
        index -= len(records)
    raise IndexError(index)
