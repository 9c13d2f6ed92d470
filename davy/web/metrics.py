"""What Prometheus sees of the rollouts: a collector over `State`; the number of its series is bounded by State's limits."""

from __future__ import annotations

import math
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from davy.web.feed import Feed


class Rollouts(Collector):
    """Weights, verdicts and evidence of every experiment that is known."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    def collect(self) -> Iterable[Metric]:
        """Read under the feed's lock, once a scrape."""
        where = ["experiment", "variant"]
        weight = GaugeMetricFamily("davy_experiment_weight", "Share of traffic by variant.", labels=where)
        verdict = GaugeMetricFamily(
            "davy_verdict", "1 for the verdict that holds.", labels=[*where, "action", "conclusion"]
        )
        issued = GaugeMetricFamily("davy_verdict_issued_seconds", "When it was issued, Unix time.", labels=where)
        harm = GaugeMetricFamily("davy_evidence_harm_log", "Natural log of the HARM evidence.", labels=[*where, "sli"])
        need = GaugeMetricFamily(
            "davy_evidence_harm_log_threshold", "What it must reach alone.", labels=[*where, "sli"]
        )
        place = ["service", "environment", "slo"]
        left = GaugeMetricFamily(
            "davy_error_budget_left",
            "Share of the error budget that is left; below 0 more than all was spent.",
            labels=place,
        )
        burn = GaugeMetricFamily(
            "davy_error_budget_burn", "Burn rate over the long lookback of each alert.", labels=[*place, "factor"]
        )
        alert = GaugeMetricFamily(
            "davy_error_budget_alert", "1 while an alert on it is active.", labels=[*place, "severity"]
        )
        feed = self.feed
        with feed.lock:
            for status in feed.state.budgets.values():
                named = [status.service, status.environment, status.slo]
                left.add_metric(named, status.left)
                for severity in ("page", "ticket"):
                    alert.add_metric([*named, severity], int(status.alert == severity.upper()))
                for rule in status.burns:
                    if rule.long is not None:
                        burn.add_metric([*named, f"{rule.factor:g}"], rule.long)
            for name, experiment in feed.state.experiments.items():
                for variant, share in experiment.weights.items():
                    weight.add_metric([name, variant], share)
                for variant, held in experiment.current().items():
                    verdict.add_metric([name, variant, held.action, held.conclusion], 1)
                    issued.add_metric([name, variant], held.issued_at / 1e6)
                    for row in held.evidence:
                        harm.add_metric([name, variant, row.sli], row.log_evidence)
                        need.add_metric([name, variant, row.sli], math.log(row.threshold))
            known, refused = len(feed.state.experiments), feed.state.refused
            newest, counted = feed.state.newest_us, dict(feed.state.counted)
        yield from (weight, verdict, issued, harm, need, left, burn, alert)
        yield GaugeMetricFamily("davy_experiments", "Experiments that are known.", value=known)
        yield GaugeMetricFamily("davy_ready", "1 while the stream moves.", value=int(feed.fault() is None))
        yield GaugeMetricFamily(
            "davy_watermark_seconds", "End of the newest closed window, Unix time.", value=newest / 1e6
        )
        for name, rows in counted.items():
            yield CounterMetricFamily(f"davy_windows_{name}_rows", f"Rows in the windows shown: {name}.", value=rows)
        yield GaugeMetricFamily(
            "davy_deadletters_records",
            "Records that could not be used, in their topic.",
            value=feed.positions.dead_letters,
        )
        yield CounterMetricFamily("davy_verdicts_refused", "Verdicts of superseded judges.", value=refused)
        yield CounterMetricFamily(
            "davy_web_unreadable", "Records that the console could not read.", value=feed.unreadable
        )
