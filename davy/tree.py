"""Where rollouts stand, as a tree for a terminal. Pure: a state, a time and a height in, something rich can draw out.

What stands most against going on comes first; what does not fit is counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from davy.terminal import SIGNS, STATUS, TONES, bar, change, level, progress, step_mark
from davy.web.state import WORST_FIRST, Experiment, State, action_at, worst
from schemas.codec import iso
from schemas.decision import Decision
from schemas.spec import ExperimentSpec
from schemas.verdict import Evidence, Verdict

BAR = 10
DECISIONS_SHOWN = 3
ALONE = 3
"""Up to so many experiments are shown with their evidence; of more, a line each."""
LINES_MIN = 8


def tree(state: State, names: Sequence[str], now_us: int, height: int) -> RenderableType:
    """The experiments of these names, on at most `height` lines where they are many."""
    if not names:
        return Text("no experiments yet: put one in force with davy apply", "dim")
    held = sorted((state.experiments[name] for name in names), key=lambda experiment: _rank(experiment, now_us))
    if len(held) <= ALONE:
        return Group(*(_branch(state, experiment, now_us) for experiment in held))
    room = max(LINES_MIN, height - 2)
    lines = Table.grid(padding=(0, 1))
    for _ in range(3):
        lines.add_column(no_wrap=True)
    lines.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for experiment in held[:room]:
        lines.add_row(*_line(experiment, now_us))
    left = len(held) - room
    more = [Text(f"and {left:,} more: davy status EXPERIMENT --watch shows one", "dim")] if left > 0 else []
    return Group(lines, *more)


def _rank(experiment: Experiment, now_us: int) -> int:
    verdict = worst(experiment.current(), now_us)
    return len(WORST_FIRST) if verdict is None else WORST_FIRST.index(action_at(verdict, now_us))


def _line(experiment: Experiment, now_us: int) -> list[Text]:
    verdict = worst(experiment.current(), now_us)
    told = Text("· none yet", "dim") if verdict is None else _action(verdict, now_us)
    reason = "" if verdict is None else verdict.reason
    return [told, Text(experiment.spec.id, "bold"), _traffic(experiment), Text(reason, "dim")]


def _action(verdict: Verdict, now_us: int) -> Text:
    if now_us >= verdict.expires_at:
        return Text(f"{SIGNS['HOLD']} {verdict.action}, expired", "yellow")
    return Text(f"{SIGNS[verdict.action]} {verdict.action}", TONES[verdict.action])


def _traffic(experiment: Experiment) -> Text:
    shares = [f"{name} {100 * share:.4g} %" for name, share in experiment.weights.items() if share]
    return Text(", ".join(shares) or "no traffic yet", "magenta" if shares else "dim")


def _branch(state: State, experiment: Experiment, now_us: int) -> Tree:
    spec = experiment.spec
    root = Tree(Text.assemble((spec.id, "bold"), (f"  {spec.service}/{spec.environment}", "dim")), guide_style="dim")
    current = experiment.current()
    for name, arm in spec.variants.items():
        share = experiment.weights.get(name, 0.0)
        head = Text.assemble((f"{name} {arm.version}  ", "bold")).append_text(bar(share, BAR, "magenta"))
        head.append(f" {100 * share:.4g} %", "dim" if not share else "")
        if name not in spec.candidates:
            root.add(head)
            continue
        verdict = current.get(name)
        branch = root.add(head)
        branch.add(_path(spec, verdict))
        if verdict is None:
            branch.add(Text("no verdict yet: the first window must close", "dim"))
            continue
        branch.add(_action(verdict, now_us).append(f"  {verdict.conclusion}", "dim"))
        branch.add(Text(verdict.reason))
        if verdict.evidence:
            branch.add(_evidence(verdict, spec))
    for budget in state.budgets_of(spec):
        alert = "" if budget.alert == "NONE" else f"  {budget.alert.lower()}: {budget.reason}"
        root.add(
            Text(f"error budget {budget.slo}: {100 * budget.left:.4g} % left{alert}", "dim" if not alert else "yellow")
        )
    decisions = state.decisions.of(spec.id)
    told = [one for one in decisions if one.outcome != "PLANNED" or one is decisions[-1]][-DECISIONS_SHOWN:]
    if told:
        ledger = root.add(Text("ledger", "dim"))
        for decision in told:
            ledger.add(_decided(decision))
    return root


def _path(spec: ExperimentSpec, verdict: Verdict | None) -> Text:
    path = Text()
    for index, step in enumerate(spec.steps):
        path.append(*step_mark(verdict, index)).append(f" {100 * step.weight:.4g} %  ", "dim")
    promoted = verdict is not None and verdict.action == "PROMOTE"
    return path.append("● 100 %" if promoted else "○ 100 %", "bold green" if promoted else "dim")


def _evidence(verdict: Verdict, spec: ExperimentSpec) -> Table:
    table = Table.grid(padding=(0, 2))
    slis = {sli.name: sli for sli in spec.slis}
    for item in verdict.evidence:
        sli = slis.get(item.sli)
        if sli is None:
            continue
        figures = f"{level(sli, item.baseline)} → {level(sli, item.candidate)}"
        table.add_row(
            Text(item.sli), Text(figures), Text(change(sli, item.effect), justify="right"),
            Text("harm ", "dim").append_text(bar(progress(item.evidence, item.threshold), BAR, "red")),
            _safety(item), Text(item.status, STATUS[item.status]),
        )  # fmt: skip
    return table


def _safety(item: Evidence) -> Text:
    if item.safety_evidence is None or item.safety_threshold is None:
        return Text()
    part = progress(item.safety_evidence, item.safety_threshold)
    return Text("safety ", "dim").append_text(bar(part, BAR, "green"))


def _decided(decision: Decision) -> Text:
    outcome = "" if decision.outcome == "DONE" else f" {decision.outcome}"
    when, who = (f"{iso(decision.time)[11:19]} ", "dim"), (f"{decision.actor}: ", "dim")
    return Text.assemble(when, f"{decision.kind}{outcome} ", who, decision.reason)
