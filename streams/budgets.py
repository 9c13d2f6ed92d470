"""The error budgets of one judge: windows in, statuses out, and what they mean for the pace of a rollout.

A window that changes after it was closed is counted anew: what was counted of it before is kept for as long as the window
itself, so counts are those of the windows as they are, whatever order they came in. The arithmetic is `analyzers.budget`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analyzers import budget as budgets
from analyzers import snapshot
from analyzers.arm import DURATION, ArmWindow
from analyzers.budget import Budget, Count, Limit, Standing
from analyzers.histogram import bin_of
from schemas.budget import BudgetBurn, BudgetStatus
from schemas.slo import Slo
from schemas.spec import ExperimentSpec
from streams.windows import Group, Label

TELL_US = 30_000_000
"""How often a status is told while nothing of importance changes, in event time."""
TELL_LEFT = 0.001
"""A change of what is left, as a share of the budget, that is told at once."""

Place = tuple[str, str]
"""Service and environment."""
Key = tuple[str | None, str, str | None]
"""Of what is counted in a window: experiment, version, variant."""


@dataclass(slots=True)
class Held:
    """One objective; `counted` of every window that may still change, by its start: requests and bad ones."""

    name: str
    slo: Slo
    budget: Budget
    counted: dict[int, dict[Key, tuple[int, int]]] = field(default_factory=dict[int, dict[Key, tuple[int, int]]])
    news: list[Count] = field(default_factory=list[Count])
    standing: Standing | None = None
    told: BudgetStatus | None = None

    @property
    def meaning(self) -> list[int | None]:
        """What its counts depend on: under another they begin anew."""
        return [self.slo.window_us, self.slo.slower_than_us]

    def count(self, key: Key, start_us: int, content: ArmWindow) -> None:
        """A window as it is now."""
        now = self._of(content)
        before = self.counted.setdefault(start_us, {}).get(key, (0, 0))
        if now != before:
            self.counted[start_us][key] = now
            self.news.append(Count(start_us, key[1], now[0] - before[0], now[1] - before[1]))

    def _of(self, content: ArmWindow) -> tuple[int, int]:
        if self.slo.slower_than_us is None:
            return content.rows, content.errors
        duration = content.measure(DURATION)
        allowed = int(bin_of(np.array([float(self.slo.slower_than_us)]))[0])
        slow = duration.histogram.counts[duration.histogram.keys > allowed].sum()
        return int(duration.rows), int(slow)

    def close(self, closed_us: int) -> BudgetStatus | None:
        """Up to the end of the newest closed window; the status, where it is to be told."""
        self.budget, standing = budgets.step(self.slo, self.budget, self.news, closed_us)
        self.news, self.standing = [], standing
        status, told = _status(self.name, self.slo, standing, closed_us), self.told
        due = told is None or closed_us - told.time >= TELL_US or told.alert != status.alert
        if due or (told is not None and abs(told.left - status.left) >= TELL_LEFT):
            self.told = status
            return status
        return None


class Budgets:
    """All objectives of the services of one judge."""

    def __init__(self, slos: Mapping[str, Slo]) -> None:
        self._held: dict[Place, dict[str, Held]] = {}
        for name, slo in slos.items():
            self._put(name, slo)

    def declare(self, spec: ExperimentSpec) -> None:
        """A spec's `error_budget` is an objective of its service, too."""
        asked = spec.error_budget
        if asked is not None and asked.name not in self._held.get((spec.service, spec.environment), {}):
            slo = Slo.model_construct(  # a spec's period may be shorter than a day
                service=spec.service, environment=spec.environment, objective=asked.objective, window_us=asked.window_us
            )
            self._put(asked.name, slo)

    def _put(self, name: str, slo: Slo) -> None:
        self._held.setdefault((slo.service, slo.environment), {})[name] = Held(name, slo, budgets.start(slo))

    def count(self, group: Group, start_us: int, label: Label, content: ArmWindow) -> None:
        """A closed window of one version and variant, now or once more."""
        for held in self._held.get(group[1:], {}).values():
            held.count((group[0], *label), start_us, content)

    def close(self, closed_us: int) -> Iterable[BudgetStatus]:
        """What there is to tell at the end of the newest closed window."""
        found = (held.close(closed_us) for place in self._held.values() for held in place.values())
        return [status for status in found if status is not None]

    def limit(self, spec: ExperimentSpec) -> Limit | None:
        """What the least budget of its service does to a rollout, where its spec asks."""
        asked = spec.error_budget
        if asked is None or not asked.acts:
            return None
        known = [
            (held.standing.left, held.name)
            for held in self._held.get((spec.service, spec.environment), {}).values()
            if held.standing is not None
        ]
        if not known:
            return None  # no window was closed yet
        left, name = min(known)
        return budgets.limit(asked, name, left)

    def forget(self, before_us: int) -> None:
        """Windows before that do not change any more."""
        for place in self._held.values():
            for held in place.values():
                held.counted = {start: each for start, each in held.counted.items() if start >= before_us}

    def dump(self) -> list[dict[str, Any]]:
        """Everything but the objectives, for a checkpoint."""
        return [
            {
                "service": service, "environment": environment, "name": name, "meaning": held.meaning,
                "budget": snapshot.dump(held.budget), "told": held.told.to_avro() if held.told else None,
                "news": [[count.start_us, count.version, count.requests, count.bad] for count in held.news],
                "counted": [
                    [start, *key, *counts] for start, each in held.counted.items() for key, counts in each.items()
                ],
            }
            for (service, environment), place in self._held.items()
            for name, held in place.items()
        ]  # fmt: skip

    def restore(self, dumped: Iterable[Mapping[str, Any]], closed_us: int) -> None:
        """What `dump` gave, for the objectives that are still the same; `closed_us`: when they were closed last."""
        for item in dumped:
            held = self._held.get((item["service"], item["environment"]), {}).get(item["name"])
            if held is None or held.meaning != item["meaning"]:
                continue
            held.budget = snapshot.load(Budget, item["budget"])
            if closed_us:
                held.standing = budgets.step(held.slo, held.budget, (), closed_us)[1]
            held.news = [Count(*news) for news in item["news"]]
            held.told = BudgetStatus.from_avro(item["told"]) if item["told"] else None
            for start, experiment, version, variant, requests, bad in item["counted"]:
                held.counted.setdefault(start, {})[experiment, version, variant] = (requests, bad)


def _status(name: str, slo: Slo, standing: Standing, closed_us: int) -> BudgetStatus:
    burns = tuple(
        BudgetBurn(
            burn.rule.severity,
            burn.rule.factor,
            burn.rule.long_us,
            burn.rule.short_us,
            burn.long,
            burn.short,
            burn.burning,
        )
        for burn in standing.burns
    )
    return BudgetStatus(
        name, slo.service, slo.environment, closed_us, slo.objective, slo.window_us, slo.slower_than_us,
        standing.covered_us, standing.requests, standing.bad, standing.allowed, standing.left, standing.alert,
        standing.since_us, burns, standing.spent, budgets.sentence(slo, name, standing),
    )  # fmt: skip
