"""`davy plan`: requests and time that a spec's promises take."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyzers import reasons
from analyzers.feasibility import problems
from analyzers.outlook import Outlook, SliOutlook, outlook
from analyzers.sli import WORSE, Normal
from davy.commands.explain import PIPE_WIDTH
from davy.options import ConfigFile, DataDir, Json
from schemas.errors import UserError
from schemas.located import dotted
from schemas.spec import ExperimentSpec, SliSpec, load_specs
from schemas.units import parse_level

RATE_MAX = 1e9
"""Requests per second."""
SPREAD_MAX = 100.0


def plan(file: Path, rate: float, spread: float, normal: Sequence[str], as_json: bool) -> int:
    """Print the outlook of every experiment of a file or folder; raises `UserError`."""
    if not 0 < rate <= RATE_MAX:
        raise UserError(f"--rate {rate:g}: must be above 0 and at most {RATE_MAX:g} requests per second")
    if not 0 < spread <= SPREAD_MAX:
        raise UserError(f"--spread {spread:g}: must be above 0 and at most {SPREAD_MAX:g}")
    specs = load_specs(file)
    known = normals(specs, spread, normal)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(width=PIPE_WIDTH, highlight=False)
    for index, spec in enumerate(specs):
        foreseen = outlook(spec, rate, known[spec.id])
        said = problems(spec, rate, known[spec.id])
        if as_json:
            print(json.dumps(as_object(foreseen, [f"{dotted(loc)}: {text}" for loc, text in said]), allow_nan=False))
            continue
        if index:
            console.rule(style="dim")
        _print(console, foreseen, [f"{_place(spec, dotted(loc))}{text}" for loc, text in said])
    return 0


def normals(specs: Sequence[ExperimentSpec], spread: float, given: Sequence[str]) -> dict[str, dict[str, Normal]]:
    """What is taken to be normal, by experiment and SLI; `given` are NAME=LEVEL."""
    levels: dict[str, str] = {}
    for item in given:
        name, equals, level = item.partition("=")
        if not equals or not any(name == sli.name for spec in specs for sli in spec.slis):
            names = ", ".join(dict.fromkeys(sli.name for spec in specs for sli in spec.slis))
            raise UserError(f"--normal {item}: say NAME=LEVEL such as errors=0.5%, with a NAME of {names}")
        levels[name] = level
    return {
        spec.id: {sli.name: _normal(spec, sli, spread, levels.get(sli.name)) for sli in spec.slis} for spec in specs
    }  # fmt: skip


def _normal(spec: ExperimentSpec, sli: SliSpec, spread: float, level: str | None) -> Normal:
    errors = 1 - spec.error_budget.objective if spec.error_budget else Normal().errors
    try:
        return Normal(errors, spread, None if level is None else parse_level(level, sli.dimension))
    except ValueError as error:
        raise UserError(f"--normal {sli.name}={level}: {error}") from error


def as_object(plan: Outlook, said: Sequence[str]) -> dict[str, Any]:
    """The JSON form; times in seconds, requests of both arms together, null: never or not known."""
    return {
        "experiment_id": plan.spec.id,
        "rate": plan.rate,
        "fits": plan.fits,
        "planned_seconds": plan.planned_s,
        "max_duration_seconds": plan.max_duration_s,
        "promote_seconds": _number(plan.promote_s),
        "promote_seconds_nine_in_ten": _number(plan.promote_most_s),
        "min_requests_seconds": _number(plan.min_requests_s),
        "slis": [_sli_object(item) for item in plan.slis],
        "problems": list(said),
    }


def _sli_object(item: SliOutlook) -> dict[str, Any]:
    return {
        "sli": item.sli.name,
        "mode": "enforce" if item.acts else "shadow",
        "normal": {"errors": item.normal.errors, "spread": item.normal.spread, "level": item.normal.level},
        "safety_requests": _whole(item.safety_requests),
        "safety_requests_nine_in_ten": _whole(item.safety_most_requests),
        "safety_seconds": _number(item.safety_s),
        "safety_seconds_nine_in_ten": _number(item.safety_most_s),
        "harm_requests": _whole(item.harm_requests),
        "harm_seconds": _number(item.harm_s),
        "steps": [
            {
                "step": i,
                "weight": step.weight,
                "requests_per_second": _number(step.rate),
                "safety_requests": _whole(step.foreseen.safety),
                "safety_seconds": _seconds(step.foreseen.safety, step.rate),
                "harm_requests": _whole(step.foreseen.harm),
                "harm_seconds": _seconds(step.foreseen.harm, step.rate),
            }
            for i, step in enumerate(item.steps)
        ],
    }


def _seconds(requests: float | None, rate: float) -> float | None:
    return None if requests is None or not rate else _number(requests / rate)


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _whole(value: float | None) -> int | None:
    return None if value is None or not math.isfinite(value) else math.ceil(value)


def _place(spec: ExperimentSpec, path: str) -> str:
    line = spec.lines.get(path)
    return f"{spec.path}:{line}: " if line else ""


def _print(console: Console, plan: Outlook, said: Sequence[str]) -> None:
    spec, policy = plan.spec, plan.spec.policy
    console.print(Text.assemble((f"{spec.id}", "bold"), f" at {plan.rate:g} requests/s of all arms together"))
    promote = "never" if plan.promote_s is None else f"after {_time(plan.promote_s)}"
    if any(item.acts and item.has_safety and _unknown(item) for item in plan.slis):
        promote = "not known"
    most = "" if plan.promote_most_s is None else f" (nine in ten within {_time(plan.promote_most_s)})"
    console.print(Text(
        f"PROMOTE of a release as good as control: {promote}{most}; the steps take {_time(plan.planned_s)}, "
        f"max_duration is {_time(plan.max_duration_s)}"
    ))  # fmt: skip
    console.print()
    console.print(_table(plan, {item.sli.name: item for item in plan.slis}))
    console.print(
        Text("\nrequests of both arms and time from the start; by step: as if that weight had been there all along")
    )
    console.print(Text(
        f"safe: shown to be within tolerance, evidence {1 / policy.beta:g} (beta {policy.beta:g}), if the release is as "
        f"good as control: median … nine in ten\nharm: rolled back (alpha {policy.alpha:g}) if it is {WORSE:g} times as much "
        "worse as allowed: median"
    ))  # fmt: skip
    for line in [_assumed(plan), *(_missing(item) for item in plan.slis if _unknown(item))]:
        console.print(Text(line), soft_wrap=True)
    if said:
        console.print(Text("\nwhat stands against it", "bold"))
    for line in said:
        console.print(Text(f"  {line}"), soft_wrap=True)


def _table(plan: Outlook, slis: Mapping[str, SliOutlook]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("SLI")
    table.add_column("allowed")
    for name in ("safe after requests", "time", "harm after requests", "time"):
        table.add_column(Text(name), justify="right")
    for step in plan.spec.steps:
        table.add_column(Text(f"safe at {100 * step.weight:g} %"), justify="right")
    for item in slis.values():
        table.add_row(
            Text(f"{item.sli.name}{'' if item.acts else ' (shadow)'}"), Text(reasons.allowance(item.sli)),
            _range(item.safety_requests, item.safety_most_requests, _count), _range(item.safety_s, item.safety_most_s, _time),
            _range(item.harm_requests, None, _count), _range(item.harm_s, None, _time),
            *(_range(_seconds(step.foreseen.safety, step.rate), None, _time) for step in item.steps),
        )  # fmt: skip
    return table


def _range(value: float | None, most: float | None, show: Any) -> str:
    if value is None:
        return "–"
    return show(value) if most is None else f"{show(value)} … {show(most)}"


def _unknown(item: SliOutlook) -> bool:
    """Whether a level would tell more."""
    tolerance = item.sli.tolerance
    return (
        tolerance.kind == "absolute" and item.safety_s is None and bool(tolerance.value) and item.normal.level is None
    )


def _missing(item: SliOutlook) -> str:
    return f"{item.sli.name}: its tolerance is absolute; say what is normal, for example --normal {item.sli.name}=120ms"


def _assumed(plan: Outlook) -> str:
    parts: list[str] = []
    for item in plan.slis:
        if item.normal.level is not None:
            parts.append(f"{item.sli.name} at the level given")
        elif item.sli.dimension == "ratio":
            parts.append(f"{item.sli.name} of {100 * item.normal.errors:g} %")
    spread = plan.slis[0].normal.spread
    parts.append(f"times and measures with a standard deviation of {spread:g} times their mean")
    units = plan.spec.randomization
    tail = "" if units == "request" else f"; a {units} who fails n times makes it n times as long"
    return f"assumed: {', '.join(parts)} (--normal, --spread){tail}"


def _time(seconds: float) -> str:
    return reasons.time(int(seconds * 1e6))


def _count(requests: float) -> str:
    return f"{int(float(f'{requests:.2g}')):,}"


def command(
    spec: Annotated[Path, typer.Argument(help="A spec file, or a folder of them.")],
    rate: Annotated[float, typer.Option(help="Requests per second of all arms together.")],
    normal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LEVEL", help="What is normal for an SLI: errors=0.5%, latency-p99=120ms (may be repeated)."
        ),
    ] = None,
    spread: Annotated[
        float, typer.Option(help="Standard deviation of times and measures, as a multiple of their mean.")
    ] = 1.0,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Before the start, for each SLI and step.

    \b
    Example: davy plan checkout.yaml --rate 200 --normal errors=0.3%

    Exit code: 0; 2 bad spec or option.
    """
    raise typer.Exit(plan(spec, rate, spread, normal or [], as_json))
