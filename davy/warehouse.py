"""The store as the sink has it: there or away, what waits for it on the disk, and what it is due besides rows.

A store that refuses something is left alone for a while. What it refuses of raw events holds up nothing else: they have a
pause of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge

from davy.reporter import Reporter
from davy.spool import Rows, Spool
from schemas.config import INTEGER_MEASURES, Config
from streams.membership import number
from streams.sinks.base import Store, StoreUnavailable
from streams.sinks.columns import Columns, of_rows, span_us
from streams.sinks.tables import DECISIONS, EVENTS, REPORTS, WINDOWS
from streams.standing import HERE

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 15.0
ROLL_UP_S = 30.0
"""How old roll-ups may be."""
EXPIRE_S = 3600.0
"""How long rows may be there after their time is over, on servers that have to be told."""

log = structlog.get_logger("sink")
ROWS = Counter("davy_sink_rows_total", "Rows written to the analysts' store.", ["table"])
FAILURES = Counter("davy_sink_failures_total", "Times the store refused.")
EVENT_TIME = Gauge("davy_sink_event_time_seconds", "End of the newest window in the store.")
SPOOL_BYTES = Gauge("davy_sink_spool_bytes", "Rows on the disk that wait for the store.")
SPOOL_AGE = Gauge("davy_sink_spool_age_seconds", "How long the oldest of them have waited.")
SPOOL_MAX = Gauge("davy_sink_spool_limit_bytes", "What the spool may take.")
SPOOL_SHED = Gauge(
    "davy_sink_spool_shed_events", "Raw events that the spool gave up to keep to its limit, since it was made."
)


@dataclass(slots=True)
class Pause:
    """How long the store is left alone: longer with each refusal."""

    until: float = 0.0
    seconds: float = RETRY_FIRST_S

    def begin(self) -> None:
        """It refused."""
        self.until = time.monotonic() + self.seconds
        self.seconds = min(2 * self.seconds, RETRY_MAX_S)

    def over(self) -> bool:
        """Whether it may be asked again."""
        return time.monotonic() >= self.until


class Warehouse:
    """A store, and the spool in front of it."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store
        self.spool = Spool(config.data_dir / "spool" / str(number(config, "sink")), config.limits.spool_bytes)
        self.reporter = Reporter(config)
        self._prepared = False
        self._away, self._raw_away = Pause(), Pause()
        self._full_until, self._full_bytes = 0.0, 0
        """Until when the spool is not asked again, unless it holds fewer bytes than it did when it had no room."""
        self._roll_up_at = self._expire_at = 0.0
        self._newest_us = 0
        self._changed: tuple[int, int] | None = None
        """Starts of windows, [first, last], that the roll-ups do not know yet."""
        SPOOL_MAX.set(config.limits.spool_bytes)

    def take(self, rows: dict[str, Columns]) -> bool:
        """Rows for the store, or for the spool while that is away or has older ones; False where neither takes all: those
        that are left in `rows` are not kept."""
        if not len(self.spool) and self.reachable():
            for table in list(rows):
                if not self._insert(table, rows[table]):
                    break
                del rows[table]
        if rows and not self._spooled(rows):
            return False
        rows.clear()
        self._measure()
        return True

    def take_raw(self, events: Columns) -> None:
        """The same for raw events, which are shed where neither takes them."""
        rows = {EVENTS.name: events}
        if self.spool.raw_files or not self._raw_reachable() or not self._insert_raw(rows):
            self.spool.put_raw(rows)
        self._measure()

    def serve(self) -> None:
        """One file of the spool, and whatever else the store is due."""
        if not self.reachable():
            return
        found = self.spool.oldest()
        if found is not None:
            path, rows = found
            if all(self._insert(table, some) for table, some in rows.items()):
                self.spool.done(path)
                self._measure()
                if not len(self.spool):
                    log.info("the spool is empty again")
        elif not self._reported() and not self._in_due_time():
            self._serve_raw()

    def finish(self) -> None:
        """Before the end: roll-ups know all that was stored."""
        self._roll_up_at = 0.0
        if not len(self.spool):
            self.serve()

    def reachable(self) -> bool:
        """Whether the store is there, as far as we know; it gets its tables when it first is."""
        return self._away.over() and (self._prepared or self._asked(self._prepare))

    # -- rows ----------------------------------------------------------------------------------------------------

    def _spooled(self, rows: Rows) -> bool:
        """Whether the spool took them. More than its limit waits until the store is back."""
        now = time.monotonic()
        if now < self._full_until and self.spool.bytes >= self._full_bytes:
            return False
        if self.spool.put(rows):
            return True
        self._full_until, self._full_bytes = now + RETRY_MAX_S, self.spool.bytes
        return False

    def _insert(self, table: str, columns: Columns) -> bool:
        if not self._asked(lambda: self.store.add(table, columns)):
            return False
        ROWS.labels(table).inc(len(columns))
        if table == DECISIONS.name:
            self.reporter.look()
        if table == WINDOWS.name:
            first, last = span_us(columns, "start")
            held = self._changed or (first, last)
            self._changed = (min(first, held[0]), max(last, held[1]))
            self._newest_us = max(self._newest_us, span_us(columns, "end")[1])
            EVENT_TIME.set(self._newest_us / 1e6)
        return True

    def _insert_raw(self, rows: Rows) -> bool:
        for table, columns in rows.items():
            if not self._tried(lambda table=table, columns=columns: self.store.add(table, columns), self._raw_away):
                return False
            ROWS.labels(table).inc(len(columns))
        return True

    def _raw_reachable(self) -> bool:
        return self._raw_away.over() and self.reachable()

    def _serve_raw(self) -> None:
        found = self.spool.oldest_raw() if self._raw_reachable() else None
        if found is not None and self._insert_raw(found[1]):
            self.spool.done(found[0])
            self._measure()

    # -- what else is due ----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        keep_us = {str(table): us for table, us in self.config.retention.items()}
        self.store.migrate([*INTEGER_MEASURES, *self.config.measures], keep_us)
        first = self.store.not_rolled_up_us()  # what a former process stored after its last roll-up
        self._changed = (first, max(first, time.time_ns() // 1000))
        self._prepared = True

    def _reported(self) -> bool:
        """Whether a report was stored."""
        if self.reporter.made.empty():
            return False
        row = self.reporter.made.get()
        if not self._insert(REPORTS.name, of_rows(REPORTS, [row])):
            self.reporter.made.put(row)
        return True

    def _in_due_time(self) -> bool:
        """Whether something was done that is due now and then."""
        now = time.monotonic()
        for what in self._due(now):
            self._asked(what)
            return True
        return False

    def _due(self, now: float) -> Iterator[Callable[[], None]]:
        if self._changed is not None and now >= self._roll_up_at:
            self._roll_up_at = now + ROLL_UP_S
            yield self._roll_up
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_S
            yield self.store.expire

    def _roll_up(self) -> None:
        if self._changed is not None:
            first, last = self._changed
            self.store.roll_up(first, last + 1)
            self._changed = None

    # -- the store's answer --------------------------------------------------------------------------------------

    def _asked(self, what: Callable[[], None]) -> bool:
        """Whether the store did it; if not, it is left alone for a while, and we are not ready."""
        trouble = self._refused(what, self._away)
        HERE.trouble = trouble and f"the store takes no rows; they wait in {self.spool.folder}: {trouble}"
        return trouble is None

    def _tried(self, what: Callable[[], None], pause: Pause) -> bool:
        """The same for what is no trouble to anything else."""
        return self._refused(what, pause) is None

    def _refused(self, what: Callable[[], None], pause: Pause) -> str | None:
        """What the store said against it."""
        try:
            what()
        except StoreUnavailable as error:
            FAILURES.inc()
            log.warning("the store does not answer; rows are kept", error=str(error), pause_s=pause.seconds)
            pause.begin()
            return str(error)
        pause.seconds = RETRY_FIRST_S
        return None

    def _measure(self) -> None:
        SPOOL_BYTES.set(self.spool.bytes)
        SPOOL_AGE.set(self.spool.age_s())
        SPOOL_SHED.set(self.spool.shed.rows)
