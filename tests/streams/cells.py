"""What a reader of the delta topic finds of a block."""

from __future__ import annotations

from typing import cast

from schemas.delta import Cell, Cells, cells_head, decode_delta, encode_delta, join_cells
from streams import deltas
from streams.aggregate import OpenBlock
from streams.deltas import PackedCell, PackedCells

WHERE = ("digest", "topic", 0, 0, 0)


def cells_of(block: OpenBlock, changed: bool = False, partition: int | None = None) -> list[Cell]:
    """Its cells, read by the general reader; the general writer gives the same bytes."""
    groups = block.changed_groups(3, partition) if changed else block.groups(3, partition)
    cells: list[Cell] = []
    for group in groups:
        message = join_cells(cells_head(*WHERE), group.cells, group.body)
        delta = decode_delta(message)
        assert isinstance(delta, Cells)
        assert len(delta.cells) == group.cells
        assert encode_delta(delta) == message
        assert {cell.experiment_id or f"{cell.service}/{cell.environment}" for cell in delta.cells} == {group.key}
        cells += delta.cells
    return cells


def packed_cells(delta: Cells) -> PackedCells:
    """As the judge reads it."""
    return cast(PackedCells, deltas.read([encode_delta(delta)])[0])


def packed_cell(cell: Cell) -> PackedCell:
    """One cell as the judge reads it."""
    return packed_cells(Cells(*WHERE, (cell,))).cells[0]


def rows_of(cell: PackedCell) -> int:
    """What its bytes say."""
    return deltas.total([cell.body]).rows
