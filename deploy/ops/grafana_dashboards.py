"""Grafana's dashboards as code: rows of panels, each a title, a unit and its queries; places on the page follow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 39
"""Of dashboards that Grafana 10 and later read."""
WIDTH = 24
HEIGHT = 8
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
CLICKHOUSE = {"type": "grafana-clickhouse-datasource", "uid": "clickhouse"}
GREEN, AMBER, RED = "green", "orange", "red"


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart. `promql` by legend, or one `sql` statement; `limits` colour values from that on."""

    title: str
    kind: str
    unit: str = "short"
    promql: Sequence[tuple[str, str]] = ()
    sql: str = ""
    limits: Sequence[tuple[float, str]] = ()
    help: str = ""

    def document(self, number: int, x: int, y: int, width: int) -> dict[str, Any]:
        """As Grafana has it."""
        source = CLICKHOUSE if self.sql else PROMETHEUS
        steps: list[dict[str, Any]] = [{"value": None, "color": GREEN}]
        steps += [{"value": value, "color": color} for value, color in self.limits]
        return {
            "id": number, "type": self.kind, "title": self.title, "description": self.help, "datasource": source,
            "gridPos": {"x": x, "y": y, "w": width, "h": HEIGHT}, "targets": self._targets(),
            "fieldConfig": {
                "defaults": {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}}, "overrides": [],
            },
            "options": {},
        }  # fmt: skip

    def _targets(self) -> list[dict[str, Any]]:
        if self.sql:
            table = self.kind == "table"
            return [{
                "refId": "A", "datasource": CLICKHOUSE, "editorType": "sql", "rawSql": self.sql,
                "queryType": "table" if table else "timeseries", "format": 1 if table else 0,
            }]  # fmt: skip
        return [
            {"refId": chr(65 + i), "datasource": PROMETHEUS, "expr": expression, "legendFormat": legend}
            for i, (legend, expression) in enumerate(self.promql)
        ]


def series(title: str, unit: str, *promql: tuple[str, str], help: str = "") -> Panel:
    """Lines over time from Prometheus."""
    return Panel(title, "timeseries", unit, promql, help=help)


def number(title: str, expression: str, unit: str = "short", limits: Sequence[tuple[float, str]] = ()) -> Panel:
    """One number from Prometheus."""
    return Panel(title, "stat", unit, [("", expression)], limits=limits)


def history(title: str, unit: str, sql: str, kind: str = "timeseries") -> Panel:
    """From ClickHouse."""
    return Panel(title, kind, unit, sql=sql)


def each(label: str, counter: str) -> tuple[str, str]:
    """Rate of a counter by one label."""
    return f"{{{{{label}}}}}", f"sum by ({label}) (rate({counter}[$__rate_interval]))"


RANGE = "$__timeFilter({})"
UNREAD = 'max by (topic, partition) (davy_role_lag_records{role="ingest"})'
BY_WINDOW = "GROUP BY start, variant ORDER BY start"
ARM = "experiment_id = '$experiment' AND {}".format(RANGE.format("start"))
SERVICE = [
    [
        number("Ready", "min(davy_ready)", limits=[(0, RED), (1, GREEN)]),
        number("Experiments", "max(davy_experiments)"),
        number("Events a second", "sum(rate(davy_ingest_events_total[$__rate_interval]))"),
        number("Unread records", f"sum({UNREAD})", limits=[(100_000, AMBER), (1_000_000, RED)]),
        number(
            "Verdicts are that old", "time() - min(davy_judge_closed_seconds > 0)", "s", limits=[(30, AMBER), (90, RED)]
        ),
        number("Roles that answer", 'sum(up{job="davy"})'),
    ],
    [
        series("Events read", "reqps", each("instance", "davy_ingest_events_total")),
        series("Records not read yet", "short", ("{{topic}}/{{partition}}", UNREAD)),
        series("Records that cannot be used", "reqps", ("", "sum(rate(davy_ingest_deadletters_total[$__rate_interval]))")),
    ],
    [
        series("Counts handled by the judge", "reqps", each("instance", "davy_judge_deltas_total")),
        series("Verdicts issued", "reqps", each("action", "davy_judge_verdicts_total")),
        series("Rows to ClickHouse", "reqps", each("table", "davy_sink_rows_total"),
               ("refused", "sum(rate(davy_sink_failures_total[$__rate_interval]))")),
    ],
    [
        series("Memory", "bytes", ("{{role}}", 'process_resident_memory_bytes{job="davy"}')),
        series("Processor", "percentunit", ("{{role}}", 'rate(process_cpu_seconds_total{job="davy"}[$__rate_interval])')),
        series("Rows that wait for ClickHouse", "bytes", ("on disk", "davy_sink_spool_bytes")),
        series("Open files", "short", ("{{role}}", 'process_open_fds{job="davy"}')),
    ],
]  # fmt: skip
RELEASES = [
    [
        Panel("Rollouts", "table", promql=[("", "davy_verdict == 1")], help="The verdict that holds, for every candidate."),
        series("Share of traffic", "percentunit", ("{{experiment}} {{variant}}", "davy_experiment_weight")),
    ],
    [
        history(
            "Decisions", "short",
            "SELECT time, experiment_id, kind, outcome, actor, reason FROM decisions WHERE "
            + RANGE.format("time") + " ORDER BY time DESC LIMIT 200", "table",
        ),
        history(
            "Changes", "short",
            "SELECT time, experiment_id, kind, actor, text, reason FROM changes WHERE "
            + RANGE.format("time") + " ORDER BY time DESC LIMIT 200", "table",
        ),
    ],
]  # fmt: skip
EXPERIMENT = [
    [
        series("Evidence of harm, of what it must reach", "percentunit",
               ("{{variant}} {{sli}}", 'davy_evidence_harm_log{experiment="$experiment"} / '
                'davy_evidence_harm_log_threshold{experiment="$experiment"}'),
               help="At 1 the candidate is rolled back."),
        series("Share of traffic", "percentunit", ("{{variant}}", 'davy_experiment_weight{experiment="$experiment"}')),
    ],
    [
        history("Error ratio", "percentunit",
                "SELECT start AS time, variant, sum(errors) / sum(rows) AS error_ratio FROM windows WHERE "
                f"{ARM} {BY_WINDOW}"),
        history("p99 latency", "µs",
                f"SELECT start AS time, variant, max(p99_us) AS p99 FROM windows WHERE {ARM} {BY_WINDOW}"),
        history("Requests", "short",
                f"SELECT start AS time, variant, sum(requests) AS requests FROM windows WHERE {ARM} {BY_WINDOW}"),
    ],
    [
        history("Evidence table of the newest verdict", "short",
                "SELECT sli, variant, baseline, candidate, effect, lower, upper, evidence, threshold, status, "
                "n_baseline, n_candidate FROM evidence "
                "WHERE experiment_id = '$experiment' ORDER BY event_time DESC, position LIMIT 20", "table"),
        history("Verdicts", "short",
                "SELECT event_time, variant, action, conclusion, step, weight, reason FROM verdicts WHERE "
                "experiment_id = '$experiment' ORDER BY event_time DESC LIMIT 200", "table"),
    ],
]  # fmt: skip
BUDGETS = [
    [
        history("Errors of the last 30 days, by service", "percentunit",
                "SELECT service, environment, sum(errors) / sum(rows) AS error_ratio, sum(rows) AS requests FROM windows_1h "
                "WHERE start > now() - INTERVAL 30 DAY GROUP BY service, environment ORDER BY error_ratio DESC", "table"),
    ],
    [
        history("Error ratio by hour, of the ten services that fail most often", "percentunit",
                "SELECT start AS time, service, sum(errors) / sum(rows) AS error_ratio FROM windows_1h WHERE "
                + RANGE.format("start") + " AND service IN (SELECT service FROM windows_1h WHERE " + RANGE.format("start")
                + " GROUP BY service ORDER BY sum(errors) / sum(rows) DESC LIMIT 10) GROUP BY time, service ORDER BY time"),
        history("Rollbacks by week", "short",
                "SELECT toMonday(event_time) AS time, countIf(action = 'ROLLBACK') AS rollbacks, "
                "countIf(action = 'PROMOTE') AS promotions FROM verdicts WHERE " + RANGE.format("event_time")
                + " GROUP BY time ORDER BY time"),
    ],
]  # fmt: skip
_EXPERIMENTS = {
    "name": "experiment", "label": "Experiment", "type": "query", "datasource": PROMETHEUS,
    "query": "label_values(davy_experiment_weight, experiment)", "refresh": 2, "sort": 1,
}  # fmt: skip
DASHBOARDS: dict[str, tuple[str, list[list[Panel]], list[dict[str, Any]]]] = {
    "service": ("Davy: its own health", SERVICE, []),
    "releases": ("Davy: releases", RELEASES, []),
    "experiment": ("Davy: one experiment", EXPERIMENT, [_EXPERIMENTS]),
    "budgets": ("Davy: error budgets", BUDGETS, []),
}
_ANNOTATIONS = {
    "name": "Decisions", "datasource": CLICKHOUSE, "enable": True, "iconColor": "purple",
    "target": {
        "refId": "A", "editorType": "sql", "queryType": "table", "format": 1,
        "rawSql": "SELECT time, concat(experiment_id, ': ', kind, ' ', outcome) AS text FROM decisions WHERE "
        + RANGE.format("time"),
    },
}  # fmt: skip


def files() -> dict[str, str]:
    """Every dashboard as JSON."""
    return {
        f"grafana/{name}.json": json.dumps(dashboard(name), indent=1, ensure_ascii=False) + "\n" for name in DASHBOARDS
    }


def dashboard(name: str) -> dict[str, Any]:
    """One of `DASHBOARDS` as Grafana has it."""
    title, rows, variables = DASHBOARDS[name]
    panels: list[dict[str, Any]] = []
    for y, row in enumerate(rows):
        width = WIDTH // len(row)
        panels += [panel.document(len(panels) + x + 1, x * width, y * HEIGHT, width) for x, panel in enumerate(row)]
    return {
        "uid": f"davy-{name}", "title": title, "tags": ["davy"], "timezone": "browser", "editable": True,
        "schemaVersion": SCHEMA_VERSION, "refresh": "10s", "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables}, "annotations": {"list": [_ANNOTATIONS]}, "panels": panels,
    }  # fmt: skip
