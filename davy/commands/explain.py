"""`davy explain`: why a verdict is what it is."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from davy import recall
from davy.demo_dir import CONFIG
from davy.options import ConfigFile, DataDir, Json, load
from davy.picture import picture
from davy.rationale import budget_lines, change_lines, comparison_lines, otherwise, rule_of, spec_lines
from davy.terminal import STATUS, TONES, change, level, short
from schemas.config import Config
from schemas.errors import UnknownId
from schemas.spec import ExperimentSpec
from schemas.verdict import WATCHED, Verdict

PIPE_WIDTH = 140


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
        "comparison": [] if spec is None else comparison_lines(spec),
        "otherwise": None,
        "budget": budget_lines(verdict),
        "change": change_lines(verdict, spec),
    }
    if spec is not None:
        rule = rule_of(verdict, spec)
        told["rule"] = {"sentence": rule.sentence, "file": spec.path, "spec": spec_lines(spec, rule.paths)}
        told["otherwise"] = otherwise(verdict, spec)
    return told | {"reproduce": again}


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
        watched = verdict.experiment_id.startswith(WATCHED)
        why = "No experiment judges it: what it may do without being told stands under watch: in davy.yaml."
        missing = "The spec that was in force is not in the store: rule and lines cannot be shown."
        console.print(Text(f"\n{why if watched else missing}"))
    else:
        rule = rule_of(verdict, spec)
        _section(console, "rule", [rule.sentence])
        _section(console, f"in the spec ({spec.path})", spec_lines(spec, rule.paths))
        _section(console, "how the arms were compared", comparison_lines(spec))
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
