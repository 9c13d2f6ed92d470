"""`davy replay`: judge recorded events with the same engine, without a broker."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from davy.commands.reproduce import reproduce
from davy.options import ConfigFile, DataDir, Json, load
from davy.progress import progress
from schemas import codec
from schemas.config import Config
from schemas.decision import Decision
from schemas.errors import UserError
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import Verdict
from streams.judge_settings import JudgeSettings
from streams.layout import Layout
from streams.replay import Recording, replay
from streams.sources import read

EXIT_PROMOTE, EXIT_ROLLBACK, EXIT_UNDECIDED = 0, 1, 3


def exit_code(last: Iterable[Verdict]) -> int:
    """Of the last verdicts: 1 if any is ROLLBACK, else 3 if any is not PROMOTE, else 0."""
    actions = [verdict.action for verdict in last if verdict.phase == "rollout"]
    if "ROLLBACK" in actions:
        return EXIT_ROLLBACK
    return EXIT_PROMOTE if actions and all(action == "PROMOTE" for action in actions) else EXIT_UNDECIDED


def run(spec: Path, events: Sequence[Path], config: Config, as_json: bool, decisions: Path | None) -> int:
    """Print verdicts, one a line; what could not be read goes to stderr. Returns the exit code."""
    specs = load_specs(spec)
    recording = recorded(events)
    ledger = read_ledger(decisions) if decisions else []
    settings = JudgeSettings.of(config, 0, 1, {"recorded": ",".join(path.name for path in events)})
    last: dict[tuple[str, str], Verdict] = {}
    begin, end = int(recording.times[0]), int(recording.times[-1])
    with progress("replay", end - begin) as done:
        for output in replay(specs, recording, Layout.of(config), settings, ledger):
            if isinstance(output, Verdict):
                last[output.experiment_id, output.variant] = output
                print(json.dumps(output.to_json()) if as_json else sentence(output))
                done(output.event_time - begin)
    _tell_silent(specs, last)
    return exit_code(last.values())


def recorded(events: Sequence[Path]) -> Recording:
    """All files as one recording; rows that cannot be used are told on stderr with their place."""
    tables: list[pa.Table] = []
    for path in events:
        table, rejects = read(path)
        tables.append(table)
        for reject in rejects[:REJECTS_TOLD]:
            print(f"davy: {reject}", file=sys.stderr)
        if len(rejects) > REJECTS_TOLD:
            print(f"davy: {path}: {len(rejects) - REJECTS_TOLD} more rows could not be used", file=sys.stderr)
    if not any(table.num_rows for table in tables):
        raise UserError(f"there is no usable event in {', '.join(map(str, events))}")
    recording = Recording.of(pa.concat_tables(tables))
    if recording.outliers:
        print(
            f"davy: {recording.outliers} rows lie more than 24 h outside all others and were left out", file=sys.stderr
        )
    return recording


REJECTS_TOLD = 20


def read_ledger(path: Path) -> list[Decision]:
    """Decisions from their JSON form, one a line."""
    decisions: list[Decision] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            fields: Mapping[str, object] = json.loads(line)
            decisions.append(Decision.from_avro({**fields, "time": codec.micros(str(fields["time"]))}))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}:{number}:1: not a decision as davy.decisions has them: {error}") from error
    return decisions


def sentence(verdict: Verdict) -> str:
    """One verdict for people."""
    time = codec.iso(verdict.event_time)[11:19]
    return f"{time}  {verdict.experiment_id}/{verdict.variant}  {verdict.action:<8}  {verdict.reason}"


def _tell_silent(specs: Sequence[ExperimentSpec], last: Mapping[tuple[str, str], Verdict]) -> None:
    for spec in specs:
        if not any(key[0] == spec.id for key in last):
            print(f"davy: {spec.id}: no window of it was closed, so there is no verdict", file=sys.stderr)


def command(
    spec: Annotated[Path | None, typer.Argument(help="A spec file, or a folder of them.")] = None,
    events: Annotated[list[Path] | None, typer.Argument(help=".avro, .ndjson or .parquet files.")] = None,
    verdict: Annotated[
        str | None, typer.Option(metavar="ID", help="Judge the log again up to this verdict, and compare.")
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option(help="A recorded ledger: the shifts of traffic as they were.")
    ] = None,
    speed: Annotated[str, typer.Option(help="Only `max`: as fast as this machine can.")] = "max",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """\b
    Example: davy replay checkout.yaml events.ndjson --json

    Exit code: of the last verdicts: 1 if any is ROLLBACK, else 3 if any is not PROMOTE, else 0; with --verdict 0 the same
    again, 1 not, 3 unknown; 2 bad spec or input, 4 infrastructure.
    """
    if speed != "max":
        raise UserError(f"--speed {speed}: a replay only knows max")
    if verdict is not None:
        raise typer.Exit(reproduce(verdict, load(config, data_dir), as_json))
    if spec is None or not events:
        raise UserError("say a spec and recorded events, or --verdict ID")
    raise typer.Exit(run(spec, events, load(config, data_dir), as_json, decisions))
