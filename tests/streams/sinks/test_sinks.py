"""Conformance of every store, on the real engines."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.config import Clickhouse, Config
from schemas.errors import UserError
from streams.sinks import open_store, sinks
from streams.sinks.base import QUERY_ROWS_MAX, QueryError, Store, StoreUnavailable
from streams.sinks.rows import of_control, of_decision, of_incident, of_probe, of_verdict, of_window
from streams.sinks.tables import TABLES, Row
from tests.streams.sinks import records


def put(store: Store, *found: Mapping[str, list[Row]]) -> None:
    """What records became."""
    for rows_by_table in found:
        for table, rows in rows_by_table.items():
            store.insert(table, rows)


def everything(store: Store) -> dict[str, list[list[object]]]:
    """All that can be seen, in a fixed order."""
    return {name: sorted(store.query(f"SELECT * FROM {name}").rows, key=repr) for name in TABLES}


def test_every_engine_is_found() -> None:
    assert set(sinks()) == {None, "clickhouse", "clickhouses"}


def test_the_same_records_again_change_nothing(store: Store) -> None:
    once: list[Mapping[str, list[Row]]] = [
        of_window(records.window(0, cpu_us=2.5).encode()), of_window(records.window(0, None).encode()),
        of_verdict(records.verdict(0).encode()), of_verdict(records.verdict(1, "ROLLBACK", "HARM").encode()),
        of_decision(records.decision().encode()), of_probe(records.probe().encode()),
        of_control(records.applied().encode()), of_control(records.annotation().encode()), {"reports": [records.report()]},
        of_incident(records.incident().encode()), of_incident(records.incident(ended=True).encode()),
        of_incident(records.incident(1).encode()), {"events": [records.event(), records.event(1), records.event(row=1)]},
    ]  # fmt: skip
    put(store, *once)
    before = everything(store)
    put(store, *reversed(once), *once)
    assert everything(store) == before
    counts = {name: len(rows) for name, rows in before.items()}
    assert counts == {
        "windows": 2, "verdicts": 2, "evidence": 4, "decisions": 1, "probes": 1, "changes": 2, "experiments": 1,
        "reports": 1, "incidents": 2, "events": 3,
    }  # fmt: skip


def test_a_later_revision_replaces_whatever_the_order(store: Store) -> None:
    revisions = [records.window(0, revision=revision, rows=10 * revision) for revision in (2, 3, 1)]
    for summary in revisions:
        put(store, of_window(summary.encode()))
    assert store.query("SELECT rows, revision FROM windows").rows == [[30, 3]]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    log=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([None, "", "canary", "control"]), st.integers(1, 9)),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_any_duplication_and_order_of_a_log_shows_the_newest(
    store: Store, log: list[tuple[int, str | None, int]]
) -> None:
    base = store.query("SELECT max(revision) FROM windows").rows[0][0] or 0
    expected: dict[tuple[int, str | None], int] = {}
    for index, variant, revision in log:
        summary = records.window(index, variant, base + revision, rows=base + revision)
        put(store, of_window(summary.encode()))
        key = (summary.start, variant)
        expected[key] = max(expected.get(key, 0), base + revision)
    seen = store.query(f"SELECT variant, rows FROM windows WHERE revision > {base}").rows
    assert sorted(seen, key=repr) == sorted([[v, rows] for (_, v), rows in expected.items()], key=repr)


def test_windows_have_the_promised_columns_and_the_means_of_measures(store: Store) -> None:
    put(store, of_window(records.window(0, cpu_us=2.5, **{"queue's `length": 7.25}).encode()))  # pyright: ignore[reportArgumentType]
    row = store.query("SELECT * FROM windows").dicts()[0]
    promised = (
        "experiment_id service environment version variant start end rows errors "
        "mean_us p50_us p90_us p95_us p99_us p999_us"
    )
    assert set(promised.split()) <= set(row)
    assert (row["mean_us"], row["p99_us"], row["p999_us"]) == (1500.5, 4000.0, None)
    assert (row["cpu_us"], row["memory_bytes"], row["queue's `length"]) == (2.5, None, 7.25)
    assert row["start"] == "2025-11-24T16:00:00.000000Z"


def test_times_are_exact(store: Store) -> None:
    verdict = records.verdict(3)
    put(store, of_verdict(verdict.encode()))
    modern = "toUnixTimestamp64Micro(issued_at)"
    exact = "issued_at_us" if "issued_at_us" in store.query("SELECT * FROM verdicts").columns else modern
    assert store.query(f"SELECT {exact} FROM verdicts").rows == [[verdict.issued_at]]


def test_verdicts_and_evidence_are_named_as_the_fields(store: Store) -> None:
    verdict = records.verdict(0, "ROLLBACK", "HARM", status="HARM")
    put(store, of_verdict(verdict.encode()))
    row = store.query("SELECT * FROM verdicts").dicts()[0]
    for name in (
        "verdict_id",
        "epoch",
        "sequence",
        "action",
        "conclusion",
        "weight",
        "reason",
        "config_digest",
    ):
        assert row[name] == getattr(verdict, name)
    found = store.query("SELECT * FROM evidence ORDER BY position").dicts()
    assert [item["sli"] for item in found] == ["errors", "traffic"]
    assert found[0]["needed_requests"] == 3000
    assert found[1]["needed_requests"] is None
    for item, evidence in zip(found, verdict.evidence, strict=True):
        assert {name: item[name] for name in evidence.to_avro()} == evidence.to_avro()


def test_an_experiment_shows_its_newest_spec_and_keeps_the_others(store: Store) -> None:
    put(store, of_control(records.applied().encode()))
    other = records.SPEC.replace("alpha: 0.01", "alpha: 0.02")
    control = records.applied(records.BEGIN_US + 1_000_000)
    row = dict(of_control(control.encode())["experiments"][0]) | {"digest": "f" * 64, "document": other}
    put(store, {"experiments": [row]})
    assert store.query("SELECT id, document FROM experiments").rows == [[records.EXPERIMENT.id, other]]
    assert store.query("SELECT count() FROM specs").rows == [[2]]


def test_migrating_again_keeps_rows_and_adds_columns(store: Store) -> None:
    put(store, of_window(records.window(0, **{"new": 1.5}).encode()))  # pyright: ignore[reportArgumentType]
    store.migrate(["new", "rows"])  # a measure cannot take the place of a column
    assert store.query("SELECT rows, new FROM windows").rows == [[10, 1.5]]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("selekt 1", "SELEKT is not allowed"),
        ("drop table windows_raw", "DROP is not allowed"),
        ("insert into windows_raw (rows) values (1)", "INSERT is not allowed"),
        ("select 1; drop table windows_raw", "one statement"),
        ("select 1 into outfile '/nowhere'", "INTO OUTFILE"),
        ("select 1 format Pretty", "FORMAT"),
        ("  -- nothing\n ; ", "no statement"),
        ("select nope from windows", "nope"),
        ("select * from nowhere", "nowhere"),
        ("select 1 from", ""),
        ("select * from file('/etc/hostname', 'CSV', 'a String')", ""),
        ("select 1 settings readonly = 0", ""),
    ],
)
def test_bad_sql_is_one_short_sentence(store: Store, sql: str, says: str) -> None:
    with pytest.raises(QueryError) as caught:
        store.query(sql)
    text = str(caught.value)
    assert says in text
    assert "\n" not in text
    assert "DB::Exception" not in text
    assert 5 < len(text) <= 300


def test_a_result_has_a_limit(store: Store) -> None:
    with pytest.raises(QueryError):
        store.query(f"SELECT number FROM system.numbers LIMIT {QUERY_ROWS_MAX + 70_000}")


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select 'a;b' as x -- ; \n;", [["a;b"]]),
        ("with 1 as one select one + 1", [[2]]),
        ("select 1 / 0, 0 / 0, NULL", [[None, None, None]]),
        ("select toUInt64(18446744073709551615)", [[18446744073709551615]]),
        ("select 'into outfile ''x'' format JSON'", [["into outfile 'x' format JSON"]]),
    ],
)
def test_answers_are_plain_values(store: Store, sql: str, rows: list[list[object]]) -> None:
    assert store.query(sql).rows == rows


def test_an_empty_answer_still_has_its_columns(store: Store) -> None:
    result = store.query("SELECT action, weight FROM verdicts")
    assert (result.columns, result.rows) == (("action", "weight"), [])


def test_an_unknown_address_says_what_is_known() -> None:
    config = Config().model_copy(update={"clickhouse": Clickhouse.model_validate({"url": "http://x:1/davy"})})
    with pytest.raises(UserError, match="clickhouse://"):
        open_store(config)


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    url = "clickhouse://somebody:hidden@127.0.0.1:1/davy"
    config = Config().model_copy(update={"clickhouse": Clickhouse.model_validate({"url": url})})
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as caught, open_store(config) as store:
        store.migrate([])
    assert "hidden" not in str(caught.value)
