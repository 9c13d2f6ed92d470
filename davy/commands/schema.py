"""`davy schema`: print one schema, a bare JSON document."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from davy.options import ConfigFile, DataDir
from schemas import codec
from schemas.config import config_json_schema
from schemas.errors import UserError
from schemas.spec import experiment_json_schema

JSON_SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "Config": config_json_schema,
    "Experiment": experiment_json_schema,
}


def names() -> list[str]:
    """All schemas that `davy schema NAME` prints."""
    return sorted([*codec.names(), *JSON_SCHEMAS])


def schema(name: str) -> str:
    """The schema of that name as JSON text; raises `UserError` for an unknown one."""
    if name in JSON_SCHEMAS:
        return json.dumps(JSON_SCHEMAS[name](), indent=2)
    try:
        return json.dumps(codec.document(name), indent=2)
    except codec.UnknownSchema:
        raise UserError(f"there is no schema named {name!r}; there are {', '.join(names())}") from None


def command(
    name: Annotated[str | None, typer.Argument(help="Without one: the list.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """\b
    Example: davy schema RequestEvent

    Exit code: 0; 2 there is none of that name.
    """
    print(schema(name) if name else "\n".join(names()))
