"""`davy history`: what became of a service's releases, from the analysts' store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from davy.options import ConfigFile, DataDir, Json, load
from davy.store import ask
from schemas.config import Config
from schemas.errors import UnknownId
from streams.sinks.base import quote

Record = dict[str, Any]
MEASURED = "sum(rows) AS seen, sum(errors) AS failed, any(version) AS release"


def history(service: str, config: Config, as_json: bool) -> int:
    """Print one entry per candidate, oldest first; raises `UnknownId` where nothing is known of the service."""
    found = list(_releases(service, config))
    if not found:
        raise UnknownId(
            f"nothing is known of a service {service!r}: davy query 'select distinct service from windows' lists them"
        )
    for record in found:
        print(json.dumps(record) if as_json else _told(record))
    return 0


def _releases(service: str, config: Config) -> Iterator[Record]:
    where = f"WHERE service = {quote(service)}"
    experiments = ask(
        config, f"SELECT id, environment, owner, applied_at, control FROM experiments {where} ORDER BY applied_at"
    )
    last = ask(
        config,
        "SELECT experiment_id, variant, argMax(action, sequence) AS action, argMax(conclusion, sequence) AS conclusion, "
        "argMax(reason, sequence) AS reason, argMax(weight, sequence) AS weight, max(event_time) AS until, max(sequence) AS n "
        f"FROM verdicts {where} AND phase = 'rollout' GROUP BY experiment_id, variant ORDER BY experiment_id, variant",
    ).dicts()
    arms = ask(
        config, f"SELECT experiment_id, variant, {MEASURED} FROM windows {where} GROUP BY experiment_id, variant"
    ).dicts()
    counted = {(arm["experiment_id"], arm["variant"]): arm for arm in arms}
    nothing = {"seen": 0, "failed": 0, "release": None}
    for experiment in experiments.dicts():
        control = counted.get((experiment["id"], experiment["control"]), nothing)
        verdicts = [verdict for verdict in last if verdict["experiment_id"] == experiment["id"]]
        for verdict in verdicts or [
            {"variant": None, "action": None, "conclusion": None, "reason": "no verdict", "until": None}
        ]:
            arm = counted.get((experiment["id"], verdict["variant"]), nothing)
            yield {
                "experiment_id": experiment["id"], "environment": experiment["environment"], "owner": experiment["owner"],
                "applied_at": experiment["applied_at"], "variant": verdict["variant"], "version": arm["release"],
                "until": verdict["until"], "action": verdict["action"], "conclusion": verdict["conclusion"],
                "requests": arm["seen"], "errors": arm["failed"], "control_requests": control["seen"],
                "control_errors": control["failed"], "reason": verdict["reason"],
            }  # fmt: skip


def _told(record: Record) -> str:
    when = record["applied_at"][:16].replace("T", " ")
    place = f"{record['experiment_id']} ({record['environment']})"
    if record["action"] is None:
        return f"{when}  {place}: no verdict"
    version = f" {record['version']}" if record["version"] else ""
    return (
        f"{when}  {place}: {record['variant']}{version} {record['action']} {record['conclusion']}; "
        f"{_share(record, '')}, control {_share(record, 'control_')}\n"
        f"                  {record['reason']}"
    )


def _share(record: Record, arm: str) -> str:
    errors, requests = record[f"{arm}errors"], record[f"{arm}requests"]
    return f"{100 * errors / requests:.2f} % errors of {requests:,}" if requests else "no requests"


def command(
    service: Annotated[str, typer.Argument()],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """\b
    Example: davy history checkout

    Exit code: 0; 3 unknown, 4 infrastructure.
    """
    raise typer.Exit(history(service, load(config, data_dir), as_json))
