-- Least privilege on ClickHouse: run once by an administrator, after schema.sql or before the first start of the sink.
-- Give the roles to users of yours, for example:
--   CREATE USER davy_sink IDENTIFIED WITH sha256_password BY '...' DEFAULT ROLE davy_writer;

-- The sink, where its tables are made by others (`clickhouse: {migrate: false}`): adds rows, reads them for the roll-ups.
CREATE ROLE IF NOT EXISTS davy_writer;
GRANT INSERT, SELECT ON davy.* TO davy_writer;

-- The sink, where it makes and changes its tables itself.
CREATE ROLE IF NOT EXISTS davy_migrator;
GRANT davy_writer TO davy_migrator;
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER ADD COLUMN, ALTER MODIFY COLUMN, ALTER TTL ON davy.* TO davy_migrator;

-- Analysts, Grafana, `davy query`, `history` and `export`: may read the views and tables, and nothing else.
CREATE ROLE IF NOT EXISTS davy_reader;
GRANT SELECT ON davy.* TO davy_reader;
CREATE QUOTA IF NOT EXISTS davy_reader FOR INTERVAL 1 hour MAX queries = 10000, execution_time = 1800 TO davy_reader;
