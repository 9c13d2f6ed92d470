"""docs/judgement.md and its plots, from finished chunks. The words for people are in `docs/judgement.md` itself, outside the
marked part."""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.judgement import detection
from bench.judgement.promises import ALPHA, BETA
from bench.judgement.worlds import WORLDS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "judgement.md"
BEGIN, END = "<!-- measured: written by python -m bench.judgement -->", "<!-- end -->"
RULES = ("davy", "oracle", "waiting oracle", "fixed threshold", "Kayenta's judge", "naive repeated test")
CONFIDENCE = 0.95
_ALONE = {"alpha": "harm_alone", "beta": "safe_alone"}
REFERENCE_PROMISES = {
    "identical": (".0026", ".022"), "bursts": (".0026", ".022"), "sticky-1": (".0020", ".015"), "sticky-3": (".0008", ".005"),
    "sticky-10": (".0008", ".002"), "heavy-tail": (".000", ".010"), "freezes": (".055", ".07"),
}  # fmt: skip
"""What the design's prototype had in such worlds: HARM and SAFETY of one SLI (its worst, where it measured several)."""
REFERENCE_DELAYS = {"errors x1.5": "16,000 (0.66)", "errors x2": "4,600 to 6,000 (1.00)", "errors x5": "330 (1.00)"}
"""The same for delays: in candidate requests at 2,000 requests a window, common bursts, 0.1pp allowed."""


def write(lines: list[dict[str, Any]]) -> None:
    """Replace the measured part of the page, and the plots."""
    found = merged(lines)
    parts = [summary(found), promises(found), alarms(found), delays(found), promotions(found)]
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{chr(10).join(parts)}\n{END}{rest.partition(END)[2]}", "utf-8")
    plots(found)


def merged(lines: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Chunks of one measurement added up."""
    found: dict[str, Any] = {}
    for line in lines:
        found[line["name"]] = _add(found.get(line["name"]), line["found"])
    return found


def _add(a: Any, b: Any) -> Any:
    if a is None:
        return b
    if isinstance(b, dict):
        return {key: _add(a.get(key), value) for key, value in b.items()}
    return a + b


def upper(k: int, n: int) -> float:
    """Exact (Clopper-Pearson) upper bound of a share, one-sided, at 95 %."""
    from scipy.stats import beta

    return 1.0 if k == n else float(beta.ppf(CONFIDENCE, k + 1, n - k))


def _share(k: int, n: int) -> str:
    return f"{k / n:.4f} (≤ {upper(k, n):.4f})" if n else ""


def summary(found: dict[str, Any]) -> str:
    """When, with what, and whether the promises held."""
    counted = [
        (f"{kind} in {name.partition('/')[2]}{of}", k, got["runs"], promise)
        for name, got in found.items()
        for kind, key, promise in (("alpha", "rollback", ALPHA), ("beta", "safe", BETA))
        if name.startswith(f"{kind}/")
        for of, k in (("", got[key]), *((f" ({sli} alone)", n) for sli, n in got[_ALONE[kind]].items()))
    ]
    broken = [f"{what}: {_share(k, n)}" for what, k, n, promise in counted if k > promise * n]
    unshown = [what for what, k, n, promise in counted if k <= promise * n and upper(k, n) > promise]
    held = (
        f"above its promise: {', '.join(broken)}"
        if broken
        else "no share is above its promise in a world that was measured"
    )
    if unshown:
        held += f"; its upper bound is, so that more rollouts are needed: {', '.join(unshown)}"
    rollouts = sum(got["runs"] for name, got in found.items() if name.startswith(("alpha/", "beta/")))
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return (
        f"`python -m bench.judgement`, {day}, Python {platform.python_version()}: {rollouts:,} simulated rollouts through the "
        f"production analyzers for the promises; {held}.\n"
    )


def promises(found: dict[str, Any]) -> str:
    """Both promises, world by world."""
    rows = [
        f"### The two promises\n\nalpha {ALPHA:g}, beta {BETA:g}, five SLIs at once, looked at after each of 60 windows. In "
        'brackets the exact upper 95 % bound of the share. "One SLI alone" is what a spec with only the worst of the five '
        "would have seen; PROMOTE asks for SAFETY when all steps are done, which is less than ever. The last "
        "column is what the design's prototype had in such a world, for one SLI.\n",
        "| world | rollouts | equal arms, nothing allowed: ever rolled back | one SLI alone: ever HARM "
        "| just beyond tolerance: ever all SAFE | one SLI alone: ever SAFE | reference: HARM, SAFETY |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for world in WORLDS:
        a, b = found.get(f"alpha/{world.name}"), found.get(f"beta/{world.name}")
        if not a:
            continue
        n, m = a["runs"], b["runs"] if b else 0
        harm = max(a["harm_alone"].items(), key=lambda item: item[1])
        safe = max(b["safe_alone"].items(), key=lambda item: item[1]) if b else ("", 0)
        cells = [
            f"{world.name}: {world.says}",
            f"{n} / {m}",
            _share(a["rollback"], n),
            f"{harm[0]} {_share(harm[1], n)}",
        ]
        cells += [_share(b["safe"], m), f"{safe[0]} {_share(safe[1], m)}"] if b else ["not measured", ""]
        cells.append(", ".join(REFERENCE_PROMISES.get(world.name, ("–",))))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", "![Promises](images/judgement-promises.svg)", ""])


def alarms(found: dict[str, Any]) -> str:
    """False alarms of every rule on the same equal arms."""
    rows = [
        "### False alarms of every rule\n\nShare of rollouts of equal arms that a rule would have rolled back. Calm: steady "
        "traffic, as in the table of delays. Rough: common bursts, day and night, autocorrelation, heavier tail. Pods: each "
        "of five instances of an arm freezes in 3 % of its own windows. The oracles "
        f"know the harm they look for, one of them also its begin, and have alpha {ALPHA:g}, too.\n",
        f"| traffic, SLI | rollouts | {' | '.join(RULES)} |", "| --- | ---: |" + " ---: |" * len(RULES),
    ]  # fmt: skip
    for name in detection.TRAFFIC:
        for sli in detection.NORMAL:
            if got := found.get(f"alarms/{name}/{sli}"):
                shares = " | ".join(f"{got['alarms'][rule] / got['runs']:.3f}" for rule in RULES)
                rows.append(f"| {name}, {sli} | {got['runs']} | {shares} |")
    return "\n".join([*rows, ""])


def delays(found: dict[str, Any]) -> str:
    """Requests until each rule sees a harm."""
    rows = [
        "### Requests until ROLLBACK\n\nMedian of the candidate's requests since the harm began; in brackets the share of "
        "rollouts in which the rule saw it at all. Calm traffic, one SLI with nothing allowed, 2,000 requests per "
        "window of both arms, 1 % -> 10 % -> 50 % for 40 windows each; mid-run is after 60 windows. Struck out: rules whose "
        f"false alarms on the same traffic are above alpha {ALPHA:g} (fast because often wrong), or unknown. "
        "Kayenta's judge is its Mann-Whitney classifier with its own defaults, asked once a minute. "
        "The oracle is told the harm's size and when it begins; nothing that keeps alpha can be faster on average. The "
        "waiting oracle is told the size, not the begin (half of its weight on the first window, the rest on all others "
        "evenly): the limit for harm in mid-run, whose begin nobody is told. Where pods freeze, each of five instances of an "
        "arm does in 3 % of its windows.\n",
        f"| harm | {' | '.join(RULES)} | davy / oracle | davy / waiting oracle | reference |",
        "| --- |" + " ---: |" * (len(RULES) + 3),
    ]  # fmt: skip
    for case in detection.CASES:
        if got := found.get(f"delay/{case.name}"):
            cells = [_struck(_delay(got["requests"][rule]), _honest(found, rule, case)) for rule in RULES]
            own, *limits = (_median(got["requests"][rule]) for rule in RULES[:3])
            ratios = [f"{own / limit:.2f}" if own and limit else "–" for limit in limits]
            cells += [*ratios, REFERENCE_DELAYS.get(case.name, "–")]
            rows.append(f"| {case.name} | {' | '.join(cells)} |")
    return "\n".join([*rows, "", "![Delays](images/judgement-delays.svg)", ""])


def _honest(found: dict[str, Any], rule: str, case: detection.Case) -> bool:
    """Whether a rule's false alarms on the same traffic are no more than alpha explains (exact binomial, 5 %)."""
    from scipy.stats import binomtest

    got = found.get(f"alarms/{case.traffic}/{case.sli}")
    if got is None:
        return rule in RULES[:3]
    return float(binomtest(got["alarms"][rule], got["runs"], ALPHA, alternative="greater").pvalue) > 1 - CONFIDENCE


def _struck(cell: str, honest: bool) -> str:
    return cell if honest else f"~~{cell}~~"


def _median(requests: list[int | None]) -> float | None:
    """Over all rollouts; None where it is never seen in half of them."""
    middle = statistics.median(math.inf if n is None else n for n in requests)
    return middle if math.isfinite(middle) else None


def _delay(requests: list[int | None]) -> str:
    middle = _median(requests)
    part = sum(n is not None for n in requests) / len(requests)
    return f"– ({part:.2f})" if middle is None else f"{middle:,.0f} ({part:.2f})"


def promotions(found: dict[str, Any]) -> str:
    """Time until all SLIs are shown to be safe."""
    rows = [
        "### Time until a good release may be promoted\n\nSAFETY of all five SLIs (0.5pp, 10 %, 10 %, 15 %, throughput).\n",
        "| release | rollouts | shown safe | median minutes | median candidate requests |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for label in detection.RELEASES:
        if got := found.get(f"promote/{label}"):
            minutes, requests = _median(got["windows"]), _median(got["requests"])
            part = sum(n is not None for n in got["windows"]) / got["runs"]
            shown = (
                f"{(minutes + 1) / 12:.1f} | {requests:,.0f}" if minutes is not None and requests is not None else "|"
            )
            rows.append(f"| {label} | {got['runs']} | {part:.3f} | {shown} |")
    return "\n".join([*rows, ""])


def plots(found: dict[str, Any]) -> None:
    """Two small pictures."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 8, "svg.hashsalt": "davy", "axes.spines.top": False, "axes.spines.right": False})
    (DOCS / "images").mkdir(exist_ok=True)
    names = [world.name for world in WORLDS if f"alpha/{world.name}" in found]
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True)
    for axis, kind, key, promise in ((axes[0], "alpha", "rollback", ALPHA), (axes[1], "beta", "safe", BETA)):
        have = [(i, found[f"{kind}/{name}"]) for i, name in enumerate(names) if f"{kind}/{name}" in found]
        shares = [got[key] / got["runs"] for _, got in have]
        over = [upper(got[key], got["runs"]) - share for (_, got), share in zip(have, shares, strict=True)]
        axis.errorbar(shares, [i for i, _ in have], xerr=[[0] * len(over), over], fmt="o", ms=3, color="#1f6f8b", lw=1)
        axis.axvline(promise, color="#b23a48", lw=1)
        axis.set_xlabel(
            f"{'ever rolled back, equal arms' if kind == 'alpha' else 'ever safe, just beyond'}; line: {kind}"
        )
    axes[0].set_yticks(range(len(names)), names)
    _save(figure, "judgement-promises.svg")
    cases = [case for case in detection.CASES if f"delay/{case.name}" in found]
    if not cases:
        return
    figure, axis = plt.subplots(figsize=(7, 3))
    for rule, colour in zip(RULES, ("#b23a48", "#222222", "#8a8a8a", "#c9a227", "#1f6f8b", "#7a9e7e"), strict=True):
        at = [(_median(found[f"delay/{case.name}"]["requests"][rule]), i) for i, case in enumerate(cases)]
        axis.plot([x for x, _ in at if x], [i for x, i in at if x], "o", ms=4, color=colour, label=rule)
    axis.set_yticks(range(len(cases)), [case.name for case in cases])
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlabel("candidate's requests until ROLLBACK, median")
    axis.legend(frameon=False, fontsize=7)
    _save(figure, "judgement-delays.svg")


def _save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(DOCS / "images" / name, metadata={"Date": None})
