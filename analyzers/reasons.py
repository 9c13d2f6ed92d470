"""Sentences of verdicts: short, exact, kind, with the numbers that are wanted at three in the morning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from analyzers.sli import Reading
from analyzers.slis import kinds
from schemas.spec import ExperimentSpec, SliSpec
from schemas.verdict import Needed

WRITTEN_FROM, WRITTEN_TO = 100.0, 1e6
"""Evidence between these is written out."""


def harm(
    spec: ExperimentSpec,
    culprits: Sequence[tuple[SliSpec, Reading]],
    threshold: float,
    log_mean: float,
    limit: float,
) -> str:
    """Why a rollback: what got worse, by how much, and how strong the evidence is."""
    changes = ", ".join(change(sli, reading) for sli, reading in culprits)
    strongest = max(reading.log_harm for _, reading in culprits)
    if strongest >= math.log(threshold):
        evidence = f"evidence {evidence_of(strongest)} against the {threshold:.6g}"
        return f"{changes}: {evidence} that alpha {spec.policy.alpha:g} asks for"
    return (
        f"{changes}, and the other SLIs add to it: mean evidence {evidence_of(log_mean)} "
        f"against the {limit:.6g} that alpha {spec.policy.alpha:g} asks for"
    )


def change(sli: SliSpec, reading: Reading) -> str:
    """What an SLI did: ``errors rose from 0.5 % to 2.31 % (0.5 pp more is allowed)``."""
    show = kinds()[sli.type].show
    before, after = reading.baseline, reading.candidate
    if before is None or after is None:
        return f"{sli.name} got worse"
    verb = "rose" if after > before else "fell" if after < before else "stands"
    moved = f"{sli.name} {verb} from {show(sli, before)} to {show(sli, after)}"
    return f"{moved} ({allowance(sli)} is allowed)"


def allowance(sli: SliSpec) -> str:
    """The tolerance in words."""
    word = "less" if sli.limit == "max_decrease" else "more"
    tolerance = sli.tolerance
    if not tolerance.value:
        return f"nothing {word}"
    if tolerance.kind == "relative":
        return f"{100 * tolerance.value:.3g} % {word}"
    return f"{kinds()[sli.type].show(sli, tolerance.value, margin=True)} {word}"


def safety(read: Sequence[tuple[SliSpec, Reading]], beta: float) -> str:
    """The weakest SAFETY and what was asked of it."""
    shown = [(sli, reading.log_safety) for sli, reading in read if reading.log_safety is not None]
    if not shown:
        return "nothing stands against it"
    sli, weakest = min(shown, key=lambda item: item[1])
    asked = f"against the {1 / beta:.6g} that beta {beta:g} asks for"
    return f"the weakest evidence is {evidence_of(weakest)} for {sli.name}, {asked}"


def progress(open_slis: Sequence[SliSpec], needed: Mapping[str, Needed]) -> str:
    """Which SLIs are still open and what they need."""
    if not open_slis:
        return "every enforced SLI is shown to be within its tolerance"
    names = ", ".join(sli.name for sli in open_slis)
    wants = [needed[sli.name] for sli in open_slis if sli.name in needed]
    requests = [want.requests for want in wants if want.requests is not None]
    if len(requests) < len(open_slis):
        return f"not yet shown to be within tolerance: {names}"
    seconds = [want.seconds for want in wants if want.seconds is not None]
    at_rate = f", some {time(int(max(seconds) * 1e6))} at current traffic" if len(seconds) == len(wants) else ""
    more = f"about {_count(max(requests))} more requests{at_rate}"
    return f"not yet shown to be within tolerance: {names} ({more})"


def evidence_of(log_e: float) -> str:
    """An e-value with two digits, also where it is too large to write out.

    >>> evidence_of(math.log(0.123)), evidence_of(math.log(789)), evidence_of(math.log(7e8)), evidence_of(2000.0)
    ('0.12', '790', '7e+08', '3.9e+868')
    """
    if log_e < 700:
        two = f"{math.exp(log_e):.2g}"
        return f"{float(two):,.0f}" if WRITTEN_FROM <= float(two) < WRITTEN_TO else two
    power = math.floor(log_e / math.log(10))
    return f"{math.exp(log_e - power * math.log(10)):.1f}e+{power}"


def time(us: int) -> str:
    """Microseconds for people, in the largest fitting unit.

    >>> time(90_000_000), time(5_400_000_000), time(4_000_000)
    ('90 s', '90 min', '4 s')
    """
    seconds = us / 1e6
    for size, unit, most in ((1, "s", 120), (60, "min", 120), (3600, "h", 48)):
        if seconds < most * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _count(n: int) -> str:
    """Two significant digits are all that a forecast is worth."""
    return f"{int(float(f'{n:.2g}')):,}"
