"""HAProxy through its runtime socket: weights of the servers `davy_<service>/<variant>`, each read back.

HAProxy takes commands one by one: with one refused in the middle the split would be neither the old nor the new. So what loses
traffic is told first, every reply is read, and after a refusal what was changed is set back, the last first. Only servers
whose weight differs are told, so that a repetition after a crash tells nothing twice.
"""

from __future__ import annotations

import re
import socket
from typing import Any

from pydantic import Field

from deploy import splitter
from deploy.traffic.base import Adapter, Order, TargetAway, TargetError
from schemas.model import Model, PositiveUs, Text

REPLY_BYTES_MAX = 65_536
_COMMAND = re.compile(r"set server (\S+) weight (\d+)")
_WEIGHT = re.compile(r"(\d+) \(initial \d+\)")


class Options(Model):
    """`socket`: the path of the stats socket (level admin), or HOST:PORT."""

    socket: Text = Field(examples=["/run/haproxy/admin.sock"])
    timeout_us: PositiveUs = Field(default=2_000_000, alias="timeout")


class RuntimeSocket:
    """Commands to one HAProxy process; each on a connection of its own."""

    def __init__(self, options: Options) -> None:
        self.name = f"haproxy {options.socket}"
        self._place, self._timeout_s = options.socket, options.timeout_us / 1e6

    def ask(self, command: str) -> str:
        """The whole reply without the blank line at its end. Raises `TargetError`."""
        try:
            with self._connected() as connection:
                connection.sendall(f"{command}\n".encode())
                reply = b""
                while len(reply) < REPLY_BYTES_MAX and (part := connection.recv(4096)):
                    reply += part
        except OSError as error:
            raise TargetAway(f"{self.name} does not answer: {error}") from error
        return reply.decode("utf-8", "replace").strip()

    def _connected(self) -> socket.socket:
        host, colon, port = self._place.rpartition(":")
        if colon and port.isdigit() and "/" not in self._place:
            return socket.create_connection((host.strip("[]"), int(port)), self._timeout_s)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout_s)
        try:
            connection.connect(self._place)
        except OSError:
            connection.close()
            raise
        return connection


class Haproxy:
    """One HAProxy process."""

    blind = False

    def __init__(self, options: Options) -> None:
        self._socket = RuntimeSocket(options)
        self.name = self._socket.name

    def apply(self, order: Order) -> None:
        wanted = _commands(order)
        before = {server: self._weight(server) for server in wanted}
        changed: list[str] = []
        for server, weight in wanted.items():
            if before[server] == weight:
                continue
            reply = self._socket.ask(f"set server {server} weight {weight}")
            if reply:
                left = self._undo(changed, before)
                raise TargetError(f"{self.name} refused weight {weight} of {server} ({reply}); {left}")
            changed.append(server)

    def _undo(self, changed: list[str], before: dict[str, int]) -> str:
        """Set back what was changed, the last first; what came of it, as a clause."""
        stuck = [
            server for server in reversed(changed) if self._socket.ask(f"set server {server} weight {before[server]}")
        ]
        return f"setting back {', '.join(stuck)} was refused, too" if stuck else "what was changed before was set back"

    def fault(self, order: Order) -> str | None:
        for server, weight in _commands(order).items():
            found = self._weight(server)
            if found != weight:
                return f"{self.name} says weight {found} of {server}, not {weight}"
        return None

    def _weight(self, server: str) -> int:
        reply = self._socket.ask(f"get weight {server}")
        if not reply:  # a relay in between accepts and closes
            raise TargetAway(f"{self.name} does not answer")
        match = _WEIGHT.fullmatch(reply)
        if match is None:
            raise TargetError(f"{self.name} does not tell the weight of {server}: {reply}")
        return int(match[1])


def _commands(order: Order) -> dict[str, int]:
    """Weight by server, in the order in which it is to be told."""
    text = splitter.render(order.spec, order.weights)[splitter.HAPROXY]
    return {server: int(weight) for server, weight in _COMMAND.findall(text)}


def _make(options: Options, _: Any) -> Haproxy:
    return Haproxy(options)


ADAPTER = Adapter("haproxy", Options, _make)
