"""What each system's own kind of file becomes, and that every draft is a spec."""

from __future__ import annotations

from pathlib import Path

import pytest

from davy.commands.import_ import imported
from davy.importers.draft import guessed
from schemas.errors import UserError
from schemas.located import Errors
from schemas.spec import ExperimentSpec, load_specs

FLAGGER = """\
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: cart, namespace: shop}
spec:
  targetRef: {kind: Deployment, name: cart}
  analysis:
    interval: 1m
    threshold: 5
    maxWeight: 50
    stepWeight: 20
    metrics:
    - {name: request-success-rate, thresholdRange: {min: 99.5}, interval: 1m}
    - {name: request-duration, thresholdRange: {max: 500}, interval: 30s}
    - {name: queue length, templateRef: {name: queue}}
    webhooks:
    - {name: smoke, type: pre-rollout, url: "http://x"}
    - {name: gate, type: confirm-promotion, url: "http://x"}
"""
ARGO = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: cart}
spec:
  template: {spec: {containers: [{name: cart, image: "registry:5000/shop/cart:2.4.0@sha256:00"}]}}
  strategy:
    canary:
      analysis: {templates: [{templateName: health}, {templateName: elsewhere}]}
      steps:
      - setWeight: 20
      - pause: {}
      - setWeight: 60
      - pause: {duration: 1h30m}
      - setWeight: 100
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: health}
spec:
  metrics:
  - name: success-rate
    successCondition: result[0] >= 0.95
    provider: {prometheus: {query: "sum(rate(requests_total{code!~'5.*'}[5m]))"}}
  - name: slow
    provider: {prometheus: {query: "histogram_quantile(0.95, sum(rate(request_duration_bucket[5m])) by (le))"}}
  - name: smoke
    provider: {job: {spec: {}}}
"""
KAYENTA = """\
{"canaryConfig": {"name": "cart", "applications": ["cart"], "metrics": [
  {"name": "cpu", "query": {"type": "prometheus"}, "groups": ["pod"],
   "analysisConfigurations": {"canary": {"direction": "increase", "effectSize": {"allowedIncrease": 1.25}}}},
  {"name": "success rate", "groups": ["app"], "analysisConfigurations": {"canary": {"direction": "decrease"}}},
  {"name": "latency p95", "groups": ["app"], "analysisConfigurations": {"canary": {"direction": "decrease"}}},
  {"name": "latency p95", "groups": ["app"], "analysisConfigurations": {"canary": {"direction": "increase"}}},
  {"name": "requests", "groups": ["app"], "analysisConfigurations": {"canary": {"direction": "either"}}},
  {"name": "queue length", "query": {"type": "prometheus", "metricName": "queue"}, "groups": ["app"]}],
 "classifier": {"groupWeights": {"pod": 0, "app": 100}, "scoreThresholds": {"marginal": 50, "pass": 75}}},
 "executionRequest": {}}
"""


def one(folder: Path, system: str, text: str) -> tuple[ExperimentSpec, str]:
    file = folder / "theirs.yaml"
    file.write_text(text)
    drafted = imported(system, [file])
    (spec,) = load_specs(drafted)
    return spec, drafted


def limits(spec: ExperimentSpec) -> list[tuple[str, str, str, str]]:
    return [
        (sli.name, sli.type, sli.mode, f"{sli.limit} {sli.tolerance.value:g} {sli.tolerance.kind}") for sli in spec.slis
    ]


def test_flagger(tmp_path: Path) -> None:
    spec, text = one(tmp_path, "flagger", FLAGGER)
    assert (spec.id, spec.service, spec.environment, spec.policy.approval) == ("cart", "cart", "shop", "promotion")
    assert [(step.weight, step.duration_us) for step in spec.steps] == [(0.2, 60_000_000), (0.4, 60_000_000)]
    assert limits(spec) == [
        ("errors", "error_ratio", "enforce", "max_increase 0.005 absolute"),
        ("latency-p99", "latency_quantile", "enforce", "max_increase 0.1 relative"),
    ]
    for said in (
        "below 500 ms",
        "queue length asks",
        "webhook smoke (pre-rollout)",
        "5 failed checks",
        "put in the versions",
    ):
        assert said in text


def test_flagger_without_weights(tmp_path: Path) -> None:
    spec, text = one(tmp_path, "flagger", FLAGGER.replace("maxWeight: 50\n    stepWeight: 20", "iterations: 10"))
    assert [(step.weight, step.duration_us) for step in spec.steps] == [(0.5, 600_000_000)]
    assert "mirrored or switched at once" in text


def test_argo(tmp_path: Path) -> None:
    spec, text = one(tmp_path, "argo", ARGO)
    assert (spec.variants["canary"].version, spec.policy.approval) == ("2.4.0", "steps")
    assert [(step.weight, step.duration_us) for step in spec.steps] == [(0.2, 600_000_000), (0.6, 5_400_000_000)]
    assert [(sli.name, sli.type, sli.quantile) for sli in spec.slis] == [
        ("success-rate", "error_ratio", None),
        ("slow", "latency_quantile", 0.95),
    ]
    for said in ("smoke (job)", "elsewhere is not in the files", "result[0] >= 0.95", "pause without an end"):
        assert said in text


def test_kayenta(tmp_path: Path) -> None:
    spec, text = one(tmp_path, "kayenta", KAYENTA)
    assert limits(spec) == [
        ("cpu", "resource_mean", "shadow", "max_increase 0.25 relative"),
        ("success-rate", "error_ratio", "enforce", "max_increase 0.1 relative"),
        ("latency-p95", "latency_quantile", "enforce", "max_increase 0.1 relative"),
        ("requests", "throughput", "enforce", "max_decrease 0.1 relative"),
    ]
    assert [sli.quantile for sli in spec.slis][2] == 0.95
    for said in ("latency p95 is left out", "queue length is nothing", "both directions", "share one alpha"):
        assert said in text


def test_what_compares_nothing_gets_a_start(tmp_path: Path) -> None:
    spec, text = one(
        tmp_path, "argo", ARGO.partition("---")[0].replace("canary:\n      analysis", "canary:\n      other")
    )
    assert [sli.name for sli in spec.slis] == ["errors", "latency-p99"]
    assert "the two slis are a start" in text


@pytest.mark.parametrize(
    ("system", "text", "said"),
    [
        ("flagger", ARGO, "no canary configuration of flagger"),
        ("kayenta", "a: [", "theirs.yaml:1:5: this is not YAML"),
        ("argo", ARGO.replace("1h30m", "soon"), "theirs.yaml:13:27: 'soon' is not a duration"),
        ("argo", ARGO.replace("setWeight: 60", "setWeight: most"), "theirs.yaml:12:20: 'most' is not a number"),
        ("argo", ARGO.replace("    canary:", "    blueGreen:"), "blueGreen shifts all traffic at once"),
        ("spinnaker", "{}", "there is no importer for spinnaker"),
    ],
)
def test_bad_input_has_a_place(tmp_path: Path, system: str, text: str, said: str) -> None:
    file = tmp_path / "theirs.yaml"
    file.write_text(text)
    with pytest.raises((UserError, Errors)) as raised:
        imported(system, [file])
    assert said in str(raised.value)


def test_metrics_are_guessed_by_what_they_speak_of() -> None:
    kinds = {
        name: (found := guessed(name, "")) and (found["type"], found.get("field") or found.get("quantile"))
        for name in ("memoryUsage", "CPU", "http_5xx_ratio", "p99.9 latency", "responseTime", "qps", "queue length")
    }
    assert kinds == {
        "memoryUsage": ("resource_mean", "memory_bytes"), "CPU": ("resource_mean", "cpu_us"),
        "http_5xx_ratio": ("error_ratio", None), "p99.9 latency": ("latency_quantile", "0.999"),
        "responseTime": ("latency_quantile", "0.99"), "qps": ("throughput", None), "queue length": None,
    }  # fmt: skip
