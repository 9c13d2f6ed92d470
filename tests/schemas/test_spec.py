# ruff: noqa: E501  # tables of cases read better with one case a line
from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.errors import UserError
from schemas.located import Finding
from schemas.spec import ExperimentSpec, SpecErrors, Tolerance, experiment_json_schema, load_specs

CONTRACT = """\
apiVersion: davy/v1
kind: Experiment
id: checkout-2.4.0
hypothesis: The new cache cuts p99 latency and raises no errors.
owner: checkout-team
service: checkout
environment: production
variants:
  control: {version: 2.3.1}
  canary: {version: 2.4.0}          # several candidates may run in parallel
randomization: user                 # request | user | session | shard
unit_header: X-Unit-Id              # where a proxy finds the unit
slis:
  - {name: errors, type: error_ratio, max_increase: 0.5pp}       # pp: percentage points; %: relative
  - {name: latency-p99, type: latency_quantile, quantile: 0.99, max_increase: 10%}
  - {name: latency-mean, type: latency_mean, max_increase: 5%, mode: shadow}
  - {name: traffic, type: throughput, max_decrease: 30%}
  - {name: cpu, type: resource_mean, field: cpu_us, max_increase: 15%}
policy:
  alpha: 0.01
  beta: 0.05
  min_duration: 10m
  min_requests: 1000
  max_duration: 24h
  on_no_data: hold
  sustained: 30s
error_budget: {objective: 99.9%, window: 30d}
steps:
  - {weight: 1%, duration: 5m}
  - {weight: 10%, duration: 10m}
  - {weight: 50%, duration: 10m}
rollback: {window: 24h, to: control}
"""
REQUIRED = """\
id: checkout-2.4.0
service: checkout
environment: production
variants:
  control: {version: 2.3.1}
  canary: {version: 2.4.0}
slis:
  - {name: errors, type: error_ratio}
steps:
  - {weight: 10%, duration: 10m}
"""


def one(text: str) -> ExperimentSpec:
    (spec,) = load_specs(text, path="x.yaml")
    return spec


def findings(text: str) -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        load_specs(text, path="x.yaml")
    return [str(finding) for finding in caught.value.findings]


def test_the_contract_s_example() -> None:
    spec = one(CONTRACT)
    assert (spec.id, spec.service, spec.environment, spec.owner) == (
        "checkout-2.4.0", "checkout", "production", "checkout-team",
    )  # fmt: skip
    assert spec.variants["canary"].version == "2.4.0"
    assert (spec.control, spec.candidates) == ("control", ("canary",))
    assert [(sli.name, sli.type, sli.mode, sli.tolerance) for sli in spec.slis] == [
        ("errors", "error_ratio", "enforce", Tolerance("absolute", 0.005)),
        ("latency-p99", "latency_quantile", "enforce", Tolerance("relative", 0.1)),
        ("latency-mean", "latency_mean", "shadow", Tolerance("relative", 0.05)),
        ("traffic", "throughput", "enforce", Tolerance("relative", 0.3)),
        ("cpu", "resource_mean", "enforce", Tolerance("relative", 0.15)),
    ]
    assert spec.slis[1].quantile == 0.99
    assert spec.slis[4].field == "cpu_us"
    assert spec.error_budget is not None
    assert (spec.error_budget.objective, spec.error_budget.window_us) == (0.999, 30 * 86_400_000_000)
    assert [(step.weight, step.duration_us) for step in spec.steps] == [
        (0.01, 300_000_000), (0.1, 600_000_000), (0.5, 600_000_000),
    ]  # fmt: skip


def test_what_is_left_out_has_the_contract_s_defaults() -> None:
    full, short = one(CONTRACT), one(REQUIRED)
    assert short.policy == full.policy
    assert short.rollback == full.rollback
    assert (short.randomization, short.unit_header, short.mode) == ("user", "X-Unit-Id", "compare")
    assert short.slis[0].tolerance == full.slis[0].tolerance
    assert short.error_budget is None
    assert one(REQUIRED + "error_budget: {}\n").error_budget == full.error_budget
    assert one(REQUIRED + "policy:\nowner:\n").policy == full.policy


def test_lines_source_and_path() -> None:
    spec = one(CONTRACT)
    assert spec.path == "x.yaml"
    assert spec.lines["slis[0].max_increase"] == 14
    assert spec.lines["policy.alpha"] == 20
    assert spec.lines["steps[2]"] == 31
    assert [sli.line for sli in spec.slis] == [14, 15, 16, 17, 18]


def test_a_spec_comes_back_from_its_source() -> None:
    for spec in load_specs(f"{CONTRACT}---\n{REQUIRED.replace('2.4.0', '2.5.0')}---\n# nothing\n"):
        again = one(spec.source)
        assert again.model_dump() == spec.model_dump()
        assert (again.id, again.digest, again.source) == (spec.id, spec.digest, spec.source)


def test_a_spec_on_one_line_comes_back_too() -> None:
    text = "{id: e, service: s, environment: p, variants: {control: {version: 1}, canary: {version: 2}}, "
    spec = one(text + "slis: [{name: e, type: error_ratio}], steps: [{weight: 50%, duration: 1m}]}")
    assert one(spec.source).digest == spec.digest


def test_the_digest_sees_content_only() -> None:
    digest = one(CONTRACT).digest
    shuffled = "\n".join(f"{line}  # why" for line in reversed(CONTRACT.split("slis:", 1)[0].splitlines()[:7]))
    rest = "variants:" + CONTRACT.split("variants:", 1)[1]
    same = f"{shuffled}\n{rest}".replace("50%", "'0.5'").replace("24h", "1440m").replace("0.99,", "99%,")
    assert one(same).digest == digest
    assert one(CONTRACT.replace("0.01", "0.02")).digest != digest
    assert one(CONTRACT.replace("version: 2.4.0", "version: 2.40")).digest != digest
    assert len(digest) == 64


def test_specs_are_frozen() -> None:
    with pytest.raises(ValidationError):
        one(REQUIRED).id = "other"  # pyright: ignore[reportAttributeAccessIssue]  # what is tested


def test_files_folders_and_several_documents(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(f"{REQUIRED}---\n{REQUIRED.replace('2.4.0', '2.5.0')}")
    (tmp_path / "a.yml").write_text(REQUIRED.replace("2.4.0", "2.6.0"))
    (tmp_path / "davy.yaml").write_text("embedded: true\n")
    (tmp_path / "notes.txt").write_text("no spec")
    assert [spec.id for spec in load_specs(tmp_path)] == [
        "checkout-2.6.0",
        "checkout-2.4.0",
        "checkout-2.5.0",
    ]
    assert [spec.path for spec in load_specs(tmp_path / "a.yml")] == [str(tmp_path / "a.yml")]
    assert len(load_specs([tmp_path / "a.yml", tmp_path / "b.yaml"])) == 3


def test_ids_differ_across_files_and_documents(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(REQUIRED)
    (tmp_path / "b.yaml").write_text(f"# again\n{REQUIRED}---\n{REQUIRED}")
    with pytest.raises(SpecErrors) as caught:
        load_specs(tmp_path)
    told = f"id: 'checkout-2.4.0' is used already, at {tmp_path}/a.yaml:1: say another"
    assert [str(finding) for finding in caught.value.findings] == [
        f"{tmp_path}/b.yaml:2:5: {told}",
        f"{tmp_path}/b.yaml:13:5: {told}",
    ]


def test_findings_of_all_files_come_together(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("id: [\n")
    (tmp_path / "b.yaml").write_text(REQUIRED.replace("10%", "1000%"))
    (tmp_path / "c.yaml").write_bytes(b"\xff")
    (tmp_path / "d.yaml").write_text("")
    with pytest.raises(SpecErrors) as caught:
        load_specs(tmp_path)
    assert [(Path(found.file).name, found.line, found.column) for found in caught.value.findings] == [
        ("a.yaml", 2, 1), ("b.yaml", 10, 14), ("c.yaml", 1, 1), ("d.yaml", 1, 1),
    ]  # fmt: skip


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no spec: no file in it ends in \.yaml"):
        load_specs(tmp_path)
    with pytest.raises(UserError, match="cannot be read: no such file or directory"):
        load_specs(tmp_path / "x.yaml")


BAD: list[tuple[str, str, list[str]]] = [
    ("id: checkout-2.4.0", "id: a b", ["1:5: id: 'a b' is not a name: say letters, digits, '.', '_' and '-', up to 128, a letter or digit first"]),
    ("id: checkout-2.4.0", f"id: {'a' * 129}", [f"1:5: id: '{'a' * 129}' is not a name: say letters, digits, '.', '_' and '-', up to 128, a letter or digit first"]),
    ("id: checkout-2.4.0\n", "", ["1:1: id is missing: say id: checkout-2.4.0"]),
    ("environment: production", "environment:", ["3:1: environment: must not be empty"]),
    ("service: checkout", "servce: checkout", ["1:1: service is missing: say service: checkout", "2:1: unknown field 'servce': did you mean service?"]),
    ("id: checkout-2.4.0", "id: x\nkind: Experimnt", ["2:7: kind: 'Experimnt' is unknown: did you mean Experiment?"]),
    ("id: checkout-2.4.0", "id: x\napiVersion: davy/v2", ["2:13: apiVersion: 'davy/v2' is unknown: did you mean davy/v1?"]),
    ("id: checkout-2.4.0", "id: x\nrandomization: usr", ["2:16: randomization: 'usr' is unknown: did you mean user?"]),
    ("id: checkout-2.4.0", "id: x\nunit_header: 'X Unit'", ["2:14: unit_header: 'X Unit' is not the name of an HTTP header: say for example X-Unit-Id"]),
    ("  canary: {version: 2.4.0}", "  canary: {}", ["6:3: version is missing: say version: 2.4.0"]),
    ("  canary: {version: 2.4.0}", "  canary: 2.4.0", ["6:11: canary: must be a mapping, not '2.4.0'"]),
    ("  canary: {version: 2.4.0}", "  my canary: {version: 2.4.0}", ["6:3: 'my canary' is not a name: say letters, digits, '.', '_' and '-', up to 128, a letter or digit first"]),
    ("  canary: {version: 2.4.0}", "  canary: {version: 2.4.0, upstream: [a:1, b]}", ["6:44: upstream[1]: 'b' is not an address: say HOST:PORT, like 10.0.0.7:8080"]),
    ("  canary: {version: 2.4.0}", "  canary: {version: 2.4.0, upstream: a:1}", ["6:38: upstream: must be a list, like [10.0.0.7:8080], not 'a:1'"]),
    ("  canary: {version: 2.4.0}", "  canary: {version: 2.4.0, wieght: 1}", ["6:28: unknown field 'wieght': say one of version, upstream"]),
    ("  - {name: errors, type: error_ratio}", "  []", ["8:3: slis: must not be empty: say [{name: errors, type: error_ratio, max_increase: 0.5pp}]"]),
    ("steps:\n  - {weight: 10%, duration: 10m}\n", "", ["1:1: steps is missing: say steps: [{weight: 10%, duration: 10m}, {weight: 50%, duration: 10m}]"]),
    ("weight: 10%", "weight: 150%", ["10:14: weight: '150%' is more than everything: a share lies between 0% and 100%"]),
    ("weight: 10%", "weight: 10", ["10:14: weight: '10' is more than everything: say 10%"]),
    ("weight: 10%", "weight: -1%", ["10:14: weight: '-1%' is below zero: a share lies between 0% and 100%"]),
    ("weight: 10%", "weight: 0%", ["10:14: weight: '0%' is less than a splitter can do: say at least 0.01%"]),
    ("duration: 10m", "duration: 600", ["10:29: duration: '600' has no unit: say 600s"]),
    ("duration: 10m", "duration: 0m", ["10:29: duration: '0m' is no time at all: say for example 5m"]),
    (", duration: 10m", "", ["10:5: duration is missing: say duration: 10m"]),
    ("steps:", "policy: {alpha: 0}\nsteps:", ["9:17: alpha: '0' must be above 0 and at most 0.5: say for example 0.01"]),
    ("steps:", "policy: {beta: 0.6, alpha: 1%}\nsteps:", ["9:16: beta: '0.6' must be above 0 and at most 0.5: say for example 0.01"]),
    ("steps:", "policy: {min_requests: many}\nsteps:", ["9:24: min_requests: 'many' is not a whole number, like 1000"]),
    ("steps:", "policy: {min_requests: -1}\nsteps:", ["9:24: min_requests: '-1' must be greater than or equal to 0, like 1000"]),
    ("steps:", "policy: {on_no_data: wait}\nsteps:", ["9:22: on_no_data: 'wait' is unknown: say one of hold, rollback"]),
    ("steps:", "policy: [alpha]\nsteps:", ["9:9: policy: must be a mapping, not a list"]),
    ("steps:", "error_budget: {objective: 100%}\nsteps:", ["9:27: objective: '100%' must be above 0% and below 100%"]),
    ("steps:", "rollback: {window: soon}\nsteps:", ["9:20: window: 'soon' is not a duration: say 30s, 5m or 24h"]),
    ("steps:", "id: again\nsteps:", ["9:1: 'id' stands here again: it was already given in line 1"]),
    ("id: checkout-2.4.0", "id: x\nsource: x\nlines: x\ndigest: x", ["2:1: unknown field 'source': did you mean service?", "3:1: unknown field 'lines': did you mean slis?", "4:1: unknown field 'digest': say one of apiVersion, kind, id, hypothesis, owner, service, environment, mode, variants, randomization, stratify, layer, overlap, unit_header, slis, policy, error_budget, tripwires, steps, rollback, dependencies"]),
    (REQUIRED, "- a list\n", ["1:1: an experiment is a mapping: say kind: Experiment, id: ..."]),
    (REQUIRED, "# nothing\n", ["1:1: there is no experiment in here: say kind: Experiment, id: ..."]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), BAD)
def test_bad_input_has_its_place_and_what_would_be_right(old: str, new: str, expected: list[str]) -> None:
    assert old in REQUIRED
    assert findings(REQUIRED.replace(old, new)) == [f"x.yaml:{line}" for line in expected]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = (
        REQUIRED.replace("checkout-2.4.0", "a b").replace("10%", "1000%").replace("  control: {version: 2.3.1}\n", "")
    )
    assert [finding.split(": ")[0] for finding in findings(text)] == [
        "x.yaml:1:5",
        "x.yaml:5:3",
        "x.yaml:9:14",
    ]


def test_json_schema_accepts_the_example_s_fields_and_no_others() -> None:
    schema = experiment_json_schema()
    json.dumps(schema)
    assert set(schema["required"]) == {"id", "service", "environment", "variants", "slis", "steps"}
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) >= {line.split(":")[0] for line in CONTRACT.splitlines() if line[0].isalpha()}
    assert schema["$defs"]["Policy"]["properties"]["max_duration"]["default"] == "24h"
    assert "error_ratio" in schema["$defs"]["SliSpec"]["properties"]["type"]["enum"]
    assert "line" not in schema["$defs"]["SliSpec"]["properties"]


lines = st.lists(st.sampled_from([*CONTRACT.splitlines(), "  - {}", "steps: []", "x: 1", "variants: {}"]), max_size=30)


@settings(deadline=None)
@given(lines)
def test_any_document_is_specs_or_findings_with_places(chosen: list[str]) -> None:
    text = "\n".join(chosen)
    found: list[Finding] = []
    try:
        specs = load_specs(text, path="x.yaml")
    except SpecErrors as errors:
        specs, found = [], errors.findings
    assert specs or found
    assert all(1 <= finding.line <= len(chosen) + 1 and finding.file == "x.yaml" for finding in found)
    assert all(one(spec.source).digest == spec.digest for spec in specs)
