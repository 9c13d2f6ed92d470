"""OpenSLO (github.com/OpenSLO/OpenSLO, v1 and v1alpha): objectives that request events can tell, as `slos:` of davy.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from davy.importers.draft import at, flow, guessed, identifier, notes_of, number_at, places, text_at
from schemas.located import Located, is_list

DAYS = {"d": 1, "w": 7, "M": 30, "Q": 90, "Y": 365, "Day": 1, "Week": 7, "Month": 30, "Quarter": 90, "Year": 365}
_DURATION = re.compile(r"(\d+)([a-zA-Z])")
_BUCKET = re.compile(r"""\ble\s*=\s*["'](\d*\.?\d+)["']""")
Place = tuple[str | int, ...]


def settings(documents: Sequence[Located]) -> str:
    """The part of davy.yaml, with what could not be carried over as comments; empty where there is no SLO in it."""
    objects = [(document, place) for document in documents for place in _objects(document)]
    indicators = {
        text_at(document, *place, "metadata", "name"): (document, (*place, "spec"))
        for document, place in objects
        if text_at(document, *place, "kind") == "SLI"
    }
    slos: dict[str, dict[str, str]] = {}
    notes: list[str] = []
    found = [each for each in objects if text_at(each[0], *each[1], "kind") == "SLO"]
    for document, place in found:
        _Slo(document, place, indicators, slos, notes).carry_over()
    if not found:
        return ""
    origin = ", ".join(sorted({Path(document.file).name for document, _ in found}))
    lines = [f"# From OpenSLO's {origin}: put it into davy.yaml. Every request counts once, over a rolling period."]
    lines += notes_of(notes)
    lines += ["slos:" if slos else "slos: {}", *(f"  {name}: {flow(slo)}" for name, slo in slos.items())]
    return "\n".join(lines) + "\n"


def _objects(document: Located) -> Iterator[Place]:
    """Of the document itself, or of the items of a list."""
    if is_list(document.data):
        yield from places(document)
    elif at(document, "kind") is not None:
        yield ()


class _Slo:
    """One SLO object; `slos` and `notes` take what it becomes."""

    def __init__(
        self, document: Located, place: Place, indicators: dict[str, tuple[Located, Place]],
        slos: dict[str, dict[str, str]], notes: list[str],
    ) -> None:  # fmt: skip
        self.document, self.spec, self.indicators = document, (*place, "spec"), indicators
        self.slos, self.notes = slos, notes
        self.name = identifier(text_at(document, *place, "metadata", "name") or "imported")
        self.labels: Place = (*place, "metadata", "labels")

    def carry_over(self) -> None:
        """Each of its objectives."""
        common = {
            "service": text_at(self.document, *self.spec, "service") or self.name, "environment": self._environment(),
            "window": self._window(),
        }  # fmt: skip
        method = text_at(self.document, *self.spec, "budgetingMethod")
        if method and method != "Occurrences":
            self._note(f"{method} become Occurrences: a slice of time that is bad counts as its bad requests do")
        for number, objective in enumerate(places(self.document, *self.spec, "objectives")):
            target = number_at(self.document, *objective, "target")
            percent = number_at(self.document, *objective, "targetPercent")
            share = target if target is not None else None if percent is None else percent / 100
            if share is None or not 0 < share < 1:
                self._note(f"objective {number + 1} has no target between 0 and 1: left out")
                continue
            bad = self._bad(objective)
            if bad is not None:
                name = self.name if not number else f"{self.name}-{number + 1}"
                self.slos[name] = {**common, "objective": f"{100 * share:.10g}%", **bad}

    def _note(self, text: str) -> None:
        self.notes.append(f"{self.name}: {text}")

    def _environment(self) -> str:
        for label in ("environment", "env"):
            found = at(self.document, *self.labels, label)
            found = found[0] if is_list(found) and found else found
            if isinstance(found, str) and found:
                return found
        self._note("it names no environment: production is a guess")
        return "production"

    def _window(self) -> str:
        for key in ("timeWindow", "timeWindows"):
            for window in places(self.document, *self.spec, key):
                if text_at(self.document, *window, "isRolling") == "false":
                    self._note("a calendar's period becomes a rolling one")
                return self._days(window)
        self._note("it names no period: 30d is a guess")
        return "30d"

    def _days(self, window: Place) -> str:
        unit, count = text_at(self.document, *window, "unit"), number_at(self.document, *window, "count")
        match = _DURATION.fullmatch(text_at(self.document, *window, "duration"))
        if match:
            unit, count = match[2], float(match[1])
        if unit in DAYS and count:
            return f"{int(count) * DAYS[unit]}d"
        if unit == "h" and count and count >= 24:
            return f"{int(count)}h"
        self._note(
            f"a period of {text_at(self.document, *window, 'duration') or unit} is shorter than a day: 30d instead"
        )
        return "30d"

    def _indicator(self, objective: Place) -> tuple[Located, Place] | None:
        """Where its metric is described: beside the objective, in the SLO, or in an SLI that it refers to."""
        for base in (objective, self.spec):
            if at(self.document, *base, "indicator") is not None:
                inner: Place = (*base, "indicator")
                return self.document, (*inner, "spec") if at(self.document, *inner, "spec") is not None else inner
            if reference := text_at(self.document, *base, "indicatorRef"):
                if reference not in self.indicators:
                    self._note(f"its indicator {reference} is in none of the files: name that file, too")
                    return None
                return self.indicators[reference]
        return self.document, objective  # v1alpha: the ratio stands in the objective

    def _bad(self, objective: Place) -> dict[str, str] | None:
        """What is bad, None where request events do not tell."""
        found = self._indicator(objective)
        if found is None:
            return None
        document, place = found
        words = f"{self.name} {text_at(document, *place[:-1], 'metadata', 'name')}"
        if at(document, *place, "thresholdMetric") is not None:
            return self._threshold(objective, words, str(at(document, *place, "thresholdMetric")))
        for key in ("ratioMetric", "ratioMetrics"):
            if at(document, *place, key) is not None:
                return self._ratio(words, document, (*place, key))
        self._note("it has neither a ratio nor a threshold: left out")
        return None

    def _threshold(self, objective: Place, words: str, query: str) -> dict[str, str] | None:
        kind, value = guessed(words, query), number_at(self.document, *objective, "value")
        operator = text_at(self.document, *objective, "op")
        if kind is None or kind["type"] != "latency_quantile" or operator not in ("lt", "lte") or not value:
            self._note("its threshold is not one on how long requests take: left out")
            return None
        if "second" in query and "milli" not in query:
            return {"slower_than": f"{1000 * value:g}ms"}
        self._note(f"{value:g} is taken for milliseconds")
        return {"slower_than": f"{value:g}ms"}

    def _ratio(self, words: str, document: Located, place: Place) -> dict[str, str] | None:
        if at(document, *place, "raw") is not None:
            self._note("its ratio is a raw series, no counts of requests: left out")
            return None
        query = str(at(document, *place))
        bucket = _BUCKET.search(query)
        if bucket:
            return {"slower_than": f"{1000 * float(bucket[1]):g}ms"}
        kind = guessed(words, query)
        if kind is not None and kind["type"] not in ("error_ratio", "throughput"):
            self._note("which of its requests are good is not told by errors: left out")
            return None
        return {}
