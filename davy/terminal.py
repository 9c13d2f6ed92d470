"""The demo's live view. `render` is pure: a scene and a width in, something rich can draw out.

Colours say the same as words, so that nothing is lost with NO_COLOR or to a colour-blind reader.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.align import Align
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from davy.scene import Action, Scene
from schemas.codec import iso
from schemas.spec import SliSpec
from schemas.units import show_bytes
from schemas.verdict import Evidence, Verdict
from schemas.window import WindowSummary

WIDE = 112
"""Columns from which on intervals, limits and small charts are shown."""
VERY_WIDE = 138
"""Columns from which on the evidence's way is shown, too."""
MEDIUM = 90
"""Columns from which on both arms' figures are shown beside their difference."""
BAR_NARROW, BAR = 8, 14
WAY = 14
"""Verdicts whose evidence is shown as its way."""
ACTIONS_SHOWN = 8
TONES = {
    "CONTINUE": "cyan", "ADVANCE": "green", "PROMOTE": "bold green", "HOLD": "yellow", "ROLLBACK": "bold red",
    "PLANNED": "dim", "DONE": "green", "REFUSED": "yellow", "FAILED": "red",
}  # fmt: skip
SIGNS = {
    "CONTINUE": "▸", "ADVANCE": "▲", "PROMOTE": "✔", "HOLD": "■", "ROLLBACK": "✖",
    "PLANNED": "·", "DONE": "•", "REFUSED": "!", "FAILED": "✖",
}  # fmt: skip
STATUS = {"OPEN": "cyan", "SAFE": "green", "HARM": "bold red", "SHADOW": "dim"}
LEVELS = " ▁▂▃▄▅▆▇█"


def render(scene: Scene, width: int) -> RenderableType:
    """The whole view."""
    wide = width >= WIDE
    parts: list[RenderableType] = [_head(scene, wide)]
    for candidate in scene.spec.candidates:
        parts += [_verdict(scene, candidate), _steps(scene, candidate, width)]
    parts += [_heading("traffic"), _variants(scene, wide)]
    for candidate in scene.spec.candidates:
        parts += [_heading(f"evidence on {candidate}"), _evidence(scene, candidate, width)]
    parts += [_heading("what happened"), _timeline(scene), _foot(scene)]
    return Group(*parts)


def _heading(text: str) -> RenderableType:
    return Rule(Text(text, "dim"), style="dim", align="left")


def _head(scene: Scene, wide: bool) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1)
    grid.add_column(justify="right")
    elapsed = max(0, scene.now_us - scene.begin_us) / 1e6
    clock = f"{iso(scene.now_us)[11:19]}  ×{scene.speed:g}  {elapsed:.0f} s of traffic"
    grid.add_row(Text.assemble(("davy ", "bold"), scene.title), Text(clock if wide else f"{elapsed:.0f} s", "dim"))
    grid.add_row(
        Text(f"{scene.spec.id}  {scene.spec.service}/{scene.spec.environment}", "dim"),
        Text(scene.address, "blue"),
    )
    return grid


def _verdict(scene: Scene, candidate: str) -> RenderableType:
    verdict = scene.verdicts.get(candidate)
    if verdict is None:
        waiting = "waiting for the first closed window" if scene.windows_seen == 0 else "waiting for the first verdict"
        return Panel(Text(waiting, "dim"), title=candidate, title_align="left", border_style="dim")
    tone = TONES[verdict.action]
    border = tone.split()[-1]
    head = Text.assemble((f"{SIGNS[verdict.action]} {verdict.action}", tone), ("  " + verdict.conclusion, "dim"))
    name = f"{candidate} {scene.spec.variants[candidate].version}"
    return Panel(Group(head, Text(verdict.reason)), title=name, title_align="left", border_style=border)


def _steps(scene: Scene, candidate: str, width: int) -> RenderableType:
    """The steps as a path, and the candidate's share of traffic as a bar."""
    verdict = scene.verdicts.get(candidate)
    path = Text("  ")
    for index, step in enumerate(scene.spec.steps):
        path.append(*step_mark(verdict, index))
        path.append(f" {100 * step.weight:.4g} %", "bold" if verdict and index == verdict.step else "dim")
        path.append(" ── ", "dim")
    promoted = verdict is not None and verdict.action == "PROMOTE"
    path.append("● 100 %" if promoted else "○ 100 %", "bold green" if promoted else "dim")
    share = scene.weights.get(candidate, 0.0)
    if width >= 80:
        path.append(f"     {candidate} gets ", "dim").append_text(bar(share, BAR, "magenta")).append(
            f" {100 * share:.4g} %"
        )
    return path


def step_mark(verdict: Verdict | None, index: int) -> tuple[str, str]:
    if verdict is None or index > verdict.step:
        return "○", "dim"
    if index < verdict.step or verdict.action == "PROMOTE":
        return "●", "green"
    return ("✖", "bold red") if verdict.action == "ROLLBACK" else ("◉", "bold")


def _variants(scene: Scene, wide: bool) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 2))
    columns = ["", "version", "req/s", "errors", "p50", "p99", "cpu"]
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index < 2 else "right")
    if wide:
        table.add_column(ratio=1)
    table.add_row(
        *(Text(name, "dim") for name in columns), *([Text("errors, window by window", "dim")] if wide else [])
    )
    highest = max((r for arm in scene.arms.values() for r in arm.error_ratios()), default=0.0)
    for name, arm in scene.spec.variants.items():
        seen = scene.arms.get(name)
        row = [Text(name, "bold"), Text(arm.version), *_figures(scene.seen(name))]
        if wide:
            row.append(Text(_columns(seen.error_ratios() if seen else [], highest), "red"))
        table.add_row(*row)
    return table


def _figures(window: WindowSummary | None) -> list[Text]:
    if window is None or not window.rows:
        return [Text("none", "dim"), *(Text("–", "dim") for _ in range(4))]
    seconds = (window.end - window.start) / 1e6
    return [
        Text(f"{window.requests / seconds:.0f}"),
        Text(f"{100 * window.errors / window.rows:.2f} %"),
        Text(duration(window.p50_us)),
        Text(duration(window.p99_us)),
        Text(duration(window.measures.get("cpu_us"))),
    ]


def _columns(values: Sequence[float], highest: float) -> str:
    """Small columns, one per value."""
    top = len(LEVELS) - 1
    return "".join(LEVELS[min(top, math.ceil(top * value / highest))] if highest else LEVELS[0] for value in values)


def _evidence(scene: Scene, candidate: str, width: int) -> RenderableType:
    verdict = scene.verdicts.get(candidate)
    if verdict is None:
        return Text("  nothing yet", "dim")
    rows = [_evidence_row(scene, item, width) for item in verdict.evidence]
    table = Table.grid(expand=True, padding=(0, 1))
    for _, cell in rows[0]:
        table.add_column(no_wrap=True, justify="right" if cell.justify == "right" else "left")
    table.add_row(*(Text(name, "dim") for name, _ in rows[0]))
    for row in rows:
        table.add_row(*(cell for _, cell in row))
    return table


def _evidence_row(scene: Scene, item: Evidence, width: int) -> list[tuple[str, Text]]:
    """Cells of one SLI, each under its heading."""
    sli = next(sli for sli in scene.spec.slis if sli.name == item.sli)
    row = [("", Text(item.sli, "bold" if item.status != "SHADOW" else "dim"))]
    if width >= MEDIUM:
        row += [
            ("control", _right(level(sli, item.baseline))),
            (item.variant, _right(level(sli, item.candidate))),
        ]
    row.append(("difference", _right(change(sli, item.effect))))
    if width >= WIDE:
        limit = change(sli, -sli.tolerance.value if sli.type == "throughput" else sli.tolerance.value)
        sure = f"{100 * (1 - scene.spec.policy.alpha):.4g} % sure"
        row += [
            (sure, _right(f"{change(sli, item.lower)} … {change(sli, item.upper)}", "dim")),
            ("allowed", _right(limit)),
        ]
    if width >= VERY_WIDE:
        history = list(scene.evidence.get((item.variant, item.sli), ()))[-WAY:]
        way = _columns([min(max(e, 0.0), math.log(item.threshold)) for e in history], math.log(item.threshold))
        row.append(("harm so far", Text(way.rjust(WAY), "yellow")))
    row.append(
        (
            f"  harm, of {item.threshold:.4g}",
            Text("  ").append_text(_gauge(item.evidence, item.threshold, "red", width)),
        )
    )
    safety = Text("not asked for", "dim")
    if item.safety_evidence is not None and item.safety_threshold is not None:
        safety = _gauge(item.safety_evidence, item.safety_threshold, "green", width)
    row.append((f"safety, of {1 / scene.spec.policy.beta:.4g}", safety))
    return [*row, (" ", Text(item.status, STATUS[item.status]))]


def _right(text: str, style: str = "") -> Text:
    return Text(text, style, justify="right")


def _gauge(evidence: float, threshold: float, tone: str, width: int) -> Text:
    """Evidence on its way to the threshold, as a bar and in figures."""
    part = progress(evidence, threshold)
    drawn = bar(
        part,
        BAR if width >= VERY_WIDE else BAR_NARROW,
        tone if part >= 1 else "yellow" if tone == "red" else "cyan",
    )
    return drawn.append(f" {short(evidence):<5}", "bold" if part >= 1 else "")


def short(number: float) -> str:
    """At most five characters.

    >>> short(0.0371), short(3.14159), short(2512.0), short(8.2e7), short(1e300)
    ('0.04', '3.1', '2512', '8e7', '1e300')
    """
    if number < 1:
        return f"{number:.2f}"
    if number < 10_000:
        return f"{number:.1f}" if number < 100 else f"{number:.0f}"
    mantissa, exponent = f"{number:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def progress(evidence: float, threshold: float) -> float:
    """How far evidence is on its way to the threshold, 0 to 1: its logarithm, since it multiplies.

    >>> progress(0.5, 100), progress(10, 100), progress(1e300, 100)
    (0.0, 0.5, 1.0)
    """
    if evidence <= 1:
        return 0.0
    return round(min(1.0, math.log(evidence) / math.log(threshold)), 6)


def bar(part: float, width: int, tone: str) -> Text:
    full = min(width, int(part * width + 0.5))
    return Text.assemble(("━" * full, tone), ("╌" * (width - full), "bright_black"))


def level(sli: SliSpec, value: float | None) -> str:
    """A baseline or candidate figure with its unit."""
    if value is None:
        return "–"
    if sli.type == "error_ratio":
        return f"{100 * value:.3g} %"
    if sli.type == "throughput":
        return f"{value:.4g}/s"
    if sli.type.startswith("latency") or (sli.field or "").endswith("_us"):
        return duration(value)
    return show_bytes(value) if (sli.field or "").endswith("_bytes") else f"{value:.4g}"


def change(sli: SliSpec, value: float | None) -> str:
    """A difference in the tolerance's own unit."""
    if value is None:
        return "?"
    if sli.tolerance.kind == "relative":
        return f"{100 * value:+.3g} %"
    if sli.type == "error_ratio":
        return f"{100 * value:+.3g} pp"
    return ("+" if value >= 0 else "-") + level(sli, abs(value))


def duration(us: float | None) -> str:
    """Microseconds for people.

    >>> duration(None), duration(950.0), duration(20_500.0), duration(1_234_567.0)
    ('–', '950 µs', '20.5 ms', '1.23 s')
    """
    if us is None:
        return "–"
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if us >= size:
            return f"{us / size:.3g} {unit}"
    return f"{us:.3g} µs"


def _timeline(scene: Scene) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    shown: list[Action] = list(scene.actions)[-ACTIONS_SHOWN:]
    for action in shown:
        tone = TONES.get(action.tone, "")
        table.add_row(
            Text(f" {iso(action.time_us)[11:19]}", "dim"),
            Text(SIGNS.get(action.tone, "•"), tone),
            Text(action.text.partition(";")[0]),
        )
    for _ in range(ACTIONS_SHOWN - len(shown)):  # keeps the view's height
        table.add_row("", "", "")
    return table


def _foot(scene: Scene) -> RenderableType:
    last = scene.closed_us
    behind = "–" if last is None else f"{max(0, scene.now_us - last) / 1e6:.0f} s"
    lag = "–" if scene.lag < 0 else f"{scene.lag}"
    figures = [
        ("lag", f"{lag} events"), ("windows closed", f"{behind} ago"), ("late", str(sum(scene.late.values()))),
        ("dropped", str(sum(scene.quarantined.values()))), ("dead letters", str(scene.dead)),
        ("windows", str(scene.windows_seen)), ("verdicts", str(scene.verdicts_seen)),
        ("restarts", str(scene.restarts)),
    ]  # fmt: skip
    text = Text(" ")
    for name, value in figures:
        text.append(f"{name} ", "dim").append(f"{value}   ")
    return Align.left(text)
