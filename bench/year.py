"""`python -m bench.year [SERVICES]`: a year of history in the embedded store, and how long each question of the dashboards
takes, written to docs/benchmarks.md.

Windows of ten seconds for 30 days, roll-ups by minute for 90, by hour and day for the year, and a release of each service
every week with its verdicts, evidence, decisions, changes and spec. The rows are made in the engine, by statements of its own.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.document import heading, rewrite
from deploy.ops.grafana_dashboards import DASHBOARDS
from streams.sinks.ddl import STORED
from streams.sinks.embedded import EmbeddedStore
from streams.sinks.tables import ROLLED, WINDOWS, Table

SERVICES = 100
DAY_S, WEEK_S = 86_400, 604_800
YEAR_S, QUARTER_S, MONTH_S = 365 * DAY_S, 90 * DAY_S, 30 * DAY_S
HELD: tuple[tuple[Table, int, int], ...] = (
    (WINDOWS, 10, MONTH_S), (ROLLED["windows_1m"], 60, QUARTER_S), (ROLLED["windows_1h"], 3600, YEAR_S),
    (ROLLED["windows_1d"], DAY_S, YEAR_S),
)  # fmt: skip
"""Table, seconds of a row, how far back. `windows_10s` would be the same as `windows` here."""
SPANS_S = {"releases": YEAR_S, "experiment": MONTH_S, "budgets": MONTH_S}
"""What each dashboard is asked for; its windows do not go further."""
RELEASE_S = 7200
"""How long a release takes, at the beginning of its service's week."""
VERDICT_S = 60
SLIS = ("errors", "latency-p99", "latency-mean", "cpu", "traffic")
BLOCK = 10
"""Services in one statement."""
ROUNDS = 7
GOAL_S = 0.2
BEGIN = "<!-- year: written by python -m bench.year -->"


CACHES = ("MARK", "UNCOMPRESSED", "MMAP")
"""What the engine remembers of files; the system's own memory of them stays."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How long a question took with the engine's caches emptied, and then how long each time; and how many rows it got."""

    question: str
    cold_s: float
    seconds: list[float]
    rows: int


def main() -> None:
    """Load, ask, write, print; exit code 1 where a question took too long."""
    services = int(sys.argv[1]) if len(sys.argv) > 1 else SERVICES
    load = os.getloadavg()[0]
    with TemporaryDirectory(prefix="davy-year-") as folder, EmbeddedStore(Path(folder) / "clickhouse") as store:
        store.migrate(["cpu_us"])
        now_s = int(time.time()) // DAY_S * DAY_S
        begun = time.monotonic()
        fill(store, services, now_s)
        loaded_s = time.monotonic() - begun
        rows = {name: int(store.rows(f"SELECT count() FROM {table.raw}")[0][0]) for name, table in STORED.items()}
        size = int(store.rows("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'davy'")[0][0])
        store.query("SELECT 1")  # what the engine's first question costs is no question's
        found = [asked(store, question, sql) for question, sql in questions(now_s)]
    text = "\n".join(lines(services, rows, size, loaded_s, load, found))
    rewrite(BEGIN, text)
    print(text)
    slow = [answer.question for answer in found if max(answer.cold_s, statistics.median(answer.seconds)) > GOAL_S]
    if slow:
        sys.exit(f"year: longer than {GOAL_S * 1000:.0f} ms: {', '.join(slow)}")


# -- the year ----------------------------------------------------------------------------------------------------------


def fill(store: EmbeddedStore, services: int, now_s: int) -> None:
    """Everything, ending at `now_s`; until the engine has merged what it wants to merge."""
    for first in range(0, services, BLOCK):
        end = min(first + BLOCK, services)
        for table, step_s, back_s in HELD:
            store.run(windows(table, step_s, now_s - back_s, now_s, first, end))
        print(f"year: {end} of {services} services", file=sys.stderr, flush=True)
    for sql in releases(services, now_s - YEAR_S, now_s):
        store.run(sql)
    while store.rows("SELECT count() FROM system.merges")[0][0]:
        time.sleep(0.2)


def windows(table: Table, step_s: int, begin_s: int, end_s: int, first: int, end: int) -> str:
    """A statement that makes the rows of services [`first`, `end`) in one table of windows or roll-ups. During a release there
    are two arms."""
    values = {
        "experiment_id": "if(released, concat(name, '-', toString(week)), NULL)", "service": "name",
        "environment": "'production'", "version": "concat('1.', toString(week - (arm = 0)))",
        "variant": "if(released, ['control', 'canary'][arm + 1], NULL)", "start": "toDateTime(at, 'UTC')",
        "end": f"toDateTime(at + {step_s}, 'UTC')", "rows": f"toInt64({90 * step_s} + rand(1) % {20 * step_s})",
        "errors": "toInt64(rand(2) % 11)", "mean_us": "40000. + rand(3) % 20000", "p50_us": "30000. + rand(4) % 9000",
        "p90_us": "60000. + rand(5) % 9000", "p95_us": "90000. + rand(6) % 9000", "p99_us": "150000. + rand(7) % 9000",
        "p999_us": "300000. + rand(8) % 9000", "requests": "toFloat64(rows)", "late": "0", "quarantined": "0",
        "measures": "map('cpu_us', 9000. + rand(9) % 900)", "revision": "1", "p99_max_us": "170000. + rand(10) % 9000",
        "duplicates": "0", "windows": f"{step_s // 10}",
    }  # fmt: skip
    names = ", ".join(table.columns)
    selected = ", ".join(f"{values[name]} AS {name}" for name in table.columns)
    count = (end_s - begin_s) // step_s
    return f"""
        INSERT INTO {table.raw} ({names}) SELECT {selected} FROM (
            SELECT {first} + intDiv(number, {count}) AS service_number, {begin_s} + number % {count} * {step_s} AS at,
                   concat('service-', leftPad(toString(service_number), 3, '0')) AS name,
                   at + service_number * 3600 % {WEEK_S} AS moved, intDiv(moved, {WEEK_S}) AS week,
                   moved % {WEEK_S} < {RELEASE_S} AS released
            FROM numbers({count * (end - first)})
        ) ARRAY JOIN if(released, [0, 1], [0]) AS arm
    """


def releases(services: int, begin_s: int, end_s: int) -> Iterator[str]:
    """Statements that make verdicts, evidence, decisions, changes and specs of all releases."""
    first, last = begin_s // WEEK_S + 1, (end_s - 1) // WEEK_S
    looks = RELEASE_S // VERDICT_S
    of_all = f"""
        SELECT number % {services} AS service_number, {first} + intDiv(number, {services}) AS week,
               concat('service-', leftPad(toString(service_number), 3, '0')) AS name,
               concat(name, '-', toString(week)) AS id, week * {WEEK_S} - service_number * 3600 % {WEEK_S} AS begun
        FROM numbers({services * (last - first + 1)})
    """
    looked = f"""
        SELECT id, name, look, toDateTime64(begun + look * {VERDICT_S}, 6, 'UTC') AS moment,
               toString(reinterpretAsUUID(sipHash128(id, look))) AS verdict,
               if(look < {looks - 1}, 'CONTINUE', if(cityHash64(id) % 5 = 0, 'ROLLBACK', 'PROMOTE')) AS told
        FROM ({of_all}) ARRAY JOIN range({looks}) AS look
    """
    stepped = f"""
        SELECT id, name, step, toDateTime64(begun + step * 900, 6, 'UTC') AS moment
        FROM ({of_all}) ARRAY JOIN range(8) AS step
    """
    yield f"""
        INSERT INTO verdicts_raw (verdict_id, experiment_id, variant, service, environment, epoch, sequence, issued_at,
            event_time, expires_at, phase, action, conclusion, step, weight, reason, offsets, config_digest, code_version)
        SELECT verdict, id, 'canary', name, 'production', 1, look, moment, moment, moment, 'rollout', told, 'HEALTHY', 0, 0.1,
            concat('nothing stands against it after look ', toString(look)), map('davy.events/0', toInt64(look)), 'd', 'davy'
        FROM ({looked})
    """
    yield f"""
        INSERT INTO evidence_raw (verdict_id, experiment_id, event_time, position, sli, variant, baseline, candidate, effect,
            lower, upper, evidence, log_evidence, threshold, n_baseline, n_candidate, status, epoch)
        SELECT verdict, id, moment, place - 1, {list(SLIS)}[place], 'canary', rand(1) / 4e9, rand(2) / 4e9, rand(3) / 4e9,
            0.1, 0.2, rand(4) / 4e9, rand(5) / 4e9, 400, look * 900, look * 100, 'OPEN', 1
        FROM ({looked}) ARRAY JOIN range(1, {len(SLIS) + 1}) AS place
    """
    yield f"""
        INSERT INTO decisions_raw (decision_id, experiment_id, service, environment, sequence, time, kind, outcome, actor,
            reason, epoch, state_before, state_after, weights, code_version)
        SELECT concat(id, '/', toString(step)), id, name, 'production', step, moment, 'shift', 'DONE', 'davy rollout',
            'the step is over', 1, 'steady', 'steady', map('canary', step / 8), 'davy'
        FROM ({stepped})
    """
    yield f"""
        INSERT INTO changes_raw (experiment_id, time, kind, actor, text, reason, weights)
        SELECT id, moment, 'weight_applied', 'davy rollout', toString(step), '', map('canary', step / 8) FROM ({stepped})
    """
    yield f"""
        INSERT INTO experiments_raw (experiment_id, digest, applied_at, actor, service, environment, hypothesis, owner, mode,
            control, candidates, document)
        SELECT id, 'd', toDateTime64(begun, 6, 'UTC'), 'ann', name, 'production', 'no worse', 'team', 'relative', 'control',
            ['canary'], 'kind: Experiment'
        FROM ({of_all})
    """


# -- the questions -----------------------------------------------------------------------------------------------------


def questions(now_s: int) -> Iterator[tuple[str, str]]:
    """Every chart that ClickHouse answers, by its place, with its statement; the experiment is the newest of one service."""
    for name, (title, rows, _) in DASHBOARDS.items():
        for panel in (panel for row in rows for panel in row if panel.sql):
            sql = panel.sql.replace("$experiment", f"service-000-{(now_s - 1) // WEEK_S}")
            while "$__timeFilter(" in sql:
                before, _, rest = sql.partition("$__timeFilter(")
                column, _, after = rest.partition(")")
                sql = f"{before}{column} >= toDateTime({now_s - SPANS_S[name]}) AND {column} <= toDateTime({now_s}){after}"
            yield f"{title}: {panel.title}", sql
    yield (
        "`notebooks/error_budgets.py`: a year by day and service",
        "SELECT start, service, ifNull(variant, '') AS arm, sum(rows), sum(errors) FROM windows_1d GROUP BY start, service, "
        "arm",
    )


def asked(store: EmbeddedStore, question: str, sql: str) -> Answer:
    """From the statement until its rows are here: once with empty caches, then some times."""
    for cache in CACHES:
        store.run(f"SYSTEM DROP {cache} CACHE")
    (cold_s, rows), *warm = (_timed(store, sql) for _ in range(1 + ROUNDS))
    return Answer(question, cold_s, [seconds for seconds, _ in warm], rows)


def _timed(store: EmbeddedStore, sql: str) -> tuple[float, int]:
    begun = time.monotonic()
    rows = len(store.query(sql).rows)
    return time.monotonic() - begun, rows


# -- what is written ---------------------------------------------------------------------------------------------------


def lines(
    services: int, rows: dict[str, int], size: int, loaded_s: float, load: float, found: list[Answer]
) -> list[str]:
    """The figures as Markdown."""
    held = ", ".join(f"{count:,} {name}" for name, count in rows.items() if count)
    return [
        f"`python -m bench.year`, {datetime.now(UTC):%Y-%m-%d}: {services} services, the embedded engine, {os.cpu_count()} "
        f"cores, load {load:.1f} before it began. Rows: {held}; {size / 2**30:.2f} GiB on disk, made in {loaded_s:.0f} s. "
        f"Each question was asked once with the engine's caches emptied (cold), then {ROUNDS} times, from the statement to "
        "parsed rows.",
        "",
        *heading("question", ["cold, ms", "median, ms", "worst, ms", "rows"]),
        *(
            f"| {answer.question} | {1000 * answer.cold_s:.0f} | {1000 * statistics.median(answer.seconds):.0f} | "
            f"{1000 * max(answer.seconds):.0f} | {answer.rows:,} |"
            for answer in found
        ),
    ]


if __name__ == "__main__":
    main()
