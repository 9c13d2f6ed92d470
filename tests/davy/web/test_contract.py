"""What nobody thought of, asked of every route: whatever comes, the console never fails by itself."""

from __future__ import annotations

from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case

from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.support.served import now, served, story

EXAMPLES = 8
"""Of each route."""


def test_no_request_makes_it_fail(tmp_path: Path, tansu: EmbeddedBroker) -> None:
    with served(tmp_path, kafka=tansu.bootstrap) as console:
        ensure_topics(console.config)
        console.take(*story(now(), windows=3))
        schema = schemathesis.openapi.from_url(f"{console.url}/v1/openapi.json")
        asked: set[str] = set()
        for operation in (found.ok() for found in schema.exclude(path="/v1/stream").get_all_operations()):

            @settings(
                max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy())
            def ask(case: Case) -> None:
                if case.query and "wait" in case.query:
                    case.query["wait"] = 0
                answer = case.call()
                assert answer.status_code < 500 or answer.status_code == 503, f"{case.as_curl_command()}: {answer.text}"

            ask()
            asked.add(operation.label)
    assert {"GET /v1/experiments", "POST /v1/experiments/{experiment_id}/commands", "POST /v1/flagger/{hook}"} <= asked
