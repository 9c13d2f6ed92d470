"""A real HAProxy with a runtime socket, and an ear between it and whoever commands it."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.embedded import free_port
from tests.support.system import program, until


def ask(path: Path, command: str) -> str:
    """One command and its reply, straight to the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(f"{command}\n".encode())
        reply = b""
        while part := connection.recv(4096):
            reply += part
    return reply.decode().strip()


def weights(path: Path, service: str, variants: tuple[str, ...]) -> dict[str, int]:
    """What HAProxy itself says of its servers."""
    return {name: int(ask(path, f"get weight davy_{service}/{name}").split()[0]) for name in variants}


@contextmanager
def haproxy(folder: Path, service: str, variants: tuple[str, ...], level: str = "admin") -> Iterator[Path]:
    """Runs with a backend `davy_<service>`; gives the path of its socket."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "haproxy.sock"
    servers = "\n".join(f"    server {name} 127.0.0.1:{free_port()} weight 1" for name in variants)
    (folder / "haproxy.cfg").write_text(
        f"global\n    stats socket {path} mode 600 level {level}\n"
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n"
        f"frontend in\n    bind 127.0.0.1:{free_port()}\n    default_backend davy_{service}\n"
        f"backend davy_{service}\n    balance roundrobin\n{servers}\n"
    )
    path.unlink(missing_ok=True)  # of one that ran before
    with (folder / "haproxy.log").open("wb") as log:
        binary = program("haproxy", "haproxy")
        process = subprocess.Popen([binary, "-db", "-f", folder / "haproxy.cfg"], stdout=log, stderr=log)
    try:
        until(path.exists, 10, "HAProxy opened its socket")
        yield path
    finally:
        process.terminate()
        process.wait(10)


class Ear:
    """Passes commands on to HAProxy and writes down each that changes something; may refuse or lie for it."""

    def __init__(self, path: Path, behind: Path) -> None:
        self.path, self.behind = path, behind
        self.heard: list[str] = []
        self.refuse: str | None = None
        """A regular expression: commands that match get an error and are not passed on."""
        self.lie: tuple[str, str] | None = None
        """A regular expression, and the reply to commands that match."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    @contextmanager
    def listening(self) -> Iterator[Ear]:
        """While it listens."""
        self._socket.bind(str(self.path))
        self._socket.listen(8)
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            thread.join(5)
            self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                command = connection.makefile().readline().strip()
                try:
                    connection.sendall(f"{self._answer(command)}\n".encode())
                except OSError:
                    continue  # killed while it waited

    def _answer(self, command: str) -> str:
        if self.refuse is not None and re.search(self.refuse, command):
            return "refused by the test"
        if self.lie is not None and re.search(self.lie[0], command):
            return self.lie[1]
        if command.startswith("set "):
            self.heard.append(command)
        return ask(self.behind, command)
