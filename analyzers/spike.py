"""A spike: an SLI far away from what it usually is, for a short time. It is told once it is over, and nothing acts on it."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from statistics import median

from analyzers.arm import PairWindow
from analyzers.change import Change, allowed
from analyzers.share_sli import ShareSli
from analyzers.slis import kinds
from analyzers.trial import plan_of
from schemas.spec import ExperimentSpec, SliSpec

SIGMAS = 8
"""So many standard deviations of the windows before, and the tolerance, must a window be away from their median to be the
begin of a spike: few requests scatter widely, and what is allowed is no news."""
EVENTS = 10
"""Requests that must fail for it, where a share of them is asked about."""
USUAL = 72
"""Latest windows that a spike is held against."""
USUAL_MIN = 24
WINDOWS = 36
"""What lasts longer is not waited for."""


def step(
    spec: ExperimentSpec, sli: SliSpec, spike: Change | None, values: array[float], seen: float, pair: PairWindow
) -> tuple[Change | None, Change | None]:
    """The spike that goes on after a window in which the SLI was `seen`, and the one that is over with it; `values` are those
    of the windows before. `latest_us` is where it was seen last."""
    start_us = pair.start_us
    if spike is None:
        usual = [value for value in values[-USUAL:] if math.isfinite(value)]
        if len(usual) < USUAL_MIN or not math.isfinite(seen):
            return None, None
        before = median(usual)
        away = abs(seen - before)
        if away <= allowed(sli, before) or _few(spec, sli, away, pair) or away <= SIGMAS * _spread(usual):
            return None, None
        return Change(sli.name, start_us, start_us, start_us, before, seen, "anomaly"), None
    away, furthest = abs(seen - spike.before), abs(spike.after - spike.before)
    lasts = away > furthest / 2 and start_us - spike.begun_us < WINDOWS * (pair.end_us - start_us)
    if not lasts:
        return None, spike
    return replace(spike, latest_us=start_us, after=seen if away > furthest else spike.after), None


def _few(spec: ExperimentSpec, sli: SliSpec, away: float, pair: PairWindow) -> bool:
    """Whether a handful of requests makes up that much of a share."""
    kind = kinds()[sli.type]
    return isinstance(kind, ShareSli) and pair.candidate.rows * away < EVENTS * abs(kind.scale(sli, plan_of(spec))[1])


def _spread(values: list[float]) -> float:
    """Standard deviation; `statistics.pstdev` computes in fractions, which takes forty times as long."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum([(value - mean) ** 2 for value in values]) / len(values))
