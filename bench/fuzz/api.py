"""Requests that nobody thought of, at every route of a console: whatever comes, it does not fail by itself."""

from __future__ import annotations

from collections import Counter

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from requests import Session
from schemathesis import Case

REFUSES = 503
"""The one answer above 500 that is meant: the broker or the provider is away."""


def asked(url: str, requests: int) -> dict[str, Counter[int]]:
    """Statuses by route, of so many requests in all; raises `AssertionError` with the first that failed. What takes nothing
    can be asked in one way only: the others share the rest."""
    schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
    routes = [held.ok() for held in schema.exclude(path="/v1/stream").get_all_operations()]
    routes.sort(key=lambda route: bool(route.body) + len(list(route.iter_parameters())))
    found = {route.label: Counter[int]() for route in routes}
    with Session() as session:
        for number, route in enumerate(routes):
            left = requests - sum(counts.total() for counts in found.values())
            each = max(1, -(-left // (len(routes) - number)))

            @settings(
                max_examples=each, deadline=None, derandomize=True, database=None,
                phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=route.as_strategy())
            def ask(case: Case) -> None:
                if case.query and "wait" in case.query:
                    case.query["wait"] = 0
                answer = case.call(session=session)
                found[case.operation.label][answer.status_code] += 1
                assert answer.status_code < 500 or answer.status_code == REFUSES, (
                    f"{case.as_curl_command()}: {answer.text}"
                )

            ask()
    return found
