"""`davy run`: the service's roles, one process each."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from davy import logs
from davy.supervisor import Child, Supervisor, die_with_parent
from schemas.config import Config, load_config
from schemas.errors import UserError

ROLES: dict[str, str] = {
    "ingest": "streams.ingest_loop",
    "judge": "streams.judge_loop",
    "rollout": "deploy.rollout_app",
    "sink": "davy.sink",
    "web": "davy.web",
}
"""In the order in which they are started: module of each, whose `run(config, stop)` blocks until `stop` is
set."""


def run(names: Sequence[str], config_path: Path | None, data_dir: Path | None) -> None:
    """One role in this process, several (none named: all) under a supervisor; returns after a clean stop."""
    unknown = [name for name in names if name not in ROLES]
    if unknown:
        raise UserError(f"there is no role named {unknown[0]!r}; there are {', '.join(ROLES)}")
    config, stop = load(config_path, data_dir), stop_on_signals()
    if len(names) == 1:
        _here(names[0], config, stop)
        return
    from streams import kafka
    from streams.embedded import EmbeddedBroker

    logs.configure("supervisor")
    where = ["--config", str(config_path)] if config_path is not None else []
    where += ["--dir", str(data_dir)] if data_dir is not None else []
    with ExitStack() as stack:
        if config.embedded and not names:
            stack.enter_context(EmbeddedBroker(config.data_dir, broker_port(config)))
        kafka.require_broker(config)
        stack.enter_context(Supervisor(children(list(names) or list(ROLES), where))).run(stop)


def broker_port(config: Config) -> int:
    """Where the embedded broker is to listen: the roles find it by the same setting."""
    port = config.kafka.get("bootstrap.servers", "").rpartition(":")[2]
    if not port.isdigit():
        raise UserError("embedded: true needs kafka: bootstrap.servers with a port, for example 127.0.0.1:9092")
    return int(port)


def children(names: Sequence[str], where: Sequence[str], log_dir: Path | None = None) -> list[Child]:
    """One child per role; `where` are the options that say which configuration. With a `log_dir` each has its
    own log."""
    return [
        Child(
            name,
            [sys.executable, "-m", "davy", "run", name, *where],
            log_dir / f"{name}.log" if log_dir else None,
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


def _here(name: str, config: Config, stop: threading.Event) -> None:
    die_with_parent()
    logs.configure(name)
    import_module(ROLES[name]).run(config, stop)


def load(config_path: Path | None, data_dir: Path | None) -> Config:
    """The configuration: the file named, else ./davy.yaml where there is one, else the defaults; `data_dir`
    wins."""
    return load_config(config_path).with_data_dir(data_dir)
