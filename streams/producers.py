"""Whether what is about to be said of a candidate hangs on one producer, and the sentence about it (`analyzers.producers`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from analyzers.arm import Counts, added
from analyzers.judgement import Judgement
from analyzers.producers import Arms, Dominating, harm_by_one, safe_by_one
from analyzers.trial import enforced
from schemas.spec import ExperimentSpec
from streams.parts import PLACES, Label
from streams.traffic import Traffic
from streams.windows import Group, Windows

PRODUCER = "instance"
"""The dimension that tells producers apart."""


def dominated(
    spec: ExperimentSpec, traffic: Traffic, judgement: Judgement, windows: Windows, group: Group, candidate: str, until_us: int
) -> str | None:  # fmt: skip
    """Why neither ROLLBACK for HARM nor PROMOTE may be said, or None; of the windows that end at or before `until_us`."""
    slis = {sli.name: sli for sli in spec.slis}
    if judgement.action == "ROLLBACK" and judgement.conclusion == "HARM":
        culprits = [slis[one.sli] for one in judgement.evidence if one.status == "HARM"]
        found = harm_by_one(culprits, list(_arms(spec, traffic, windows, group, candidate, until_us)))
        what = f"the harm to {' and '.join(sli.name for sli in culprits)}"
    elif judgement.action == "PROMOTE":
        asked = [sli for sli in spec.slis if enforced(spec, sli)]
        safe = safe_by_one(asked, list(_arms(spec, traffic, windows, group, candidate, until_us)))
        found, what = (safe[1], f"that {safe[0].name} is safe") if safe else (None, "")
    else:
        return None
    return None if found is None else _sentence(spec, found, what, candidate)


def _arms(
    spec: ExperimentSpec, traffic: Traffic, windows: Windows, group: Group, candidate: str, until_us: int
) -> Iterator[Arms]:  # fmt: skip
    start_us = until_us - PLACES * windows.length_us
    told = windows.values(group, PRODUCER, start_us, until_us)
    for window in sorted(told):
        if traffic.steady(window, window + windows.length_us):
            yield by_producer(spec, told[window], spec.control), by_producer(spec, told[window], candidate)


def by_producer(spec: ExperimentSpec, labels: Mapping[Label, Mapping[str, Counts]], arm: str) -> dict[str, Counts]:
    """An arm's evidence by producer."""
    found: dict[str, Counts] = {}
    for (version, variant), values in labels.items():
        if spec.arm_of(version, variant) == arm and version == spec.variants[arm].version:
            for name, counts in values.items():
                found[name] = added(found.get(name), counts)
    return found


def _sentence(spec: ExperimentSpec, found: Dominating, what: str, candidate: str) -> str:
    arm = candidate if found.candidate else spec.control
    return (
        f"{what} hangs on one producer: instance {found.name}, {100 * found.share:.3g} % of the requests of {arm}; without it "
        f"the other instances say otherwise: look at {found.name}, then resume, or roll back or promote by hand"
    )
