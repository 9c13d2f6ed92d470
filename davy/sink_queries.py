"""The sink's process answers queries: only one process can have the embedded engine's folder open, this one.

On the loopback, to who can read the token in `sink.json` (its owner): ``POST /query``, the statement as
body, one read-only statement. The answer is the engine's lines of JSON (names, types, rows); an error is
``{"error": sentence}`` with 400.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from davy.store import ADDRESS_FILE, HOST, Address
from streams.sinks.base import SQL_BYTES_MAX, QueryError
from streams.sinks.embedded import EmbeddedStore

QUERIES_MAX = 4
"""At the same time; one more is refused."""
SOCKET_TIMEOUT_S = 10.0


class QueryServer:
    """Answers while it is entered; leaves `sink.json` in `data_dir` meanwhile."""

    def __init__(self, store: EmbeddedStore, data_dir: Path) -> None:
        self._file = data_dir / ADDRESS_FILE
        self._token = secrets.token_urlsafe(32)
        self._server = _Server(store, self._token)
        self._thread = threading.Thread(target=self._server.serve_forever, name="queries", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        Address(self._server.server_address[1], self._token).write(self._file)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.unlink(missing_ok=True)
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    """So that closing waits for queries that run."""

    def __init__(self, store: EmbeddedStore, token: str) -> None:
        self.store = store
        self.token = token
        self.slots = threading.BoundedSemaphore(QUERIES_MAX)
        super().__init__((HOST, 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = SOCKET_TIMEOUT_S
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # the one that made it

    def do_POST(self) -> None:
        """One query."""
        expected = f"Bearer {self.server.token}".encode()
        if self.path != "/query" or not hmac.compare_digest(self.headers.get("Authorization", "").encode(), expected):
            return self._answer(HTTPStatus.FORBIDDEN, b"")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > SQL_BYTES_MAX:
            return self._refuse(HTTPStatus.BAD_REQUEST, f"a statement has at most {SQL_BYTES_MAX // 1024} KiB")
        sql = self.rfile.read(int(length)).decode("utf-8", "replace")
        if not self.server.slots.acquire(blocking=False):
            return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"{QUERIES_MAX} queries run already: try again soon")
        try:
            answer = self.server.store.answer(sql)
        except QueryError as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        finally:
            self.server.slots.release()
        return self._answer(HTTPStatus.OK, answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: queries are no events of the service."""

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._answer(status, json.dumps({"error": sentence}).encode())

    def _answer(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
