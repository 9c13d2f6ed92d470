"""`davy split`: the traffic splitter alone."""

from __future__ import annotations

from pathlib import Path

from deploy import splitter
from schemas.errors import UserError
from schemas.spec import load_specs
from schemas.units import parse_share


def split(file: Path, weight: str, out: Path) -> dict[str, float]:
    """Write the files for one weight of every candidate; gives the share per variant as it was written."""
    share = share_of(weight)
    specs = load_specs(file)
    if len(specs) != 1:
        raise UserError(f"{file}: has {len(specs)} experiments; the splitter takes one at a time")
    try:
        return splitter.split(specs[0], share, out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from error


def share_of(weight: str) -> float:
    """What `--weight` says, from 0 to 1."""
    try:
        share = parse_share(weight) if weight.strip().endswith("%") else float(weight)
    except ValueError as error:
        raise UserError(f"--weight {weight}: say a share such as 10% or 0.1") from error
    if not 0 <= share <= 1:
        raise UserError(f"--weight {weight}: must be from 0 to 1, or from 0% to 100%")
    return share
