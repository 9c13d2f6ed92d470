"""The judge's state as bytes, and back: a judge that goes on from them says what it would have said.

One compressed Avro record. Specs travel as their source text, trials as `analyzers.snapshot` dumps them (floats exact),
cells and windows as the integers they are.
"""

from __future__ import annotations

import io
import json
import zlib
from functools import cache
from typing import Any, cast

import fastavro

from analyzers import snapshot
from analyzers.arm import ArmWindow, MeasureSum, SparseCounts
from analyzers.trial import Trial
from schemas import codec
from schemas.delta import Cell, Measure, Progress
from schemas.packing import pack
from schemas.record import plain
from schemas.spec import load_specs
from streams.experiment import Experiment
from streams.fold import Block, Source, SourceKey
from streams.judge import Judge, JudgeSettings
from streams.traffic import Shift, Traffic
from streams.windows import Content

State = dict[str, Any]


@cache
def _schema() -> Any:
    """The state's own Avro schema; it stays inside Davy, so it has no file."""
    body = codec.document("Delta")["fields"][0]["type"]
    cell = next(kind for kind in body if kind["name"] == "Cells")["fields"][-1]["type"]["items"]
    progress = next(kind for kind in body if kind["name"] == "Progress")
    source = [_field(name, "long") for name in ("partition", "next", "frontier", "wall_time", "high_watermark")]
    source += [_field(name, "long") for name in ("n_partitions", "heard")]
    source += [_field(name, ["null", "long"]) for name in ("max_event_time", "waiting_since")]
    held = _record("Held", _field("upto", "long"), _field("changed", "boolean"), _field("cell", cell))
    block = _record(
        "Block", _field("number", "long"), _field("cells", _list(held)), _field("progress", ["null", progress])
    )
    sources = _record("Source", _field("topic_id", "string"), *source, _field("blocks", _list(block)))
    part = _record("Part", _field("source", ["null", "string"]), _field("partition", "long"), _field("cell", "Cell"))
    numbers = ("control_offset", "wall_us", "last_round_us", "closed_us", "floor_us", "late_rows")
    return codec.parse(
        _record(
            "JudgeState", *(_field(name, "long") for name in numbers), _field("sources", _list(sources)),
            _field("parts", _list(part)), _field("rest", "string"),
        )
    )  # fmt: skip


def _field(name: str, kind: Any) -> State:
    return {"name": name, "type": kind}


def _record(name: str, *fields: State) -> State:
    return {"type": "record", "name": name, "namespace": "davy.v1", "fields": list(fields)}


def _list(items: Any) -> State:
    return {"type": "array", "items": items}


def dump(judge: Judge) -> bytes:
    """Everything the judge knows."""
    windows = judge.windows
    state: State = {
        "control_offset": judge.control_offset, "wall_us": judge.wall_us, "last_round_us": judge.last_round_us,
        "closed_us": judge.closed_us, "floor_us": windows.floor_us, "late_rows": windows.late_rows,
        "sources": [_dump_source(key, source) for key, source in judge.fold.sources.items()],
        "parts": [part for place, content in windows.contents() for part in _dump_content(place, content)],
        "rest": json.dumps({
            "stuck": [[*source, block] for source, block in judge.stuck.items()],
            "changed": [[*group, window] for group, window in windows.changed],
            "experiments": [_dump_experiment(experiment) for experiment in judge.experiments.values()],
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
    for item in state["sources"]:
        judge.fold.sources[item["topic_id"], item["partition"]] = _load_source(item)
    for part in state["parts"]:
        source = None if part["source"] is None else (part["source"], part["partition"])
        judge.windows.restore(Cell.from_avro(part["cell"]), source)
    rest = json.loads(state["rest"])
    judge.stuck = {(topic, partition): block for topic, partition, block in rest["stuck"]}
    judge.windows.changed = {((name, service, where), window): None for name, service, where, window in rest["changed"]}
    for item in rest["experiments"]:
        experiment = _load_experiment(item)
        judge.experiments[experiment.spec.id] = experiment
    judge.name_windows()
    return judge


def _dump_source(key: SourceKey, source: Source) -> State:
    blocks = [
        {
            "number": number,
            "cells": [
                {"upto": upto, "changed": cell_key in block.changed, "cell": plain(cell)}
                for cell_key, (upto, cell) in block.cells.items()
            ],
            "progress": plain(block.progress) if block.progress else None,
        }
        for number, block in source.blocks.items()
    ]
    names = (
        "next",
        "frontier",
        "wall_time",
        "high_watermark",
        "n_partitions",
        "heard",
        "max_event_time",
        "waiting_since",
    )
    scalars = {name: getattr(source, name) for name in names}
    return {"topic_id": key[0], "partition": key[1], **scalars, "blocks": blocks}


def _load_source(item: State) -> Source:
    blocks: dict[int, Block] = {}
    for block in item["blocks"]:
        made = blocks[block["number"]] = Block()
        for held in block["cells"]:
            cell = Cell.from_avro(held["cell"])
            made.cells[cell.key] = (held["upto"], cell)
            made.rows += cell.seen
            made.max_upto = max(made.max_upto, held["upto"])
            if held["changed"]:
                made.changed[cell.key] = None
        made.progress = Progress(**block["progress"]) if block["progress"] else None
    scalars = {name: item[name] for name in item if name not in ("topic_id", "partition", "blocks")}
    return Source(**scalars, blocks=blocks)


def _dump_content(place: tuple[Any, ...], content: Content) -> list[State]:
    parts = [{"source": None, "partition": 0, "cell": _cell(place, (), part)} for part in content.complete]
    return parts + [
        {"source": source[0], "partition": source[1], "cell": _cell(place, dimensions, part)}
        for (source, dimensions), part in content.open.items()
    ]


def _cell(place: tuple[Any, ...], dimensions: tuple[str | None, ...], arm: ArmWindow) -> State:
    (experiment_id, service, environment), window, (version, variant) = place
    return plain(
        Cell(
            experiment_id, service, environment, version, variant, dimensions, window, 0, arm.rows, arm.errors, arm.late,
            arm.quarantined, arm.with_unit, arm.weight, arm.error_weight, arm.weight_min, arm.weight_max, arm.lag_us,
            _packed(arm.error_buckets), _packed(arm.affected), _packed(arm.row_sample),
            tuple(_measure(name, measure) for name, measure in arm.measures.items()),
        )
    )  # fmt: skip


def _measure(name: str, measure: MeasureSum) -> Measure:
    return Measure(name, measure.rows, measure.total, _packed(measure.histogram), _packed(measure.joint))


def _packed(counts: SparseCounts) -> bytes:
    return pack(counts.keys, counts.counts)


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
        checkpoints={time: trials(held) for time, held in item["checkpoints"]}, **{name: item[name] for name in names},
    )  # fmt: skip
