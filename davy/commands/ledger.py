"""`davy ledger`: read all decisions and refusals, or verify that none was changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from davy.options import ConfigFile, DataDir, Json, load
from deploy.audit import Audit, Entry, audited, chain_of
from schemas.codec import Malformed, UnknownSchema, iso
from schemas.config import Config
from schemas.decision import Decision
from schemas.errors import UserError
from schemas.signature import Keys, of_headers
from streams import kafka

TAMPERED = 1
UNKNOWN = 3
NOTHING = "the ledger is empty: nothing was decided yet"


def entries(config: Config, unreadable: list[str] | None = None) -> Iterator[Entry]:
    """All records of the ledger in the order of the log, each with its place and what is wrong with its signature."""
    kafka.require_broker(config)
    keys, topic = Keys.of(config.signing), config.topic("decisions")
    for message in kafka.to_end(config, topic, "ledger"):
        value, place = message.value() or b"", f"{topic}/{message.partition()}@{message.offset()}"
        try:
            decision = Decision.decode(value)
        except (Malformed, UnknownSchema) as error:
            if unreadable is not None:
                unreadable.append(f"{place}: it cannot be read: {error}")
            continue
        yield place, decision, keys.fault("Decision", value, of_headers(message.headers()))


def show(experiment: str | None, config: Config, as_json: bool) -> int:
    """Print the records; 3 where the experiment has none."""
    seen: set[str | None] = set()
    found: list[Decision] = []
    for _, decision, _ in entries(config):
        if experiment in (None, decision.experiment_id) and (decision.hash is None or decision.hash not in seen):
            seen.add(decision.hash)
            found.append(decision)
    if experiment is not None and not found:
        print(f"davy: the ledger has nothing of {experiment!r}: davy ledger shows all", file=sys.stderr)
        return UNKNOWN
    if as_json:
        for decision in found:
            print(json.dumps(decision.to_json(), allow_nan=False))
        return 0
    print(_table(found) if found else NOTHING)
    return 0


def _table(found: list[Decision]) -> str:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("time", "experiment", "#", "what", "outcome", "by", "state", "why"):
        table.add_column(column, overflow="fold", no_wrap=column not in ("why", "by"))
    for decision in found:
        moved = decision.state_before != decision.state_after
        state = f"{decision.state_before} → {decision.state_after}" if moved else decision.state_after
        table.add_row(
            iso(decision.time)[:19], decision.experiment_id, str(decision.sequence), decision.kind, decision.outcome,
            decision.actor, state, decision.reason,
        )  # fmt: skip
    console = Console(width=None if sys.stdout.isatty() else 200)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip()


def verify(experiment: str | None, head: str | None, config: Config, as_json: bool) -> int:
    """Audit every chain, or that of one experiment: 0 whole, 1 tampered with, 3 unknown. `head` is a hash noted earlier."""
    unreadable: list[str] = []
    everything = entries(config, unreadable)
    audits = audited(entry for entry in everything if experiment in (None, chain_of(entry[1])))
    if experiment is not None and not audits:
        print(f"davy: the ledger has no chain {experiment!r}: davy ledger verify shows all", file=sys.stderr)
        return UNKNOWN
    if head is not None and not any(head in audit.hashes for audit in audits.values()):
        unreadable.append(f"no record has the hash {head}: the end of the ledger was cut off, or rewritten")
    for audit in audits.values():
        print(json.dumps(_as_json(audit)) if as_json else "\n".join([_sentence(audit), *audit.findings]))
    if as_json and unreadable:
        print(json.dumps({"chain": None, "findings": unreadable}))
    elif unreadable:
        print("\n".join(unreadable))
    elif not audits and not as_json:
        print(NOTHING)
    return TAMPERED if unreadable or any(audit.faults for audit in audits.values()) else 0


def _as_json(audit: Audit) -> dict[str, object]:
    return {
        "chain": audit.name, "records": audit.records, "repeated": audit.repeated, "unchained": audit.unchained,
        "head": audit.head, "faults": audit.faults, "findings": audit.findings,
    }  # fmt: skip


def _sentence(audit: Audit) -> str:
    told = "whole" if not audit.faults else f"NOT as it was written, {audit.faults} findings"
    before = f", {audit.unchained} from before records were chained" if audit.unchained else ""
    return f"{audit.name}: {audit.records} records{before}, {told}; head {audit.head}"


def command(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="verify|EXPERIMENT", help="Without one: all.", show_default=False)
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="With verify: a head noted earlier, which must be there still.")
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Verifying also finds what was removed or put in.

    \b
    Example: davy ledger checkout-2.4.0
             davy ledger verify
             davy ledger verify checkout-2.4.0

    Exit code: 0, with verify 1 if it is not as it was written; 2 bad option, 3 unknown, 4 infrastructure.
    """
    said = list(words or ())
    asked = said[:1] == ["verify"]
    names = said[1:] if asked else said
    if len(names) > 1:
        raise UserError(f"{names[1]!r} is one word too many: say davy ledger [verify] [EXPERIMENT]")
    if head is not None and not asked:
        raise UserError("--head goes with verify")
    name, settings = (names[0] if names else None), load(config, data_dir)
    raise typer.Exit(verify(name, head, settings, as_json) if asked else show(name, settings, as_json))
