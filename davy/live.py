"""The live scenario: a real service in three versions behind a real HAProxy, with real load.

Half of the users are Davy's; for the other half a fixed threshold decides, on the same traffic at the same time. Both
experiments are put in force at once: the second one waits in line until the bad version was rolled back. What is told at the
end is read from the proxy's own log, never from Davy.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from davy.commands.apply import send
from davy.demo_show import JsonLines, Lines, Show
from davy.proxy_log import DAVY, RULE, Half, ProxyLog
from davy.scene import Scene
from davy.supervisor import Child
from deploy import splitter
from deploy.traffic.base import TargetError
from deploy.traffic.haproxy import Options as SocketOptions
from deploy.traffic.haproxy import RuntimeSocket
from schemas.config import Config
from schemas.decision import Decision
from schemas.errors import UserError
from schemas.flag import FlagChange, load_flag
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams.clock import Clock
from streams.embedded import free_port

NAME = "live"
SHOP = Path(__file__).parent / "examples" / "shop"
FAILS = {"control": 0.002, "bad": 0.06, "good": 0.002}
"""Share of requests that fail, by the server's name at the proxy."""
VERSIONS = {"control": "2.3.1", "bad": "2.4.0", "good": "2.4.1"}
CONNECTIONS, THINK_MS = 64, 100
"""wrk's: some 64 / 110 ms = 580 requests per second."""
LOAD_S = 24 * 3600
RULE_EVERY_S, RULE_SUCCESS = 60.0, 0.99
"""Of the rival: Flagger's built-in request-success-rate and its default interval, rolled back at the first failed check."""
RULE_STEPS = (0.1, 0.5)
SYSTEM_PATHS = ("/usr/sbin", "/usr/local/sbin")
"""Where Debian has servers, which not everybody's PATH names."""


class FixedThreshold(threading.Thread):
    """The rival: looks at the last minute's success rate, goes on or back by it. It begins when Davy's half does."""

    def __init__(self, folder: Path, log: ProxyLog, lock: threading.Lock, stop: threading.Event) -> None:
        super().__init__(name="fixed threshold", daemon=True)
        self._log, self._lock, self._halt = log, lock, stop
        self._socket = RuntimeSocket(SocketOptions(socket=str(folder / "haproxy.sock")))
        self._map = folder / "rule.map"

    def run(self) -> None:
        while self._half(DAVY)[0] == 0:
            if self._halt.wait(0.1):
                return
        steps = iter(RULE_STEPS)
        self._set(next(steps))
        served, failed = 0, 0
        while not self._halt.wait(RULE_EVERY_S):
            now_served, now_failed = self._half(RULE)
            if now_served > served and 1 - (now_failed - failed) / (now_served - served) < RULE_SUCCESS:
                self._set(0.0)
                return
            served, failed = now_served, now_failed
            self._set(next(steps, 1.0))

    def _half(self, name: str) -> tuple[int, int]:
        with self._lock:
            half = self._log.halves[name]
            return half.bad_requests, half.bad_failures

    def _set(self, share: float) -> None:
        try:
            self._socket.ask(f"set map {self._map} canary {round(share * splitter.SHARES)}")
        except TargetError:
            return  # the proxy is gone: the demo ends


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the users, from the proxy's log."""

    davy: Half
    rule: Half

    @property
    def complete(self) -> bool:
        """Whether all that is told has happened."""
        return None not in (self.davy.to_zero_s, self.rule.to_zero_s, self.davy.to_all_s)

    def to_json(self) -> dict[str, Any]:
        """For a program."""
        halves = {
            name: {
                "requests": half.requests, "bad_requests": half.bad_requests, "failed_requests": half.bad_failures,
                "first_failure_to_zero_s": half.to_zero_s,
            }
            for name, half in ((DAVY, self.davy), (RULE, self.rule))
        }  # fmt: skip
        return {
            **halves,
            "rule_every_s": RULE_EVERY_S,
            "rule_success": RULE_SUCCESS,
            "good_to_all_s": self.davy.to_all_s,
        }

    def lines(self) -> list[str]:
        """For people."""
        rule = f"success >= {RULE_SUCCESS:.0%} each {RULE_EVERY_S:g} s"
        bad, good, fails = VERSIONS["bad"], VERSIONS["good"], FAILS["bad"]
        both = (self.davy, self.rule)
        return [
            "As the proxy's log tells it, each for half of the users, at the same time:",
            f"{'':<46}{'Davy':>10}{rule:>28}",
            _row(f"{bad}, which fails {fails:.0%}: first failure to 0 %", [_seconds(half.to_zero_s) for half in both]),
            _row(f"{bad}: requests served by it", [f"{half.bad_requests:,}" for half in both]),
            _row(f"{bad}: requests that failed", [f"{half.bad_failures:,}" for half in both]),
            _row(f"{good}: first share to 100 %", [_seconds(self.davy.to_all_s), "-"]),
        ]


def _row(what: str, told: list[str]) -> str:
    return f"{what:<46}{told[0]:>10}{told[1]:>28}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


class Live:
    """What the demo needs to know of it."""

    name = NAME
    speed = 1.0
    warm = True
    duration_s = 240.0
    title = "live: a real shop behind HAProxy; a bad version is rolled back, then a good one gets all traffic"

    def __init__(self) -> None:
        self._programs = {name: program(name) for name in ("haproxy", "wrk")}
        if find_spec("davy_emit") is None or find_spec("openfeature") is None:  # the shop's middleware and flags
            raise UserError("the live scenario needs davy-emit: pip install 'davy-emit[flags]' (clients/python)")
        self.specs = tuple(self._spec(name) for name in ("bad", "good"))
        self._folder, self._port = Path(), free_port()
        self._log = ProxyLog(Path())
        self._lock, self._stop = threading.Lock(), threading.Event()

    @staticmethod
    def _spec(name: str) -> ExperimentSpec:
        (spec,) = load_specs(SHOP / f"{name}.yaml")
        return spec

    def settings(self, data_dir: Path) -> dict[str, Any]:
        """What its configuration has beside every demo's."""
        return {
            "traffic": [{"type": "haproxy-map", "socket": str(data_dir / NAME / "haproxy.sock")}],
            "limits": {"window": "2s", "lateness": "2s"},
        }

    def children(self, config: Config, path: Path, log_dir: Path) -> list[Child]:
        """The shop's three versions, the proxy with nothing for the candidates yet, and the load."""
        self._folder = config.data_dir / NAME
        self._folder.mkdir(parents=True, exist_ok=True)
        for spec in self.specs:
            splitter.split(spec, 0.0, config.traffic / spec.id)
        (self._folder / "rule.map").write_text("canary 0\n", "utf-8")
        ports = {name: free_port() for name in VERSIONS}
        template = (SHOP / "haproxy.cfg").read_text("utf-8")
        filled = template.format(folder=self._folder, traffic=config.traffic, port=self._port, **ports)
        (self._folder / "haproxy.cfg").write_text(filled, "utf-8")
        self._log.path = log_dir / "proxy.log"
        kafka = config.kafka["bootstrap.servers"]
        shops = [
            _child(f"shop-{version}", log_dir, (), sys.executable, "-m", "davy.examples.shop.app", "--kafka", kafka,
                   "--port", str(ports[name]), "--version", version, "--fails", str(FAILS[name]), "--flags",
                   f"http://127.0.0.1:{config.http.port}", "--flags-file", str(self._folder / f"flags-{version}.json"))
            for name, version in VERSIONS.items()
        ]  # fmt: skip
        proxy = _child(
            "proxy",
            log_dir,
            tuple(ports.values()),
            self._programs["haproxy"],
            "-db",
            "-f",
            str(self._folder / "haproxy.cfg"),
        )
        users = _child(
            "users", log_dir, (config.http.port, self._port), self._programs["wrk"], "-t", "1", "-c", str(CONNECTIONS),
            "-d", str(LOAD_S), "-s", str(SHOP / "users.lua"), f"http://127.0.0.1:{self._port}/", "1", str(THINK_MS),
        )  # fmt: skip
        text = (SHOP / "flag.yaml").read_text("utf-8")
        send(config, [FlagChange(load_flag(text).key, Clock.of(config).now_us(), "davy demo", "the shop's", text)])
        FixedThreshold(self._folder, self._log, self._lock, self._stop).start()
        return [*shops, proxy, users]

    def shown(self, show: Show, scene: Scene) -> Show:
        """Both experiments, then the report."""
        if isinstance(show, JsonLines):
            return LiveShow(self, [show], as_json=True)
        scenes = [replace(scene, spec=spec, title=spec.hypothesis, arms={}, verdicts={}) for spec in self.specs]
        return LiveShow(self, [Lines(scene, scene.spec.id) for scene in scenes], as_json=False)

    def report(self) -> Report:
        """As the proxy's log has it now."""
        with self._lock:
            self._log.read()
            return Report(self._log.halves[DAVY], self._log.halves[RULE])

    def close(self) -> None:
        """The rival ends."""
        self._stop.set()


class LiveShow:
    """Other shows, and the report once it is complete, or as it is at the end."""

    def __init__(self, live: Live, shows: list[Show], as_json: bool) -> None:
        self._live, self._shows, self._as_json = live, shows, as_json
        self._told = False

    def __enter__(self) -> Self:
        for show in self._shows:
            show.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        for show in self._shows:
            show.__exit__(*error)
        if not self._told:
            self._tell(self._live.report())
        self._live.close()

    def take(self, record: Verdict | WindowSummary | Decision) -> None:
        """To all of them."""
        for show in self._shows:
            show.take(record)

    def tick(self, now_us: int) -> None:
        """Tell the report once all of it has happened."""
        for show in self._shows:
            show.tick(now_us)
        report = self._live.report()
        if report.complete and not self._told:
            self._tell(report)

    def _tell(self, report: Report) -> None:
        self._told = True
        if self._as_json:
            print(json.dumps({"kind": "live", **report.to_json()}, allow_nan=False), flush=True)
        else:
            print("", *report.lines(), "", sep="\n", flush=True)


def program(name: str) -> str:
    """Its path; raises `UserError` where it is not installed."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_PATHS]))
    if found is None:
        raise UserError(f"the live scenario needs {name}: install it (Debian: apt-get install haproxy wrk)")
    return found


def _child(name: str, log_dir: Path, after: tuple[int, ...], *command: str) -> Child:
    """A program that starts once the ports answer."""
    start = [sys.executable, "-m", "davy.examples.shop.start", ",".join(map(str, after))]
    return Child(name, [*start, *command], log_dir / f"{name}.log")
