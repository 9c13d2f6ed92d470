"""Options and fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from streams.embedded import EmbeddedBroker
from tests.support.kafka import KafkaBroker
from tests.support.system import locked

settings.register_profile("davy", deadline=None)  # the first example may compile a loop
settings.load_profile("davy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run long soaks and statistics")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --full the long ones are left out, and counted as deselected. What must be alone comes first, so that one worker
    has all of it and the other need not wait."""
    items.sort(key=lambda item: "alone" not in getattr(item, "fixturenames", ()))
    if config.getoption("--full"):
        return
    long = [item for item in items if item.get_closest_marker("full")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture
def alone() -> Iterator[None]:
    """For tests that start seven processes and wait for what they do: one at a time over all workers."""
    with locked("alone"):
        yield


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A real Kafka for the whole session of this worker; tests use topic prefixes of their own."""
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def tansu(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """The embedded broker, empty."""
    with EmbeddedBroker(tmp_path) as broker:
        yield broker
