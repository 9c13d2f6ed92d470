"""The Kafka that a bench measures on."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from davy import logs
from tests.support.kafka import KafkaBroker


@contextmanager
def own_kafka() -> Generator[KafkaBroker]:
    """A real one in a folder of its own, `folder`, where our logs go, too; both are gone after the block."""
    with TemporaryDirectory(prefix="davy-bench-") as folder:
        logs.configure("bench", Path(folder) / "bench.log")
        broker = KafkaBroker(Path(folder))
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()
