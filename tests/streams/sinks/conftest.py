"""Each test of a store runs on each engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.config import Clickhouse, Config
from streams.sinks import open_store
from streams.sinks.base import Store
from tests.streams.sinks.server import clickhouse_server


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running ClickHouse server."""
    with clickhouse_server(tmp_path_factory.mktemp("clickhouse")) as url:
        yield url


@pytest.fixture(params=["embedded", "server"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """A configuration whose store is empty."""
    config = Config().with_data_dir(tmp_path)
    if request.param == "embedded":
        return config
    url: str = request.getfixturevalue("server_url")
    address = f"{url.rpartition('/')[0]}/davy_{tmp_path.name.replace('-', '_').replace('.', '_')}"
    return config.model_copy(update={"clickhouse": Clickhouse.model_validate({"url": address})})


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    """Open, with its tables."""
    with open_store(config) as store:
        store.migrate(["cpu_us", "memory_bytes", "queue's `length"])
        yield store
