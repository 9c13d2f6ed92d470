"""A console that answers on a real port over a state that a test puts together, and a story to show on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from davy.web.app import make
from davy.web.events import Events
from davy.web.feed import READERS, Feed
from davy.web.role import listening
from davy.web.state import Experiment, Record
from schemas.config import Config, load_config
from schemas.control import Annotation, Control, SpecApplied, WeightApplied
from schemas.decision import Decision, Outcome
from schemas.spec import ExperimentSpec
from schemas.verdict import Action, Conclusion, Evidence, EvidenceStatus, Needed, Verdict
from schemas.window import WindowSummary
from streams import scenario as scenarios
from tests.support.system import until

SECOND = 1_000_000
WINDOW = 5 * SECOND
SPEC = scenarios.load("errors").spec
ID = SPEC.id


class Served:
    """One console over `feed`, which no broker feeds: `take` does. `stop` and `start` are a restart on the same port."""

    def __init__(self, config: Config, port: int = 0) -> None:
        self.config, self.port = config, port
        self.feed = Feed(config, threading.Event())
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, feed: Feed | None = None) -> None:
        """Answer, from a feed of its own where one is given."""
        self.feed = feed or self.feed
        self._halt = threading.Event()
        self._events = Events(self._halt)
        listener = listening("127.0.0.1", self.port)
        self.port = listener.getsockname()[1]
        options = uvicorn.Config(
            make(self.config, self.feed, self._events), log_config=None, timeout_graceful_shutdown=1, lifespan="off"
        )
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        until(lambda: self._server.started, 20, "the console answered")

    def stop(self) -> None:
        self._halt.set()
        self._server.should_exit = True
        self._thread.join(10)

    def take(self, *records: Record) -> None:
        """As the feed's thread does: into the state, then to who listens."""
        for record in records:
            with self.feed.lock:
                news = self.feed.state.take(record)
            if news:
                name = next(name for name, kind in READERS.items() if isinstance(record, kind))
                self._events.publish(name.removesuffix("s"), record.to_json())


@contextmanager
def served(folder: Path, token: str | None = None, kafka: str | None = None) -> Iterator[Served]:
    """A console until the end of the block."""
    path = folder / "davy.yaml"
    lines = [f"data_dir: {folder}", "http:", "  requests_per_s: 1000000", *([f"  token: {token}"] if token else [])]
    lines += [f"kafka: {{bootstrap.servers: '{kafka}'}}", "embedded: true"] if kafka else []
    path.write_text("\n".join(lines) + "\n")
    console = Served(load_config(path))
    try:
        yield console
    finally:
        console.stop()


def now() -> int:
    """The present, at the beginning of a window."""
    return int(time.time()) * SECOND // WINDOW * WINDOW


def applied(spec: ExperimentSpec = SPEC, time_us: int = 1) -> Control:
    return Control(spec.id, time_us, "ann", "applied", SpecApplied(spec.source, spec.path, spec.digest))


def another(name: str, spec: ExperimentSpec = SPEC) -> ExperimentSpec:
    """The same spec under another id."""
    return spec.model_copy(update={"id": name})


def crowd(console: Served, number: int) -> None:
    """So many experiments with a verdict each, of all kinds."""
    kinds: list[tuple[Action, Conclusion]] = [
        ("CONTINUE", "INCONCLUSIVE"), ("ADVANCE", "HEALTHY"), ("PROMOTE", "HEALTHY"), ("HOLD", "NO_DATA"),
        ("ROLLBACK", "HARM"),
    ]  # fmt: skip
    with console.feed.lock:
        state = console.feed.state
        for index in range(number):
            spec = another(f"service-{index:04d}")
            action, conclusion = kinds[index % len(kinds)]
            state.experiments[spec.id] = Experiment(spec, 1, "ann", {"control": 0.9, "canary": 0.1}, 0)
            state.take(verdict(action, conclusion, 1, now(), spec=spec))


def weights(canary: float, step: int, time_us: int, name: str = ID) -> Control:
    return Control(
        name, time_us, "davy", "step", WeightApplied(f"i{step}", step, {"control": 1 - canary, "canary": canary})
    )


def window(
    variant: str, start: int, errors: int, rows: int = 1000, p99_us: float = 212_000.0, duplicates: int = 0
) -> WindowSummary:
    return WindowSummary(
        ID, SPEC.service, SPEC.environment, SPEC.variants[variant].version, variant, start, start + WINDOW, rows, errors,
        52_000.0, 39_000.0, 90_000.0, 120_000.0, p99_us, 300_000.0, float(rows), 2, 0, {"cpu_us": 9_500.0}, 1,
        duplicates,
    )  # fmt: skip


def verdict(
    action: Action, conclusion: Conclusion, sequence: int, event_time: int, log_e: float = 1.0,
    reason: str = "no harm shown yet", spec: ExperimentSpec = SPEC,
) -> Verdict:  # fmt: skip
    rise = 0.002 * max(log_e, 0)
    rows = tuple(
        Evidence(
            sli.name, "canary", 0.0045, 0.0045 + rise, rise, rise / 2, rise * 2 + 0.004, 2.718**log_e, log_e,
            400.0, 0.3, 20.0, 4600, 500, _status(sli.name, conclusion, spec),
        )
        for sli in spec.slis
    )  # fmt: skip
    needed = {row.sli: Needed(5200, 140.0) for row in rows if row.status == "OPEN"}
    return Verdict(
        f"{spec.id}-{sequence}", spec.id, "canary", spec.service, spec.environment, 1, sequence, event_time + SECOND,
        event_time, event_time + 30 * SECOND, "rollout", action, conclusion, 0, 0.1, reason, rows, needed,
        {"davy.events/0": 5 * sequence}, spec.digest[:32] + "-x", "davy 0",
    )  # fmt: skip


def _status(name: str, conclusion: Conclusion, spec: ExperimentSpec) -> EvidenceStatus:
    if conclusion == "HEALTHY":
        return "SAFE"
    return "HARM" if conclusion == "HARM" and name == spec.slis[0].name else "OPEN"


def decision(
    kind: str, canary: float, time_us: int, sequence: int = 1, reason: str = "begins", outcome: Outcome = "DONE",
    actor: str = "davy", verdict_id: str | None = None,
) -> Decision:  # fmt: skip
    return Decision(
        f"d-{sequence}", ID, SPEC.service, SPEC.environment, sequence, time_us, kind, outcome, actor, reason, verdict_id,
        "canary", 1, "PENDING", "RUNNING", 0, {"control": 1 - canary, "canary": canary}, {}, None, "davy 0",
    )  # fmt: skip


def story(end: int, windows: int = 24) -> list[Record]:
    """A release that goes bad and is rolled back by `end`: what the feed would have read."""
    begin = end - windows * WINDOW
    told: list[Record] = [
        applied(time_us=begin),
        decision("apply", 0.0, begin),
        decision("shift", 0.1, begin + SECOND, 2, "step 1"),
    ]
    told.append(weights(0.1, 0, begin + SECOND))
    for number in range(windows):
        start = begin + number * WINDOW
        told += [window("control", start, 4 + number % 3), window("canary", start, number // 3, rows=100)]
        if number < windows - 2:
            told.append(verdict("CONTINUE", "INCONCLUSIVE", number + 1, start + WINDOW, 6.0 * number / windows))
    reason = "errors rose from 0.45 % to 2.49 % (0.5 pp more is allowed)"
    bad = verdict("ROLLBACK", "HARM", windows, end, 7.8, reason)
    told.append(
        Control("annotations", begin + 8 * WINDOW, "http", "annotation", Annotation("database failover", ("deploy",)))
    )
    told += [
        bad,
        decision("rollback", 0.0, end + SECOND, 3, reason, verdict_id=bad.verdict_id),
        weights(0.0, 0, end + SECOND),
    ]
    return told
