"""`davy explain`: why a verdict is what it is."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyzers.reasons import allowance, time
from davy import recall
from davy.demo_dir import CONFIG
from davy.options import ConfigFile, DataDir, Json, load
from davy.picture import picture
from davy.terminal import STATUS, TONES, change, level, short
from schemas.codec import iso
from schemas.config import Config
from schemas.errors import UnknownId
from schemas.spec import ExperimentSpec
from schemas.verdict import Evidence, Verdict

PIPE_WIDTH = 140


@dataclass(frozen=True, slots=True)
class Rule:
    """What led from the evidence to the action, and where the spec says so (paths such as
    ``policy.alpha``)."""

    sentence: str
    paths: tuple[str, ...]


def explain(subject: str, config: Config, file: Path | None = None, as_json: bool = False) -> int:
    """Print the explanation of a verdict, or of an experiment's latest ones; raises `UnknownId`. `file`: the configuration
    that was named."""
    verdicts = recall.verdicts(subject, config)
    told = {verdict.verdict_id for verdict in verdicts}
    verdicts += [later for later in recall.watched(subject, config) if later.verdict_id not in told]
    if not verdicts:
        raise UnknownId(
            f"no verdict and no experiment is named {subject!r} in the store; "
            "see `davy query 'select id from experiments'`"
        )
    if as_json:
        for verdict in verdicts:
            print(json.dumps(as_object(verdict, recall.spec_of(verdict, config), reproduce(verdict, config, file))))
        return 0
    console = Console(highlight=False) if sys.stdout.isatty() else Console(width=PIPE_WIDTH, highlight=False)
    for index, verdict in enumerate(verdicts):
        if index:
            console.rule(style="dim")
        _print(console, verdict, recall.spec_of(verdict, config), reproduce(verdict, config, file))
    return 0


def as_object(verdict: Verdict, spec: ExperimentSpec | None, again: str) -> dict[str, Any]:
    """The explanation as JSON values; what rests on the spec is null where that is not known."""
    told: dict[str, Any] = {
        "verdict": verdict.to_json(),
        "rule": None,
        "otherwise": None,
        "budget": budget_lines(verdict),
        "change": change_lines(verdict, spec),
    }
    if spec is not None:
        rule = rule_of(verdict, spec)
        told["rule"] = {"sentence": rule.sentence, "file": spec.path, "spec": spec_lines(spec, rule.paths)}
        told["otherwise"] = otherwise(verdict, spec)
    return told | {"reproduce": again}


def rule_of(verdict: Verdict, spec: ExperimentSpec) -> Rule:
    """The rule that applied."""
    policy, step = spec.policy, f"steps[{verdict.step}]"
    where = {sli.name: f"slis[{index}]" for index, sli in enumerate(spec.slis)}

    def slis(*statuses: str) -> tuple[str, ...]:
        return tuple(where[item.sli] for item in verdict.evidence if item.status in statuses and item.sli in where)

    if wires := tripped(verdict, spec):
        sentence = (
            "a tripwire knows no error budget: it holds at once, and acts outside of alpha where its action says so"
        )
        return Rule(sentence, wires)
    match verdict.action, verdict.conclusion:
        case "ROLLBACK", "NO_DATA":
            return Rule("the spec asks for a rollback where there are no data", ("policy.on_no_data",))
        case "ROLLBACK", _:
            limit = f"{len(spec.candidates) / policy.alpha:.6g}"
            sentence = (
                f"harm is proven once the mean of the enforced SLIs' evidence reaches {limit}: a harmless "
                f"release comes that far with a chance of at most {100 * policy.alpha:g} %, over all SLIs "
                "and all looks"
            )
            return Rule(sentence, (*slis("HARM"), "policy.alpha"))
        case "PROMOTE", _:
            sentence = (
                "all steps are done, both arms have had their time and requests, and each enforced SLI's "
                f"evidence of safety has reached {1 / policy.beta:.6g}: a release that is worse than allowed "
                f"comes that far with a chance of at most {100 * policy.beta:g} %"
            )
            return Rule(sentence, (*slis("SAFE"), "policy.beta", "policy.min_duration", "policy.min_requests"))
        case "HOLD", "INVALID":
            return Rule(
                "the experiment itself is in doubt: it never promotes like that, and waits for a person",
                (),
            )
        case "HOLD", "NO_DATA":
            return Rule("no data are no evidence: they hold, whatever else is known", ("policy.on_no_data",))
        case "HOLD", _:
            asked = f"{1 / policy.beta:.6g}"
            sentence = f"a release waits until every enforced SLI's evidence of safety reaches {asked}"
            return Rule(sentence, (*slis("OPEN"), "policy.beta"))
        case "ADVANCE", _:
            return Rule("the step has had its time, and nothing stands against the next", (f"{step}.duration",))
        case _:
            return Rule("the step is running, and nothing stands against it", (f"{step}.duration",))


def tripped(verdict: Verdict, spec: ExperimentSpec) -> tuple[str, ...]:
    """Places in the spec of the tripwires that the reason names by their type."""
    told = [f"(tripwire {wire.type})" in verdict.reason for wire in spec.tripwires]
    return tuple(f"tripwires[{index}]" for index, named in enumerate(told) if named)


def spec_lines(spec: ExperimentSpec, paths: Sequence[str]) -> list[str]:
    """Where the rule stands, as ``line 12: alpha: 0.01``; what the spec leaves out has a default."""
    source = spec.source.splitlines()
    shown: list[str] = []
    for path in paths:
        line = spec.lines.get(path)
        if line is None or line > len(source):
            shown.append(f"{path} is not in the spec: its default applies")
        else:
            shown.append(f"line {line}: {source[line - 1].strip()}")
    return shown


def otherwise(verdict: Verdict, spec: ExperimentSpec) -> list[str]:
    """What would have changed the verdict, a sentence each."""
    limit = len(spec.candidates) / spec.policy.alpha
    judged = [item for item in verdict.evidence if item.status != "SHADOW"]
    harm = [item for item in judged if item.status == "HARM"]
    if tripped(verdict, spec):
        return ["as many windows in a row in which the candidate does not break the rule as it takes to trip"]
    if verdict.action == "ROLLBACK" and verdict.conclusion != "NO_DATA":
        mean = sum(item.evidence for item in judged) / max(1, len(judged))
        told = [f"a mean evidence of harm below {limit:.6g}; it was {short(mean)}"]
        return told + [f"{item.sli} within what is allowed: {_allowed(spec, item)}" for item in harm]
    if verdict.action == "PROMOTE":
        weakest = [item for item in judged if item.safety_evidence is not None]
        return [
            f"less evidence of safety for {item.sli}: {_safety(item)}" for item in sorted(weakest, key=_strength)[:1]
        ]
    if verdict.conclusion == "INVALID":
        return ["the cause named above removed, then `davy resume`; until then no evidence counts"]
    if verdict.conclusion == "NO_DATA":
        return ["requests that both arms answer, and events that say so"]
    told = [
        f"{item.sli}: evidence of harm {item.threshold:.6g} rolls back; it is {short(item.evidence)}"
        + _safety_way(verdict, item)
        for item in judged
    ]
    if verdict.action == "CONTINUE" and verdict.step < len(spec.steps):
        told.append(f"the end of the step: {time(spec.steps[verdict.step].duration_us)} after its weight was applied")
    return told


def _allowed(spec: ExperimentSpec, item: Evidence) -> str:
    sli = next(sli for sli in spec.slis if sli.name == item.sli)
    return f"{allowance(sli)}; it is {change(sli, item.effect)}"


def _safety(item: Evidence) -> str:
    return f"{short(item.safety_evidence or 0)} of the {item.safety_threshold or 0:.6g} it needs"


def _strength(item: Evidence) -> float:
    return (item.safety_evidence or 0) / (item.safety_threshold or 1)


def _safety_way(verdict: Verdict, item: Evidence) -> str:
    if item.safety_evidence is None:
        return ""
    needed = (verdict.needed or {}).get(item.sli)
    if item.status == "SAFE" or needed is None or needed.requests is None:
        return f"; safety {_safety(item)}"
    seconds = "" if needed.seconds is None else f", some {time(int(needed.seconds * 1e6))}"
    return f"; safety {_safety(item)}: about {needed.requests:,} more requests{seconds}"


def budget_lines(verdict: Verdict) -> list[str]:
    """What of alpha and beta was spent, and what acting at this verdict would have risked."""
    budget = verdict.budget
    if budget is None:
        return []
    shared = "" if budget.alpha_candidate == budget.alpha else f", {budget.alpha_candidate:.3g} for {verdict.variant}"
    slis = f"{budget.slis} SLI{'' if budget.slis == 1 else 's'}"
    alpha = (
        f"alpha {budget.alpha:g}{shared} over {slis}: {_spent(budget.alpha_spent)}; a harmless release ever shows evidence "
        f"{short(budget.evidence)} with a chance of at most {budget.rollback_risk:.3g} (it rolls back at "
        f"{budget.threshold:.6g})"
    )
    if budget.safety_evidence is None:
        return [alpha, f"beta {budget.beta:g}: no SLI here can be shown to be safe"]
    return [
        alpha,
        f"beta {budget.beta:g}: {_spent(budget.beta_spent)}; a release beyond its tolerance shows evidence of safety "
        f"{short(budget.safety_evidence)} with a chance of at most {budget.promote_risk:.3g} (it promotes at "
        f"{budget.safety_threshold:.6g})",
    ]


def change_lines(verdict: Verdict, spec: ExperimentSpec | None) -> list[str]:
    """Of a verdict of the watch: when an SLI changed, who carries it, and what happened near it."""
    change = verdict.change
    if change is None:
        return []
    sli = next((sli for sli in spec.slis if sli.name == change.sli), None) if spec else None

    def show(value: float | None) -> str:
        return "–" if value is None else f"{value:.4g}" if sli is None else level(sli, value)

    moved = f"{change.sli} from {show(change.before)} to {show(change.after)}"
    if change.kind == "anomaly":
        moved = f"an anomaly, {moved}"
    when = f"at {iso(change.begun_at)} (between {iso(change.earliest_at)} and {iso(change.latest_at)})"
    lines = [f"{moved} {when}"]
    for one in change.carriers:
        named = "all others" if one.value is None else one.value
        lines.append(f"{one.dimension} {named} carries {100 * one.share:.0f} % of it")
    return lines + [f"near it, {iso(link.time)}: {link.text} ({link.kind})" for link in change.links]


def _spent(risk: float) -> str:
    return f"{risk:.3g} spent" if risk else "nothing spent"


def reproduce(verdict: Verdict, config: Config, file: Path | None = None) -> str:
    """The command that computes the same verdict again; `file` is the configuration that was named. A demo keeps its own
    in its folder: only that one knows its broker."""
    own = config.data_dir / CONFIG
    file = file or (own if own.is_file() else None)
    if file is not None:
        return f"davy replay --verdict {verdict.verdict_id} --config {shlex.quote(str(file))}"
    where = "" if config.data_dir == Path(".davy") else f" --dir {shlex.quote(str(config.data_dir))}"
    return f"davy replay --verdict {verdict.verdict_id}{where}"


def _print(console: Console, verdict: Verdict, spec: ExperimentSpec | None, again: str) -> None:
    row = verdict.to_json()
    head = Text.assemble(
        (f"{verdict.experiment_id} {verdict.variant}: ", "bold"),
        (f"{verdict.action}", f"bold {TONES.get(verdict.action, '')}".strip()), f" ({verdict.conclusion})",
    )  # fmt: skip
    console.print(head)
    console.print(Text(verdict.reason))
    steps = f" of {len(spec.steps)}" if spec else ""
    facts = [
        f"verdict {verdict.verdict_id}, number {verdict.sequence} of the experiment, epoch {verdict.epoch}",
        f"issued {row['issued_at']}, for events up to {row['event_time']}, valid until {row['expires_at']}",
        f"step {verdict.step + 1}{steps}; share of traffic for {verdict.variant}: {100 * verdict.weight:.4g} %",
    ]
    console.print(Text("\n".join(facts), "dim"))
    if spec is None:
        console.print(Text("\nThe spec that was in force is not in the store: rule and lines cannot be shown."))
    else:
        rule = rule_of(verdict, spec)
        _section(console, "rule", [rule.sentence])
        _section(console, f"in the spec ({spec.path})", spec_lines(spec, rule.paths))
    _section(console, "error budget", budget_lines(verdict))
    _section(console, "what changed", change_lines(verdict, spec))
    console.print()
    console.print(evidence_table(verdict, spec))
    if spec is not None:
        drawn = picture(verdict, spec)
        console.print()
        for text in drawn:
            console.print(text, soft_wrap=True)
        _section(console, "what would have changed it", otherwise(verdict, spec))
    _section(console, "reproduce it", [again])


def _section(console: Console, title: str, lines: Sequence[str]) -> None:
    if lines:
        console.print(Text(f"\n{title}", "bold"))
    for line in lines:
        console.print(Text(f"  {line}"), soft_wrap=True)


def evidence_table(verdict: Verdict, spec: ExperimentSpec | None) -> Table:
    """The evidence, one SLI a row."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("SLI")
    names = ("control", verdict.variant, "difference", "certain", "harm", "of", "safety", "of", "requests")
    for name in names:
        table.add_column(Text(name), justify="right")
    table.add_column("status")
    slis = {sli.name: sli for sli in spec.slis} if spec else {}
    for item in verdict.evidence:
        sli = slis.get(item.sli)
        figures = [item.baseline, item.candidate, item.effect, item.lower, item.upper]
        plain = ["–" if value is None else f"{value:.4g}" for value in figures]
        if sli is not None:
            plain = [
                level(sli, item.baseline),
                level(sli, item.candidate),
                *(change(sli, value) for value in figures[2:]),
            ]
        safety = ("–", "–")
        if item.safety_evidence is not None and item.safety_threshold is not None:
            safety = (short(item.safety_evidence), f"{item.safety_threshold:.6g}")
        table.add_row(
            Text(item.sli), *plain[:3], f"{plain[3]} … {plain[4]}", short(item.evidence),
            f"{item.threshold:.6g}", *safety, f"{item.n_baseline:,} / {item.n_candidate:,}",
            Text(item.status, STATUS.get(item.status, "")),
        )  # fmt: skip
    return table


def command(
    subject: Annotated[str, typer.Argument(metavar="VERDICT_ID|EXPERIMENT")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """\b
    Example: davy explain checkout-2.4.0

    Exit code: 0; 3 unknown, 4 infrastructure.
    """
    raise typer.Exit(explain(subject, load(config, data_dir), config, as_json))
