"""A closed window of one version and variant, as the record that tells it."""

from __future__ import annotations

from analyzers.arm import DURATION, ArmWindow
from analyzers.histogram import quantiles
from schemas.delta import ROW_SAMPLE, SAMPLE_RATE_ONE
from schemas.window import WindowSummary
from streams.judge_settings import JudgeSettings
from streams.windows import Group, Label


def of_window(
    settings: JudgeSettings, group: Group, start_us: int, label: Label, content: ArmWindow, revision: int
) -> WindowSummary:
    """`revision` grows with what was counted."""
    duration = content.measure(DURATION)
    keys, counts = duration.histogram.keys, duration.histogram.counts
    p50, p90, p95, p99, p999 = quantiles(keys, counts, (0.5, 0.9, 0.95, 0.99, 0.999))
    means = {
        name: measure.total * settings.resolutions.get(name, 1.0) / measure.rows
        for name, measure in content.measures.items()
        if name != DURATION and measure.rows
    }
    return WindowSummary(
        *group, *label, start_us, start_us + settings.window_us, content.rows, content.errors,
        duration.total / duration.rows if duration.rows else None, p50, p90, p95, p99, p999,
        content.weight / SAMPLE_RATE_ONE, content.late, content.quarantined, means, revision,
        content.copies * ROW_SAMPLE,
    )  # fmt: skip


def by_label(item: tuple[Label, ArmWindow]) -> tuple[str, str]:
    """In which order they are told."""
    (version, variant), _ = item
    return version, variant or ""
