"""Dashboards: as their code writes them, valid for Grafana, and every query runs on the analysts' store."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.ops import grafana_dashboards
from deploy.ops.__main__ import HOME, files
from streams.sinks.embedded import EmbeddedStore

NAMES = sorted(grafana_dashboards.DASHBOARDS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path_factory.mktemp("store") / "clickhouse") as store:
        store.migrate([])
        yield store


def test_generated_files_are_up_to_date() -> None:
    """`python -m deploy.ops` writes them."""
    for name, content in files().items():
        assert (HOME / name).read_text() == content, name


def lost(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """What of ours is not in theirs; Grafana's own types drop what they do not know. Queries and options are plug-ins' own."""
    if isinstance(ours, dict):
        found: list[str] = []
        for key, value in ours.items():
            if key not in theirs:
                found += [f"{path}.{key}"] * (value not in (None, [], {}, "", False))
            elif key not in ("targets", "target", "options"):
                found += lost(value, theirs[key], f"{path}.{key}")
        return found
    if isinstance(ours, list):
        return [fault for i, item in enumerate(ours) for fault in lost(item, theirs[i], f"{path}[{i}]")]
    return [] if ours == theirs else [f"{path}: {ours!r} became {theirs!r}"]


@pytest.mark.parametrize("name", NAMES)
def test_grafanas_own_types_take_every_field(name: str) -> None:
    document = grafana_dashboards.dashboard(name)
    read = Dashboard.from_json(document)
    assert lost(document, json.loads(JSONEncoder().encode(read))) == []
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in document["panels"]]
    assert len(set(places)) == len(places)


def test_a_wrong_field_would_be_seen() -> None:
    document = grafana_dashboards.dashboard("service")
    document["panels"][0]["gridPoss"] = {"x": 1}
    assert lost(document, json.loads(JSONEncoder().encode(Dashboard.from_json(document)))) == [".panels[0].gridPoss"]


@pytest.mark.parametrize("name", NAMES)
def test_every_statement_runs(name: str, store: EmbeddedStore) -> None:
    document = grafana_dashboards.dashboard(name)
    targets = [target for panel in document["panels"] for target in panel["targets"]]
    targets += [annotation["target"] for annotation in document["annotations"]["list"]]
    for sql in filter(None, (target.get("rawSql") for target in targets)):
        plain = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 > now() - 3600", sql).replace("$experiment", "checkout")
        assert "$" not in plain
        assert store.query(plain).rows == []
