"""confluent-kafka's consumer, which does nothing with what it reads: what reading the log costs."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.peers.peer import Framing, Task, Windows


class Bare:
    title = "bare consumer"
    events = 2_000_000
    framing: Framing = "single-object"
    does = "reads messages in batches of 2,000, with as much room for fetched records as Davy, and drops them"

    def prepare(self) -> str:
        import confluent_kafka

        return f"confluent-kafka {confluent_kafka.version()}"

    def command(self, task: Task) -> list[str]:
        return [sys.executable, "-m", __name__, task.json]

    def windows(self, task: Task) -> Windows | int:
        return int((Path(task.folder) / "read").read_text("ascii"))


PEER = Bare()


def main() -> None:
    from bench.peers.configured import configured
    from davy.bench import read_bare

    task = Task.argument()
    task.mark("started")
    seen = read_bare(configured(task), task.topic, task.events)
    task.mark("done")
    (Path(task.folder) / "read").write_text(str(seen), "ascii")


if __name__ == "__main__":
    main()
