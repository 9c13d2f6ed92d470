"""`davy demo`: everything on this machine, with a release that goes bad.

The parent owns the broker, the clock's origin, the configuration and the view; every role and the simulator
are processes of their own under its supervisor, the same that run in service.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from davy import logs
from davy.commands import apply, replay
from davy.commands.run import children, stop_on_signals, wanted
from davy.demo_dir import CONFIG, demo_dir
from davy.demo_show import JsonLines, Lines, Show, Terminal
from davy.follow import Follower
from davy.options import ConfigFile, Json, load
from davy.scene import Scene
from davy.supervisor import Child, Supervisor, last_line
from schemas import located
from schemas.config import Config, load_config
from schemas.errors import InfrastructureError, UserError
from schemas.spec import ExperimentSpec
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams import scenario as scenarios
from streams.clock import Clock
from streams.embedded import EmbeddedBroker
from streams.scenario import Scenario
from streams.topics import ensure_topics

HOST = "127.0.0.1"
READY_TIMEOUT_S = 90.0
"""How long the console may take until it answers: all roles import their libraries at the same time then."""
WARM_TIMEOUT_S = 60.0
POLL_S = 0.2
LIVE = "live"
SPEED_MAX = 50.0
"""Beyond that the 30 s that a verdict lives pass before a rollout can obey it."""


@dataclass(frozen=True, slots=True)
class Options:
    """As on the command line; `speed` and `duration` None are the scenario's own."""

    scenario: str
    duration: float | None
    speed: float | None
    port: int
    data_dir: Path
    config: Path | None
    as_json: bool
    no_browser: bool


class Play(Protocol):
    """What is shown: where the traffic comes from, and the experiments on it."""

    @property
    def name(self) -> str:
        """Of the scenario."""
        ...

    @property
    def title(self) -> str:
        """One line about it."""
        ...

    @property
    def speed(self) -> float:
        """Seconds of event time in a second, unless told otherwise."""
        ...

    @property
    def duration_s(self) -> float:
        """Unless told otherwise."""
        ...

    @property
    def warm(self) -> bool:
        """Whether windows must come before the experiments begin: its traffic does not wait until everything runs."""
        ...

    @property
    def specs(self) -> tuple[ExperimentSpec, ...]:
        """The experiments, all applied at the start."""
        ...

    def settings(self, data_dir: Path) -> dict[str, Any]:
        """What its configuration has beside every demo's."""
        ...

    def children(self, config: Config, path: Path, log_dir: Path) -> list[Child]:
        """The processes that make the traffic; `path` is that of the configuration."""
        ...

    def shown(self, show: Show, scene: Scene) -> Show:
        """The same, with what is the scenario's own to tell."""
        ...


class Simulated:
    """A scenario of the simulator."""

    duration_s = 120.0
    warm = False

    def __init__(self, scenario: Scenario) -> None:
        self.name, self.speed, self.specs = scenario.name, scenario.speed, (scenario.spec,)
        self.title = f"{scenario.name}: {scenario.summary}"

    def settings(self, data_dir: Path) -> dict[str, Any]:
        return {}

    def children(self, config: Config, path: Path, log_dir: Path) -> list[Child]:
        command = [sys.executable, "-m", "davy", "simulate", self.name, "--out", "kafka", "--config", str(path)]
        return [Child("simulator", command, log_dir / "simulator.log")]

    def shown(self, show: Show, scene: Scene) -> Show:
        return show


def play_of(options: Options) -> tuple[Play, float]:
    """The scenario and the speed of its clock; raises `UserError`."""
    if options.scenario == LIVE:
        from davy.live import Live

        if options.speed not in (None, 1.0):
            raise UserError(f"--speed {options.speed:g}: the live scenario is real, it has no other speed than 1")
        return Live(), 1.0
    if options.scenario not in scenarios.names():
        known = ", ".join([*scenarios.names(), LIVE])
        raise UserError(f"there is no scenario named {options.scenario!r}; there are {known}")
    play = Simulated(scenarios.load(options.scenario))
    speed = play.speed if options.speed is None else options.speed
    if not 0 < speed <= SPEED_MAX:
        raise UserError(f"--speed {speed:g}: must be above 0 and at most {SPEED_MAX:g}")
    return play, speed


def demo(options: Options) -> int:
    """Run the demo to its end; returns the exit code."""
    play, speed = play_of(options)
    duration_s = play.duration_s if options.duration is None else options.duration
    if duration_s < 0:
        raise UserError(f"--duration {duration_s:g}: must be 0 (until Ctrl-C) or more seconds")
    deadline = time.monotonic() + duration_s if duration_s else None
    port = free_port(options.port)
    stop = stop_on_signals()
    with ExitStack() as stack:
        data_dir = stack.enter_context(demo_dir(options.data_dir))
        log_dir = data_dir / "logs"
        logs.configure("demo", log_dir / "demo.log")
        broker = stack.enter_context(EmbeddedBroker(data_dir))
        path = write_config(data_dir, broker.bootstrap, port, speed, play.settings(data_dir), options.config)
        config = load(path, None)
        ensure_topics(config)
        traffic = play.children(config, path, log_dir)
        if not options.as_json:
            names = [*wanted(config), *(child.name for child in traffic)]
            print(f"davy demo: starting {', '.join(names)} ...", file=sys.stderr)
        roles = children(wanted(config), ["--config", str(path)], log_dir)
        supervisor = stack.enter_context(Supervisor([*roles, *traffic]))
        wait_for_console(port, supervisor, stop)
        now_us = Clock.of(config).now_us()
        scene = Scene(play.specs[0], play.title, f"http://{HOST}:{port}", speed, now_us, now_us)
        if options.as_json:
            show: Show = JsonLines(scene.address, broker.bootstrap, data_dir)
        else:
            show = Terminal(scene, not options.no_browser) if sys.stdout.isatty() else Lines(scene)
        show = stack.enter_context(play.shown(show, scene))
        if play.warm:
            wait_for_windows(config, supervisor, stop)
        apply.send(
            config, [apply.applied(spec, Clock.of(config).now_us(), "davy demo", play.title) for spec in play.specs]
        )
        last = _follow(config, supervisor, scene, show, stop, deadline)
    return replay.exit_code(last.values())


def free_port(port: int) -> int:
    """The port, or a free one for 0; raises `UserError` where it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no such port"
            raise UserError(
                f"port {port} cannot be used ({reason}): name another with --port, or 0 for a free one"
            ) from error
        return int(probe.getsockname()[1])


def write_config(
    data_dir: Path, bootstrap: str, port: int, speed: float, more: dict[str, Any], base: Path | None
) -> Path:
    """The configuration that all processes of the demo read: `base`, with what is the demo's own in its place, and the
    scenario's (`more`)."""
    document: dict[str, Any] = _document(base) if base is not None else {}
    document |= {
        "kafka": {"bootstrap.servers": bootstrap},
        "embedded": True,
        "data_dir": str(data_dir),
        "traffic_dir": str(data_dir / "traffic"),
        "http": {"host": HOST, "port": port},
        "clock": {"speed": speed, "origin_us": time.time_ns() // 1000},
        **more,
    }
    path = data_dir / CONFIG
    head = "# Written by `davy demo`, for its processes and for `davy query` and `davy explain` afterwards.\n"
    path.write_text(head + json.dumps(document, indent=2) + "\n", "utf-8")  # JSON is YAML
    return path


def _document(base: Path) -> dict[str, Any]:
    """A configuration as plain data, once it is known to be a good one."""
    load_config(base)
    documents, _ = located.read(located.read_text(base), str(base))
    return dict(documents[0].data) if documents else {}


def wait_for_console(port: int, supervisor: Supervisor, stop: threading.Event) -> None:
    """Until the console answers or `stop` is set; raises `InfrastructureError` where it never does."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not stop.wait(POLL_S):
        supervisor.watch()
        with socket.socket() as probe:
            probe.settimeout(POLL_S)
            if probe.connect_ex((HOST, port)) == 0:
                return
        if time.monotonic() > deadline:
            web = next(child for child in supervisor.children if child.name == "web")
            raise InfrastructureError(
                f"the console did not answer within {READY_TIMEOUT_S:.0f} s: {last_line(web.log_path)}"
            )


def wait_for_windows(config: Config, supervisor: Supervisor, stop: threading.Event) -> None:
    """Until the judge tells a window or `stop` is set; raises `InfrastructureError` where it never does."""
    follower, deadline = Follower(config), time.monotonic() + WARM_TIMEOUT_S
    try:
        while not stop.is_set():
            if any(isinstance(record, WindowSummary) for record in follower.poll(POLL_S)):
                return
            supervisor.watch()
            if time.monotonic() > deadline:
                raise InfrastructureError(
                    f"no window was told within {WARM_TIMEOUT_S:.0f} s: logs/ in the demo's folder says why"
                )
    finally:
        follower.close()


def _follow(
    config: Config,
    supervisor: Supervisor,
    scene: Scene,
    show: Show,
    stop: threading.Event,
    deadline: float | None,
) -> dict[tuple[str, str], Verdict]:
    """Show what comes until the demo is over; the last verdict of each rollout."""
    clock, follower = Clock.of(config), Follower(config)
    last: dict[tuple[str, str], Verdict] = {}
    try:
        while not stop.is_set() and (deadline is None or time.monotonic() < deadline):
            for record in follower.poll(POLL_S):
                if isinstance(record, Verdict) and record.phase == "rollout":
                    last[record.experiment_id, record.variant] = record
                show.take(record)
            supervisor.watch()
            scene.lag, scene.dead, scene.restarts = follower.lag, follower.dead, supervisor.restarts
            show.tick(clock.now_us())
    finally:
        follower.close()
    return last


def command(
    scenario: Annotated[
        str, typer.Option(help="Which traffic: see `davy simulate --help`; live: a real service behind HAProxy.")
    ] = "errors",
    duration: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Ends by itself after that (default 120, live 240); 0: on Ctrl-C."),
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="Seconds of event time in a second (default: the scenario's).")
    ] = None,
    port: Annotated[int, typer.Option(help="Of the dashboard; 0 picks a free one.")] = 7070,
    data_dir: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the demo keeps its data.")] = Path(
        ".davy"
    ),
    config: ConfigFile = None,
    as_json: Json = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the dashboard.")] = False,
) -> None:
    """A broker, traffic, judgement, rollout, store and console start, and end by themselves. With --json every line on
    stdout is one object.

    \b
    Example: davy demo --scenario healthy

    Exit code: 1 if the canary was rolled back, 0 if it was promoted, else 3; 2 bad option, 4 infrastructure.
    """
    raise typer.Exit(demo(Options(scenario, duration, speed, port, data_dir, config, as_json, no_browser)))
