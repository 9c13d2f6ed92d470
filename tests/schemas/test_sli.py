# ruff: noqa: E501  # tables of cases read better with one case a line
from __future__ import annotations

import pytest

from schemas.sli import SLI_TYPES
from schemas.spec import SliSpec, SpecErrors, Tolerance, load_specs

SPEC = """\
id: e
service: s
environment: p
variants: {control: {version: 1}, canary: {version: 2}}
steps: [{weight: 50%, duration: 1m}]
slis:
- {name: x, SLI}
"""
COLUMN = len("- {name: x, ") + 1


def sli(text: str) -> SliSpec:
    return load_specs(SPEC.replace("SLI", text))[0].slis[0]


@pytest.mark.parametrize(
    ("text", "tolerance", "limit"),
    [
        ("type: error_ratio", Tolerance("absolute", 0.005), "max_increase"),
        ("type: error_ratio, max_increase: 10%", Tolerance("relative", 0.1), "max_increase"),
        ("type: latency_quantile, quantile: 0.5", Tolerance("relative", 0.1), "max_increase"),
        (
            "type: latency_quantile, quantile: 99.9%, max_increase: 20ms",
            Tolerance("absolute", 2e4),
            "max_increase",
        ),
        ("type: latency_mean", Tolerance("relative", 0.05), "max_increase"),
        ("type: latency_mean, max_increase: 500", Tolerance("absolute", 500), "max_increase"),
        ("type: throughput", Tolerance("relative", 0.3), "max_decrease"),
        ("type: resource_mean, field: cpu_us", Tolerance("relative", 0.15), "max_increase"),
        ("type: resource_mean, field: cpu_us, max_increase: 2ms", Tolerance("absolute", 2e3), "max_increase"),
        (
            "type: resource_mean, field: memory_bytes, max_increase: 50MB",
            Tolerance("absolute", 5e7),
            "max_increase",
        ),
        ("type: resource_mean, field: basket, max_decrease: 1%", Tolerance("relative", 0.01), "max_decrease"),
        ("type: resource_mean, field: queue, max_increase: 2.5", Tolerance("absolute", 2.5), "max_increase"),
        ("type: error_ratio, max_increase: 0%", Tolerance("relative", 0.0), "max_increase"),
    ],
)
def test_tolerances_and_their_defaults(text: str, tolerance: Tolerance, limit: str) -> None:
    found = sli(text)
    assert (found.tolerance, found.limit) == (tolerance, limit)
    assert [found.max_increase, found.max_decrease].count(None) == 1


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("type: error_ratoi", 6, "type: 'error_ratoi' is unknown: did you mean error_ratio?"),
        ("type: error_ratio, max_decrease: 1pp", 33, "max_decrease: error_ratio has none: say max_increase: 0.5pp"),
        ("type: throughput, max_increase: 1%", 32, "max_increase: throughput has none: say max_decrease: 30%"),
        ("type: latency_mean, max_decrease: 1%", 34, "max_decrease: latency_mean has none: say max_increase: 5%"),
        ("type: error_ratio, max_increase: 0.5", 33, "max_increase: '0.5' has no unit: say 50pp (percentage points) or 50% (relative)"),
        ("type: latency_mean, max_increase: 1pp", 34, "max_increase: '1pp' is in percentage points, but this measures a time: say 10% (relative) or 20ms (absolute)"),
        ("type: throughput, max_decrease: 100%", 32, "max_decrease: '100%' is not between 0% and 100%: say what part of traffic may be missing, like 30%"),
        ("type: throughput, max_decrease: 30pp", 32, "max_decrease: '30pp' is in percentage points, but this measures traffic: say 30%"),
        ("type: resource_mean", -10, "field: resource_mean needs one: say field: cpu_us"),
        ("type: error_ratio, field: cpu_us", 26, "field: only resource_mean has one: remove it"),
        ("type: error_ratio, quantile: 0.9", 29, "quantile: only latency_quantile has one: remove it"),
        ("type: latency_quantile", -10, "quantile: latency_quantile needs one: say quantile: 0.99"),
        ("type: latency_quantile, quantile: 99", 34, "quantile: '99' is not a quantile, which lies between 0 and 1: say 0.99"),
        ("type: latency_quantile, quantile: p95", 34, "quantile: 'p95' is not a quantile, which lies between 0 and 1: say 0.95"),
        ("type: latency_quantile, quantile: 1", 34, "quantile: '1' is not a quantile, which lies between 0 and 1: say 0.1"),
        ("type: latency_quantile, quantile: 0", 34, "quantile: '0' is not a quantile, which lies between 0 and 1: say 0.99"),
        ("type: latency_quantile, quantile: -0.5", 34, "quantile: '-0.5' is not a quantile, which lies between 0 and 1: say 0.99"),
        ("type: error_ratio, mode: shadwo", 25, "mode: 'shadwo' is unknown: did you mean shadow?"),
        ("type: error_ratio, line: 3", 19, "unknown field 'line': say one of name, type, field, quantile, target, mode, max_increase, max_decrease"),
        ("type: error_ratio, max_incraese: 1pp", 19, "unknown field 'max_incraese': did you mean max_increase?"),
        ("type: resource_mean, field: q, max_increase: 1, max_decrease: 2", 62, "max_decrease: max_increase is given too: say only the one that would be harm"),
    ],
)  # fmt: skip
def test_bad_slis(text: str, offset: int, message: str) -> None:
    with pytest.raises(SpecErrors) as caught:
        load_specs(SPEC.replace("SLI", text), path="x.yaml")
    assert str(caught.value) == f"x.yaml:7:{COLUMN + offset}: {message}"


def test_every_type_s_own_default_is_one_it_takes() -> None:
    for name, kind in SLI_TYPES.items():
        needs = {"quantile": ", quantile: 0.9", "field": ", field: cpu_us", "target": ", target: 200ms"}.get(
            kind.needs or "", ""
        )
        assert sli(f"type: {name}{needs}") == sli(f"type: {name}{needs}, {kind.limits[0]}: {kind.default}")
