"""Reports by themselves: at an experiment's end what was learned is written down, without anybody asking.

The sink's process makes them, a moment after the end is in the store: of every experiment whose ledger says that it was
promoted, rolled back or aborted, and whose report is missing or older than that. So a restart, a late record or a rollback
after the promotion need nothing of their own. The text goes into the table `reports`, where `davy report --search` looks, and
as Markdown and HTML into the folder `reports` of `data_dir`.
"""

from __future__ import annotations

import queue
import threading

import structlog

from davy.commands import report
from davy.store import ask
from schemas.config import Config
from schemas.errors import DavyError
from streams.clock import Clock
from streams.sinks.tables import Row

SETTLE_S = 5.0
"""How long after the end's ledger line: its verdict and last windows may come later into the store."""
RETRY_S = 15.0
ONCE_MAX = 100
"""Reports of one look; more are made at the next."""
FOLDER = "reports"
ENDS = ("promoted", "rolled_back", "aborted")
"""States of the ledger that are an end."""
DUE = (
    "SELECT experiment_id, state, last FROM "
    "(SELECT experiment_id, argMax(state_after, sequence) AS state, max(sequence) AS last "
    f"FROM decisions WHERE outcome = 'DONE' AND state_after IN {ENDS} GROUP BY experiment_id) "
    f"WHERE (experiment_id, last) NOT IN (SELECT experiment_id, sequence FROM reports) ORDER BY last LIMIT {ONCE_MAX}"
)

log = structlog.get_logger("reports")


class Reporter:
    """A thread of the sink's process. `made` are rows of `reports` for it to store."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.made: queue.SimpleQueue[Row] = queue.SimpleQueue()
        self._clock = Clock.of(config)
        self._news = threading.Event()
        self._stop = threading.Event()
        self._pending: set[tuple[str, int]] = set()
        """Made, and perhaps not stored yet."""
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        """Also what ended before: the first look is at once."""
        self._news.set()
        self._thread.start()

    def look(self) -> None:
        """The ledger has news."""
        self._news.set()

    def stop(self) -> None:
        """Wait for the report that is being made."""
        self._stop.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._news.wait()
            if self._stop.wait(SETTLE_S):
                return
            self._news.clear()
            try:
                again = self.make()
            except DavyError as error:
                log.warning("no report can be made now", error=str(error), again_in_s=RETRY_S)
                again = True
            if again:
                self._stop.wait(RETRY_S)
                self._news.set()

    def make(self) -> bool:
        """All that are due; whether some have to wait. Raises `DavyError` where the store cannot be asked."""
        rows = ask(self.config, DUE).dicts()
        wait = len(rows) == ONCE_MAX
        for row in rows:
            name, last = str(row["experiment_id"]), int(row["last"])
            if (name, last) in self._pending:
                continue
            try:
                text = report.markdown(name, self.config)
                self._write(name, text)
            except (DavyError, OSError) as error:
                log.warning("this report cannot be made yet", experiment=name, error=str(error))
                wait = True
                continue
            self._pending.add((name, last))
            self.made.put({
                "experiment_id": name, "sequence": last, "made_at": self._clock.now_us(), "state": str(row["state"]),
                "markdown": text,
            })  # fmt: skip
            log.info("report made", experiment=name, state=row["state"])
        return wait

    def _write(self, name: str, text: str) -> None:
        """Both forms; each is replaced as a whole."""
        folder = self.config.data_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, content in ((".md", text), (".html", report.as_html(text))):
            fresh = folder / f"{name}{suffix}.new"
            fresh.write_text(content, "utf-8")
            fresh.replace(folder / f"{name}{suffix}")
