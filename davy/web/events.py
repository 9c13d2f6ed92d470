"""Server-sent events: every piece of news to every listener, none of whom can slow another down."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

LISTENERS_MAX = 64
BEHIND_MAX = 1_000
"""Events that wait for a slow listener; then it is cut off, comes back, and asks for the present state."""
BEAT_S = 1.0
"""How long a listener sits still at most; a comment every `BEATS_QUIET` beats keeps proxies from closing."""
BEATS_QUIET = 10
ANNOTATION_KEY = "annotations"
"""Experiment id of control records that belong to none and are told to all."""


class Events:
    """`publish` from any thread; `listen` in the event loop."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self._queues: dict[asyncio.Queue[str | None], str | None] = {}
        """Each with the experiment that its listener wants to hear of; None: of everything."""
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def full(self) -> bool:
        """Whether one more listener would be too many."""
        return len(self._queues) >= LISTENERS_MAX

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Tell everyone; nothing happens before the first listener came."""
        if self._loop is not None and self._queues:
            text = f"event: {kind}\ndata: {json.dumps(data, allow_nan=False)}\n\n"
            self._loop.call_soon_threadsafe(self._hand_out, text, data.get("experiment_id"))

    def _hand_out(self, text: str, experiment: str | None) -> None:
        for queue, wanted in list(self._queues.items()):
            if wanted is not None and experiment not in (wanted, None, ANNOTATION_KEY):
                continue
            if queue.qsize() >= BEHIND_MAX:
                del self._queues[queue]
                queue.put_nowait(None)
            else:
                queue.put_nowait(text)

    async def listen(self, experiment: str | None = None) -> AsyncIterator[str]:
        """Events as they come, until the listener leaves, falls behind, or the service stops."""
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._queues[queue] = experiment
        quiet = 0
        try:
            yield "retry: 2000\n\n"
            while not self.stop.is_set():
                try:
                    text = await asyncio.wait_for(queue.get(), BEAT_S)
                except TimeoutError:
                    quiet += 1
                    if quiet % BEATS_QUIET == 0:
                        yield ": still here\n\n"
                    continue
                if text is None:
                    return
                yield text
        finally:
            self._queues.pop(queue, None)
