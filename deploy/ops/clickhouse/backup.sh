#!/bin/sh
# Davy's tables to files and back, with any clickhouse-client: one file of native rows for each table.
#   backup.sh FOLDER              writes them; a table's file is there when all of it is
#   backup.sh --restore FOLDER    adds them; rows that are there already change nothing, since all are keyed
# CLICKHOUSE_CLIENT is the command with address, user and password ("clickhouse-client --host db --user writer").
# The tables must be there before a restore: the sink makes them, or schema.sql does.
set -eu
client=${CLICKHOUSE_CLIENT:-clickhouse-client}
database=${DAVY_DATABASE:-davy}
restore=
if [ "${1:-}" = --restore ]; then restore=yes; shift; fi
if [ $# -ne 1 ]; then echo "usage: backup.sh [--restore] FOLDER" >&2; exit 2; fi
folder=$1

if [ -z "$restore" ]; then
    mkdir -p "$folder"
    tables=$($client --query "SELECT name FROM system.tables WHERE database = '$database' AND name LIKE '%\\_raw' ORDER BY name")
    if [ -z "$tables" ]; then echo "backup.sh: the database $database has no tables of Davy's" >&2; exit 4; fi
    for table in $tables; do
        $client --query "SELECT * FROM $database.$table FORMAT Native" > "$folder/$table.native.part"
        mv "$folder/$table.native.part" "$folder/$table.native"
        echo "$table: $(wc -c < "$folder/$table.native") bytes"
    done
    exit
fi
found=
for file in "$folder"/*_raw.native; do
    if [ ! -e "$file" ]; then continue; fi
    found=yes
    table=$(basename "$file" .native)
    if [ -s "$file" ]; then $client --query "INSERT INTO $database.$table FORMAT Native" < "$file"; fi
    echo "$table: restored"
done
if [ -z "$found" ]; then echo "backup.sh: there are no files of a backup in $folder" >&2; exit 2; fi
