"""`davy recount`: count all of the source again, into a new delta log."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from davy.options import ConfigFile, DataDir, Json, load
from schemas.config import Config
from schemas.errors import UserError
from streams import kafka
from streams.generation import renew
from streams.layout import Layout


def recount(config: Config, yes: bool, as_json: bool = False) -> None:
    """Begin one, where somebody who knows what that means said yes."""
    deltas = config.topic("deltas")
    if not yes:
        raise UserError(f"this deletes {deltas} and counts everything again: stop every ingest and judge, then --yes")
    kafka.require_broker(config)
    renew(config)
    digest = Layout.of(config).digest
    told = {"deltas": deltas, "layout": digest}
    print(json.dumps(told) if as_json else f"{deltas} is empty and of layout {digest}: start ingest and judges again")


def command(
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """For an upgrade that changes what counts mean (its notes say so; ingest refuses to start, and names this), or for other
    limits of the layout in davy.yaml. Stop every ingest and judge of all versions first: it looks whether they are gone. What
    the source's retention has taken is not counted again. Verdicts go on under higher epochs.

    \b
    Example: davy recount --yes

    Exit code: 0; 2 without --yes or while somebody counts, 4 infrastructure.
    """
    recount(load(config, data_dir), yes, as_json)
