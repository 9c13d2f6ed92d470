"""`davy run`: run the service on the configured Kafka and ClickHouse."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from davy import logs
from davy.options import ConfigFile, DataDir, load
from davy.supervisor import Child, Supervisor, die_with_parent
from schemas.config import Config
from schemas.errors import UserError

ROLES: dict[str, str] = {
    "ingest": "streams.ingest_loop",
    "judge": "streams.judge_loop",
    "rollout": "deploy.rollout_app",
    "sink": "davy.sink",
    "web": "davy.web",
    "alert": "deploy.alert_app",
}
"""In the order in which they are started: module of each, whose `run(config, stop)` blocks until `stop` is
set."""
OPTIONAL: dict[str, str] = {"probe": "deploy.probe_app"}
"""Roles that have something to do only where the configuration says what."""


def wanted(config: Config) -> list[str]:
    """The roles that run where none is named."""
    configured = {"probe": bool(config.probes.targets)}
    return [*ROLES, *(name for name in OPTIONAL if configured[name])]


SPARED = ("ingest", "judge")
"""Roles whose place is taken at once when they end: a process of each waits with everything imported."""


def run(names: Sequence[str], config_path: Path | None, data_dir: Path | None, spare: bool = False) -> None:
    """One role in this process, several (none named: all) under a supervisor; returns after a clean stop.

    A `spare` takes its single role when a line comes on its standard input, and ends when that is closed.
    """
    every = ROLES | OPTIONAL
    unknown = [name for name in names if name not in every]
    if unknown:
        raise UserError(f"there is no role named {unknown[0]!r}; there are {', '.join(every)}")
    if spare and len(names) != 1:
        raise UserError("--spare needs exactly one role")
    config = load(config_path, data_dir)
    if len(names) == 1:
        _here(names[0], config, spare)
        return
    stop = stop_on_signals()
    from streams import kafka
    from streams.embedded import EmbeddedBroker

    logs.configure("supervisor")
    where = ["--config", str(config_path)] if config_path is not None else []
    where += ["--dir", str(data_dir)] if data_dir is not None else []
    with ExitStack() as stack:
        if config.embedded and not names:
            stack.enter_context(EmbeddedBroker(config.data_dir, broker_port(config)))
        kafka.require_broker(config)
        supervisor = Supervisor(children(list(names) or wanted(config), where, spares=True))
        stack.enter_context(supervisor).run(stop)


def broker_port(config: Config) -> int:
    """Where the embedded broker is to listen: the roles find it by the same setting."""
    port = config.kafka.get("bootstrap.servers", "").rpartition(":")[2]
    if not port.isdigit():
        raise UserError("embedded: true needs kafka: bootstrap.servers with a port, for example 127.0.0.1:9092")
    return int(port)


def children(
    names: Sequence[str], where: Sequence[str], log_dir: Path | None = None, spares: bool = False
) -> list[Child]:
    """One child per role; `where` are the options that say which configuration. With a `log_dir` each has its
    own log; with `spares` a process waits to take the place of ingest and judge."""
    return [
        Child(
            name,
            [sys.executable, "-m", "davy", "run", name, *where],
            log_dir / f"{name}.log" if log_dir else None,
            spare=spares and name in SPARED,
        )
        for name in names
    ]


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def set_stop(number: int, frame: object) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, set_stop)
    return stop


def _here(name: str, config: Config, spare: bool) -> None:
    stop = None if spare else stop_on_signals()
    die_with_parent()
    logs.configure(name)
    role = import_module((ROLES | OPTIONAL)[name])
    prepare = getattr(role, "prepare", None)
    if prepare is not None:
        prepare()
    if spare and not sys.stdin.readline():  # a signal ends it here: it has nothing to put in order
        return
    stop = stop or stop_on_signals()
    from davy.health import watched
    from davy.memory import given_back

    with watched(config, name, stop), given_back():
        role.run(config, stop)


def command(
    roles: Annotated[
        list[str] | None,
        typer.Argument(metavar="ROLE", help="ingest, judge, rollout, sink, web, alert, probe; none: all."),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    spare: Annotated[
        bool, typer.Option("--spare", help="Import all, then wait for a line on stdin before taking the role.")
    ] = False,
) -> None:
    """\b
    Example: davy run
             davy run ingest judge --config davy.yaml

    Exit code: 0 on clean stop, 2 bad config, 4 infrastructure.
    """
    run(roles or [], config, data_dir, spare)
