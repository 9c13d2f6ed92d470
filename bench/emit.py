"""`python -m bench.emit`: what davy-emit's middleware adds to a request while Kafka is up, away or hangs, into docs/emit.md.

An ASGI application answers at once; requests come at a fixed rate to one event loop, in turns of a second with and without
the middleware. Timed are the call, and the answer: from when the request was due, which has the loop's waking and what the
emitter's thread takes from it beside it in it. What is added is the difference of the two distributions' quantiles.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from davy_emit import AsgiMiddleware, Emitter

from bench.document import heading, machine, rewrite
from bench.kafka import own_kafka
from schemas.config import Config
from streams.embedded import free_port
from streams.topics import ensure_topics

REQUESTS = 40_000
RATE = 2_000
TURN = RATE
WARM_UP = 2 * TURN
DOCUMENT = Path(__file__).parents[1] / "docs" / "emit.md"
BEGIN = "<!-- overhead: written by python -m bench.emit -->"
SCOPE: dict[str, Any] = {
    "type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"shop"), (b"x-unit-id", b"ann")],
}  # fmt: skip


Times = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Overhead:
    """Microseconds float64 (2, requests / 2), without and with; `failed` requests raised."""

    state: str
    call_us: Times
    answer_us: Times
    failed: int
    sent: int
    dropped: int
    not_taken: int


async def shop(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


async def _receive() -> dict[str, Any]:
    return {"type": "http.request"}


async def _send(message: Any) -> None:
    pass


async def _drive(wrapped: Any, count: int) -> tuple[Times, Times, int]:
    """Requests at the rate: calls, answers, failures."""
    calls: tuple[list[int], list[int]] = ([], [])
    answers: tuple[list[int], list[int]] = ([], [])
    failed, begun = 0, time.perf_counter_ns()
    for number in range(count):
        due = begun + number * 1_000_000_000 // RATE
        await asyncio.sleep(max(0, due - time.perf_counter_ns()) / 1e9)
        which = number // TURN % 2
        app = (shop, wrapped)[which]
        at = time.perf_counter_ns()
        try:
            await app(dict(SCOPE), _receive, _send)
        except Exception:
            failed += 1
        done = time.perf_counter_ns()
        calls[which].append(done - at)
        answers[which].append(done - due)
    return np.array(calls) / 1000, np.array(answers) / 1000, failed


def measure(state: str, bootstrap: str) -> Overhead:
    """With Kafka as it is there now."""
    emitter = Emitter(
        {"bootstrap.servers": bootstrap, "message.timeout.ms": 5000}, service="shop", environment="test", version="2"
    )
    wrapped = AsgiMiddleware(shop, emitter, unit_header="x-unit-id")
    asyncio.run(_drive(wrapped, WARM_UP))
    calls, answers, failed = asyncio.run(_drive(wrapped, REQUESTS))
    emitter.close()
    return Overhead(state, calls, answers, failed, emitter.sent, emitter.dropped, emitter.failed)


def table(found: list[Overhead], where: str) -> str:
    """The figures as Markdown."""
    columns = (
        "call p50 without, us",
        "with",
        "call p99 without",
        "with",
        "added to the call at p99",
        "added to the answer at p50",
        "at p99",
        "requests failed",
        "sent",
        "dropped",
    )
    lines = [
        f"`python -m bench.emit`, {datetime.now(UTC):%Y-%m-%d}: {REQUESTS:,} requests per row at {RATE:,} per second, in "
        f"turns of {TURN / RATE:g} s with and without the middleware, {where}. The application answers at once. The answer "
        "counts from when a request was due, so waiting for the emitter's thread is in it.",
        "",
        *heading("Kafka", columns),
    ]
    for one in found:
        call, answer = (np.percentile(times, (50, 99), axis=1) for times in (one.call_us, one.answer_us))
        more = answer[:, 1] - answer[:, 0]
        lines.append(
            f"| {one.state} | {call[0, 0]:.1f} | {call[0, 1]:.1f} | {call[1, 0]:.1f} | {call[1, 1]:.1f} "
            f"| **{call[1, 1] - call[1, 0]:.1f}** | {more[0]:.1f} | {more[1]:.1f} "
            f"| {one.failed} | {one.sent:,} | {one.dropped + one.not_taken:,} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, then replace the table in the document."""
    where = machine()
    with own_kafka() as broker:
        ensure_topics(Config.model_validate({"kafka": {"bootstrap.servers": broker.bootstrap}}))
        found = [measure("up", broker.bootstrap), measure("away", f"127.0.0.1:{free_port()}")]
        with broker.hanging():
            found.append(measure("hangs", broker.bootstrap))
    text = table(found, where)
    rewrite(BEGIN, text, DOCUMENT)
    print(text)


if __name__ == "__main__":
    main()
