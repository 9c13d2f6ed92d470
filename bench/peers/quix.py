"""Quix Streams: `group_by`, then a tumbling window with `Reduce`, as its documentation of windows has it.

Events go through the repartition topic that `group_by` makes, as JSON, its default; a window's state lies in RocksDB and in a
changelog topic, from where it is read back. No window is over when the topic ends, so `final()` produces nothing.
"""

from __future__ import annotations

import json
import re

from bench.peers.peer import Framing, Key, Task, Window, Windows
from bench.peers.window import WINDOW_US, add, empty, key_of, key_text, window_of

GRACE_MS = 3_600_000
STATE = "value/Reduce"
KEY = re.compile(rb"(.*)\|(.{8})\|(.{8})", re.DOTALL)
"""Of the changelog: the message's key, then start and end of the window in milliseconds, big-endian."""


class Quix:
    title = "Quix Streams"
    events = 50_000
    framing: Framing = "raw"
    does = "`group_by` the key through a topic, then `tumbling_window` with `Reduce`: state in RocksDB, its changelog in Kafka"

    def prepare(self) -> str:
        from bench.peers.venv import pinned, python

        python("quix")
        return f"{pinned('quix', 'quixstreams')}, {pinned('quix', 'confluent-kafka')}"

    def command(self, task: Task) -> list[str]:
        from bench.peers.venv import python

        return [python("quix"), "-m", __name__, task.json]

    def windows(self, task: Task) -> Windows | int:
        from bench.peers.configured import configured
        from bench.peers.topic import topics, written

        config = configured(task)
        newest: dict[tuple[Key, int], Window] = {}
        for topic in topics(config, task.run):
            if topic.startswith("changelog__"):
                for key, value in written(config, topic):
                    state = json.loads(value or b"null")
                    if key is not None and isinstance(state, dict) and STATE in state:
                        text, start_ms = KEY.sub(rb"\1", key), KEY.sub(rb"\2", key)
                        start_us = int.from_bytes(start_ms, "big") * 1000
                        newest[key_of(json.loads(text)), start_us] = window_of(state[STATE])
        return newest


PEER = Quix()


def main() -> None:
    from pathlib import Path

    from quixstreams import Application
    from quixstreams.dataframe.windows import Reduce
    from quixstreams.models.serializers.avro import AvroDeserializer

    task = Task.argument()
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "avro" / "RequestEvent.avsc").read_text("utf-8"))
    schema["fields"][0]["type"] = "long"  # times stay integers: the repartition topic's JSON knows no others
    seen = started = 0

    def counted(topic: str, partition: int, offset: int) -> None:
        nonlocal seen, started
        if not started:
            started = 1
            task.mark("started")
        if topic.startswith("repartition__"):
            seen += 1
            if seen == task.events:
                app.stop()

    app = Application(
        broker_address=task.bootstrap, consumer_group=task.run, auto_offset_reset="earliest", loglevel="WARNING",
        state_dir=Path(task.folder) / "state", on_message_processed=counted,
    )  # fmt: skip
    events = app.dataframe(app.topic(task.topic, value_deserializer=AvroDeserializer(schema)))
    windows = events.group_by(key_text, name="key").tumbling_window(WINDOW_US // 1000, grace_ms=GRACE_MS)
    windows.agg(value=Reduce(add, lambda event: add(empty(), event))).final()
    app.run()
    task.mark("done")


if __name__ == "__main__":
    main()
