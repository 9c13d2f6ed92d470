"""`davy split`: the traffic splitter alone: the files of one weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from davy.options import ConfigFile, DataDir, Json
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


def command(
    spec: Annotated[Path, typer.Argument(help="A spec file with one experiment.")],
    weight: Annotated[str, typer.Option(help="Share of every candidate: 10% or 0.1.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go; each is replaced by rename.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """For flagd, nginx and HAProxy.

    \b
    Example: davy split checkout.yaml --weight 10% --out traffic/checkout-2.4.0

    Exit code: 0; 2 bad spec or weight.
    """
    shares = split(spec, weight, out)
    if as_json:
        print(json.dumps({"out": str(out), "weights": shares}))
        return
    print(f"{out}: " + ", ".join(f"{name} {100 * share:.4g} %" for name, share in shares.items()))
