"""The shop: an ASGI service that answers pages, waits as long as its work would take, and fails as often as it is told to.

`python -m davy.examples.shop.app --port 8081 --version 2.4.0 --kafka 127.0.0.1:9092 --fails 0.06`. The proxy says in two
headers which arm of which experiment a request is for; one call hands that on to Davy, all else the middleware does. With
`--flags http://127.0.0.1:7070 --flags-file flags.json` the front page asks a feature flag, in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from davy_emit import AsgiMiddleware, Emitter, expose, note
from openfeature import api
from openfeature.evaluation_context import EvaluationContext  # pyright: ignore[reportMissingTypeStubs]

PAGES = {"/": 0.004, "/search": 0.012, "/product": 0.006, "/cart": 0.008, "/checkout": 0.015}
"""Median time that a page takes, in seconds."""
SPREAD = 0.4
EXPERIMENT, VARIANT, UNIT, SEGMENT = b"x-davy-experiment", b"x-davy-variant", b"x-unit-id", b"x-segment"
FLAG = "recommendations"
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Shop:
    """One version of it; `fails` is the share of requests that end in a 500."""

    def __init__(self, version: str, fails: float, seed: int = 1) -> None:
        self.version, self.fails = version, fails
        self._random = random.Random(seed)
        self._flags = api.get_client()

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        if EXPERIMENT in headers:
            expose(headers[EXPERIMENT].decode("latin-1"), headers[VARIANT].decode("latin-1"))
        segment = headers.get(SEGMENT, b"").decode("latin-1") or None
        note(segment=segment)
        median_s = PAGES.get(scope["path"])
        if median_s is None:
            await self._answer(send, 404, {"error": "there is no such page"})
            return
        await asyncio.sleep(median_s * self._random.lognormvariate(0.0, SPREAD))
        if self._random.random() < self.fails:
            await self._answer(send, 500, {"error": "the price service gave no price"})
            return
        page: dict[str, Any] = {"page": scope["path"], "version": self.version}
        if scope["path"] == "/":
            who = EvaluationContext(headers.get(UNIT, b"").decode("latin-1"), {"segment": segment or "none"})
            page[FLAG] = self._flags.get_boolean_value(FLAG, False, who)
        await self._answer(send, 200, page)

    async def _answer(self, send: Send, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--fails", type=float, default=0.0)
    parser.add_argument("--flags", help="Davy's console")
    parser.add_argument("--flags-file", default="flags.json")
    options = parser.parse_args()
    if options.flags is not None:
        from davy_emit.flags import FlagFile

        api.set_provider_and_wait(FlagFile(options.flags, options.flags_file).provider())
    emitter = Emitter(options.kafka, service="shop", environment="live", version=options.version)
    shop = AsgiMiddleware(Shop(options.version, options.fails), emitter, unit_header=UNIT.decode())
    uvicorn.run(shop, host="127.0.0.1", port=options.port, log_level="warning", access_log=False, lifespan="off")
    emitter.close()


if __name__ == "__main__":
    main()
