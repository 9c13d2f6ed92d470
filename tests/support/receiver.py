"""A real HTTP server on a loopback port that keeps what it got, for tests of those who call others."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `headers` by their name in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


Answer = Callable[[Call], tuple[int, Any]]
"""Status and JSON for a call; called in the server's thread, and may wait."""


@dataclass(slots=True)
class Receiver:
    """What came, in order, whatever was answered."""

    url: str
    calls: list[Call] = field(default_factory=list[Call])


@contextmanager
def receiver(answer: Answer = lambda _: (200, None)) -> Iterator[Receiver]:
    """While it listens."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(self.command, self.path, headers, json.loads(raw) if raw else None)
            held.calls.append(call)
            status, document = answer(call)
            said = b"" if document is None else json.dumps(document).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)
            except OSError:
                return  # the caller did not wait

        do_GET = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815  # the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
