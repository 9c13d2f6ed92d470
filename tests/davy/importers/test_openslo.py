"""Objectives of OpenSLO become `slos:`; what request events cannot tell is left out and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from davy.commands.import_ import imported
from schemas.config import parse_config
from schemas.errors import UserError
from schemas.located import Errors

HEAD = "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: shop, labels: {env: [prod]}}\nspec:\n  service: web\n"
RATIO = (
    "  indicator: {spec: {ratioMetric: {counter: true, good: {metricSource: {spec: {query: 'ok{code!~\"5..\"}'}}}}}}\n"
)
BUCKET = "  indicator: {spec: {ratioMetric: {good: {metricSource: {spec: {query: 'x_bucket{le=\"0.3\"}'}}}}}}\n"
SLOW = "  indicator: {metadata: {name: page-latency}, spec: {thresholdMetric: {metricSource: {type: Any}}}}\n"
LAG = "  indicator: {spec: {thresholdMetric: {metricSource: {spec: {query: consumergroup_lag}}}}}\n"
RAW = "  indicator: {spec: {ratioMetric: {rawType: success, raw: {metricSource: {spec: {query: satisfaction}}}}}}\n"
WINDOW = "  timeWindow: [{duration: 4w, isRolling: true}]\n"
TARGETS = "  objectives: [{target: 0.999}, {targetPercent: 99.5}]\n"
LATENCY = "  objectives: [{op: lte, value: 500, target: 0.99}]\n"
DAY_US = 86_400_000_000


def slos(tmp_path: Path, *texts: str) -> tuple[dict[str, tuple[str, str, float, int, int | None]], str]:
    """What davy.yaml then says, and the whole text."""
    files: list[Path] = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}.yaml")
        files[-1].write_text(text)
    text = imported("openslo", files)
    found = parse_config(text, "davy.yaml", {}).slos
    told = {
        name: (slo.service, slo.environment, slo.objective, slo.window_us // DAY_US, slo.slower_than_us)
        for name, slo in found.items()
    }
    return told, text


def test_every_target_is_an_objective(tmp_path: Path) -> None:
    found, text = slos(tmp_path, HEAD + RATIO + WINDOW + TARGETS)
    assert found == {"shop": ("web", "prod", 0.999, 28, None), "shop-2": ("web", "prod", 0.995, 28, None)}
    assert text.count("#") == 1, "there was nothing to say"


@pytest.mark.parametrize(
    ("indicator", "slower_than_us", "notes"),
    [(SLOW, 500_000, ["# - shop: 500 is taken for milliseconds"]), (BUCKET, 300_000, [])],
)
def test_latency_becomes_slow_requests(tmp_path: Path, indicator: str, slower_than_us: int, notes: list[str]) -> None:
    found, text = slos(tmp_path, HEAD + indicator + WINDOW + LATENCY)
    assert found == {"shop": ("web", "prod", 0.99, 28, slower_than_us)}
    assert text.splitlines()[1:-2] == notes


def test_an_indicator_may_stand_in_another_file_and_objects_in_a_list(tmp_path: Path) -> None:
    slo = HEAD + "  indicatorRef: up\n" + WINDOW + TARGETS
    sli = "- kind: SLI\n  metadata: {name: up}\n  spec: {ratioMetric: {bad: {metricSource: {spec: {query: http_errors}}}}}\n"
    assert len(slos(tmp_path, slo, sli)[0]) == 2
    found, text = slos(tmp_path, slo)
    assert found == {}
    assert "# - shop: its indicator up is in none of the files: name that file, too" in text
    old = (
        "kind: SLO\nmetadata: {name: old}\nspec:\n  service: web\n  timeWindows: [{unit: Month, count: 1, isRolling: false}]\n"
        "  budgetingMethod: Timeslices\n  objectives: [{target: 0.98, ratioMetrics: {total: {query: all_requests}}}]\n"
    )
    found, text = slos(tmp_path, old)
    assert found == {"old": ("web", "production", 0.98, 30, None)}
    assert [line[9:] for line in text.splitlines() if line.startswith("# - ")] == [
        "it names no environment: production is a guess",
        "a calendar's period becomes a rolling one",
        "Timeslices become Occurrences: a slice of time that is bad counts as its bad requests do",
    ]


@pytest.mark.parametrize("indicator", [LAG, RAW])
def test_what_events_do_not_tell_is_left_out_and_said(tmp_path: Path, indicator: str) -> None:
    found, text = slos(tmp_path, HEAD + indicator + WINDOW + LATENCY)
    assert found == {}
    assert "left out" in text


@pytest.mark.parametrize("window", ["1m", "2h", "soon"])
def test_a_period_is_a_day_at_least(tmp_path: Path, window: str) -> None:
    found, text = slos(tmp_path, HEAD + RATIO + f"  timeWindow: [{{duration: {window}}}]\n" + TARGETS)
    assert {each[3] for each in found.values()} == {30}
    assert f"a period of {window} is shorter than a day" in text


def test_what_is_no_openslo_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no SLO of openslo in it"):
        slos(tmp_path, "kind: Deployment\n")
    with pytest.raises(Errors, match="'much' is not a number"):
        slos(tmp_path, HEAD + RATIO + WINDOW + "  objectives: [{target: much}]\n")
    assert (
        "has no target between 0 and 1" in slos(tmp_path, HEAD + RATIO + WINDOW + "  objectives: [{target: 99}]\n")[1]
    )
