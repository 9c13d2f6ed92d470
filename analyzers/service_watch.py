"""The watch of a service without an experiment: the same detectors and questions as after a promotion, without a promise of
anybody's, so with the tolerances of `schemas.watching`, and without an action: what is found is told.

* Questions are asked as `analyzers.watch` asks them; all of a day err together with alpha.
* HARM that was shown stands until `BACK` windows in a row are nearer to the level before, or for a day: then it is the level.

Pure: windows in, a new state out.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from functools import cache

from analyzers import watch as watching
from analyzers.arm import ArmWindow, PairWindow
from analyzers.judgement import Judgement
from analyzers.slis import kinds
from analyzers.watch import Change, Said, Watch
from schemas.frozen import frozen
from schemas.spec import ExperimentSpec, SliSpec, load_specs
from schemas.watching import Watching

_VERSION = """\
  - {{name: errors, type: error_ratio, max_increase: {errors}}}
  - {{name: latency-p99, type: latency_quantile, quantile: 0.99, max_increase: {latency_p99}}}
"""
"""Of each version."""
_SERVICE = "  - {{name: traffic, type: throughput, max_decrease: {traffic}}}\n"
"""Of all versions together: traffic of one alone comes and goes with deploys."""
WHOLE = "*"
"""The version that stands for all."""
RELEASE = "release"
WARM = 36
"""Windows before the first question."""
BACK = 6
"""Windows in a row that are nearer to the level before, and HARM is over: half a minute."""
_SPEC = """\
id: watch
service: watched
environment: watched
variants: {{control: {{version: before}}, release: {{version: now}}}}
randomization: {randomization}
slis:
{slis}steps: [{{weight: 100%, duration: 1d}}]
rollback: {{window: 24h}}
"""


@frozen(eq=False)
class Watched:
    """One version, or WHOLE; `units`: most of its first requests had a unit. `harm` stands; `back`: windows in a row against
    that; `silent`: windows in a row without a request."""

    version: str
    units: bool
    watch: Watch
    harm: Change | None = None
    back: int = 0
    silent: int = 0

    def spec(self, limits: Watching) -> ExperimentSpec:
        """What it is held against."""
        return _spec_of(limits.errors, limits.latency_p99, limits.traffic, self.version == WHOLE, self.units)


@cache
def _spec_of(errors: str, latency_p99: str, traffic: str, whole: bool, units: bool) -> ExperimentSpec:
    slis = (_SERVICE if whole else _VERSION).format(errors=errors, latency_p99=latency_p99, traffic=traffic)
    return load_specs(_SPEC.format(randomization="user" if units else "request", slis=slis))[0]


def digest(limits: Watching) -> str:
    """Of everything here that a verdict depends on."""
    return hashlib.sha256((_SPEC + _VERSION + _SERVICE + limits.model_dump_json()).encode()).hexdigest()


def start(limits: Watching, version: str, first: ArmWindow, start_us: int, length_us: int) -> Watched:
    """Before its first window, which begins at `start_us`."""
    units = version != WHOLE and 2 * first.with_unit > first.rows
    since_us = start_us + WARM * length_us
    held = Watched(version, units, Watch(RELEASE, since_us, start_us))
    return replace(held, watch=watching.start(held.spec(limits), RELEASE, since_us, start_us, promoted=False))


def step(
    limits: Watching, held: Watched, content: ArmWindow, before: ArmWindow, end_us: int
) -> tuple[Watched, Said | None]:  # fmt: skip
    """After its next window; `before`: the content of the one at `watch.reference_us`."""
    spec, watch = held.spec(limits), held.watch
    pair = PairWindow(watch.next_us, end_us, before, content, 0.5, 0, steady=True)
    watch, said = watching.step(spec, watch, content, pair)
    held = replace(held, silent=0 if content.rows else held.silent + 1)
    if said is not None and said.judgement.action == "ROLLBACK":
        change = said.change if held.harm is None else replace(said.change, before=held.harm.before)
        told = Said(replace(said.judgement, action="HOLD", weight=1.0), change)
        return replace(held, watch=replace(watch, done=False), harm=change, back=0), told
    if watch.done:  # a day is over
        watch = replace(watch, done=False, since_us=end_us, asked=0)
    held = replace(held, watch=watch)
    return (held, said) if held.harm is None else _standing(spec, held, held.harm, said, end_us)


def _standing(
    spec: ExperimentSpec, held: Watched, harm: Change, said: Said | None, end_us: int
) -> tuple[Watched, Said | None]:
    """HARM that was shown: whether it is over."""
    level = next(series.values[-1] for series in held.watch.series if series.sli == harm.sli)
    nearer = math.isfinite(level) and abs(level - harm.before) < abs(level - harm.after)
    back = held.back + 1 if nearer else 0
    sli = next(sli for sli in spec.slis if sli.name == harm.sli)
    if back >= BACK:
        return replace(held, harm=None, back=0), _over(sli, harm, f"is back at {_show(sli, level)}")
    if end_us - harm.begun_us >= spec.rollback.window_us:
        return replace(held, harm=None, back=0), _over(sli, harm, "has been so for a day and counts as its level now")
    same = said is not None and said.change.sli == harm.sli and said.judgement.conclusion == "HEALTHY"
    return replace(held, back=back), None if same else said  # better, but not over


def gone(limits: Watching, held: Watched) -> Said | None:
    """What is to be said when it is not watched any more."""
    if held.harm is None:
        return None
    sli = next(sli for sli in held.spec(limits).slis if sli.name == held.harm.sli)
    return _over(sli, held.harm, "has no requests any more")


def _over(sli: SliSpec, harm: Change, what: str) -> Said:
    moved = f"{sli.name} went from {_show(sli, harm.before)} to {_show(sli, harm.after)}"
    return Said(Judgement("CONTINUE", "HEALTHY", f"{moved}: over, it {what}", (), None, 1.0, None), harm)


def _show(sli: SliSpec, value: float) -> str:
    return kinds()[sli.type].show(sli, value)
