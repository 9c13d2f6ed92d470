"""An error budget: how much of what an objective allows is spent, and how fast. Pure.

An objective of 99.9 % over 30 days allows one request in a thousand to be bad. The burn rate of a lookback is the share of bad
requests in it over that one in a thousand: at 1 the budget is spent exactly at the end of its period. An alert is a long
lookback, which shows that enough was spent to matter, and a short one, which shows that it still goes on (Beyer et al., "The
Site Reliability Workbook", 2018, chapter 5, table 5-8; other periods than 30 days scale the lookbacks, so that an alert means
the same share of the budget). It is over once it did not burn for its short lookback.

What was before counting began is not known: it is taken for good, at the traffic of the time that is covered. So a budget
begins whole, and no alert rests on the first seconds alone. Counts are kept in four rings of bins, from 5 s up to 1/720 of the
period, so a lookback is off by at most one part in 60.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from schemas.frozen import frozen
from schemas.slo import DAY_US, ErrorBudget, Slo, period

BINS = 768
USED_BINS = 720
"""Of a ring, for lookbacks; the rest lets them begin and end anywhere."""
WIDTHS_US = (5_000_000, 60_000_000, 600_000_000)
LEAST_US = 10_000_000
"""The shortest lookback: two windows."""
RELEASES_MAX = 50
"""Of more, those that were seen longest ago are forgotten."""
PACE_MAX = 10.0
"""A budget that is spent makes a step this much longer at most."""

Severity = Literal["page", "ticket"]
Alert = Literal["NONE", "TICKET", "PAGE"]
Ints = npt.NDArray[np.int64]


@frozen()
class Rule:
    """Burns when the rate is above `factor` over both lookbacks."""

    factor: float
    long_us: int
    short_us: int
    severity: Severity


MONTH_RULES = (
    Rule(14.4, DAY_US // 24, 300_000_000, "page"),
    Rule(6.0, DAY_US // 4, 1_800_000_000, "page"),
    Rule(3.0, DAY_US, DAY_US // 12, "ticket"),
    Rule(1.0, 3 * DAY_US, DAY_US // 4, "ticket"),
)
"""For a period of 30 days."""


def rules(window_us: int) -> tuple[Rule, ...]:
    """For any period.

    >>> [(rule.factor, rule.long_us // 10**6, rule.short_us // 10**6) for rule in rules(30 * DAY_US)[:2]]
    [(14.4, 3600, 300), (6.0, 21600, 1800)]
    """

    def scaled(us: int) -> int:
        return max(LEAST_US, us * window_us // (30 * DAY_US))

    return tuple(replace(rule, long_us=scaled(rule.long_us), short_us=scaled(rule.short_us)) for rule in MONTH_RULES)


@frozen()
class Count:
    """Requests and bad ones of one release, counted or taken back, in the window that begins at `start_us`."""

    start_us: int
    version: str
    requests: int
    bad: int


@frozen(eq=False)
class Ring:
    """Counts int64 (BINS, 2) of requests and bad ones; bin b, which begins at b * width, is in row b modulo BINS."""

    width_us: int
    newest: int = 0
    counts: Ints = field(default_factory=lambda: np.zeros((BINS, 2), np.int64))

    def with_counts(self, batch: Sequence[Count]) -> Ring:
        """The ring with more; what is older than it reaches is left out."""
        counts, newest = self.counts.copy(), self.newest
        for count in batch:
            number = count.start_us // self.width_us
            if number > newest:
                counts[np.arange(max(newest + 1, number - BINS + 1), number + 1) % BINS] = 0
                newest = number
            if number > newest - BINS:
                counts[number % BINS] += (count.requests, count.bad)
        return Ring(self.width_us, newest, counts)

    def sum(self, from_us: int, to_us: int) -> tuple[int, int]:
        """Requests and bad ones of the bins that [from_us, to_us) touches."""
        first = max(from_us // self.width_us, self.newest - BINS + 1)
        last = min((to_us - 1) // self.width_us, self.newest)
        requests, bad = self.counts[np.arange(first, last + 1) % BINS].sum(axis=0)
        return int(requests), int(bad)


@frozen()
class Release:
    """What one version did since it was first seen."""

    requests: int
    bad: int
    seen_us: int


@frozen(eq=False)
class Budget:
    """State of one objective. `burnt_us`: of each rule when it burnt last, 0 for never."""

    rings: tuple[Ring, ...]
    releases: Mapping[str, Release] = field(default_factory=dict[str, Release])
    first_us: int | None = None
    burnt_us: tuple[int, ...] = (0,) * len(MONTH_RULES)
    since_us: int | None = None
    """Since when any alert is active."""


@frozen()
class Burn:
    """A rule now: rates over both lookbacks, None without requests; `active`: burning, or not over for long enough."""

    rule: Rule
    long: float | None
    short: float | None
    burning: bool
    active: bool


@frozen()
class Standing:
    """An objective now. `left` is 1 for an untouched budget and below 0 where more than all was spent; `spent` by version."""

    covered_us: int
    requests: int
    bad: int
    allowed: float
    left: float
    burns: tuple[Burn, ...]
    spent: Mapping[str, float]
    since_us: int | None

    @property
    def alert(self) -> Alert:
        """The gravest that is active."""
        active = {burn.rule.severity for burn in self.burns if burn.active}
        return "PAGE" if "page" in active else "TICKET" if active else "NONE"


def start(slo: Slo) -> Budget:
    """Of an objective of which nothing was counted yet."""
    width_us = max(WIDTHS_US[-1], -(-slo.window_us // USED_BINS))
    return Budget(tuple(Ring(width) for width in (*WIDTHS_US, width_us)))


def step(slo: Slo, budget: Budget, batch: Sequence[Count], now_us: int) -> tuple[Budget, Standing]:
    """After more counts, at `now_us`, the end of the newest closed window."""
    if batch:
        starts = [count.start_us for count in batch]
        first = min(starts) if budget.first_us is None else min(budget.first_us, *starts)
        budget = replace(
            budget, rings=tuple(ring.with_counts(batch) for ring in budget.rings), first_us=first,
            releases=_releases(slo, budget.releases, batch, now_us),
        )  # fmt: skip
    found = tuple(_burn(slo, budget, rule, at, now_us) for at, rule in enumerate(rules(slo.window_us)))
    burnt = tuple(now_us if burn.burning else at for burn, at in zip(found, budget.burnt_us, strict=True))
    since = budget.since_us
    if not any(burn.active for burn in found):
        since = None
    elif since is None:
        since = now_us
    budget = replace(budget, burnt_us=burnt, since_us=since)
    return budget, _standing(slo, budget, found, now_us)


def _releases(slo: Slo, held: Mapping[str, Release], batch: Sequence[Count], now_us: int) -> dict[str, Release]:
    after = dict(held)
    for count in batch:
        before = after.get(count.version, Release(0, 0, 0))
        seen = max(before.seen_us, count.start_us)
        after[count.version] = Release(before.requests + count.requests, before.bad + count.bad, seen)
    newest = sorted(after, key=lambda version: (after[version].seen_us, version), reverse=True)[:RELEASES_MAX]
    return {version: after[version] for version in newest if now_us - after[version].seen_us <= slo.window_us}


def _burn(slo: Slo, budget: Budget, rule: Rule, at: int, now_us: int) -> Burn:
    long, bad = _rate(slo, budget, rule.long_us, now_us)
    short, _ = _rate(slo, budget, rule.short_us, now_us)
    over = all(rate is not None and rate > rule.factor for rate in (long, short))
    burning = over and bad >= slo.min_bad
    last = budget.burnt_us[at]
    return Burn(rule, long, short, burning, burning or (last > 0 and now_us - last <= rule.short_us))


def _rate(slo: Slo, budget: Budget, back_us: int, now_us: int) -> tuple[float | None, int]:
    """Burn rate and bad requests of the lookback; what was before counting began counts as good, at the same traffic."""
    requests, bad = _within(budget, back_us, now_us)
    covered = min(1.0, (now_us - budget.first_us) / back_us) if budget.first_us is not None else 0.0
    return (covered * bad / requests / (1 - slo.objective) if requests else None), bad


def _within(budget: Budget, back_us: int, now_us: int) -> tuple[int, int]:
    """By the finest ring that reaches back so far."""
    ring = next((ring for ring in budget.rings if ring.width_us * USED_BINS >= back_us), budget.rings[-1])
    return ring.sum(now_us - back_us, now_us)


def _standing(slo: Slo, budget: Budget, found: tuple[Burn, ...], now_us: int) -> Standing:
    requests, bad = _within(budget, slo.window_us, now_us)
    covered = min(now_us - budget.first_us, slo.window_us) if budget.first_us is not None else 0
    expected = requests * slo.window_us / covered if covered > 0 else 0.0
    allowed = (1 - slo.objective) * expected
    spent = {version: release.bad / allowed for version, release in budget.releases.items()} if allowed else {}
    return Standing(
        covered, requests, bad, allowed, 1 - bad / allowed if allowed else 1.0, found, spent, budget.since_us
    )


@frozen()
class Limit:
    """What a low budget does to a rollout: each step takes `pace` times as long, or with None nothing goes on; and why."""

    pace: float | None
    reason: str


def limit(asked: ErrorBudget, name: str, left: float) -> Limit | None:
    """Of the budget `name` of which so much is left; None where nothing is asked, or enough is left.

    >>> limit(ErrorBudget(slow_below=0.4, hold_below=0.1), "errors", 0.2)
    Limit(pace=2.0, reason='20 % of the error budget errors is left, below 40 % steps take longer')
    """
    if asked.hold_below is not None and left < asked.hold_below:
        return Limit(None, f"{_left(name, left)}, below {100 * asked.hold_below:g} % nothing goes on")
    if asked.slow_below is not None and left < asked.slow_below:
        pace = min(PACE_MAX, asked.slow_below / left) if left > 0 else PACE_MAX
        return Limit(pace, f"{_left(name, left)}, below {100 * asked.slow_below:g} % steps take longer")
    return None


def _left(name: str, left: float) -> str:
    if left <= 0:
        return f"the error budget {name} is spent ({100 * (1 - left):.4g} % of it)"
    return f"{100 * left:.3g} % of the error budget {name} is left"


def sentence(slo: Slo, name: str, standing: Standing) -> str:
    """What people are told: ``38 % of the error budget errors is left: ...; it burns 15 times too fast over 1h and ...``."""
    objective = f"{100 * slo.objective:g} % over {period(slo.window_us)}"
    said = f"{_left(name, standing.left)}: {standing.bad:,} of {standing.requests:,} requests were bad, {objective} is asked"
    burning = [burn for burn in standing.burns if burn.active]
    if burning:
        burn = burning[0]
        said += f"; it burns {burn.long or 0:.3g} times too fast over {period(burn.rule.long_us)}"
        said += f" and {burn.short or 0:.3g} times over {period(burn.rule.short_us)}"
    return said
