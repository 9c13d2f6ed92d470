"""`davy shift`: the executor alone. Traffic of one experiment at every configured target, without Kafka; and back."""

from __future__ import annotations

import uuid
from pathlib import Path

from davy.commands.split import share_of
from deploy.executor import Executor, Trace
from deploy.hands import journal_path
from deploy.journal import Entry, Journal
from deploy.splitter import step_weights
from deploy.traffic import targets
from deploy.traffic.base import Order, Weights
from schemas.config import Config
from schemas.errors import UserError
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
    """How the last order that was carried out began."""
    begun: dict[str, Entry] = {}
    last: list[Entry] = []
    for entry in journal.entries():
        if entry["phase"] == "begin":
            begun[entry["order_id"]] = entry
        elif entry["phase"] == "end" and entry["order_id"] in begun:
            last = [begun[entry["order_id"]]]
    return last[0] if last and set(last[0]["weights"]) == set(spec.variants) else None
