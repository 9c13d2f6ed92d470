"""Davy's first stage: everything it counts, not only what the peers do, to deltas that are acknowledged."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from bench.peers.peer import Framing, Key, Task, Window, Windows
from bench.peers.window import summed


class Davy:
    title = "Davy"
    events = 2_000_000
    framing: Framing = "single-object"
    does = (
        "also checks every event, counts it in unit buckets, joint counts, a histogram of CPU time and samples, and produces "
        "deltas of log ranges, acknowledged"
    )

    def prepare(self) -> str:
        from schemas import __version__

        return f"Davy {__version__}"

    def command(self, task: Task) -> list[str]:
        return [sys.executable, "-m", __name__, task.json]

    def windows(self, task: Task) -> Windows | int:
        return summed(_parts(task))


PEER = Davy()


def _parts(task: Task) -> Iterator[tuple[tuple[Key, int], Window]]:
    """Verified cells of all blocks, as the judge would see them: each delta partition folded by itself."""
    from analyzers.arm import DURATION
    from bench.peers.configured import configured
    from bench.peers.topic import written
    from schemas.delta import Progress
    from streams import deltas
    from streams.deltas import PackedCell, PackedCells
    from streams.fold import Counted, Fold, Folded, SourceKey
    from streams.layout import Layout

    config = configured(task)
    layout = Layout.of(config)
    unfolded: dict[SourceKey, dict[bytes, PackedCell]] = {}

    def part(cell: PackedCell) -> tuple[tuple[Key, int], Window]:
        *labels, dimensions = deltas.labels_of(cell.labels)
        arm = deltas.total([cell.body])
        duration = arm.measure(DURATION)
        found = dict(zip(duration.histogram.keys.tolist(), duration.histogram.counts.tolist(), strict=True))
        return ((*labels, *dimensions), cell.window), Window(arm.rows, arm.errors, duration.total, found)

    for partition in range(layout.delta_partitions):
        fold = Fold(layout.digest, layout.block_records)
        for _, value in written(config, config.topic("deltas"), partition):
            (delta,) = deltas.read([value])
            outcomes = fold.cells(delta) if isinstance(delta, PackedCells) else ()
            outcomes = fold.progress(delta) if isinstance(delta, Progress) else outcomes
            for outcome in outcomes:
                match outcome:
                    case Counted(source, cells):
                        unfolded.setdefault(source, {}).update((cell.key, cell) for cell in cells)
                    case Folded(source):
                        yield from map(part, unfolded.pop(source, {}).values())
                    case _:
                        continue
        for left in unfolded.values():
            yield from map(part, left.values())
        unfolded.clear()


def main() -> None:
    from bench.peers.configured import configured
    from davy import logs
    from davy.bench import ends
    from streams.ingest_loop import IngestLoop
    from streams.topics import ensure_topics

    task = Task.argument()
    config = configured(task)
    logs.configure("bench", Path(task.folder) / "davy.log")
    ensure_topics(config)
    upto = {(task.topic, p): end for p, end in ends(config, task.topic).items()}
    task.mark("started")
    IngestLoop(config).read_up_to(upto)
    task.mark("done")


if __name__ == "__main__":
    main()
