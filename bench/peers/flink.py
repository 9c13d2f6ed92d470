"""Flink SQL, started by PyFlink in one process: a windowing table-valued function from Kafka to Kafka.

Its `avro` format derives the writer's schema from the table's columns and reads the body without a header, so it gets a topic
of its own. The topic is a bounded source: at its end the watermark closes all windows and the job ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from bench.peers.peer import Framing, Key, Task, Window, Windows
from bench.peers.window import ERROR_STATUS, KEY, summed, window_of

EVENTS = """CREATE TABLE events (
    `timestamp` BIGINT NOT NULL, service STRING NOT NULL, environment STRING NOT NULL, `version` STRING NOT NULL,
    experiment_id STRING, `variant` STRING, segment STRING, unit_id STRING, instance STRING, endpoint STRING,
    status INT NOT NULL, error BOOLEAN, duration_us BIGINT NOT NULL, cpu_us BIGINT, memory_bytes BIGINT,
    `measures` MAP<STRING, DOUBLE NOT NULL>, sample_rate DOUBLE NOT NULL,
    event_time AS TO_TIMESTAMP_LTZ(`timestamp` / 1000, 3),
    WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap}',
    'properties.group.id' = '{run}', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
    'format' = 'avro'
)"""
WINDOWS = """CREATE TABLE windows (
    start_s INT, experiment_id STRING, service STRING, environment STRING, `version` STRING, `variant` STRING, segment STRING,
    `rows` BIGINT, errors BIGINT, total BIGINT, bins MAP<STRING, INT>
) WITH (
    'connector' = 'kafka', 'topic' = '{output}', 'properties.bootstrap.servers' = '{bootstrap}', 'format' = 'json'
)"""
QUERY = """INSERT INTO windows SELECT
    TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', window_start), {key},
    COUNT(*), SUM(CASE WHEN status >= {error_status} THEN 1 ELSE 0 END), SUM(duration_us), histogram(bin_of(duration_us))
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '5' SECOND))
GROUP BY window_start, window_end, {key}"""


class Flink:
    title = "Flink SQL"
    events = 2_000_000
    framing: Framing = "raw"
    does = (
        "`TUMBLE` and `GROUP BY` the key, the histogram by an aggregate function in Java (rows by bin cost twice as much, the "
        "built-in `COLLECT` the same), results as JSON to a topic; one process with a slot per core"
    )

    def prepare(self) -> str:
        from bench.peers.maven import built, versions
        from bench.peers.venv import pinned, python

        python("flink")
        connector = versions(built() / "flink")["flink-sql-connector-kafka"]
        return f"{pinned('flink', 'apache-flink')}, flink-sql-connector-kafka {connector}, Java 17"

    def command(self, task: Task) -> list[str]:
        from bench.peers.maven import built
        from bench.peers.venv import python

        jars = [built() / "windows-1.jar", *sorted((built() / "flink").glob("*.jar"))]
        return [python("flink"), "-m", __name__, task.json, ";".join(jar.as_uri() for jar in jars)]

    def windows(self, task: Task) -> Windows | int:
        return summed(_parts(task))


PEER = Flink()


def _parts(task: Task) -> Iterator[tuple[tuple[Key, int], Window]]:
    from bench.peers.configured import configured
    from bench.peers.topic import written

    for _, value in written(configured(task), task.output):
        row = json.loads(value or b"")
        key = tuple(row[name] for name in KEY)
        yield (key, row["start_s"] * 1_000_000), window_of(row)


def main() -> None:
    import sys

    from pyflink.table import EnvironmentSettings, TableEnvironment

    task = Task.argument()
    table = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    table.get_config().set("pipeline.jars", sys.argv[2])
    table.get_config().set("parallelism.default", str(os.cpu_count()))
    table.get_config().set("table.local-time-zone", "UTC")
    place = {"topic": task.topic, "bootstrap": task.bootstrap, "run": task.run, "output": task.output}
    table.create_java_temporary_function("bin_of", "davy.bench.BinFunction")
    table.create_java_temporary_function("histogram", "davy.bench.HistogramFunction")
    table.execute_sql(EVENTS.format(**place))
    table.execute_sql(WINDOWS.format(**place))
    table.execute_sql(QUERY.format(key=", ".join(f"`{name}`" for name in KEY), error_status=ERROR_STATUS)).wait()
    task.mark("done")


if __name__ == "__main__":
    main()
