"""`davy token`: make a token by which a caller may steer the console."""

from __future__ import annotations

import json
import secrets
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from davy.options import ConfigFile, DataDir, Json, load
from schemas.access import SCOPES, digest
from schemas.codec import iso
from schemas.errors import UserError
from schemas.model import identifier
from schemas.units import parse_duration

PREFIX = "davy_"
"""By which scanners of repositories know one that got into a file."""
BYTES = 32


def command(
    name: Annotated[str, typer.Argument(help="Who will send it: the ledger names it.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help=f"What it may send, one of {', '.join(SCOPES)}; default: all.")
    ] = None,
    valid: Annotated[
        str | None, typer.Option("--valid", help="How long it is taken, like 90d; default: for ever.")
    ] = None,
    service: Annotated[
        list[str] | None, typer.Option("--service", help="Whose experiments it is for; default: those of all.")
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """The token is shown this once and kept nowhere; davy.yaml gets its SHA-256 only. To change one: add the new entry, let
    the caller use it, remove the old entry.

    Example: davy token argo --scope command --valid 90d

    Exit code: 0 it was made, 2 wrong input.
    """
    if any(token.name == name for token in load(config, data_dir).http.tokens):
        print(f"{name} has a token already; both are taken until you remove the old entry.", file=sys.stderr)
    try:
        identifier(name)
        until_us = None if valid is None else int(datetime.now(UTC).timestamp() * 1e6) + parse_duration(valid)
    except ValueError as error:
        raise UserError(str(error)) from error
    scopes = tuple(scope or SCOPES)
    unknown = [each for each in scopes if each not in SCOPES]
    if unknown:
        raise UserError(f"there is no scope {unknown[0]!r}: say one of {', '.join(SCOPES)}")
    token = PREFIX + secrets.token_urlsafe(BYTES)
    entry: dict[str, object] = {"name": name, "sha256": digest(token), "scopes": list(scopes)}
    if until_us is not None:
        entry["until"] = iso(until_us)
    if service:
        entry["services"] = service
    if json_:
        print(json.dumps({"token": token, "entry": entry}, indent=2))
        return
    fields = [f"name: {name}", f"sha256: {entry['sha256']}", f"scopes: [{', '.join(scopes)}]"]
    fields += [f"until: '{entry['until']}'"] if until_us is not None else []
    fields += [f"services: {json.dumps(service)}"] if service else []
    print(f"The token, shown this once:\n\n  {token}\n\nIn davy.yaml:\n\nhttp:\n  tokens:")
    print("    - " + "\n      ".join(fields))
