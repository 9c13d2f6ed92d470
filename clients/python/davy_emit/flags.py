"""Feature flags from Davy, kept in a file on this machine and evaluated in this process through OpenFeature.

A thread asks Davy's console for the flags and gets an answer as soon as they change. What came is checked and replaces the
file in one rename; the provider reads the file. With the console gone, or after a restart without it, the last good state
serves.

    flags = FlagFile("http://davy:7070", "/var/lib/shop/flags.json")
    api.set_provider_and_wait(flags.provider())
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from openfeature.contrib.provider.flagd import FlagdProvider  # pyright: ignore[reportMissingTypeStubs]

WAIT_S = 25.0
"""How long the console holds a question that nothing new answers."""
TIMEOUT_S = WAIT_S + 10.0
PAUSE_S = 1.0
"""Before the console is asked again after it gave no answer."""
READ_EVERY_MS = 500
"""How often the provider looks at the file."""
BYTES_MAX = 16_000_000
EMPTY: dict[str, Any] = {"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {}}

log = logging.getLogger("davy_emit")


class FlagFile:
    """Keeps `path` as the console at `url` has the flags, until `close`. Never raises once it is made."""

    def __init__(self, url: str, path: str | os.PathLike[str], first_s: float = 2.0) -> None:
        """Waits at most `first_s` for the first answer; without one what the file has serves."""
        self.url, self.path = url.rstrip("/"), Path(path)
        self.answers = self.failures = 0
        self._tag: str | None = None
        self._stop, self._first = threading.Event(), threading.Event()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self._write(json.dumps(EMPTY).encode())
        self._thread = threading.Thread(target=self._run, name="davy-flags", daemon=True)
        self._thread.start()
        self._first.wait(first_s)

    def provider(self) -> FlagdProvider:
        """An OpenFeature provider that evaluates the flags of the file in this process."""
        from openfeature.contrib.provider.flagd import FlagdProvider  # pyright: ignore[reportMissingTypeStubs]
        from openfeature.contrib.provider.flagd.config import ResolverType  # pyright: ignore[reportMissingTypeStubs]

        return FlagdProvider(
            resolver_type=ResolverType.FILE, offline_flag_source_path=str(self.path), deadline_ms=READ_EVERY_MS
        )

    def close(self) -> None:
        """The file stays."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._ask()
                self.answers += 1
                self._first.set()
            except (OSError, ValueError, HTTPException) as error:
                self.failures += 1
                if self.failures == 1 or self.failures % 60 == 0:
                    log.warning("davy-emit: no flags from %s: %s; the last good ones serve", self.url, error)
                self._stop.wait(PAUSE_S)

    def _ask(self) -> None:
        """Raises OSError, HTTPException or ValueError."""
        wait = 0.0 if self._tag is None else WAIT_S
        request = urllib.request.Request(f"{self.url}/v1/flags?wait={wait:g}")
        if self._tag is not None:
            request.add_header("If-None-Match", self._tag)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                body, tag = answer.read(BYTES_MAX + 1), answer.headers.get("ETag")
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return
            raise
        _check(body)
        self._write(body)
        self._tag = tag
        if tag is None:
            time.sleep(PAUSE_S)  # whoever answered does not know how to wait

    def _write(self, body: bytes) -> None:
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        with fresh.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


def _check(body: bytes) -> None:
    """Raises ValueError for what is no document of flags."""
    if len(body) > BYTES_MAX:
        raise ValueError(f"the answer has more than {BYTES_MAX:,} bytes")
    document: Any = json.loads(body)
    flags: Any = cast("dict[str, Any]", document).get("flags") if isinstance(document, dict) else None
    if not isinstance(flags, dict):
        raise ValueError("the answer is no document of flags")
