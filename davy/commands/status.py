"""`davy status`: where rollouts stand."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from davy.commands import replay
from davy.options import ConfigFile, DataDir, Json, load
from davy.snapshot import snapshot
from davy.tree import tree
from davy.web import answers
from davy.web.feed import Feed
from davy.web.state import State
from schemas.budget import BudgetStatus
from schemas.config import Config
from schemas.errors import UserError
from schemas.units import parse_duration
from schemas.verdict import Verdict
from streams.clock import Clock

UNKNOWN = 3
WATCH_S = 1.0
PIPE_WIDTH = 160
LEAVE_S = 5.0


def status(experiment: str | None, watch: bool, as_json: bool, timeout: str, config: Config) -> int:
    """Print it; with `watch` again with every change, until all are over or the timeout. The exit code is a replay's."""
    try:
        deadline = time.monotonic() + parse_duration(timeout) / 1e6
    except ValueError as error:
        raise UserError(f"--timeout {timeout}: say a duration such as 10m") from error
    if watch and not as_json and sys.stdout.isatty():
        return _live(experiment, deadline, config)
    shown = ""
    while True:
        state = snapshot(config)
        if experiment is not None and experiment not in state.experiments:
            return _unknown(experiment)
        names = [experiment] if experiment is not None else list(state.experiments)
        text = _json(state, names, config) if as_json else table(state, names, Clock.of(config).now_us(), not watch)
        if text != shown:
            begun = bool(shown) and not as_json
            print("\n".join(text.splitlines()[int(begun) :]), flush=True)
            shown = text
        latest = [verdict for name in names for verdict in state.experiments[name].current().values()]
        if not watch or _over(latest) or time.monotonic() > deadline:
            return _code(state, names, latest)
        time.sleep(WATCH_S)


def _over(latest: Sequence[Verdict]) -> bool:
    return bool(latest) and all(verdict.action in ("PROMOTE", "ROLLBACK") for verdict in latest)


def _live(experiment: str | None, deadline: float, config: Config) -> int:
    """The same as a tree that changes in its place, read from the topics as they grow."""
    known = snapshot(config, ("control",)).experiments
    if experiment is not None and experiment not in known:
        return _unknown(experiment)
    stop, console, clock = threading.Event(), Console(), Clock.of(config)
    feed = Feed(config, stop)
    feed.start()
    try:
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                with feed.lock:
                    names = [experiment] if experiment is not None else list(feed.state.experiments)
                    held = [feed.state.experiments[name] for name in names if name in feed.state.experiments]
                    latest = [verdict for one in held for verdict in one.current().values()]
                    shown = [one.spec.id for one in held]
                    live.update(tree(feed.state, shown, clock.now_us(), console.height), refresh=True)
                    silent = any(not one.current() for one in held)
                if (held and not silent and _over(latest)) or time.monotonic() > deadline:
                    return _code(feed.state, shown, latest)
                time.sleep(WATCH_S)
    finally:
        stop.set()
        feed.join(LEAVE_S)


def _unknown(experiment: str) -> int:
    print(f"davy: there is no experiment {experiment!r}: davy status lists them", file=sys.stderr)
    return UNKNOWN


def _code(state: State, names: list[str], latest: list[Verdict]) -> int:
    silent = any(not state.experiments[name].current() for name in names)
    return max(replay.exit_code(latest), UNKNOWN if silent and not any(v.action == "ROLLBACK" for v in latest) else 0)


def _json(state: State, names: list[str], config: Config) -> str:
    now_us = Clock.of(config).now_us()
    held = [(state.experiments[name], state.budgets_of(state.experiments[name].spec)) for name in names]
    said = [
        answers.summary(experiment, now_us) | {"error_budgets": answers.budgets(found)} for experiment, found in held
    ]
    return "\n".join(json.dumps(each, allow_nan=False) for each in said)


def table(state: State, names: list[str], now_us: int, with_budgets: bool) -> str:
    """A line for each experiment, or for each of its candidates; below them the budgets of their services."""
    if not names:
        return "no experiments yet: put one in force with davy apply"
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("experiment", "step", "traffic", "verdict", "why"):
        drawn.add_column(column, overflow="fold" if column == "why" else "ellipsis", no_wrap=column != "why")
    for name in names:
        held = state.experiments[name]
        many = len(held.spec.candidates) > 1
        lines = iter(
            [
                (f"{arm}: " * many + verdict.action + " (expired)" * (now_us >= verdict.expires_at), verdict.reason)
                for arm, verdict in held.current().items()
            ]
            or [("none yet", "")]
        )
        traffic = ", ".join(f"{arm} {100 * share:.4g} %" for arm, share in held.weights.items() if share)
        step = "–" if held.step is None else f"{held.step + 1} of {len(held.spec.steps)}"
        drawn.add_row(name, step, traffic or "–", *next(lines))
        for line in lines:  # of several candidates each
            drawn.add_row("", "", "", *line)
    services = {(state.experiments[name].spec.service, state.experiments[name].spec.environment) for name in names}
    budgets = [each for each in state.budgets.values() if with_budgets and (each.service, each.environment) in services]
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    with console.capture() as capture:
        console.print(drawn)
        if budgets:
            console.print()
            console.print(_budgets(budgets))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _budgets(found: list[BudgetStatus]) -> Table:
    """Error budgets of the services, the one with least left first."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("service", "error budget", "left", "alert", "why"):
        table.add_column(column, overflow="fold" if column == "why" else "ellipsis", no_wrap=column != "why")
    for status in sorted(found, key=lambda status: (status.left, status.key)):
        service = f"{status.service} ({status.environment})"
        table.add_row(service, status.slo, f"{100 * status.left:.4g} %", status.alert.lower(), status.reason)
    return table


def command(
    experiment: Annotated[str | None, typer.Argument(help="Without one: all.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Until it is over: live in a terminal, else every change.")
    ] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to watch.")] = "10m",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """\b
    Example: davy status checkout-2.4.0 --watch

    Exit code: 1 if any was rolled back, else 3 if any is not promoted or unknown, else 0; 2 bad option, 4
    infrastructure.
    """
    raise typer.Exit(status(experiment, watch, as_json, timeout, load(config, data_dir)))
