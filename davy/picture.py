"""Evidence as a picture for a terminal: where the difference may lie against what is allowed, and how far evidence has come.

errors   ──────────0─────╞══●═══╡──╂──   harm ██░░░░░░░░  safety ████████░░
"""

from __future__ import annotations

import math

from rich.text import Text

from davy.terminal import STATUS
from schemas.spec import ExperimentSpec, SliSpec
from schemas.verdict import Evidence, Verdict

WIDTH = 48
"""Columns of the line on which a difference lies."""
BAR = 12
"""Columns of a bar; full is the evidence that decides."""
LEGEND = (
    "0 no difference  ╂ all that is allowed  ● seen  ╞══╡ not ruled out at alpha; bars: log of evidence, full decides"
)


def picture(verdict: Verdict, spec: ExperimentSpec) -> list[Text]:
    """One line per SLI that has a difference, and what the signs mean; nothing where none has."""
    slis = {sli.name: sli for sli in spec.slis}
    items = [item for item in verdict.evidence if item.sli in slis]
    drawn = [(item, line(item, slis[item.sli])) for item in items]
    if not any(found for _, found in drawn):
        return []
    pad = max(len(item.sli) for item in items)
    lines: list[Text] = []
    for item, found in drawn:
        text = Text(f"{item.sli:<{pad}}  {found or '(no requests of both arms yet)':<{WIDTH}}  ")
        text.append("harm ").append(bar(item.log_evidence, math.log(item.threshold)), STATUS.get("HARM", ""))
        if item.safety_evidence is not None and item.safety_threshold is not None:
            text.append("  safety ").append(
                bar(math.log(max(item.safety_evidence, 1e-300)), math.log(item.safety_threshold)),
                STATUS.get("SAFE", ""),
            )
        lines.append(text)
    return [*lines, Text(LEGEND, "dim")]


def line(item: Evidence, sli: SliSpec) -> str:
    """The difference on a line, worse to the right; empty where there is none."""
    if item.effect is None:
        return ""
    sign = -1.0 if sli.limit == "max_decrease" else 1.0
    allowed = sli.tolerance.value
    effect = sign * item.effect
    ends = [end for end in (item.lower, item.upper) if end is not None]
    bounds = sorted(sign * end for end in ends) if len(ends) == 2 else None
    reach = 1.25 * max(abs(effect), 2 * allowed, 1e-12)
    if bounds:  # far ends would squeeze the rest: they run off the line
        reach = max(reach, min(1.1 * max(map(abs, bounds)), 2 * reach))

    def column(value: float) -> int:
        return round((max(-1.0, min(1.0, value / reach)) + 1) / 2 * (WIDTH - 1))

    cells = ["─"] * WIDTH
    if bounds:
        low, high = column(bounds[0]), column(bounds[1])
        cells[low : high + 1] = "═" * (high - low + 1)
        if bounds[0] > -reach:
            cells[low] = "╞"
        if bounds[1] < reach:
            cells[high] = "╡"
    cells[column(0.0)] = "0"
    cells[column(allowed)] = "╂"
    cells[column(effect)] = "●"
    return "".join(cells)


def bar(log_e: float, log_limit: float) -> str:
    """How far evidence has come: logarithms, empty at 1, full at the limit."""
    part = max(0.0, min(1.0, log_e / log_limit)) if log_limit > 0 else 1.0
    full = int(part * BAR)
    return "█" * full + "░" * (BAR - full)
