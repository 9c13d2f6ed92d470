"""docs/judgement.md and its plots, from finished chunks. The words for people are in `docs/judgement.md` itself, outside the
marked part."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.judgement import detection
from bench.judgement.promises import ALPHA, BETA
from bench.judgement.worlds import WORLDS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "judgement.md"
BEGIN, END = "<!-- measured: written by python -m bench.judgement -->", "<!-- end -->"
RULES = ("davy", "oracle", "fixed threshold", "Kayenta's judge", "naive repeated test")
CONFIDENCE = 0.95


def write(lines: list[dict[str, Any]]) -> None:
    """Replace the measured part of the page, and the plots."""
    found = merged(lines)
    parts = [promises(found), alarms(found), delays(found), promotions(found)]
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


def promises(found: dict[str, Any]) -> str:
    """Both promises, world by world."""
    rows = [
        f"### The two promises\n\nalpha {ALPHA:g}, beta {BETA:g}. In brackets the exact upper 95 % bound of the share.\n",
        "| world | rollouts | equal arms, nothing allowed: ever rolled back | worst SLI alone: ever HARM "
        "| just beyond tolerance: ever all SAFE | worst SLI alone: ever SAFE | at tolerance: ever rolled back |",
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
        if b:
            cells += [_share(b["safe"], m), f"{safe[0]} {_share(safe[1], m)}", _share(b["rollback"], m)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", "![Promises](images/judgement-promises.svg)", ""])


def alarms(found: dict[str, Any]) -> str:
    """False alarms of every rule on the same equal arms."""
    rows = [
        "### False alarms of every rule\n\nShare of rollouts of equal arms that a rule would have rolled back. Calm: steady "
        "traffic. Rough: common bursts, day and night, autocorrelation.\n",
        f"| traffic, SLI | rollouts | {' | '.join(RULES)} |", "| --- | ---: |" + " ---: |" * len(RULES),
    ]  # fmt: skip
    for name in ("calm", "rough"):
        for sli in detection.NORMAL:
            if got := found.get(f"alarms/{name}/{sli}"):
                shares = " | ".join(f"{got['alarms'][rule] / got['runs']:.3f}" for rule in RULES)
                rows.append(f"| {name}, {sli} | {got['runs']} | {shares} |")
    return "\n".join([*rows, ""])


def delays(found: dict[str, Any]) -> str:
    """Requests until each rule sees a harm."""
    rows = [
        "### Requests until ROLLBACK\n\nMedian of the candidate's requests since the harm began, over the rollouts in which "
        "the rule saw it; in brackets the share of rollouts. Calm traffic, one SLI with nothing allowed, 2,000 requests per "
        "window of both arms, 1 % -> 10 % -> 50 %; mid-run is after 5 minutes. What alarms more often than alpha is "
        "fast because it is often wrong.\n",
        f"| harm | {' | '.join(RULES)} | davy / oracle |", "| --- |" + " ---: |" * (len(RULES) + 1),
    ]  # fmt: skip
    for case in detection.CASES:
        if got := found.get(f"delay/{case.name}"):
            cells = [_delay(got["requests"][rule]) for rule in RULES]
            medians = [_median(got["requests"][rule]) for rule in RULES[:2]]
            ratio = f"{medians[0] / medians[1]:.2f}" if medians[0] and medians[1] else ""
            rows.append(f"| {case.name} | {' | '.join(cells)} | {ratio} |")
    return "\n".join([*rows, "", "![Delays](images/judgement-delays.svg)", ""])


def _median(requests: list[int | None]) -> float | None:
    seen = [n for n in requests if n is not None]
    return statistics.median(seen) if seen else None


def _delay(requests: list[int | None]) -> str:
    middle = _median(requests)
    part = sum(n is not None for n in requests) / len(requests)
    return "never" if middle is None else f"{middle:,.0f} ({part:.2f})"


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
    figure, axis = plt.subplots(figsize=(7, 3))
    for rule, colour in zip(RULES, ("#b23a48", "#222222", "#c9a227", "#1f6f8b", "#7a9e7e"), strict=True):
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
