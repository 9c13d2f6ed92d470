"""The judge's state as bytes, and back: a judge that goes on from them says what it would have said.

One compressed Avro record. Specs travel as their source text, trials as `analyzers.snapshot` dumps them (floats exact),
cells as the bytes that they are.
"""

from __future__ import annotations

import io
import json
import zlib
from functools import cache
from typing import Any, cast

import fastavro

from analyzers import snapshot
from analyzers.trial import Trial
from analyzers.usual import Usual
from analyzers.watch import Watch
from schemas import codec
from schemas.delta import Progress, cells_head, join_cells
from schemas.record import plain
from schemas.spec import load_specs
from streams import deltas
from streams.changes import Notes
from streams.deltas import PackedCell, PackedCells
from streams.experiment import Experiment
from streams.fold import Block, Source, SourceKey
from streams.judge import Judge
from streams.judge_settings import JudgeSettings
from streams.traffic import Shift, Traffic
from streams.windows import Group, Key

State = dict[str, Any]
_Open = list[tuple[int, bytes, bytes]]
"""Of the cells of a source's open block: number of the content, key, body."""
_OPTIONAL_LONG = ["null", "long"]
_NUMBERS = (
    "next", "frontier", "wall_time", "high_watermark", "n_partitions", "heard", "max_event_time", "waiting_since",
)  # fmt: skip


@cache
def _schema() -> Any:
    """The state's own Avro schema; it stays inside Davy, so it has no file."""
    progress = next(kind for kind in codec.document("Delta")["fields"][0]["type"] if kind["name"] == "Progress")
    source = [_field(name, "long") for name in ("partition", "next", "frontier", "wall_time", "high_watermark")]
    source += [_field(name, "long") for name in ("n_partitions", "heard")]
    source += [_field(name, _OPTIONAL_LONG) for name in ("max_event_time", "waiting_since")]
    cells = _record("CellsAt", _field("upto", _list("long")), _field("cells", "bytes"))
    block = _record(
        "Block", _field("number", "long"), _field("changed", _list("int")), _field("held", cells),
        _field("progress", ["null", progress]),
    )  # fmt: skip
    part = _record("Part", _field("content", _list("int")), _field("held", "CellsAt"))
    sources = _record(
        "Source", _field("topic_id", "string"), *source, _field("blocks", _list(block)), _field("open", part)
    )
    content = _record(
        "Content", _field("experiment_id", ["null", "string"]), _field("service", "string"),
        _field("environment", "string"), _field("window", "long"), _field("version", "string"),
        _field("variant", ["null", "string"]), _field("complete", _list("bytes")),
    )  # fmt: skip
    numbers = ("control_offset", "wall_us", "last_round_us", "closed_us", "floor_us", "late_rows")
    return codec.parse(
        _record(
            "JudgeState", *(_field(name, "long") for name in numbers), _field("sources", _list(sources)),
            _field("contents", _list(content)), _field("rest", "string"),
        )
    )  # fmt: skip


@cache
def form() -> str:
    """Of what `dump` writes: a state of another form cannot be read."""
    return codec.schema_fingerprint(_schema()).hex()


def _field(name: str, kind: Any) -> State:
    return {"name": name, "type": kind}


def _record(name: str, *fields: State) -> State:
    return {"type": "record", "name": name, "namespace": "davy.v1", "fields": list(fields)}


def _list(items: Any) -> State:
    return {"type": "array", "items": items}


def dump(judge: Judge) -> bytes:
    """Everything the judge knows."""
    windows = judge.windows
    contents, opened, strata = list[State](), dict[SourceKey, _Open](), dict[int, str]()
    for ((experiment_id, service, environment), window, (version, variant, stratum)), content in windows.contents():
        for source, held in content.open.items():
            opened.setdefault(source, []).extend((len(contents), key, body) for key, body in held.items())
        if stratum is not None:
            strata[len(contents)] = stratum
        contents.append({
            "experiment_id": experiment_id, "service": service, "environment": environment, "window": window,
            "version": version, "variant": variant, "complete": content.complete,
        })  # fmt: skip
    state: State = {
        "control_offset": judge.control_offset, "wall_us": judge.wall_us, "last_round_us": judge.last_round_us,
        "closed_us": judge.closed_us, "floor_us": windows.floor_us, "late_rows": windows.late_rows,
        "sources": [_dump_source(key, source, opened.get(key, [])) for key, source in judge.fold.sources.items()],
        "contents": contents,
        "rest": json.dumps({
            "stuck": [[*source, block] for source, block in judge.stuck.items()],
            "changed": [[*group, window] for group, window in windows.changed],
            "experiments": [_dump_experiment(experiment) for experiment in judge.experiments.values()],
            "budgets": judge.budgets.dump(),
            "notes": judge.notes.dump(),
            "services": judge.services.dump(),
            "strata": [*strata.items()],
            "parts": [[*item] for item in windows.parts.dump(windows.floor_us)],
        }),
    }  # fmt: skip
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _schema(), state)
    return zlib.compress(out.getvalue(), level=1)


def load(data: bytes, settings: JudgeSettings, epoch: int) -> Judge:
    """A judge that goes on where `dump` was taken."""
    read = fastavro.schemaless_reader(io.BytesIO(zlib.decompress(data)), _schema(), None)
    state = cast(State, read)
    judge = Judge(settings, epoch)
    judge.control_offset, judge.wall_us = state["control_offset"], state["wall_us"]
    judge.last_round_us, judge.closed_us = state["last_round_us"], state["closed_us"]
    judge.windows.floor_us, judge.windows.late_rows = state["floor_us"], state["late_rows"]
    rest = json.loads(state["rest"])
    judge.stuck = {(topic, partition): block for topic, partition, block in rest["stuck"]}
    judge.windows.changed = {((name, service, where), window): None for name, service, where, window in rest["changed"]}
    for item in rest["experiments"]:
        experiment = _load_experiment(item)
        judge.experiments[experiment.spec.id] = experiment
        judge.budgets.declare(experiment.spec)
    judge.budgets.restore(rest.get("budgets", []), judge.closed_us)
    judge.notes = Notes(rest.get("notes", []))
    if "services" in rest:  # a state from before they were watched goes on without
        judge.services.restore(rest["services"])
    for group, (place, value, label), rows in rest.get("parts", []):
        judge.windows.parts.restore((group[0], group[1], group[2]), (place, value, (label[0], label[1])), rows)
    strata = dict(rest.get("strata", []))  # none in a state from before arms were compared within them
    _load_windows(judge, state, strata)
    judge.name_windows()
    return judge


def _load_windows(judge: Judge, state: State, strata: dict[int, str]) -> None:
    places: list[tuple[Group, Key]] = []
    for number, item in enumerate(state["contents"]):
        place = (
            (item["experiment_id"], item["service"], item["environment"]),
            (item["version"], item["variant"], strata.get(number)),
        )
        places.append(place)
        judge.windows.restore(place[0], item["window"], place[1]).complete += item["complete"]
    for item in state["sources"]:
        key = (item["topic_id"], item["partition"])
        judge.fold.sources[key] = _load_source(item)
        indexes: list[int] = item["open"]["content"]
        for index, cell in zip(indexes, _load_cells(item["open"]["held"]), strict=True):
            judge.windows.restore_open(key, cell, *places[index])


def _dump_source(key: SourceKey, source: Source, opened: _Open) -> State:
    blocks = [
        {
            "number": number,
            "changed": [i for i, name in enumerate(block.cells) if name in block.changed],
            "held": _dump_cells([(cell.upto, cell.key, cell.body) for cell in block.cells.values()]),
            "progress": plain(block.progress) if block.progress else None,
        }
        for number, block in source.blocks.items()
    ]
    content = [index for index, _, _ in opened]
    return {
        "topic_id": key[0], "partition": key[1], **{name: getattr(source, name) for name in _NUMBERS}, "blocks": blocks,
        "open": {"content": content, "held": _dump_cells([(0, name, body) for _, name, body in opened])},
    }  # fmt: skip


def _load_source(item: State) -> Source:
    blocks: dict[int, Block] = {}
    for block in item["blocks"]:
        made = blocks[block["number"]] = Block()
        cells = _load_cells(block["held"])
        changed: list[int] = block["changed"]
        made.cells = {cell.key: cell for cell in cells}
        made.changed = {cells[i].key: cells[i] for i in changed}
        made.rows = sum(cell.seen for cell in cells)
        made.max_upto = max((cell.upto for cell in cells), default=0)
        made.progress = Progress(**block["progress"]) if block["progress"] else None
    return Source(**{name: item[name] for name in _NUMBERS}, blocks=blocks)


def _dump_cells(cells: list[tuple[int, bytes, bytes]]) -> State:
    """Of each its `upto`; keys and bodies as one record of the delta log."""
    bodies = b"".join(key + body for _, key, body in cells)
    record = join_cells(cells_head("", "", 0, 0, 0), len(cells), bodies) if cells else b""
    return {"upto": [upto for upto, _, _ in cells], "cells": record}


def _load_cells(item: State) -> list[PackedCell]:
    if not item["cells"]:
        return []
    (found,) = deltas.read([item["cells"]])
    cells = cast(PackedCells, found).cells
    for cell, upto in zip(cells, item["upto"], strict=True):
        cell.upto = upto
    return cells


def _dump_experiment(experiment: Experiment) -> State:
    return {
        "document": experiment.spec.source, "path": experiment.spec.path, "sequence": experiment.sequence,
        "paused": experiment.paused, "invalid": experiment.invalid, "closed": experiment.closed,
        "next_window": experiment.next_window, "first_window": experiment.first_window,
        "finished": experiment.finished,
        "shifts": [
            [shift.intent_id, shift.intent_us, shift.applied_us, shift.step, dict(shift.weights)]
            for shift in experiment.traffic.shifts
        ],
        "trials": _dump_trials(experiment.trials),
        "watches": {name: snapshot.dump(watch) for name, watch in experiment.watches.items()},
        "usual": {name: snapshot.dump(usual) for name, usual in experiment.usual.items()},
        "checkpoints": [[time, _dump_trials(trials)] for time, trials in experiment.checkpoints.items()],
    }  # fmt: skip


def _dump_trials(trials: dict[str, Trial]) -> State:
    return {name: snapshot.dump(trial) for name, trial in trials.items()}


def _load_experiment(item: State) -> Experiment:
    (spec,) = load_specs(item["document"], path=item["path"])
    shifts = tuple(Shift(*fields) for fields in item["shifts"])

    def trials(dumped: State) -> dict[str, Trial]:
        return {name: snapshot.load(Trial, state) for name, state in dumped.items()}

    names = ("sequence", "next_window", "first_window", "finished", "paused", "invalid", "closed")
    return Experiment(
        spec, Traffic(shifts), trials=trials(item["trials"]),
        checkpoints={time: trials(held) for time, held in item["checkpoints"]},
        watches={name: snapshot.load(Watch, held) for name, held in item.get("watches", {}).items()},
        usual={name: snapshot.load(Usual, held) for name, held in item.get("usual", {}).items()},
        **{name: item[name] for name in names},
    )  # fmt: skip
