"""`davy subscribe`: apply verdicts by a command or a URL."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass
from typing import Annotated, get_args

import typer

from davy.commands.run import stop_on_signals
from davy.options import ConfigFile, DataDir, Json, load
from deploy.appliers import Command, Url
from deploy.subscriber import Subscriber
from schemas.config import Config
from schemas.errors import UserError
from schemas.model import ID
from schemas.units import parse_duration
from schemas.verdict import Action, Verdict

FAILED = 1


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    experiment: str | None
    command: str | None
    url: str | None
    name: str
    actions: tuple[str, ...]
    once: bool
    timeout: str
    ledger: bool
    as_json: bool


def subscribe(options: Options, config: Config, stop: threading.Event | None = None) -> int:
    """Until a signal comes, or with `once` until the latest state is applied; 1 where something could not be applied."""
    if (options.command is None) == (options.url is None):
        raise UserError("say how a verdict is applied: --exec COMMAND or --url URL, one of them")
    if not ID.fullmatch(options.name):
        raise UserError(f"--name {options.name}: say letters, digits, '.', '_' and '-', up to 128")
    unknown = [action for action in options.actions if action not in get_args(Action)]
    if unknown:
        raise UserError(f"--action {unknown[0]}: there are {', '.join(get_args(Action))}")
    try:
        timeout_s = parse_duration(options.timeout) / 1e6
    except ValueError as error:
        raise UserError(f"--timeout {options.timeout}: say a duration such as 60s") from error
    apply = Command(options.command, timeout_s) if options.command is not None else Url(options.url or "", timeout_s)
    actions: tuple[Action, ...] = tuple(action for action in get_args(Action) if action in options.actions)

    def told(outcome: str, verdict: Verdict, reason: str) -> None:
        _print(outcome, verdict, reason, options.as_json)

    stop = stop or stop_on_signals()
    with Subscriber(config, options.name, apply, options.experiment, actions, told, options.ledger) as subscriber:
        (subscriber.catch_up if options.once else subscriber.run)(stop)
        print(
            f"davy: {subscriber.state.applied} applied, {subscriber.state.skipped} superseded, "
            f"{subscriber.state.refused} refused since {options.name} began", file=sys.stderr,
        )  # fmt: skip
        return FAILED if subscriber.failed else 0


def _print(outcome: str, verdict: Verdict, reason: str, as_json: bool) -> None:
    line = f"{outcome:8} {verdict.experiment_id} {verdict.variant} #{verdict.sequence} {verdict.action}: {reason}"
    if as_json:
        fields = {
            "outcome": outcome, "experiment_id": verdict.experiment_id, "variant": verdict.variant,
            "sequence": verdict.sequence, "action": verdict.action, "verdict_id": verdict.verdict_id, "reason": reason,
        }  # fmt: skip
        line = json.dumps(fields)
    print(line, flush=True)


def command(
    experiment: Annotated[str | None, typer.Argument(help="Without one: all.")] = None,
    command: Annotated[
        str | None, typer.Option("--exec", metavar="COMMAND", help="Run by sh: JSON on stdin, fields as $DAVY_... .")
    ] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Gets the JSON by POST; 2xx means applied.")] = None,
    name: Annotated[str, typer.Option(help="Of this subscriber: it goes on where one of that name ended.")] = "default",
    action: Annotated[list[str] | None, typer.Option(help="Apply only these; may be said repeatedly.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Apply the latest state, then end.")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="For one application.")] = "60s",
    ledger: Annotated[bool, typer.Option(help="Whether refusals are written to the ledger.")] = True,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Each is checked and applied once; after an absence only the latest is.

    \b
    Example: davy subscribe checkout-2.4.0 --exec './deploy.sh $DAVY_ACTION'
             davy subscribe --url https://deployer.example/verdicts

    Exit code: 0 on clean stop, 1 if something could not be applied; 2 bad option, 4 infrastructure.
    """
    options = Options(experiment, command, url, name, tuple(action or ()), once, timeout, ledger, as_json)
    raise typer.Exit(subscribe(options, load(config, data_dir)))
