"""Events that an experiment waits for and that do not name it: what a service forgets first."""

from __future__ import annotations

from schemas.spec import ExperimentSpec
from streams.windows import Windows


def astray(spec: ExperimentSpec, windows: Windows, until_us: int) -> str | None:
    """A sentence about rows of the last closed window that are of the spec's service and versions, and of no experiment."""
    labels = windows.labels((None, spec.service, spec.environment), windows.start(until_us) - windows.length_us)
    rows = {arm.version: 0 for arm in spec.variants.values()}
    for (version, _), content in labels.items():
        if version in rows:
            rows[version] += content.rows
    seen = " and ".join(f"{n:,} of version {version}" for version, n in rows.items() if n)
    if not seen:
        return None
    return f"requests of {spec.service} come without an experiment id, {seen} lately: let events say experiment_id: {spec.id}"
