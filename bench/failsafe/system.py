"""All of Davy on real parts: Kafka, a schema registry, ClickHouse, HAProxy and each role as a process of its own, with a
relay on every link, which may be made to stand still."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self
from urllib.request import Request, urlopen

from bench.failsafe.parts import Keeper, Part
from schemas.config import Config, load_config
from streams.embedded import free_port
from streams.topics import ensure_topics
from tests.streams.sinks.server import ClickhouseServer
from tests.support.kafka import KafkaBroker
from tests.support.registry import SchemaRegistryServer
from tests.support.system import program, until
from tests.support.toxiproxy import PROXY, server
from tests.support.wrong_clock import WrongClock

ROLES = ("ingest", "judge", "rollout", "sink", "web")
OTHERS = ("registry", "clickhouse", "proxy")
PARTITIONS = 2
VARIANTS = ("control", "canary")
START_S = 60.0
PROXY_MS = 250
CONFIG = """\
kafka: {{bootstrap.servers: '127.0.0.1:{kafka}'}}
prefix: safe.
data_dir: {folder}
schema_registry: {{url: 'http://127.0.0.1:{registry}/apis/ccompat/v7'}}
clickhouse: {{url: 'clickhouse://analyst:s3cret@127.0.0.1:{clickhouse}/davy'}}
traffic: [{{type: haproxy, socket: '127.0.0.1:{proxy}'}}]
http: {{port: {http}}}
health: {{port: {health}}}
limits: {{window: 1s, lateness: 1s, block_records: 4096, event_partitions: {partitions}, delta_partitions: 2}}
"""
"""A folder, and a link to Kafka, for each role; the other links are shared."""
HAPROXY = """\
global
    stats socket ipv4@127.0.0.1:{admin} level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend in
    bind 127.0.0.1:{port}
    default_backend davy_{first}
"""


class System:
    """Everything that runs; open while the context is. `parts` may be struck, `relays` are the links. With `wrong_clock` the
    roles' time is what `clock` says."""

    def __init__(self, folder: Path, services: Sequence[str], wrong_clock: bool = False) -> None:
        self.folder, self.services, self.wrong_clock = folder, services, wrong_clock
        self.clock = WrongClock(folder)
        self.ports = {name: free_port() for name in (*ROLES, *OTHERS)}
        self.health = {role: free_port() for role in ROLES}
        self.admin = free_port()
        self._api = {name: free_port() for name in self.ports}
        self.kafka = KafkaBroker(self._sub("kafka"), links=[self.ports[role] for role in ROLES])
        self.registry = SchemaRegistryServer(self._sub("registry"), keep=True)
        self.clickhouse = ClickhouseServer(self._sub("clickhouse"))
        self.parts: dict[str, Part] = {}
        self.relays: dict[str, Part] = {}
        self.config = Config()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for part in (*reversed(self.parts.values()), *self.relays.values()):
            part.stop()

    def ready(self) -> dict[str, str | None]:
        """Why each role is not ready; None where it is."""
        from tests.davy.test_health import ask

        said: dict[str, str | None] = {}
        for role, port in self.health.items():
            try:
                status, body = ask(f"127.0.0.1:{port}", "/readyz")
                said[role] = None if status == 200 else str(body.get("reason"))
            except (OSError, ValueError) as error:
                said[role] = f"does not answer: {error}"
        return said

    def _open(self) -> None:
        haproxy = [program("haproxy", "haproxy"), "-db", "-f", str(self._haproxy())]
        self.parts = {
            "broker": self._part("broker", self.kafka.command()),
            "registry": self._part("registry", self.registry.command(), self.registry.environment),
            "clickhouse": self._part("clickhouse", self.clickhouse.command()),
            "proxy": self._part("proxy", haproxy),
        }
        behind = dict(zip(ROLES, self.kafka.linked, strict=True))
        behind |= {
            "registry": f"127.0.0.1:{self.registry.port}", "clickhouse": f"127.0.0.1:{self.clickhouse.port}",
            "proxy": f"127.0.0.1:{self.admin}",
        }  # fmt: skip
        self.relays = {
            name: self._part(f"link-{name}", self._relay(name, place), {"LOG_LEVEL": "warn"})
            for name, place in behind.items()
        }
        for part in (*self.relays.values(), *self.parts.values()):
            part.start()
        self.kafka.wait()
        self.registry.wait()
        for name in ("clickhouse", "proxy"):
            port = self.clickhouse.port if name == "clickhouse" else self.admin
            until(lambda port=port: listens(port), START_S, f"{name} listened")
        self._slow_proxy()
        self.config = load_config(self._config("direct"))
        ensure_topics(self.config)
        for role in ROLES:
            command = [sys.executable, "-m", "davy", "run", role, "--config", str(self._config(role))]
            self.parts[role] = self._part(role, command, self.clock.environment() if self.wrong_clock else {})
            self.parts[role].start()
        keeper = Keeper([*self.parts.values(), *self.relays.values()])
        keeper.start()
        self._stack.callback(keeper.end)

    def _part(self, name: str, command: Sequence[str], env: dict[str, str] | None = None) -> Part:
        return Part(name, command, self.folder / f"{name}.log", env)

    def _relay(self, name: str, behind: str) -> list[str]:
        config = self.folder / f"link-{name}.json"
        forward = {"name": PROXY, "listen": f"127.0.0.1:{self.ports[name]}", "upstream": behind, "enabled": True}
        config.write_text(json.dumps([forward]))
        return [str(server()), "-host", "127.0.0.1", "-port", str(self._api[name]), "-config", str(config)]

    def _slow_proxy(self) -> None:
        """HAProxy's answers take a while, so that a shift lasts long enough for a fault to come in the middle of it."""
        toxic = {"name": "far", "type": "latency", "stream": "downstream", "attributes": {"latency": PROXY_MS}}
        place = f"http://127.0.0.1:{self._api['proxy']}/proxies/{PROXY}/toxics"
        urlopen(Request(place, json.dumps(toxic).encode(), {"Content-Type": "application/json"}), timeout=5).close()

    def _config(self, role: str) -> Path:
        direct = role == "direct"
        path = self.folder / f"{role}.yaml"
        path.write_text(
            CONFIG.format(
                kafka=self.kafka.port if direct else self.ports[role], folder=self.folder / f"data-{role}",
                registry=self.registry.port if direct else self.ports["registry"],
                clickhouse=self.clickhouse.port if direct else self.ports["clickhouse"],
                proxy=self.admin if direct else self.ports["proxy"], http=self.health["web"],
                health=self.health.get(role, 0), partitions=PARTITIONS,
            )
        )  # fmt: skip
        return path

    def _haproxy(self) -> Path:
        path = self.folder / "haproxy.cfg"
        backends = ""
        for service in self.services:
            backends += f"backend davy_{service}\n    balance roundrobin\n"
            for name in VARIANTS:
                backends += f"    server {name} 127.0.0.1:{free_port()} weight {256 if name == 'control' else 0}\n"
        path.write_text(HAPROXY.format(admin=self.admin, port=free_port(), first=self.services[0]) + backends)
        return path

    def _sub(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir()
        return path


def listens(port: int) -> bool:
    """Whether somebody accepts there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
