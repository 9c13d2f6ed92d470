-- Written by python -m deploy.ops. Davy's tables and views, schema 8, for ClickHouse 18.16 to 22.2.
-- May be run again at any time:
--   clickhouse-client --multiquery < schema-18.sql
-- Measures that davy.yaml registers become columns of `windows` where the sink makes it; here they are in the map `measures`.

CREATE DATABASE IF NOT EXISTS davy;

USE davy;

CREATE TABLE IF NOT EXISTS windows_raw (`experiment_id` Nullable(String), `service` String, `environment` String, `version` String, `variant` Nullable(String), `start` DateTime('UTC'), `start_us` Int64, `end` DateTime('UTC'), `end_us` Int64, `rows` Int64, `errors` Int64, `mean_us` Nullable(Float64), `p50_us` Nullable(Float64), `p90_us` Nullable(Float64), `p95_us` Nullable(Float64), `p99_us` Nullable(Float64), `p999_us` Nullable(Float64), `requests` Float64, `late` Int64, `quarantined` Int64, `measures.key` Array(String), `measures.value` Array(Float64), `revision` Int64, `duplicates` Int64) ENGINE = ReplacingMergeTree(revision) PARTITION BY toYYYYMM(start) ORDER BY (service, environment, ifNull(experiment_id, '\0'), ifNull(variant, '\0'), version, start_us);

CREATE TABLE IF NOT EXISTS verdicts_raw (`verdict_id` String, `experiment_id` String, `variant` String, `service` String, `environment` String, `epoch` Int64, `sequence` Int64, `issued_at` DateTime('UTC'), `issued_at_us` Int64, `event_time` DateTime('UTC'), `event_time_us` Int64, `expires_at` DateTime('UTC'), `expires_at_us` Int64, `phase` String, `action` String, `conclusion` String, `step` Int64, `weight` Float64, `reason` String, `needed` Nullable(String), `offsets.key` Array(String), `offsets.value` Array(Int64), `config_digest` String, `code_version` String, `budget` Nullable(String), `change` Nullable(String)) ENGINE = ReplacingMergeTree(epoch) PARTITION BY toYYYYMM(event_time) ORDER BY (experiment_id, variant, event_time_us, verdict_id);

CREATE TABLE IF NOT EXISTS evidence_raw (`verdict_id` String, `experiment_id` String, `event_time` DateTime('UTC'), `event_time_us` Int64, `position` Int64, `sli` String, `variant` String, `baseline` Nullable(Float64), `candidate` Nullable(Float64), `effect` Nullable(Float64), `lower` Nullable(Float64), `upper` Nullable(Float64), `evidence` Float64, `log_evidence` Float64, `threshold` Float64, `safety_evidence` Nullable(Float64), `safety_threshold` Nullable(Float64), `n_baseline` Int64, `n_candidate` Int64, `status` String, `needed_requests` Nullable(Int64), `needed_seconds` Nullable(Float64), `epoch` Int64) ENGINE = ReplacingMergeTree(epoch) PARTITION BY toYYYYMM(event_time) ORDER BY (experiment_id, variant, event_time_us, verdict_id, sli);

CREATE TABLE IF NOT EXISTS decisions_raw (`decision_id` String, `experiment_id` String, `service` String, `environment` String, `sequence` Int64, `time` DateTime('UTC'), `time_us` Int64, `kind` String, `outcome` String, `actor` String, `reason` String, `verdict_id` Nullable(String), `variant` Nullable(String), `epoch` Int64, `state_before` String, `state_after` String, `step` Nullable(Int64), `weights.key` Array(String), `weights.value` Array(Float64), `details.key` Array(String), `details.value` Array(String), `config_digest` Nullable(String), `code_version` String, `previous_hash` Nullable(String), `hash` Nullable(String)) ENGINE = ReplacingMergeTree(sequence) ORDER BY (experiment_id, decision_id, outcome);

CREATE TABLE IF NOT EXISTS probes_raw (`target` String, `kind` String, `time` DateTime('UTC'), `time_us` Int64, `ok` UInt8, `circuit` String, `latency_us` Nullable(Int64), `error` Nullable(String), `error_ratio` Float64, `services` Array(String)) ENGINE = ReplacingMergeTree() PARTITION BY toYYYYMM(time) ORDER BY (target, kind, time_us);

CREATE TABLE IF NOT EXISTS changes_raw (`experiment_id` String, `time` DateTime('UTC'), `time_us` Int64, `kind` String, `actor` String, `text` String, `tags` Array(String), `reason` String, `variant` Nullable(String), `step` Nullable(Int64), `weights.key` Array(String), `weights.value` Array(Float64)) ENGINE = ReplacingMergeTree() PARTITION BY toYYYYMM(time) ORDER BY (experiment_id, time_us, kind, actor, text);

CREATE TABLE IF NOT EXISTS experiments_raw (`experiment_id` String, `digest` String, `applied_at` DateTime('UTC'), `applied_at_us` Int64, `actor` String, `reason` String, `service` String, `environment` String, `hypothesis` String, `owner` String, `mode` String, `control` String, `candidates` Array(String), `path` String, `document` String) ENGINE = ReplacingMergeTree(applied_at_us) ORDER BY (experiment_id, digest);

CREATE TABLE IF NOT EXISTS reports_raw (`experiment_id` String, `sequence` Int64, `made_at` DateTime('UTC'), `made_at_us` Int64, `state` String, `markdown` String) ENGINE = ReplacingMergeTree(sequence) ORDER BY (experiment_id);

CREATE TABLE IF NOT EXISTS incidents_raw (`incident_id` String, `key` String, `kind` String, `severity` String, `started` DateTime('UTC'), `started_us` Int64, `updated` DateTime('UTC'), `updated_us` Int64, `ended` Nullable(DateTime('UTC')), `ended_us` Nullable(Int64), `title` String, `text` String, `service` Nullable(String), `environment` Nullable(String), `experiment_id` Nullable(String), `variant` Nullable(String), `labels.key` Array(String), `labels.value` Array(String)) ENGINE = ReplacingMergeTree(updated_us) PARTITION BY toYYYYMM(started) ORDER BY (key, started_us);

CREATE TABLE IF NOT EXISTS events_raw (`timestamp` DateTime('UTC'), `timestamp_us` Int64, `service` String, `environment` String, `version` String, `experiment_id` Nullable(String), `variant` Nullable(String), `segment` Nullable(String), `unit_id` Nullable(String), `instance` Nullable(String), `endpoint` Nullable(String), `status` Int64, `error` Nullable(UInt8), `duration_us` Int64, `cpu_us` Nullable(Int64), `memory_bytes` Nullable(Int64), `measures.key` Array(String), `measures.value` Array(Float64), `sample_rate` Float64, `received` DateTime('UTC'), `received_us` Int64, `fate` String, `topic` String, `partition` Int64, `offset` Int64, `row` Int64) ENGINE = ReplacingMergeTree() ORDER BY (service, environment, timestamp_us, topic, partition, offset, row);

CREATE TABLE IF NOT EXISTS windows_10s_raw (`experiment_id` Nullable(String), `service` String, `environment` String, `version` String, `variant` Nullable(String), `start` DateTime('UTC'), `start_us` Int64, `end` DateTime('UTC'), `end_us` Int64, `rows` Int64, `errors` Int64, `mean_us` Nullable(Float64), `p50_us` Nullable(Float64), `p90_us` Nullable(Float64), `p95_us` Nullable(Float64), `p99_us` Nullable(Float64), `p999_us` Nullable(Float64), `requests` Float64, `late` Int64, `quarantined` Int64, `duplicates` Int64, `p99_max_us` Nullable(Float64), `windows` Int64, `revision` Int64) ENGINE = ReplacingMergeTree(revision) PARTITION BY toYYYYMM(start) ORDER BY (service, environment, ifNull(experiment_id, '\0'), ifNull(variant, '\0'), version, start_us);

CREATE TABLE IF NOT EXISTS windows_1m_raw (`experiment_id` Nullable(String), `service` String, `environment` String, `version` String, `variant` Nullable(String), `start` DateTime('UTC'), `start_us` Int64, `end` DateTime('UTC'), `end_us` Int64, `rows` Int64, `errors` Int64, `mean_us` Nullable(Float64), `p50_us` Nullable(Float64), `p90_us` Nullable(Float64), `p95_us` Nullable(Float64), `p99_us` Nullable(Float64), `p999_us` Nullable(Float64), `requests` Float64, `late` Int64, `quarantined` Int64, `duplicates` Int64, `p99_max_us` Nullable(Float64), `windows` Int64, `revision` Int64) ENGINE = ReplacingMergeTree(revision) PARTITION BY toYYYYMM(start) ORDER BY (service, environment, ifNull(experiment_id, '\0'), ifNull(variant, '\0'), version, start_us);

CREATE TABLE IF NOT EXISTS windows_1h_raw (`experiment_id` Nullable(String), `service` String, `environment` String, `version` String, `variant` Nullable(String), `start` DateTime('UTC'), `start_us` Int64, `end` DateTime('UTC'), `end_us` Int64, `rows` Int64, `errors` Int64, `mean_us` Nullable(Float64), `p50_us` Nullable(Float64), `p90_us` Nullable(Float64), `p95_us` Nullable(Float64), `p99_us` Nullable(Float64), `p999_us` Nullable(Float64), `requests` Float64, `late` Int64, `quarantined` Int64, `duplicates` Int64, `p99_max_us` Nullable(Float64), `windows` Int64, `revision` Int64) ENGINE = ReplacingMergeTree(revision) PARTITION BY toYYYYMM(start) ORDER BY (service, environment, ifNull(experiment_id, '\0'), ifNull(variant, '\0'), version, start_us);

CREATE TABLE IF NOT EXISTS windows_1d_raw (`experiment_id` Nullable(String), `service` String, `environment` String, `version` String, `variant` Nullable(String), `start` DateTime('UTC'), `start_us` Int64, `end` DateTime('UTC'), `end_us` Int64, `rows` Int64, `errors` Int64, `mean_us` Nullable(Float64), `p50_us` Nullable(Float64), `p90_us` Nullable(Float64), `p95_us` Nullable(Float64), `p99_us` Nullable(Float64), `p999_us` Nullable(Float64), `requests` Float64, `late` Int64, `quarantined` Int64, `duplicates` Int64, `p99_max_us` Nullable(Float64), `windows` Int64, `revision` Int64) ENGINE = ReplacingMergeTree(revision) PARTITION BY toYYYYMM(start) ORDER BY (service, environment, ifNull(experiment_id, '\0'), ifNull(variant, '\0'), version, start_us);

CREATE TABLE IF NOT EXISTS schema_versions (version Int64, applied_at DateTime('UTC')) ENGINE = ReplacingMergeTree ORDER BY version;

DROP TABLE IF EXISTS windows;

CREATE VIEW windows AS SELECT `experiment_id`, `service`, `environment`, `version`, `variant`, `start`, `start_us`, `end`, `end_us`, `rows`, `errors`, `mean_us`, `p50_us`, `p90_us`, `p95_us`, `p99_us`, `p999_us`, `requests`, `late`, `quarantined`, `measures.key`, `measures.value`, `revision`, `duplicates`, if(has(measures.key, 'cpu_us'), measures.value[indexOf(measures.key, 'cpu_us')], NULL) AS `cpu_us`, if(has(measures.key, 'memory_bytes'), measures.value[indexOf(measures.key, 'memory_bytes')], NULL) AS `memory_bytes` FROM windows_raw FINAL;

DROP TABLE IF EXISTS verdicts;

CREATE VIEW verdicts AS SELECT `verdict_id`, `experiment_id`, `variant`, `service`, `environment`, `epoch`, `sequence`, `issued_at`, `issued_at_us`, `event_time`, `event_time_us`, `expires_at`, `expires_at_us`, `phase`, `action`, `conclusion`, `step`, `weight`, `reason`, `needed`, `offsets.key`, `offsets.value`, `config_digest`, `code_version`, `budget`, `change` FROM verdicts_raw FINAL;

DROP TABLE IF EXISTS evidence;

CREATE VIEW evidence AS SELECT `verdict_id`, `experiment_id`, `event_time`, `event_time_us`, `position`, `sli`, `variant`, `baseline`, `candidate`, `effect`, `lower`, `upper`, `evidence`, `log_evidence`, `threshold`, `safety_evidence`, `safety_threshold`, `n_baseline`, `n_candidate`, `status`, `needed_requests`, `needed_seconds`, `epoch` FROM evidence_raw FINAL;

DROP TABLE IF EXISTS decisions;

CREATE VIEW decisions AS SELECT `decision_id`, `experiment_id`, `service`, `environment`, `sequence`, `time`, `time_us`, `kind`, `outcome`, `actor`, `reason`, `verdict_id`, `variant`, `epoch`, `state_before`, `state_after`, `step`, `weights.key`, `weights.value`, `details.key`, `details.value`, `config_digest`, `code_version`, `previous_hash`, `hash` FROM decisions_raw FINAL;

DROP TABLE IF EXISTS probes;

CREATE VIEW probes AS SELECT `target`, `kind`, `time`, `time_us`, `ok`, `circuit`, `latency_us`, `error`, `error_ratio`, `services` FROM probes_raw FINAL;

DROP TABLE IF EXISTS changes;

CREATE VIEW changes AS SELECT `experiment_id`, `time`, `time_us`, `kind`, `actor`, `text`, `tags`, `reason`, `variant`, `step`, `weights.key`, `weights.value` FROM changes_raw FINAL;

DROP TABLE IF EXISTS specs;

CREATE VIEW specs AS SELECT `experiment_id`, `digest`, `applied_at`, `applied_at_us`, `actor`, `reason`, `service`, `environment`, `hypothesis`, `owner`, `mode`, `control`, `candidates`, `path`, `document` FROM experiments_raw FINAL;

DROP TABLE IF EXISTS experiments;

CREATE VIEW experiments AS SELECT experiment_id AS id, `experiment_id`, `digest`, `applied_at`, `applied_at_us`, `actor`, `reason`, `service`, `environment`, `hypothesis`, `owner`, `mode`, `control`, `candidates`, `path`, `document` FROM specs ORDER BY experiment_id, applied_at_us DESC LIMIT 1 BY experiment_id;

DROP TABLE IF EXISTS reports;

CREATE VIEW reports AS SELECT `experiment_id`, `sequence`, `made_at`, `made_at_us`, `state`, `markdown` FROM reports_raw FINAL;

DROP TABLE IF EXISTS incidents;

CREATE VIEW incidents AS SELECT `incident_id`, `key`, `kind`, `severity`, `started`, `started_us`, `updated`, `updated_us`, `ended`, `ended_us`, `title`, `text`, `service`, `environment`, `experiment_id`, `variant`, `labels.key`, `labels.value` FROM incidents_raw FINAL;

DROP TABLE IF EXISTS events;

CREATE VIEW events AS SELECT `timestamp`, `timestamp_us`, `service`, `environment`, `version`, `experiment_id`, `variant`, `segment`, `unit_id`, `instance`, `endpoint`, `status`, `error`, `duration_us`, `cpu_us`, `memory_bytes`, `measures.key`, `measures.value`, `sample_rate`, `received`, `received_us`, `fate`, `topic`, `partition`, `offset`, `row`, ifNull(error, status >= 500) AS failed, if(fate = 'quarantined', 0, 1 / sample_rate) AS weight FROM events_raw FINAL;

DROP TABLE IF EXISTS windows_10s;

CREATE VIEW windows_10s AS SELECT `experiment_id`, `service`, `environment`, `version`, `variant`, `start`, `start_us`, `end`, `end_us`, `rows`, `errors`, `mean_us`, `p50_us`, `p90_us`, `p95_us`, `p99_us`, `p999_us`, `requests`, `late`, `quarantined`, `duplicates`, `p99_max_us`, `windows`, `revision` FROM windows_10s_raw FINAL;

DROP TABLE IF EXISTS windows_1m;

CREATE VIEW windows_1m AS SELECT `experiment_id`, `service`, `environment`, `version`, `variant`, `start`, `start_us`, `end`, `end_us`, `rows`, `errors`, `mean_us`, `p50_us`, `p90_us`, `p95_us`, `p99_us`, `p999_us`, `requests`, `late`, `quarantined`, `duplicates`, `p99_max_us`, `windows`, `revision` FROM windows_1m_raw FINAL;

DROP TABLE IF EXISTS windows_1h;

CREATE VIEW windows_1h AS SELECT `experiment_id`, `service`, `environment`, `version`, `variant`, `start`, `start_us`, `end`, `end_us`, `rows`, `errors`, `mean_us`, `p50_us`, `p90_us`, `p95_us`, `p99_us`, `p999_us`, `requests`, `late`, `quarantined`, `duplicates`, `p99_max_us`, `windows`, `revision` FROM windows_1h_raw FINAL;

DROP TABLE IF EXISTS windows_1d;

CREATE VIEW windows_1d AS SELECT `experiment_id`, `service`, `environment`, `version`, `variant`, `start`, `start_us`, `end`, `end_us`, `rows`, `errors`, `mean_us`, `p50_us`, `p90_us`, `p95_us`, `p99_us`, `p999_us`, `requests`, `late`, `quarantined`, `duplicates`, `p99_max_us`, `windows`, `revision` FROM windows_1d_raw FINAL;

INSERT INTO schema_versions (version, applied_at) SELECT 8, now();

-- Tables of an older Davy also need this, before all else; a server of this age cannot be told to do it only where needed:
--   ALTER TABLE verdicts_raw ADD COLUMN `budget` Nullable(String);
--   ALTER TABLE verdicts_raw ADD COLUMN `change` Nullable(String);
--   ALTER TABLE windows_raw ADD COLUMN `duplicates` Int64;
--   ALTER TABLE windows_10s_raw ADD COLUMN `duplicates` Int64;
--   ALTER TABLE windows_1m_raw ADD COLUMN `duplicates` Int64;
--   ALTER TABLE windows_1h_raw ADD COLUMN `duplicates` Int64;
--   ALTER TABLE windows_1d_raw ADD COLUMN `duplicates` Int64;
