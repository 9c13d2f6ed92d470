"""Who gets a cell, row by row; what a flood of labels can and cannot do."""

from __future__ import annotations

import dataclasses

import pytest

from schemas.config import Config
from streams.admission import OFTEN, OTHER, Admission, Labels
from streams.layout import Layout

LAYOUT = dataclasses.replace(Layout.of(Config()), keys_per_block=100, arms_per_service=10)


def labels(version: str, service: str = "cart", segment: str | None = None) -> Labels:
    return ("e", service, "prod", version, None, segment)


def number(admission: Admission, key: Labels, window: int = 0) -> int:
    found = admission.cell(key, window)
    return admission.late(key, window) if found is None else found


def test_what_comes_first_has_cells_in_every_window_to_come() -> None:
    admission = Admission(LAYOUT)
    first = number(admission, labels("1"))
    for i in range(50):
        number(admission, labels(f"bogus-{i}"))
    assert number(admission, labels("1")) == first
    assert admission.keys[number(admission, labels("1"), 7)] == (labels("1"), 7)
    told = {key[3] for key, _ in admission.keys}
    assert told == {"1", OTHER, *(f"bogus-{i}" for i in range(9))}


def test_what_comes_late_has_a_cell_from_the_row_on_with_which_it_is_often() -> None:
    admission = Admission(LAYOUT)
    for i in range(10):
        number(admission, labels(f"bogus-{i}"))
    cells = [admission.keys[number(admission, labels("2"))][0] for _ in range(OFTEN + 3)]
    assert cells == [(None, "cart", "prod", OTHER, None, OTHER)] * (OFTEN - 1) + [labels("2")] * 4


def test_a_flood_of_one_service_leaves_the_others_alone() -> None:
    admission = Admission(LAYOUT)
    for i in range(1000):
        number(admission, labels(f"bogus-{i}"))
    assert admission.keys[number(admission, labels("1", "pay"))] == (labels("1", "pay"), 0)


def test_a_flood_of_services_is_told_together() -> None:
    admission = Admission(LAYOUT)
    for i in range(1000):
        number(admission, labels("1", f"bogus-{i}"))
    assert len(admission.keys) == 101
    assert admission.keys[-1] == ((None, OTHER, OTHER, OTHER, None, OTHER), 0)


@pytest.mark.parametrize("often", [False, True])
def test_in_a_full_block_dimensions_are_told_together(often: bool) -> None:
    admission = Admission(dataclasses.replace(LAYOUT, keys_per_block=20))
    number(admission, labels("1", segment="eu"))
    for i in range(50):
        number(admission, labels("1", segment=f"bogus-{i}"))
    assert admission.keys[-1] == (labels("1", segment=OTHER), 0)
    assert number(admission, labels("1", segment="eu")) == 0
    if often:
        cells = [admission.keys[number(admission, labels("2", segment="eu"))][0] for _ in range(OFTEN)]
        assert cells[-1] == labels("2", segment=OTHER)
        assert set(cells[:-1]) == {(None, "cart", "prod", OTHER, None, OTHER)}
