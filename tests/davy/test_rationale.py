"""What `davy explain` and reports say of a verdict."""

from __future__ import annotations

from dataclasses import replace

from davy.rationale import change_lines, comparison_lines, otherwise, rule_of, spec_lines
from schemas.change import Carrier, ChangeEvent, Link
from schemas.spec import load_specs
from streams.scenario import load
from tests.davy.scenes import verdict


def test_a_change_is_told_with_who_carries_it_and_what_was_near() -> None:
    carriers = (Carrier("segment", "eu", 0.92, 0.005, 0.09), Carrier("segment", None, 0.08, 0.005, 0.01))
    change = ChangeEvent("errors", 7, 5, 9, 0.005, 0.03, carriers, (Link(4, "annotation", "deploy"),))
    assert change_lines(replace(verdict("ROLLBACK"), change=change), load("errors").spec) == [
        "errors from 0.5 % to 3 % at 1970-01-01T00:00:00.000007Z (between 1970-01-01T00:00:00.000005Z and "
        "1970-01-01T00:00:00.000009Z)",
        "segment eu carries 92 % of it", "segment all others carries 8 % of it",
        "near it, 1970-01-01T00:00:00.000004Z: deploy (annotation)",
    ]  # fmt: skip
    assert change_lines(verdict("ROLLBACK"), None) == []


def test_a_tripwire_is_told_as_the_rule_and_not_alpha() -> None:
    line = "- {type: latency_limit, quantile: 0.99, limit: 50ms, action: rollback_outside_alpha}"
    (spec,) = load_specs(f"{load('errors').spec.source.rstrip()}\ntripwires:\n  - type: rising_errors\n  {line}\n")
    said = replace(
        verdict("ROLLBACK"), conclusion="INCONCLUSIVE", reason="p99 was above 50 ms (tripwire latency_limit), and so on"
    )
    rule = rule_of(said, spec)
    assert rule.sentence.startswith("a tripwire knows no error budget")
    assert spec_lines(spec, rule.paths)[0].endswith(f": {line}")
    assert not any("evidence" in told for told in otherwise(said, spec))
    assert rule_of(verdict("ROLLBACK"), spec).sentence.startswith("harm is proven")


def test_a_stratified_comparison_is_told_with_its_line() -> None:
    (spec,) = load_specs(f"{load('errors').spec.source.rstrip()}\nstratify: segment\n")
    sentence, line = comparison_lines(spec)
    assert sentence.startswith("within each segment, window by window")
    assert line == f"line {len(spec.source.splitlines())}: stratify: segment"
    assert comparison_lines(load("errors").spec) == []
