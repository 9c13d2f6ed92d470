"""Events that an experiment waits for and that come under another name: what a service and its spec do not agree about."""

from __future__ import annotations

from collections import Counter

from schemas.spec import ExperimentSpec
from streams.windows import Windows

TOLD_MAX = 3
"""Other names of versions that are told."""


def astray(spec: ExperimentSpec, windows: Windows, until_us: int) -> str | None:
    """A sentence about rows of the last closed window that are of the spec's service or name the experiment, but are of none
    of its arms; the likeliest mistake first."""
    window = windows.start(until_us) - windows.length_us
    return _nameless(spec, windows, window) or _misnamed(spec, windows, window) or _elsewhere(spec, windows, window)


def _nameless(spec: ExperimentSpec, windows: Windows, window: int) -> str | None:
    """The spec's versions, and no experiment."""
    rows = {arm.version: 0 for arm in spec.variants.values()}
    for (version, _), content in windows.labels((None, spec.service, spec.environment), window).items():
        if version in rows:
            rows[version] += content.rows
    seen = " and ".join(f"{n:,} of version {version}" for version, n in rows.items() if n)
    if not seen:
        return None
    return f"requests of {spec.service} come without an experiment id, {seen} lately: let events say experiment_id: {spec.id}"


def _misnamed(spec: ExperimentSpec, windows: Windows, window: int) -> str | None:
    """The experiment, and versions or variants that it does not have."""
    rows = Counter[str]()
    for (version, variant), content in windows.labels((spec.id, spec.service, spec.environment), window).items():
        if content.rows and spec.arm_of(version, variant) is None:
            rows[f"version {version}" if variant is None else f"variant {variant}"] += content.rows
    if not rows:
        return None
    seen = " and ".join(
        f"{n:,} of {name}" for name, n in sorted(rows.items(), key=lambda item: (-item[1], item[0]))[:TOLD_MAX]
    )
    arms = " and ".join(f"{name} of version {arm.version}" for name, arm in spec.variants.items())
    return f"requests of {spec.id} are of none of its arms, {seen} lately: the spec has {arms}"


def _elsewhere(spec: ExperimentSpec, windows: Windows, window: int) -> str | None:
    """Another service or environment with the experiment's id, or the service elsewhere."""
    here = (spec.service, spec.environment)
    rows = Counter[tuple[bool, str, str]]()
    for group in windows.alike(spec.id, spec.service, window):
        name, *place = group
        if tuple(place) != here and name in (spec.id, None):
            count = sum(content.rows for content in windows.labels(group, window).values())
            rows[name == spec.id, group[1], group[2]] += count
    if not rows:
        return None
    (named, service, environment), n = max(rows.items(), key=lambda item: (item[0][0], item[1], item[0]))
    which = f"requests that name {spec.id} are" if named else "requests without an experiment id are"
    return (
        f"{which} of {service} in {environment}, {n:,} lately: the spec is about {spec.service} in {spec.environment}"
    )
