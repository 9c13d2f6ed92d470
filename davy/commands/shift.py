"""`davy shift`: the executor alone: set weights at every target of traffic."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Annotated

import typer

from davy.commands.split import share_of
from davy.options import ConfigFile, DataDir, Json, load
from deploy.executor import Executor, Trace
from deploy.hands import journal_path
from deploy.journal import Entry, Journal
from deploy.splitter import step_weights
from deploy.traffic import targets
from deploy.traffic.base import Order, Weights
from schemas.config import Config
from schemas.errors import InfrastructureError, UserError
from schemas.spec import ExperimentSpec, load_specs
from streams.clock import Clock


def shift(file: Path, weight: str | None, undo: bool, config: Config) -> tuple[Weights, Trace]:
    """Give every candidate `weight`, or go back to how it was before the last order, within the spec's rollback window."""
    if (weight is None) == (not undo):
        raise UserError("say what to do: --weight SHARE or --undo, one of them")
    specs = load_specs(file)
    if len(specs) != 1:
        raise UserError(f"{file}: has {len(specs)} experiments; traffic is shifted for one at a time")
    spec, clock = specs[0], Clock.of(config)
    journal = Journal(journal_path(config, spec.id))
    last = _last(journal, spec)
    now: Weights = dict(last["weights"]) if last is not None else step_weights(spec, 0.0)
    if undo:
        if last is None:
            raise UserError(f"nothing was shifted for {spec.id} here: there is nothing to undo")
        if clock.now_us() - int(last["time"]) > spec.rollback.window_us:
            raise UserError(f"the last shift of {spec.id} is older than its rollback window: say --weight instead")
        weights: Weights = dict(last["before"])
    else:
        share = share_of(weight or "")
        if share * len(spec.candidates) > 1 + 1e-9:
            raise UserError(
                f"--weight {weight}: {len(spec.candidates)} candidates at this weight are more than all traffic"
            )
        weights = step_weights(spec, share)
    order = Order(str(uuid.uuid4()), spec, weights, now, kind="undo" if undo else "shift", reason="davy shift")
    return weights, Executor(targets(config), journal, clock.now_us).run(order)


def _last(journal: Journal, spec: ExperimentSpec) -> Entry | None:
    """How the last order that was carried out, and changed anything, began."""
    begun: dict[str, Entry] = {}
    last: list[Entry] = []
    for entry in journal.entries():
        if entry["phase"] == "begin" and entry["weights"] != entry["before"]:
            begun[entry["order_id"]] = entry
        elif entry["phase"] == "end" and entry["order_id"] in begun:
            last = [begun[entry["order_id"]]]
    return last[0] if last and set(last[0]["weights"]) == set(spec.variants) else None


def command(
    spec: Annotated[Path, typer.Argument(help="A spec file with one experiment.")],
    weight: Annotated[str | None, typer.Option(help="Share of every candidate: 10% or 0.1.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Back to before the last shift.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Targets are those of davy.yaml. What was set is read back; where one fails, all are undone.

    \b
    Example: davy shift checkout.yaml --weight 10%
             davy shift checkout.yaml --undo

    Exit code: 0; 2 bad spec or weight, 4 if a target does not do as told.
    """
    weights, trace = shift(spec, weight, undo, load(config, data_dir))
    if as_json:
        print(json.dumps({"weights": weights, "targets": trace.lines, "fault": trace.fault}))
    else:
        print("\n".join(trace.lines))
    if trace.fault is not None:
        raise InfrastructureError(f"the traffic is where it was: {trace.fault}")
    if not as_json:
        print(", ".join(f"{name} {100 * share:.4g} %" for name, share in weights.items()))
