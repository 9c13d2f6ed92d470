"""`davy approve`: let a rollout go on that waits for a person.

`davy pause`: hold a rollout where it is.

`davy resume`: let a paused or invalid rollout go on.

`davy promote`: give the candidate all traffic now.

`davy abort`: end a rollout and give control all traffic.

`davy rollback`: give control all traffic now.
"""

from __future__ import annotations

import getpass
import json
import sys
import uuid
from typing import Annotated

import typer

from davy.commands import apply
from davy.options import ConfigFile, DataDir, Json, load
from davy.snapshot import snapshot
from schemas.config import Config
from schemas.control import Command, Control
from schemas.errors import UserError
from streams.clock import Clock

UNKNOWN = 3
REASON_MAX = 1_000


def tell(command: str, experiment: str, reason: str, variant: str | None, config: Config) -> int:
    """Write the command to the control topic; 0, or 3 where there is no such experiment."""
    if not reason.strip() or len(reason) > REASON_MAX:
        raise UserError(f"--reason: say why, in 1 to {REASON_MAX} characters: it goes into the ledger")
    held = snapshot(config, ("control",)).experiments.get(experiment)
    if held is None:
        return UNKNOWN
    if variant is not None and variant not in held.spec.candidates:
        raise UserError(f"--variant {variant}: {experiment} has the candidates {', '.join(held.spec.candidates)}")
    body = Command(str(uuid.uuid4()), command, variant)
    apply.send(config, [Control(experiment, Clock.of(config).now_us(), getpass.getuser(), reason, body)])
    return 0


def command(
    context: typer.Context,
    experiment: Annotated[str, typer.Argument(help="Its id.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why: it goes into the ledger.")],
    variant: Annotated[str | None, typer.Option(help="Only this candidate.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """\b
    Example: davy {name} checkout-2.4.0 --reason "seen it in staging"

    Exit code: 0 sent, 2 bad option, 3 unknown, 4 infrastructure.
    """
    name = str(context.info_name)
    code = tell(name, experiment, reason, variant, load(config, data_dir))
    if code == UNKNOWN:
        print(f"davy: there is no experiment {experiment!r}: davy status lists them", file=sys.stderr)
    elif as_json:
        print(json.dumps({"experiment_id": experiment, "command": name}))
    else:
        print(f"{name} of {experiment} sent; the ledger shows what comes of it")
    raise typer.Exit(code)
