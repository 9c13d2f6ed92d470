"""Tripwires of a spec: what may be said of each, and the sentence where it is wrong."""

from __future__ import annotations

import pytest

from schemas.spec import SpecErrors, Tripwire, load_specs

SPEC = """\
id: e
service: s
environment: p
variants: {control: {version: 1}, canary: {version: 2}}
steps: [{weight: 50%, duration: 1m}]
slis: [{name: errors, type: error_ratio}]
tripwires:
- {RULE}
"""


def tripwire(text: str) -> Tripwire:
    return load_specs(SPEC.replace("RULE", text))[0].tripwires[0]


def test_each_with_its_defaults() -> None:
    assert tripwire("type: rising_errors") == Tripwire(type="rising_errors", windows=3)
    slow = tripwire("type: latency_limit, quantile: 0.99, limit: 800ms, windows: 1, action: rollback_outside_alpha")
    assert (slow.quantile, slow.limit, slow.windows, slow.action) == (0.99, 800_000, 1, "rollback_outside_alpha")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type: latency_limit, quantile: 0.99", "limit: latency_limit needs one: say limit: 800ms"),
        ("type: latency_limit, limit: 1s", "quantile: latency_limit needs one: say quantile: 0.99"),
        ("type: rising_errors, limit: 1s", "limit: only latency_limit has one: remove it"),
        ("type: rising_errors, action: rollback", "action: "),
        ("type: rising_errors, windows: 0", "windows: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SpecErrors) as raised:
        tripwire(text)
    (finding,) = raised.value.findings
    assert finding.line == 8
    assert finding.message.startswith(message), finding.message
