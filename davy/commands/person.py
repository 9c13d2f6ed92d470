"""What a person tells a rollout: approve, pause, resume, promote, abort, rollback. It lands in the ledger with who and why."""

from __future__ import annotations

import getpass
import uuid

from davy.commands import apply
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
