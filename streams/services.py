"""The services of one judge that no experiment judges, each of their versions under watch (`analyzers.service_watch`).

Requests of an experiment that is judged, or watches its promoted release, are left to it; they only count as traffic of their
service. A version that had no request for `SILENT` windows is forgotten, a service after a day. Versions beyond `versions_max`
are not watched but counted. Like everything of the judge a function of its log.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from analyzers import service_watch, snapshot
from analyzers.arm import EMPTY, ArmWindow, SparseCounts
from analyzers.judgement import Judgement
from analyzers.service_watch import WHOLE, Watched
from analyzers.usual import Usual
from analyzers.watch import Said
from schemas.delta import OTHER
from schemas.frozen import frozen
from schemas.spec import ExperimentSpec, SliSpec
from schemas.verdict import WATCHED
from schemas.watching import Watching
from streams.windows import Group, Windows

SILENT = 108
"""Windows without a request after which a version is forgotten: nine minutes."""
SILENT_SERVICE = 17_280
"""Windows without a request after which a service is: a day."""
CATCH_UP = 72
"""Windows back that are looked at where more have closed at once."""
_ODD = re.compile(r"[^A-Za-z0-9_-]")
ID_MAX = 100
"""Characters of an id before its hash."""

Place = tuple[str, str]
"""Service and environment."""
Key = tuple[str, str, str]
"""Service, environment, version."""
Contents = Mapping[str, ArmWindow]
"""Of one window and place, by version."""
Judged = Callable[[Group], bool]
"""Whether an experiment looks after these requests."""


@frozen()
class Word:
    """What is to be said of a version, or of all of a service, at the end of a window; `sequence` counts by service."""

    group: Group
    version: str
    event_time: int
    sequence: int
    said: Said
    spec: ExperimentSpec
    """What it is held against."""

    @property
    def judgement(self) -> Judgement:
        """With evidence under the version's name."""
        judgement = self.said.judgement
        return replace(judgement, evidence=tuple(replace(one, variant=self.version) for one in judgement.evidence))


class Services:
    """All that are watched."""

    def __init__(self, versions_max: int, limits: Watching) -> None:
        self.versions_max = versions_max
        self.limits = limits
        self.left_out = 0
        """Versions of the newest window that are not watched since there are too many."""
        self._held: dict[Key, Watched] = {}
        self._sequences: dict[Place, int] = {}
        self._next_us = 0

    @property
    def watched(self) -> int:
        """Versions and services under watch."""
        return len(self._held)

    def look(self, windows: Windows, closed_us: int, judged: Judged) -> Iterator[Word]:
        """At every window that ends at or before `closed_us` and was not looked at."""
        length = windows.length_us
        if not self.versions_max:
            return
        for start in range(max(self._next_us, closed_us - CATCH_UP * length), closed_us, length):
            self._next_us = start + length
            yield from self._window(windows, start, judged)

    def _window(self, windows: Windows, start: int, judged: Judged) -> Iterator[Word]:
        groups = windows.groups(start)
        free: dict[Place, list[Group]] = {}
        for group in groups:
            if group[1] != OTHER and not judged(group):
                free.setdefault((group[1], group[2]), []).append(group)
        found = {place: _versions(windows, start, mine) for place, mine in free.items()}
        self._begin(found, start, windows.length_us)
        places = {key[:2] for key in self._held}
        rows = {place: ArmWindow() for place in places}
        for group in groups:
            if (place := (group[1], group[2])) in places:
                rows[place] += ArmWindow.sum(map(_bare, windows.labels(group, start).values()))
        for key in sorted(self._held):
            place, version = key[:2], key[2]
            group = min(free.get(place, [(None, *place)]), key=lambda group: group[0] or "")
            content = rows[place] if version == WHOLE else found.get(place, {}).get(version, EMPTY)
            yield from self._step(windows, group, key, content, judged)

    def _begin(self, found: Mapping[Place, Contents], start: int, length: int) -> None:
        """Watch what is new, in order of name, as long as there is room."""
        self.left_out = 0
        for (service, environment), contents in sorted(found.items()):
            for version, content in ((WHOLE, EMPTY), *sorted(contents.items())):
                key = (service, environment, version)
                if key in self._held:
                    continue
                if len(self._held) < self.versions_max:
                    self._held[key] = service_watch.start(self.limits, version, content, start, length)
                else:
                    self.left_out += version != WHOLE

    def _step(self, windows: Windows, group: Group, key: Key, content: ArmWindow, judged: Judged) -> Iterator[Word]:
        held, place, end = self._held[key], key[:2], self._next_us
        then = held.watch.reference_us
        before = EMPTY if then is None else self._then(windows, key, then, judged)
        after, said = service_watch.step(self.limits, held, content, before, end)
        self._held[key] = after
        if after.silent >= (SILENT_SERVICE if key[2] == WHOLE else SILENT):
            said = service_watch.gone(self.limits, after) or said
            del self._held[key]
        if said is not None:
            self._sequences[place] = self._sequences.get(place, 0) + 1
            yield Word(group, key[2], end, self._sequences[place], said, after.spec(self.limits))

    def _then(self, windows: Windows, key: Key, start: int, judged: Judged) -> ArmWindow:
        """The same in an earlier window."""
        mine = [group for group in windows.groups(start) if group[1:] == key[:2]]
        if key[2] == WHOLE:
            return ArmWindow.sum(_bare(one) for group in mine for one in windows.labels(group, start).values())
        return _versions(windows, start, [group for group in mine if not judged(group)]).get(key[2], EMPTY)

    def usual(self, spec: ExperimentSpec) -> dict[str, Usual]:
        """By SLI of a spec: what is usual for the service, as control's version and all versions together were watched."""
        found: dict[str, Usual] = {}
        control = spec.variants.get(spec.control)
        for version in (WHOLE, control.version if control else WHOLE):
            held = self._held.get((spec.service, spec.environment, version))
            for known, series in zip(held.spec(self.limits).slis, held.watch.series, strict=True) if held else ():
                for sli in spec.slis:
                    if series.usual is not None and _asks(sli) == _asks(known):
                        found[sli.name] = series.usual
        return found

    def dump(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "next_us": self._next_us, "left_out": self.left_out,
            "sequences": [[*place, number] for place, number in self._sequences.items()],
            "held": [[*key[:2], snapshot.dump(watched)] for key, watched in self._held.items()],
        }  # fmt: skip

    def restore(self, dumped: Mapping[str, Any]) -> None:
        """What `dump` gave."""
        self._next_us, self.left_out = dumped["next_us"], dumped["left_out"]
        self._sequences = {(service, where): number for service, where, number in dumped["sequences"]}
        loaded = [(service, where, snapshot.load(Watched, state)) for service, where, state in dumped["held"]]
        self._held = {(service, where, watched.version): watched for service, where, watched in loaded}


def _versions(windows: Windows, start: int, groups: Iterable[Group]) -> dict[str, ArmWindow]:
    """By version what these groups did in a window."""
    found: dict[str, ArmWindow] = {}
    for group in groups:
        for (version, _), content in windows.labels(group, start).items():
            if version not in (OTHER, WHOLE):
                found[version] = found[version] + content if version in found else content
    return found


def _asks(sli: SliSpec) -> tuple[object, ...]:
    """What its levels depend on, and which way is worse."""
    return sli.type, sli.field, sli.quantile, sli.target, sli.limit


def _bare(content: ArmWindow) -> ArmWindow:
    """Without what only counts of traffic do not need."""
    none = SparseCounts()
    return replace(content, error_buckets=none, affected=none, row_sample=none, measures={})


def watch_id(service: str, environment: str) -> str:
    """The experiment id of verdicts about a service that no experiment judges; two services never share one."""
    plain = f"{service}.{environment}"
    told = _ODD.sub("-", service)[:ID_MAX], _ODD.sub("-", environment)[:ID_MAX]
    if ".".join(told) == plain and len(plain) <= ID_MAX:
        return WATCHED + plain
    return f"{WATCHED}{'.'.join(told)[:ID_MAX]}.{hashlib.sha256(repr((service, environment)).encode()).hexdigest()[:8]}"
