"""`python -m deploy.ops`: write the generated files where they belong."""

from __future__ import annotations

from pathlib import Path

from deploy.ops import clickhouse_sql, grafana_dashboards, kubernetes

HOME = Path(__file__).parent


def files() -> dict[str, str]:
    """Every generated file's content, by its path in this folder."""
    return {**clickhouse_sql.files(), **grafana_dashboards.files(), **kubernetes.files()}


if __name__ == "__main__":
    for name, content in files().items():
        (HOME / name).write_text(content)
