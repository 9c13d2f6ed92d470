"""Verdicts and specs as the analysts' store has them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from davy.store import ask, mapping, moment
from schemas.config import Config
from schemas.errors import DavyError
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import Evidence, Verdict
from streams.sinks.base import quote

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WORST_FIRST = ("ROLLBACK", "HOLD", "CONTINUE", "ADVANCE", "PROMOTE")


def verdicts(subject: str, config: Config) -> list[Verdict]:
    """The verdict of that id; or of an experiment the latest one of the rollout, for each candidate."""
    if _UUID.fullmatch(subject):
        found = _verdicts(f"verdict_id = {quote(subject.lower())} LIMIT 1", config)
        if found:
            return found
    latest = "ORDER BY phase = 'rollout' DESC, sequence DESC LIMIT 1 BY variant"
    found = _verdicts(f"experiment_id = {quote(subject)} {latest}", config)
    return sorted(found, key=lambda verdict: (_WORST_FIRST.index(verdict.action), verdict.variant))


def watched(experiment: str, config: Config) -> list[Verdict]:
    """What the watch said last of a change after the promotion, for each candidate."""
    latest = "phase = 'watch' AND change IS NOT NULL ORDER BY variant, sequence DESC LIMIT 1 BY variant"
    return _verdicts(f"experiment_id = {quote(experiment)} AND {latest}", config)


def _verdicts(condition: str, config: Config) -> list[Verdict]:
    rows = ask(config, f"SELECT * FROM verdicts WHERE {condition}").dicts()
    return [_verdict(row, config) for row in rows]


def _verdict(row: Mapping[str, Any], config: Config) -> Verdict:
    """From its row and those of its evidence."""
    where = f"verdict_id = {quote(row['verdict_id'])} AND experiment_id = {quote(row['experiment_id'])}"
    evidence = ask(config, f"SELECT * FROM evidence WHERE {where} ORDER BY position").dicts()
    values = {field.name: row.get(field.name) for field in fields(Verdict)}
    for name in ("issued_at", "event_time", "expires_at"):
        values[name] = moment(row, name)
    values["offsets"] = mapping(row, "offsets")
    for name in ("needed", "budget", "change"):
        values[name] = json.loads(row[name]) if row.get(name) else None
    values["evidence"] = [{field.name: item[field.name] for field in fields(Evidence)} for item in evidence]
    return Verdict.from_avro(values)


def spec_of(verdict: Verdict, config: Config) -> ExperimentSpec | None:
    """The spec as it was applied when the verdict was issued; None where the store does not have it."""
    digest = verdict.config_digest.partition("-")[0]
    condition = f"experiment_id = {quote(verdict.experiment_id)} AND startsWith(digest, {quote(digest)})"
    rows = ask(config, f"SELECT path, document FROM specs WHERE {condition} LIMIT 1").dicts()
    try:
        return load_specs(rows[0]["document"] + "\n", path=rows[0]["path"])[0] if rows else None
    except DavyError:
        return None
