"""When a target is probed next, and what a result says."""

from __future__ import annotations

import asyncio

from deploy.prober import Watched, probe
from schemas.probes import Target

TARGET = Target.model_validate(
    {"kind": "tcp", "address": "a:1", "every": "10s", "cool_down": "30s", "open_after": 2, "services": ["shop"]}
)
SECOND = 1_000_000


def test_an_open_circuit_is_left_alone_until_it_has_cooled_down() -> None:
    watched, now = Watched.of("a", TARGET), 0
    assert watched.wait_us(now) == 10 * SECOND
    for _ in range(2):
        now += 10 * SECOND
        watched, result = watched.ready(now).after("refused", None, now)
    assert (result.circuit, result.error, result.error_ratio, result.services) == ("OPEN", "refused", 1.0, ("shop",))
    assert watched.wait_us(now) == 30 * SECOND
    assert watched.ready(now + 29 * SECOND).breaker.circuit == "OPEN"
    now += 30 * SECOND
    half = watched.ready(now)
    assert half.breaker.circuit == "HALF_OPEN"
    again, failed = half.after("refused", None, now)
    assert (failed.circuit, again.wait_us(now)) == ("OPEN", 30 * SECOND)
    first, one = half.after(None, 1500, now)
    assert (one.circuit, one.ok, one.latency_us, first.wait_us(now)) == ("HALF_OPEN", True, 1500, 10 * SECOND)
    _, two = first.ready(now).after(None, 1500, now)
    assert two.circuit == "CLOSED"


def test_a_probe_that_breaks_is_a_failure_of_that_probe_only() -> None:
    class Broken:
        kind = "broken"

        async def check(self, target: Target) -> None:
            raise ZeroDivisionError("by zero")

    error, latency_us = asyncio.run(probe(Broken(), TARGET, lambda: 0.0))
    assert (error, latency_us) == ("the probe itself failed: ZeroDivisionError: by zero", None)
