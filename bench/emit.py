"""`python -m bench.emit`: what davy-emit's middleware adds to a request while Kafka is up, away or hangs, into docs/emit.md.

An ASGI application answers at once; requests come at a fixed rate, in turns with and without the middleware, in one event
loop. Both are timed from the call to the return.
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
WARM_UP = 2_000
DOCUMENT = Path(__file__).parents[1] / "docs" / "emit.md"
BEGIN = "<!-- overhead: written by python -m bench.emit -->"
SCOPE: dict[str, Any] = {
    "type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"shop"), (b"x-unit-id", b"ann")],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Overhead:
    """Microseconds float64 (requests,) of each, ascending by time; `failed` requests raised."""

    state: str
    bare_us: np.ndarray[Any, Any]
    wrapped_us: np.ndarray[Any, Any]
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


async def _drive(wrapped: Any, count: int) -> tuple[list[float], list[float], int]:
    """Requests at the rate, every other one through the middleware."""
    took: tuple[list[float], list[float]] = ([], [])
    failed, begun = 0, time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
        app = (shop, wrapped)[number % 2]
        at = time.perf_counter_ns()
        try:
            await app(dict(SCOPE), _receive, _send)
        except Exception:
            failed += 1
        took[number % 2].append((time.perf_counter_ns() - at) / 1000)
    return *took, failed


def measure(state: str, bootstrap: str) -> Overhead:
    """With Kafka as it is there now."""
    emitter = Emitter(
        {"bootstrap.servers": bootstrap, "message.timeout.ms": 5000}, service="shop", environment="test", version="2"
    )
    wrapped = AsgiMiddleware(shop, emitter, unit_header="x-unit-id")
    asyncio.run(_drive(wrapped, WARM_UP))
    bare, with_it, failed = asyncio.run(_drive(wrapped, REQUESTS))
    emitter.close()
    return Overhead(
        state, np.array(bare), np.array(with_it), failed, emitter.sent, emitter.dropped, emitter.failed
    )  # fmt: skip


def table(found: list[Overhead], where: str) -> str:
    """The figures as Markdown."""
    columns = (
        "p50 without, us",
        "p50 with",
        "p99 without",
        "p99 with",
        "added at p99",
        "requests failed",
        "sent",
        "dropped",
    )
    lines = [
        f"`python -m bench.emit`, {datetime.now(UTC):%Y-%m-%d}: {REQUESTS:,} requests per row at {RATE:,} per second, every "
        f"other one through the middleware, {where}.",
        "",
        *heading("Kafka", columns),
    ]
    for one in found:
        p50, p99 = np.percentile(one.bare_us, (50, 99)), np.percentile(one.wrapped_us, (50, 99))
        lines.append(
            f"| {one.state} | {p50[0]:.1f} | {p99[0]:.1f} | {p50[1]:.1f} | {p99[1]:.1f} | **{p99[1] - p50[1]:.1f}** "
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
