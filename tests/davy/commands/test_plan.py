"""`davy plan` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from davy.commands.lint import lint
from davy.commands.plan import plan
from schemas.errors import UserError
from schemas.spec import SpecErrors

SPEC = """\
id: checkout
service: checkout
environment: production
variants: {control: {version: 1}, canary: {version: 2}}
slis:
  - {name: errors, type: error_ratio, max_increase: 0.5pp}
  - {name: p99, type: latency_quantile, quantile: 0.99, max_increase: 20ms}
  - {name: traffic, type: throughput}
policy: {max_duration: 2h}
steps:
  - {weight: 10%, duration: 10m}
  - {weight: 50%, duration: 10m}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "checkout.yaml"
    path.write_text(SPEC)
    return path


def test_people_see_requests_and_time_per_sli_and_step(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(file, 100.0, 1.0, [], as_json=False) == 0
    shown = capsys.readouterr().out
    assert "checkout at 100 requests/s of all arms together" in shown
    assert "PROMOTE of a release as good as control: not known" in shown
    assert "p99: its tolerance is absolute; say what is normal, for example --normal p99=120ms" in shown
    assert "what stands against it" not in shown
    plan(file, 100.0, 1.0, ["p99=400ms", "errors=1%"], as_json=False)
    shown = capsys.readouterr().out
    assert "PROMOTE of a release as good as control: after" in shown
    assert "safe at 10 %" in shown
    assert "errors at the level given" in shown


def test_programs_get_one_object_per_experiment(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f"{SPEC}---\n{SPEC.replace('id: checkout', 'id: other').replace('20ms', '10%')}")
    assert plan(file, 100.0, 0.5, ["errors=1%"], as_json=True) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [first["experiment_id"], second["experiment_id"]] == ["checkout", "other"]
    assert first["promote_seconds"] is None
    assert first["fits"] is False
    assert second["fits"] is True
    assert second["planned_seconds"] == 1200
    errors, p99, traffic = second["slis"]
    assert errors["normal"] == {"errors": 0.005, "spread": 0.5, "level": 0.01}
    assert errors["safety_requests"] < errors["safety_requests_nine_in_ten"]
    assert errors["steps"][0]["safety_seconds"] == pytest.approx(errors["steps"][0]["safety_requests"] / 100, rel=1e-3)
    assert p99["safety_seconds"] <= second["promote_seconds"] or second["promote_seconds"] == 1200
    assert traffic["safety_requests"] is None
    assert traffic["harm_requests"] > 0


def test_what_stands_against_it_has_its_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(file, 0.2, 1.0, [], as_json=False) == 0
    shown = capsys.readouterr().out
    assert f"{file}:6: max_increase: to show 0.5 pp more takes about" in shown
    (said, fewest) = (str(finding) for finding in lint([file], 0.2, {}) if finding.line in (6, 9))
    assert said.startswith(f"{file}:6:53: max_increase: to show 0.5 pp more")
    assert fewest.startswith(f"{file}:9:")
    assert lint([file], None, {}) == []


@pytest.mark.parametrize(
    ("rate", "spread", "normal", "says"),
    [
        (0.0, 1.0, [], "--rate 0: must be above 0"),
        (float("nan"), 1.0, [], "--rate nan: must be above 0"),
        (1.0, -1.0, [], "--spread -1: must be above 0"),
        (
            1.0,
            1.0,
            ["error=1%"],
            "--normal error=1%: say NAME=LEVEL such as errors=0.5%, with a NAME of errors, p99, traffic",
        ),
        (1.0, 1.0, ["errors=2"], "--normal errors=2: '2' is more than everything"),
        (1.0, 1.0, ["p99=5%"], "--normal p99=5%: '5%' is not a level: say for example 120ms"),
    ],
)
def test_bad_options_are_a_sentence(file: Path, rate: float, spread: float, normal: list[str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(file, rate, spread, normal, as_json=False)
    assert str(caught.value).startswith(says)


def test_a_bad_spec_is_told_as_lint_tells_it(file: Path) -> None:
    file.write_text(SPEC.replace("0.5pp", "0.5pq"))
    with pytest.raises(SpecErrors) as caught:
        plan(file, 1.0, 1.0, [], as_json=True)
    assert str(caught.value).startswith(f"{file}:6:53: ")
