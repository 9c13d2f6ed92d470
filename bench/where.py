"""`python -m bench.where [EVENTS]`: where the first stage's CPU goes, part by part, into docs/benchmarks.md."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from bench.document import machine, rewrite
from bench.kafka import own_kafka
from davy.bench import EXPERIMENTS, ends, fill
from davy.commands.bench import configured
from streams.ingest_loop import IngestLoop
from streams.topics import ensure_topics

EVENTS = 2_000_000
BEGIN = "<!-- where: written by python -m bench.where -->"
PARTS = {
    "fetch": "librdkafka's batches to columns",
    "decode": "Avro to columns",
    "count": "checks, labels, cells, complete blocks to bytes",
    "tell": "open blocks to bytes",
    "produce": "deltas to the producer's queue",
    "rest": "the loop itself",
    "library": "librdkafka's threads: fetching, unpacking, sending",
}


class Clock:
    """Seconds of this thread's CPU by part; what a part calls of another one is that one's."""

    def __init__(self) -> None:
        self.spent = Counter[str]()
        self._part, self._since = "rest", time.thread_time()

    def enter(self, part: str) -> str:
        """The part that was left."""
        now, left = time.thread_time(), self._part
        self.spent[left] += now - self._since
        self._part, self._since = part, now
        return left

    def timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, told to the clock."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            left = self.enter(part)
            try:
                return work(*arguments, **named)
            finally:
                self.enter(left)

        return wrapped

    def each(self, part: str, work: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The same generator, told to the clock."""

        def wrapped(*arguments: Any) -> Iterator[Any]:
            step = self.timed(part, work(*arguments).__next__)
            while True:
                try:
                    item = step()
                except StopIteration:
                    return
                yield item

        return wrapped


def measure(bootstrap: str, events: int) -> dict[str, float]:
    """CPU microseconds per event by part, of the second reading."""
    config = configured(bootstrap).model_copy(update={"prefix": "where.", "embedded": True})
    ensure_topics(config)
    topic = config.topic("events")
    fill(config, topic, events, EXPERIMENTS, time.time_ns() // 1000)
    upto = {(topic, p): end for p, end in ends(config, topic).items()}
    IngestLoop(config).read_up_to(upto)
    loop, clock, begun = IngestLoop(config), Clock(), time.process_time()
    watched: Any = loop
    watched.reader.once = clock.timed("fetch", loop.reader.once)
    watched.decoders[topic].decode = clock.timed("decode", loop.decoders[topic].decode)
    watched.ingest.records = clock.each("count", loop.ingest.records)
    watched.ingest.tick = clock.each("tell", loop.ingest.tick)
    watched._produce = clock.timed("produce", watched._produce)
    loop.read_up_to(upto)
    clock.enter("rest")
    spent = dict(clock.spent)
    spent["library"] = time.process_time() - begun - sum(spent.values())
    return {part: 1e6 * spent.get(part, 0.0) / events for part in PARTS}


def table(events: int, found: dict[str, float], where: str) -> str:
    """The figures as Markdown."""
    lines = [
        f"`python -m bench.where`, {datetime.now(UTC):%Y-%m-%d}: {events:,} events, {EXPERIMENTS} experiments, {where}.",
        "",
        "| part | | us CPU/event |",
        "| :--- | :--- | ---: |",
    ]
    lines += [f"| {part} | {PARTS[part]} | {spent:.3f} |" for part, spent in found.items()]
    return "\n".join([*lines, f"| **all** | | **{sum(found.values()):.2f}** |"])


def main() -> None:
    """Measure, then replace the table in the document."""
    events, where = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS, machine()
    with own_kafka() as broker:
        found = measure(broker.bootstrap, events)
    text = table(events, found, where)
    rewrite(BEGIN, text)
    print(text)


if __name__ == "__main__":
    main()
