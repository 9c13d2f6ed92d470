# tables of cases read better with one case a line
from __future__ import annotations

import pytest

from schemas.config import config_json_schema, parse_config
from schemas.limits import Limits
from schemas.located import Errors


def test_names_in_yaml_have_units_in_their_values() -> None:
    limits = parse_config(
        "limits: {window: 10s, future: 1m, keep: 1h, gap_timeout: 5s, delta_retention: 30d}\n", "x"
    ).limits
    assert (limits.window_us, limits.future_us, limits.keep_us, limits.gap_timeout_us, limits.delta_retention_us) == (
        10_000_000, 60_000_000, 3_600_000_000, 5_000_000, 2_592_000_000_000,
    )  # fmt: skip


def test_defaults_in_the_schema_are_those_of_the_model() -> None:
    properties = config_json_schema()["$defs"]["Limits"]["properties"]
    text = "".join(f"  {name}: {field['default']}\n" for name, field in properties.items())
    assert parse_config(f"limits:\n{text}", "x").limits == Limits()


@pytest.mark.parametrize("name", ["window", "keep", "gap_timeout"])
def test_no_time_at_all_is_refused(name: str) -> None:
    with pytest.raises(Errors, match=f"{name}: '0s' is no time at all"):
        parse_config(f"limits: {{{name}: 0s}}\n", "x")
