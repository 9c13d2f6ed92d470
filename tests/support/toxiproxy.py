"""Toxiproxy between Davy and Kafka: cuts, slows and resets connections. Built once from the Go module proxy."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from streams.embedded import die_with_parent, free_port
from tests.support.system import CACHE, locked, program, until

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"
START_S = 20.0
REQUEST_S = 5.0
PROXY = "kafka"


def server() -> Path:
    """The server's binary, built once."""
    folder = CACHE / "toxiproxy-2.12.0"
    binary = folder / "server"
    go = program("go", "golang-go")
    with locked("toxiproxy"):
        if not binary.exists():
            environment = os.environ | {"GOBIN": str(folder)}
            done = subprocess.run([go, "install", MODULE], env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.fail(f"Toxiproxy could not be built with Go: {done.stderr[-2000:]}", pytrace=False)
    return binary


class Toxiproxy:
    """One proxy, `listen` is its port; open while the context is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listen, self._api = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self.folder / "toxiproxy.log").open("ab") as log:
            command = [str(server()), "-host", "127.0.0.1", "-port", str(self._api)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)  # noqa: PLW1509
        until(self._answers, START_S, "Toxiproxy answered")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def forward(self, upstream: str) -> None:
        """Forward what comes to `listen` to that address."""
        self._ask("POST", "/proxies", {"name": PROXY, "listen": f"127.0.0.1:{self.listen}", "upstream": upstream})

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        self._ask("POST", f"/proxies/{PROXY}", {"enabled": False})

    def toxic(self, kind: str, stream: str, **attributes: int) -> None:
        """Spoil a direction, `upstream` (to Kafka) or `downstream`."""
        body = {"name": f"{kind}_{stream}", "type": kind, "stream": stream, "attributes": attributes}
        self._ask("POST", f"/proxies/{PROXY}/toxics", body)

    def heal(self) -> None:
        """Remove all that was done."""
        self._ask("POST", "/reset")

    def _answers(self) -> bool:
        try:
            return bool(self._ask("GET", "/version"))
        except URLError:
            return False

    def _ask(self, method: str, path: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self._api}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urlopen(request, timeout=REQUEST_S) as answer:
            return answer.read()
