"""The analysts' tables: their columns, and how the engine at hand says them (`streams.sinks.ddl` makes statements of it).

What people query (`windows`, `verdicts`, ...) are views; what is written are the tables behind them
(`windows_raw`, ...), ReplacingMergeTree. Rows are absolute, never increments: a row replaces the one of the
same key unless its version is lower. The views read with FINAL, so that a row that was written twice (a
replay, a restart after kill -9) is seen once.

Servers before 22.3 (Debian ships 18.16) know neither DateTime64 nor Map: there a time is a DateTime in
whole seconds beside `<name>_us` with the exact microseconds, and a map is two arrays, `<name>.key` and
`<name>.value`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from schemas.config import RAW_EVENTS_KEEP_US
from schemas.frozen import frozen

Kind = Literal[
    "text",
    "text?",
    "label",
    "label?",
    "int",
    "int?",
    "float",
    "float?",
    "bool",
    "bool?",
    "time",
    "time?",
    "texts",
    "words",
    "ints",
    "floats",
]
"""`label`: a text with few distinct values; `?`: may be null; `words`, `ints`, `floats`: maps; `time`: UTC
microseconds."""
KEYS, VALUES = ".key", ".value"
"""Suffixes of the two columns of a map on old servers."""
Row = Mapping[str, Any]
"""Values by column name."""


@frozen()
class Table:
    """One base table. Of rows with the same `key` the one with the highest `version` is seen, of equals the
    last."""

    name: str
    columns: Mapping[str, Kind]
    key: tuple[str, ...]
    version: str | None = None
    month: str | None = None
    """The time whose month is the partition."""
    since: str | None = None
    """The time from which its retention counts, where that is neither the one of `month` nor the first."""
    keep_us: int | None = None
    """How long rows are kept where nobody says; None: for ever."""

    @property
    def age(self) -> str:
        """The time from which its retention counts."""
        return self.since or self.month or next(name for name, kind in self.columns.items() if kind == "time")

    @property
    def raw(self) -> str:
        """The name of what is written."""
        return f"{self.name}_raw"


@frozen()
class Part:
    """How one kind becomes one column of an engine."""

    type: str
    suffix: str = ""
    codec: str = ""
    """How it is compressed; empty: as the engine thinks."""

    @property
    def declared(self) -> str:
        """Type and codec, as a statement says them."""
        return f"{self.type} CODEC({self.codec})" if self.codec else self.type


@frozen()
class Dialect:
    """What an engine's SQL can say."""

    kinds: Mapping[Kind, tuple[Part, ...]]
    replace_view: str
    """In front of a view's name, so that the new one takes its place."""
    drop_view: bool
    if_not_exists: str
    """In front of a column that is added."""
    nullable_key: str
    """SETTINGS that allow a null in the key, or nothing: then the key's expression has no nulls."""
    measure: str
    """One value of the map `measures`, or null."""

    def parts(self, table: Table) -> Iterator[tuple[str, str, Part]]:
        """Engine's column, our column, and how the one becomes the other."""
        for name, kind in table.columns.items():
            for part in self.kinds[kind]:
                yield f"{name}{part.suffix}", name, part

    def key(self, table: Table, name: str) -> str:
        """One column of the sorting key."""
        kind = table.columns[name]
        exact = f"{name}_us" if kind == "time" and len(self.kinds["time"]) > 1 else name
        return exact if self.nullable_key or not kind.endswith("?") else f"ifNull({exact}, '\\0')"


def _arrays(kind: str) -> tuple[Part, ...]:
    return (Part("Array(String)", KEYS), Part(f"Array({kind})", VALUES))


_ZSTD = "ZSTD(1)"
MODERN = Dialect(
    kinds={
        "text": (Part("String", codec=_ZSTD),), "text?": (Part("Nullable(String)", codec=_ZSTD),),
        "int": (Part("Int64", codec=f"T64, {_ZSTD}"),), "int?": (Part("Nullable(Int64)", codec=_ZSTD),),
        "float": (Part("Float64", codec=_ZSTD),), "float?": (Part("Nullable(Float64)", codec=_ZSTD),),
        "texts": (Part("Array(String)", codec=_ZSTD),),
        "label": (Part("LowCardinality(String)"),), "label?": (Part("LowCardinality(Nullable(String))"),),
        "bool": (Part("Bool"),), "bool?": (Part("Nullable(Bool)", codec=_ZSTD),),
        "time": (Part("DateTime64(6, 'UTC')", codec=f"Delta, {_ZSTD}"),),
        "time?": (Part("Nullable(DateTime64(6, 'UTC'))", codec=_ZSTD),),
        "words": (Part("Map(String, String)", codec=_ZSTD),),
        "ints": (Part("Map(LowCardinality(String), Int64)", codec=_ZSTD),),
        "floats": (Part("Map(LowCardinality(String), Float64)", codec=_ZSTD),),
    },
    replace_view="OR REPLACE VIEW", drop_view=False, nullable_key=" SETTINGS allow_nullable_key = 1",
    if_not_exists="IF NOT EXISTS ",
    measure="if(mapContains(measures, {name}), measures[{name}], NULL)",
)  # fmt: skip
OLD = Dialect(
    kinds={
        "text": (Part("String"),), "text?": (Part("Nullable(String)"),), "int": (Part("Int64"),),
        "int?": (Part("Nullable(Int64)"),), "float": (Part("Float64"),), "float?": (Part("Nullable(Float64)"),),
        "texts": (Part("Array(String)"),), "label": (Part("String"),), "label?": (Part("Nullable(String)"),),
        "bool": (Part("UInt8"),), "bool?": (Part("Nullable(UInt8)"),),
        "time": (Part("DateTime('UTC')"), Part("Int64", "_us")),
        "time?": (Part("Nullable(DateTime('UTC'))"), Part("Nullable(Int64)", "_us")),
        "words": _arrays("String"), "ints": _arrays("Int64"), "floats": _arrays("Float64"),
    },
    replace_view="VIEW", drop_view=True, nullable_key="", if_not_exists="",
    measure="if(has(measures.key, {name}), measures.value[indexOf(measures.key, {name})], NULL)",
)  # fmt: skip
MODERN_FROM = (22, 3)


def dialect_of(version: str) -> Dialect:
    """For a server's version, ``26.9.2.1``."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return MODERN if (major, minor) >= MODERN_FROM else OLD


WINDOWS = Table(
    "windows",
    {
        "experiment_id": "label?", "service": "label", "environment": "label", "version": "label",
        "variant": "label?", "start": "time", "end": "time", "rows": "int", "errors": "int",
        "mean_us": "float?", "p50_us": "float?", "p90_us": "float?", "p95_us": "float?", "p99_us": "float?",
        "p999_us": "float?", "requests": "float", "late": "int", "quarantined": "int", "measures": "floats",
        "revision": "int", "duplicates": "int",
    },
    key=("service", "environment", "experiment_id", "variant", "version", "start"),
    version="revision", month="start",
)  # fmt: skip
VERDICTS = Table(
    "verdicts",
    {
        "verdict_id": "text", "experiment_id": "label", "variant": "label", "service": "label",
        "environment": "label", "epoch": "int", "sequence": "int", "issued_at": "time",
        "event_time": "time", "expires_at": "time", "phase": "label", "action": "label",
        "conclusion": "label", "step": "int", "weight": "float", "reason": "text", "needed": "text?",
        "offsets": "ints", "config_digest": "label", "code_version": "label", "budget": "text?",
        "change": "text?",
    },
    key=("experiment_id", "variant", "event_time", "verdict_id"), version="epoch", month="event_time",
)  # fmt: skip
EVIDENCE = Table(
    "evidence",
    {
        "verdict_id": "text", "experiment_id": "label", "event_time": "time", "position": "int",
        "sli": "label", "variant": "label", "baseline": "float?", "candidate": "float?", "effect": "float?",
        "lower": "float?", "upper": "float?", "evidence": "float", "log_evidence": "float",
        "threshold": "float", "safety_evidence": "float?", "safety_threshold": "float?",
        "n_baseline": "int", "n_candidate": "int", "status": "label", "needed_requests": "int?",
        "needed_seconds": "float?", "epoch": "int",
    },
    key=("experiment_id", "variant", "event_time", "verdict_id", "sli"), version="epoch", month="event_time",
)  # fmt: skip
DECISIONS = Table(
    "decisions",
    {
        "decision_id": "text", "experiment_id": "label", "service": "label", "environment": "label",
        "sequence": "int", "time": "time", "kind": "label", "outcome": "label", "actor": "label",
        "reason": "text", "verdict_id": "text?", "variant": "label?", "epoch": "int",
        "state_before": "label", "state_after": "label", "step": "int?", "weights": "floats",
        "details": "words", "config_digest": "label?", "code_version": "label", "previous_hash": "text?",
        "hash": "text?",
    },
    key=("experiment_id", "decision_id", "outcome"), version="sequence", month=None,
)  # fmt: skip
PROBES = Table(
    "probes",
    {
        "target": "label", "kind": "label", "time": "time", "ok": "bool", "circuit": "label",
        "latency_us": "int?", "error": "text?", "error_ratio": "float", "services": "texts",
    },
    key=("target", "kind", "time"), month="time",
)  # fmt: skip
CHANGES = Table(
    "changes",
    {
        "experiment_id": "label", "time": "time", "kind": "label", "actor": "label", "text": "text",
        "tags": "texts", "reason": "text", "variant": "label?", "step": "int?", "weights": "floats",
    },
    key=("experiment_id", "time", "kind", "actor", "text"), month="time",
)  # fmt: skip
EXPERIMENTS = Table(
    "experiments",
    {
        "experiment_id": "label", "digest": "text", "applied_at": "time", "actor": "label", "reason": "text",
        "service": "label", "environment": "label", "hypothesis": "text", "owner": "label", "mode": "label",
        "control": "label", "candidates": "texts", "path": "text", "document": "text",
    },
    key=("experiment_id", "digest"), version="applied_at",
)  # fmt: skip
REPORTS = Table(
    "reports",
    {"experiment_id": "label", "sequence": "int", "made_at": "time", "state": "label", "markdown": "text"},
    key=("experiment_id",), version="sequence",
)  # fmt: skip
"""What was learned, made at the end; `sequence` is that of the ledger line that ended it."""
INCIDENTS = Table(
    "incidents",
    {
        "incident_id": "text", "key": "text", "kind": "label", "severity": "label", "started": "time", "updated": "time",
        "ended": "time?", "title": "text", "text": "text", "service": "label?", "environment": "label?",
        "experiment_id": "label?", "variant": "label?", "labels": "words",
    },
    key=("key", "started"), version="updated", month="started",
)  # fmt: skip
"""`incident_id` tells one occurrence from the next of the same `key`; without `ended` it is open."""
EVENTS = Table(
    "events",
    {
        "timestamp": "time", "service": "label", "environment": "label", "version": "label", "experiment_id": "label?",
        "variant": "label?", "segment": "label?", "unit_id": "text?", "instance": "label?", "endpoint": "label?",
        "status": "int", "error": "bool?", "duration_us": "int", "cpu_us": "int?", "memory_bytes": "int?",
        "measures": "floats", "sample_rate": "float", "received": "time", "fate": "label", "topic": "label",
        "partition": "int", "offset": "int", "row": "int",
    },
    key=("service", "environment", "timestamp", "topic", "partition", "offset", "row"),
    since="received", keep_us=RAW_EVENTS_KEEP_US,
)  # fmt: skip
"""A sample of the request events, each named by where it lies in Kafka; `row` counts the rows of one record. What stands
before that in the key is what people ask for, and keeps apart the events of a topic that was made anew. `received` is Kafka's
time of the record; a producer may say anything there, so it is no partition: one insert must not need a hundred."""
TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (WINDOWS, VERDICTS, EVIDENCE, DECISIONS, PROBES, CHANGES, EXPERIMENTS, REPORTS, INCIDENTS, EVENTS)
}
"""What the sink writes."""


def _rolled(name: str) -> Table:
    kinds: dict[str, Kind] = {
        **{name: kind for name, kind in WINDOWS.columns.items() if name not in ("measures", "revision")},
        "p99_max_us": "float?", "windows": "int", "revision": "int",
    }  # fmt: skip
    return Table(name, kinds, key=WINDOWS.key, version="revision", month="start")


ROLLED: Mapping[str, Table] = {
    name: _rolled(name) for name in ("windows_10s", "windows_1m", "windows_1h", "windows_1d")
}
"""What is made of `windows` (see `streams.sinks.rollups`)."""
