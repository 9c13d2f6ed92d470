"""Faust: events grouped by key into a tumbling table, as its user guide counts page views.

The table is kept in memory and told to its changelog topic, from where it is read back. Tables must be partitioned as
their stream is, and our messages have no key: hence `group_by`, which sends every event through a topic of its own.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from bench.peers.peer import Framing, Key, Task, Window, Windows
from bench.peers.window import WINDOW_US, add, empty, key_of, key_text, window_of

KEEP_S = 3600.0


class Faust:
    title = "Faust"
    events = 40_000
    framing: Framing = "single-object"
    does = "`group_by` the key through a topic, a tumbling table in memory, its changelog in Kafka; an orderly end included"

    def prepare(self) -> str:
        return f"faust-streaming {version('faust-streaming')}, aiokafka {version('aiokafka')}"

    def command(self, task: Task) -> list[str]:
        return [sys.executable, "-m", __name__, task.json]

    def windows(self, task: Task) -> Windows | int:
        from bench.peers.configured import configured
        from bench.peers.topic import written

        newest: dict[tuple[Key, int], Window] = {}
        for key, value in written(configured(task), f"{task.run}-windows-changelog"):
            if key is not None and value is not None:
                text, (start, _) = json.loads(key)
                newest[key_of(text), round(start * 1e6)] = window_of(json.loads(value))
        return newest


PEER = Faust()


def main() -> None:
    import fastavro
    import faust
    from faust.serializers import codecs

    from schemas import codec

    class RequestEvents(codecs.Codec):
        """Single-object encoding, as the user guide's custom codecs are written."""

        schema = codec.parse(codec.document("RequestEvent"))
        header = codec.header("RequestEvent")

        def _loads(self, data: bytes) -> Any:
            return fastavro.schemaless_reader(io.BytesIO(data[len(self.header) :]), self.schema, None)

        def _dumps(self, record: Mapping[str, Any]) -> bytes:
            out = io.BytesIO(self.header)
            out.seek(0, io.SEEK_END)
            fastavro.schemaless_writer(out, self.schema, record)
            return out.getvalue()

    task = Task.argument()
    codecs.register("request-event", RequestEvents())
    app = faust.App(
        task.run, broker=f"kafka://{task.bootstrap}", store="memory://", web_enabled=False, datadir=task.folder,
        topic_partitions=task.partitions, topic_disable_leader=True, consumer_auto_offset_reset="earliest",
    )  # fmt: skip

    def event_time(event: Any = None) -> float:
        """Of the event itself: `group_by` forwards with new Kafka timestamps."""
        return (event or faust.current_event()).value["timestamp"] / 1e6

    events = app.topic(task.topic, value_serializer="request-event")
    windows = app.Table("windows", default=empty, partitions=task.partitions)
    windows = windows.tumbling(WINDOW_US / 1e6, expires=KEEP_S).relative_to(event_time)

    @app.agent(events)
    async def count(stream: Any) -> None:
        seen = 0
        async for event in stream.group_by(key_text, name="key"):
            if not seen:
                task.mark("started")
            key = key_text(event)
            windows[key] = add(windows[key].value(), event)
            seen += 1
            if seen == task.events:
                os.kill(os.getpid(), signal.SIGTERM)

    try:
        faust.Worker(app, loglevel="WARN").execute_from_commandline()
    finally:
        task.mark("done")


if __name__ == "__main__":
    main()
