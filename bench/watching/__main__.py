"""`python -m bench.watching`: lives of a service in which nothing is wrong, under its watch; writes docs/detection.md."""

from __future__ import annotations

import argparse
import platform
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from analyzers.service_watch import WHOLE
from bench.document import heading, rewrite
from bench.watching.weeks import DAY, LIVES, WEEK, Life, watched
from schemas.watching import Watching

PAGE = Path(__file__).parents[2] / "docs" / "detection.md"
BEGIN = "<!-- watched: written by python -m bench.watching -->"
LEARNT_DAYS = 2


def said(life: Life, version: str, days: int) -> Counter[str]:
    """Incidents while the season is learnt and after, and what else is said."""
    found: Counter[str] = Counter()
    for number, one in watched(life.windows(1, days / 7), version, Watching()):
        if one.judgement.action == "HOLD" and one.judgement.conclusion == "HARM":
            found["learning" if number < LEARNT_DAYS * DAY else "learnt"] += 1
        else:
            found["notes"] += 1
    return found


def row(life: Life, days: int) -> str:
    """One life; its version and its traffic together."""
    both = said(life, "1", days) + said(life, WHOLE, days)
    later = 7 / (days - LEARNT_DAYS)
    return f"| {life.name} | {both['learning']} | {both['learnt'] * later:.1f} | {both['notes'] * WEEK / (days * DAY):.0f} |"


def main() -> None:
    """Measure, then write."""
    parser = argparse.ArgumentParser(prog="python -m bench.watching", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--days", type=int, default=14, help="of each life, more than two")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="lives whose name has one of these")
    asked = parser.parse_args()
    lives = [life for life in LIVES if any(word in life.name for word in asked.only)]
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(row, lives, [asked.days] * len(lives)))
    text = "\n".join(
        [
            f"`{' '.join(['python -m bench.watching', *sys.argv[1:]])}`, {datetime.now(UTC):%Y-%m-%d}, Python "
            f"{platform.python_version()}: one version of a service without an experiment, and its traffic, through the "
            "production analyzers; every incident is a false one, each life one run.",
            "",
            *heading("life", ("incidents of the first two days", "later, per service-week", "notes per service-week")),
            *rows,
        ]
    )
    rewrite(BEGIN, text, PAGE)
    print(text)


if __name__ == "__main__":
    main()
