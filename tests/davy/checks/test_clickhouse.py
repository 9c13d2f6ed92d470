"""What the doctor says of a store's schema, on the embedded engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from davy.checks import clickhouse
from davy.checks.base import Level
from schemas.config import Config
from streams.sinks import migrations
from streams.sinks.embedded import EmbeddedStore, folder_of

SCHEMAS = Path(__file__).parents[2] / "streams" / "sinks" / "schemas"
PRESENT = migrations.VERSION


@pytest.mark.parametrize(
    ("sql", "level", "said"),
    [
        ([], Level.OK, f"has all its tables, schema {PRESENT}"),
        ([migrations.reached(PRESENT + 1)], Level.PROBLEM, f"schema {PRESENT + 1}, made by a newer Davy"),
        ([f"DROP TABLE {migrations.NUMBERS}"], Level.PROBLEM, f"has schema 1; this Davy has {PRESENT}"),
        (["DROP TABLE probes", "CREATE VIEW probes AS SELECT 1 AS ok"], Level.PROBLEM, "that Davy did not make"),
    ],
)
def test_it_knows_the_schema(tmp_path: Path, sql: list[str], level: Level, said: str) -> None:
    config = Config().with_data_dir(tmp_path)
    with EmbeddedStore(folder_of(config)) as store:
        store.migrate([])
        for statement in sql:
            store.run(statement)
    found = [finding for finding in clickhouse.look(config) if finding.level is not Level.WARNING]
    assert [finding.level for finding in found] == [level]
    assert said in found[0].what
    assert (found[0].remedy == "") == (level is Level.OK)
