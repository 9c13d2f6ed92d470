"""What nobody thought of, asked of every route: whatever comes, the console never fails by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.fuzz.api import asked
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.support.served import Served, now, served, story

REQUESTS = 200
ROUTES = {"GET /v1/experiments", "POST /v1/experiments/{experiment_id}/commands", "POST /v1/flagger/{hook}"}


@pytest.fixture
def console(tmp_path: Path, tansu: EmbeddedBroker) -> Iterator[Served]:
    with served(tmp_path, kafka=tansu.bootstrap) as made:
        ensure_topics(made.config)
        made.take(*story(now(), windows=3))
        yield made


def test_no_request_makes_it_fail(console: Served) -> None:
    found = asked(console.url, REQUESTS)
    assert found.keys() >= ROUTES
    assert all(statuses.total() >= 1 for statuses in found.values())
    assert sum(statuses.total() for statuses in found.values()) >= REQUESTS


@pytest.mark.full
@pytest.mark.timeout(7200)
def test_no_request_of_a_hundred_thousand_makes_it_fail(console: Served) -> None:
    found = asked(console.url, 100_000)
    assert sum(statuses.total() for statuses in found.values()) >= 100_000
