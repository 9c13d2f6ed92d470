"""The picture of the evidence: worse is to the right, whatever the SLI's direction."""

from __future__ import annotations

import math

import pytest

from davy.picture import BAR, WIDTH, bar, line, picture
from schemas.spec import load_specs
from schemas.verdict import Evidence
from tests.streams.sinks import records

SPEC = load_specs("""\
id: e
service: s
environment: p
variants: {control: {version: 1}, canary: {version: 2}}
slis:
  - {name: errors, type: error_ratio, max_increase: 0.5pp}
  - {name: traffic, type: throughput, max_decrease: 30%}
steps: [{weight: 10%, duration: 1m}]
""")[0]
ERRORS, TRAFFIC = SPEC.slis


def item(effect: float | None, lower: float | None, upper: float | None, name: str = "errors") -> Evidence:
    return Evidence(
        name, "canary", 0.01, 0.02, effect, lower, upper, 4.0, math.log(4), 100.0, 2.0, 20.0, 10, 10, "OPEN"
    )


def test_signs_stand_where_the_figures_say() -> None:
    drawn = line(item(0.01, 0.004, 0.011), ERRORS)
    assert len(drawn) == WIDTH
    zero, allowed, seen = (drawn.index(sign) for sign in "0╂●")
    assert zero < allowed < seen
    assert allowed - zero == pytest.approx((seen - zero) / 2, abs=1)
    assert drawn.index("╞") < allowed
    assert seen < drawn.index("╡")


def test_less_is_worse_for_throughput() -> None:
    drawn = line(item(-0.5, -0.6, -0.4, "traffic"), TRAFFIC)
    assert drawn.index("0") < drawn.index("╂") < drawn.index("╞") < drawn.index("●") < drawn.index("╡")


def test_far_ends_run_off_the_line() -> None:
    drawn = line(item(0.0, -1.0, 1.0), ERRORS)
    assert "╞" not in drawn
    assert "╡" not in drawn
    assert drawn[0] == drawn[-1] == "═"


def test_nothing_seen_is_no_line() -> None:
    assert line(item(None, None, None), ERRORS) == ""
    assert set(line(item(0.001, None, None), ERRORS)) == {"─", "0", "╂", "●"}


def test_bars_are_logarithms() -> None:
    assert bar(0.0, math.log(100)) == "░" * BAR
    assert bar(math.log(10), math.log(100)) == "█" * (BAR // 2) + "░" * (BAR // 2)
    assert bar(1e6, math.log(100)) == "█" * BAR
    assert bar(-3.0, math.log(20)) == "░" * BAR


def test_a_line_per_sli_and_a_legend() -> None:
    lines = [text.plain for text in picture(records.verdict(), records.EXPERIMENT)]
    assert [text.split()[0] for text in lines[:-1]] == [evidence.sli for evidence in records.verdict().evidence]
    assert "safety" in lines[0]
    assert "safety" not in lines[1]
    assert "all that is allowed" in lines[-1]
