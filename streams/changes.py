"""What the judge knows of a change beside that it was: who carries it, and what happened near it.

Like everything of the judge a function of its log: sums are those at the cut, and what happened is what control records said
and what versions the windows show.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analyzers import watch as watching
from analyzers.arm import DURATION, ArmWindow, Counts
from analyzers.attribution import carriers
from analyzers.watch import Change
from schemas.change import Carrier, ChangeEvent, Link
from schemas.control import Annotation, Command, Control, SpecApplied, WeightApplied
from schemas.delta import OTHER
from schemas.frozen import frozen
from schemas.sli import SliSpec
from streams.parts import SHARED, Levels, levels
from streams.windows import Group, Windows

NEAR_US = 600_000_000
"""How long before the interval of a change's begin something may have happened that is linked to it."""
NOTES_MAX = 256
"""What happened last, of all services of a judge."""
LINKS_MAX = 8
"""Of one change, those nearest to its begin."""
TEXT_MAX = 200
"""Characters of one."""
NAMED_SHARE = 0.5
"""Of the change; who carries as much is named in the verdict's sentence."""
EVERYWHERE = ""
"""The service of what concerns all."""


@frozen()
class Note:
    """Something that happened, to experiments on that service."""

    service: str
    link: Link


class Notes:
    """What happened last."""

    def __init__(self, held: Iterable[Sequence[Any]] = ()) -> None:
        self._held = deque((Note(service, Link(*link)) for service, *link in held), NOTES_MAX)

    def take(self, control: Control, service: str) -> None:
        """A control record about an experiment on `service`, or an annotation."""
        told = _told(control)
        if told is not None:
            kind, text = told
            where = EVERYWHERE if kind == "annotation" else service
            self._held.append(Note(where, Link(control.time, kind, text[:TEXT_MAX])))

    def near(self, service: str, change: Change) -> list[Link]:
        """Of that service, or of all."""
        return [
            note.link
            for note in self._held
            if note.service in (service, EVERYWHERE)
            and change.earliest_us - NEAR_US <= note.link.time <= change.latest_us
        ]

    def dump(self) -> list[list[Any]]:
        """For a checkpoint."""
        return [[note.service, note.link.time, note.link.kind, note.link.text] for note in self._held]


def _told(control: Control) -> tuple[str, str] | None:
    match control.body:
        case Annotation(text, tags):
            return "annotation", f"{text} ({', '.join(tags)})" if tags else text
        case Command(command=command):
            return "command", f"{command} of {control.experiment_id} by {control.actor}"
        case SpecApplied():
            return "spec", f"{control.experiment_id} applied by {control.actor}"
        case WeightApplied(weights=weights):
            shown = ", ".join(f"{name} {100 * weight:.4g} %" for name, weight in weights.items())
            return "weights", f"{control.experiment_id}: {shown}"
        case _:
            return None


def event(
    windows: Windows, group: Group, sli: SliSpec, change: Change, until_us: int, dimensions: Sequence[str], notes: Notes
) -> ChangeEvent:
    """The change as it looks at the end of the window that ends at `until_us`."""
    before = _range(windows, group, change.earliest_us - watching.PAIRS * windows.length_us, change.earliest_us)
    after = _range(windows, group, change.begun_us, until_us)
    rises = change.after > change.before
    links = [*notes.near(group[1], change), *_first_seen(windows, group, change)]
    nearest = sorted(links, key=lambda link: (abs(link.time - change.begun_us), link.kind, link.text))[:LINKS_MAX]
    return ChangeEvent(
        change.sli, change.begun_us, change.earliest_us, change.latest_us, change.before, change.after,
        tuple(_carriers(sli, before, after, dimensions, rises)), tuple(sorted(nearest, key=lambda link: link.time)),
        change.kind,
    )  # fmt: skip


@frozen()
class _Range:
    """Sums over windows: of all rows, by version, and by dimension and value."""

    seconds: float
    versions: Mapping[str, Counts]
    parts: Mapping[int, Mapping[str, Counts]]

    @property
    def whole(self) -> Counts:
        rows, errors, timed, total = (sum(each[n] for each in self.versions.values()) for n in range(4))
        return rows, errors, timed, total


def _range(windows: Windows, group: Group, start_us: int, end_us: int) -> _Range:
    versions: dict[str, Counts] = {}
    seen = 0
    for start in range(start_us, end_us, windows.length_us):
        labels = windows.labels(group, start)
        seen += bool(labels)
        for (version, _), content in labels.items():
            versions[version] = _added(versions.get(version, (0, 0, 0, 0)), content)
    parts: dict[int, dict[str, Counts]] = {}
    for (place, value), counts in windows.told_apart(group, start_us, end_us).items():
        parts.setdefault(place, {})[value] = counts
    return _Range(seen * windows.length_us / 1e6, versions, parts)


def _added(counts: Counts, content: ArmWindow) -> Counts:
    timed = content.measure(DURATION)
    rows, errors, with_time, total = counts
    return rows + content.rows, errors + content.errors, with_time + int(timed.rows), total + int(timed.total)


def _carriers(sli: SliSpec, before: _Range, after: _Range, dimensions: Sequence[str], rises: bool) -> Iterable[Carrier]:
    def told(dimension: str, then: Mapping[str, Counts], now: Mapping[str, Counts]) -> tuple[Carrier, ...]:
        old, new = _levels(sli, then, before), _levels(sli, now, after)
        return carriers(dimension, old, new, rises, sli.type in SHARED)

    yield from told("version", before.versions, after.versions)
    for place, name in enumerate(dimensions):
        yield from told(name, before.parts.get(place, {}), after.parts.get(place, {}))


def _levels(sli: SliSpec, counts: Mapping[str, Counts], found: _Range) -> Levels:
    return levels(sli, counts, found.whole, found.seconds)


def _first_seen(windows: Windows, group: Group, change: Change) -> Iterable[Link]:
    """Versions that the service did not have before: a deploy that nobody told."""
    known: set[str] = set()
    begun = False
    for start in range(change.earliest_us - NEAR_US, change.latest_us + 1, windows.length_us):
        fresh = {version for version, _ in windows.labels(group, start)} - known - {OTHER}
        for version in sorted(fresh) if begun else ():
            yield Link(start, "version", f"version {version} was first seen"[:TEXT_MAX])
        begun, known = begun or bool(fresh), known | fresh


def sentence(change: ChangeEvent) -> str:
    """Who carries most of it, and what happened last before it: the end of a verdict's reason; empty if nothing is known."""
    named = [one for one in change.carriers if one.value is not None and one.share >= NAMED_SHARE]
    told = [f"{one.dimension} {one.value} carries {100 * min(one.share, 1):.0f} % of it" for one in named]
    before = [link for link in change.links if link.time <= change.latest_at]
    if before:
        seconds = max(change.begun_at - before[-1].time, 0) / 1e6
        told.append(f"{seconds:.0f} s before it: {before[-1].text}")
    return "; ".join(told)
