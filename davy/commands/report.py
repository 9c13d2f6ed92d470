"""`davy report`: what was learned from an experiment."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from analyzers.reasons import allowance, time
from davy import recall
from davy.commands.explain import reproduce
from davy.options import ConfigFile, DataDir, Json, load
from davy.rationale import budget_lines
from davy.store import Question, ask, asking
from davy.terminal import change, level
from schemas.codec import iso
from schemas.config import Config
from schemas.errors import UnknownId, UserError
from schemas.spec import ErrorBudget, ExperimentSpec
from schemas.verdict import Evidence, Verdict
from streams.sinks.base import quote

UNKNOWN = 3
STEPS_MAX = 200
"""More lines of the ledger are not shown."""
LISTED_MAX = 1_000
SECOND_US = 1_000_000
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse}td,th{border:1px solid #8888;padding:.2rem .6rem;text-align:left}"
)
STYLE_SHA256 = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""For a policy that allows this style and no other."""
HTML_HEAD = (
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    f"<title>Davy report</title><style>{STYLE}</style>"
)


def report(experiment: str, config: Config, out: Path | None, as_json: bool = False) -> int:
    """Print it, or write it to `out`, whose suffix says how; raises `UnknownId`, `UserError`."""
    text = markdown(experiment, config)
    if out is None:
        print(json.dumps({"experiment_id": experiment, "markdown": text}) if as_json else text.rstrip())
        return 0
    try:
        out.write_text(as_html(text) if out.suffix in (".html", ".htm") else text, "utf-8")
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from error
    return 0


def markdown(experiment: str, config: Config) -> str:
    """The report; raises `UnknownId`."""
    return "\n".join(_lines(experiment, config)) + "\n"


def as_html(text: str) -> str:
    """One page without anything from elsewhere; HTML in the text stays text."""
    from markdown_it import MarkdownIt

    return HTML_HEAD + MarkdownIt("commonmark", {"html": False}).enable("table").render(text)


def found(words: str, question: Question) -> list[dict[str, Any]]:
    """Experiments whose spec (hypothesis, owner, anything in it), ledger or report has all of the words, newest first."""
    has = " AND ".join(f"positionCaseInsensitive(everything, {quote(word)}) > 0" for word in words.split()) or "1"
    ended = (
        "SELECT experiment_id, argMax(state_after, sequence) AS state, "
        "arrayStringConcat(groupArray(reason), ' ') AS reasons FROM decisions GROUP BY experiment_id"
    )
    rows = question(  # old servers join two at a time
        "SELECT experiment_id, began, state, service, owner, hypothesis FROM (SELECT experiment_id, began, service, owner, "
        "hypothesis, document, state, reasons FROM (SELECT experiment_id, "
        "toInt64(toUnixTimestamp(max(applied_at))) AS began, argMax(service, applied_at) AS service, "
        "argMax(owner, applied_at) AS owner, argMax(hypothesis, applied_at) AS hypothesis, "
        "argMax(document, applied_at) AS document FROM specs GROUP BY experiment_id) AS e "
        f"LEFT JOIN ({ended}) AS d USING (experiment_id)) AS both "
        "LEFT JOIN (SELECT experiment_id, markdown FROM reports) AS r USING (experiment_id) "
        f"WHERE {has.replace('everything', 'concat(document, reasons, markdown)')} "
        f"ORDER BY began DESC LIMIT {LISTED_MAX}",
    ).dicts()  # fmt: skip
    return [{**row, "began": iso(row["began"] * SECOND_US)} for row in rows]


def find(words: str, config: Config, as_json: bool) -> int:
    """Print them, one a line."""
    with asking(config) as question:
        rows = found(words, question)
    for row in rows:
        if as_json:
            print(json.dumps(row, allow_nan=False))
        else:
            print(f"{row['experiment_id']}: {_state(row['state'])}; {row['hypothesis'] or 'no hypothesis'}")
    if not rows:
        print("davy: nothing was found", file=sys.stderr)
    return 0 if rows else UNKNOWN


def _state(state: str) -> str:
    return state.replace("_", " ") or "not begun"


def _lines(experiment: str, config: Config) -> Iterator[str]:
    verdicts = recall.verdicts(experiment, config)
    if not verdicts or verdicts[0].experiment_id != experiment:
        raise UnknownId(f"no experiment named {experiment!r} was judged: `davy report` without a name lists all")
    spec = recall.spec_of(verdicts[0], config)
    condition = f"experiment_id = {quote(experiment)}"
    decisions = ask(config, f"SELECT * FROM decisions WHERE {condition} ORDER BY sequence LIMIT {STEPS_MAX}").dicts()
    done = [row for row in decisions if row["outcome"] == "DONE"]
    state = done[-1]["state_after"] if done else ""
    yield f"# {_text(experiment)}: {_state(state)}"
    if spec is not None:
        yield from _design(spec)
    for verdict in verdicts:
        yield from _seen(verdict, spec)
    yield from _decided(verdicts, config)
    yield from _done(decisions)
    yield from _cost(verdicts, spec, condition, config)
    yield from _learned(verdicts, spec, decisions)


def _design(spec: ExperimentSpec) -> Iterator[str]:
    yield from ("", f"**Hypothesis.** {_text(spec.hypothesis or 'None was written down.')}")
    owner = f" Owner: {_text(spec.owner)}." if spec.owner else ""
    yield from ("", f"Service {_text(spec.service)}, {_text(spec.environment)}.{owner}", "", "## Design", "")
    arms = ", ".join(f"{name} {arm.version}" for name, arm in spec.variants.items())
    yield f"- Variants: {_text(arms)}; split by {spec.randomization}; mode {spec.mode}."
    policy = spec.policy
    yield (
        f"- A harmless release is rolled back with a chance of at most {policy.alpha:g}, one beyond its tolerance promoted "
        f"with at most {policy.beta:g}."
    )
    yield f"- Steps: {', '.join(f'{100 * step.weight:g} % for {time(step.duration_us)}' for step in spec.steps)}."
    yield from ("", "| SLI | type | allowed | acts |", "| --- | --- | --- | --- |")
    for sli in spec.slis:
        yield _row(sli.name, sli.type, allowance(sli), "yes" if sli.mode == "enforce" else "no, is only shown")


def _seen(verdict: Verdict, spec: ExperimentSpec | None) -> Iterator[str]:
    yield from ("", f"## What was seen of {_text(verdict.variant)}", "")
    yield _row("SLI", "control", verdict.variant, "difference", "certain", "requests", "status")
    yield _row(*["---"] * 7)
    for item in verdict.evidence:
        yield _row(item.sli, *_figures(item, spec), f"{item.n_baseline:,} / {item.n_candidate:,}", item.status)


def _figures(item: Evidence, spec: ExperimentSpec | None) -> list[str]:
    sli = next((sli for sli in spec.slis if sli.name == item.sli), None) if spec else None
    values = (item.baseline, item.candidate, item.effect, item.lower, item.upper)
    if sli is None:
        plain = ["–" if value is None else f"{value:.4g}" for value in values]
    else:
        plain = [level(sli, item.baseline), level(sli, item.candidate), *(change(sli, value) for value in values[2:])]
    return [*plain[:3], f"{plain[3]} … {plain[4]}"]


def _decided(verdicts: Sequence[Verdict], config: Config) -> Iterator[str]:
    yield from ("", "## Decision", "")
    for verdict in verdicts:
        yield f"- **{verdict.action}** ({verdict.conclusion}) of {_text(verdict.variant)}: {_text(verdict.reason)}."
        yield f"  Again, from the log: `{reproduce(verdict, config)}`"


def _done(decisions: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield from (
        "",
        "## What was done",
        "",
        "| time (UTC) | what | outcome | by | why |",
        "| --- | --- | --- | --- | --- |",
    )
    for row in decisions:
        if row["outcome"] != "PLANNED":
            yield _row(str(row["time"])[:19], row["kind"], row["outcome"], row["actor"], row["reason"])


def _cost(verdicts: Sequence[Verdict], spec: ExperimentSpec | None, condition: str, config: Config) -> Iterator[str]:
    yield from ("", "## What it cost", "")
    arms = ask(
        config,
        "SELECT version, sum(rows) AS requests, sum(errors) AS failed, "
        f"dateDiff('second', min(start), max(end)) AS seconds FROM windows WHERE {condition} GROUP BY version",
    ).dicts()
    by_version = {row["version"]: {name: int(row[name]) for name in ("requests", "failed", "seconds")} for row in arms}
    control = by_version.get(spec.variants[spec.control].version) if spec and spec.control in spec.variants else None
    for verdict in verdicts:
        seen = by_version.get(spec.variants[verdict.variant].version) if spec else None
        if spec is None or seen is None or not seen["requests"]:
            continue
        said = f"- {_text(verdict.variant)} answered {seen['requests']:,} requests, {seen['failed']:,} with an error"
        if control is None or not control["requests"]:
            yield f"{said}."
            continue
        more = seen["failed"] - seen["requests"] * control["failed"] / control["requests"]
        budget = spec.error_budget or ErrorBudget()
        rate = (seen["requests"] + control["requests"]) / max(seen["seconds"], control["seconds"], 1)
        allowed = (1 - budget.objective) * rate * budget.window_us / 1e6
        share = f"{100 * max(more, 0) / allowed:.2g} % of the {allowed:,.0f}" if allowed else "part of the errors"
        yield (
            f"{said}: {more:+,.0f} against control's ratio. That is {share} that {100 * budget.objective:g} % over "
            f"{time(budget.window_us)} leaves at this traffic."
        )
    for verdict in verdicts:
        yield from (f"- {_text(verdict.variant)}, {line}." for line in budget_lines(verdict))


def _learned(
    verdicts: Sequence[Verdict], spec: ExperimentSpec | None, decisions: Sequence[dict[str, Any]]
) -> Iterator[str]:
    yield from ("", "## What to learn", "")
    for verdict in verdicts:
        harmed = [item.sli for item in verdict.evidence if item.status == "HARM"]
        unsure = [item.sli for item in verdict.evidence if item.status == "OPEN" and item.safety_evidence is not None]
        name = _text(verdict.variant)
        if harmed:
            yield f"- {name} is worse than allowed in {', '.join(harmed)}: unexpected, or a wrong tolerance?"
        elif verdict.action == "PROMOTE":
            yield f"- {name} is within every tolerance; the hypothesis beyond that is answered by the differences above."
        if unsure and verdict.action not in ("PROMOTE", "CONTINUE"):
            yield f"- Nothing was shown about {', '.join(unsure)} of {name}: too few requests, or no difference either way."
        if verdict.conclusion in ("INVALID", "NO_DATA"):
            yield f"- The experiment itself failed ({verdict.conclusion}): mend that before the next one."
    refused = sum(row["outcome"] == "REFUSED" for row in decisions)
    failed = sum(row["outcome"] == "FAILED" for row in decisions)
    if refused or failed:
        yield f"- {refused} requests to act were refused and {failed} actions failed: see what was done."
    if spec is not None and not spec.hypothesis:
        yield "- No hypothesis was written down: the next reader cannot know what was hoped for."


def _row(*cells: str) -> str:
    return "| " + " | ".join(_text(cell) for cell in cells) + " |"


def _text(value: str) -> str:
    """On one line, as it is: Markdown's signs in it mean nothing."""
    plain = " ".join(value.split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in plain)


def command(
    experiment: Annotated[str | None, typer.Argument(help="Without one: the list.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An .md or .html file (default: Markdown here).")
    ] = None,
    search: Annotated[
        str, typer.Option(metavar="WORDS", help="Of the list, those with all the words in spec, ledger or report.")
    ] = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Hypothesis, design, what was seen, decision, cost.

    \b
    Example: davy report checkout-2.4.0 --out report.html
             davy report --search cache

    Exit code: 0; 3 unknown, 4 infrastructure.
    """
    settings = load(config, data_dir)
    raise typer.Exit(
        find(search, settings, as_json) if experiment is None else report(experiment, settings, out, as_json)
    )
