"""Kayenta's canary configurations (github.com/spinnaker/kayenta, docs/canary-config.md), alone or with an executionRequest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from davy.importers.draft import TOLERANCE, Draft, at, guessed, limit_of, number_at, places, text_at
from schemas.located import Located

STEPS = [(10.0, "15m"), (50.0, "45m")]
"""Kayenta is asked from outside how long it looks."""


def drafts(documents: Sequence[Located]) -> list[Draft]:
    """One of every configuration."""
    found: list[Draft] = []
    for document in documents:
        base = ("canaryConfig",) if at(document, "canaryConfig") is not None else ()
        if at(document, *base, "metrics") is not None:
            found.append(_draft(document, base))
    return found


def _draft(document: Located, base: tuple[str, ...]) -> Draft:
    name = text_at(document, *base, "name") or "kayenta"
    service, file = text_at(document, *base, "applications", 0) or name, Path(document.file).name
    draft = Draft(name, service, "production", f"Kayenta's {file}")
    draft.steps = list(STEPS)
    for place in places(document, *base, "metrics"):
        _metric(document, base, place, draft)
    draft.notes.append("Kayenta does not shift traffic: the steps are a start")
    thresholds = at(document, *base, "classifier", "scoreThresholds")
    if thresholds is not None or at(document, *base, "classifier", "groupWeights") is not None:
        draft.notes.append(
            "scores and group weights fall away: each SLI may stop the release alone, and all of them share one alpha"
        )
    return draft


def _metric(document: Located, base: tuple[str, ...], place: tuple[str | int, ...], draft: Draft) -> None:
    name = text_at(document, *place, "name")
    query = str(at(document, *place, "query") or "")
    found = guessed(name, query)
    if found is None:
        draft.notes.append(f"{name} is nothing that request events tell: emit it as a measure and add it to the slis")
        return
    canary = (*place, "analysisConfigurations", "canary")
    direction, limit = text_at(document, *canary, "direction") or "either", limit_of(found["type"])
    turned = found["type"] == "error_ratio" and "success" in name.lower()
    harmful = "decrease" if (limit == "max_decrease") != turned else "increase"
    if direction not in (harmful, "either"):
        draft.notes.append(
            f"{name} is left out: it was held against a {direction}, which is no harm to {found['type']}"
        )
        return
    allowed = number_at(document, *canary, "effectSize", f"allowed{harmful.capitalize()}")
    found[limit] = f"{100 * abs(allowed - 1):g}%" if allowed is not None and allowed != 1 else TOLERANCE
    groups = [text_at(document, *group) for group in places(document, *place, "groups")]
    weights = [number_at(document, *base, "classifier", "groupWeights", group) for group in groups]
    if weights and not any(weights):
        found["mode"] = "shadow"
    draft.slis.append(found)
    if direction == "either":
        draft.notes.append(f"{name} was held against both directions; here a {harmful} alone counts")
