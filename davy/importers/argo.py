"""Argo Rollouts' Rollouts with the AnalysisTemplates beside them (argo-rollouts.readthedocs.io, "Canary", "Analysis")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from davy.importers.draft import (
    CANARY_VERSION,
    TOLERANCE,
    Draft,
    at,
    duration_at,
    guessed,
    limit_of,
    number_at,
    places,
    text_at,
)  # fmt: skip
from schemas.located import Errors, Located

CANARY = ("spec", "strategy", "canary")
PAUSE = "10m"
"""For a step whose end a person or an analysis decided."""
PROVIDERS = (
    "prometheus",
    "datadog",
    "newRelic",
    "wavefront",
    "graphite",
    "influxdb",
    "cloudWatch",
    "kayenta",
    "web",
    "job",
)
TEMPLATES = ("AnalysisTemplate", "ClusterAnalysisTemplate")


def drafts(documents: Sequence[Located]) -> list[Draft]:
    """One of every Rollout with a canary strategy; one with blueGreen alone is an error."""
    templates = {
        text_at(document, "metadata", "name"): document
        for document in documents
        if text_at(document, "kind") in TEMPLATES
    }
    found: list[Draft] = []
    for document in documents:
        if text_at(document, "kind") != "Rollout":
            continue
        if at(document, "spec", "strategy", "blueGreen") is not None:
            place = ("spec", "strategy", "blueGreen")
            raise Errors(
                [document.at_key(place, "blueGreen shifts all traffic at once: Davy judges canaries; give it steps")]
            )
        found.append(_draft(document, templates))
    return found


def _draft(document: Located, templates: dict[str, Located]) -> Draft:
    name = text_at(document, "metadata", "name")
    image = text_at(document, "spec", "template", "spec", "containers", 0, "image").partition("@")[0].rsplit("/", 1)[-1]
    tag = image.partition(":")[2]
    draft = Draft(
        name, name, text_at(document, "metadata", "namespace") or "default", f"Argo Rollouts' {Path(document.file).name}",
        canary=tag or CANARY_VERSION,
    )  # fmt: skip
    used = [*_templates(document, (*CANARY, "analysis"))]
    weight: float | None = None
    for place in places(document, *CANARY, "steps"):
        step = at(document, *place)
        if not isinstance(step, dict):
            continue
        if "setWeight" in step:
            weight = number_at(document, *place, "setWeight")
            if weight is not None and 0 < weight < 100:
                draft.steps.append((weight, "1m"))
        elif "pause" in step:
            _pause(document, place, draft)
        elif "analysis" in step:
            used += _templates(document, (*place, "analysis"))
            _lasts(draft, PAUSE)
        else:
            draft.notes.append(f"the step {', '.join(map(str, step))} stays with Argo Rollouts")  # pyright: ignore[reportUnknownArgumentType]
    if not draft.steps:
        draft.steps = [(10.0, PAUSE), (50.0, PAUSE)]
        draft.notes.append("it named no weights: the steps are a start")
    for template in dict.fromkeys(used):
        if template not in templates:
            draft.notes.append(f"the template {template} is not in the files: its metrics are missing")
            continue
        for place in places(templates[template], "spec", "metrics"):
            _metric(templates[template], place, draft)
    return draft


def _templates(document: Located, place: tuple[str | int, ...]) -> Iterator[str]:
    for template in places(document, *place, "templates"):
        yield text_at(document, *template, "templateName") or text_at(document, *template, "clusterTemplateName")


def _pause(document: Located, place: tuple[str | int, ...], draft: Draft) -> None:
    duration = duration_at(document, *place, "pause", "duration")
    if duration is None:
        draft.policy["approval"] = "steps"
        draft.notes.append(f"a pause without an end waited for a person; here `davy approve {draft.id}` ends a step")
    _lasts(draft, duration or PAUSE)


def _lasts(draft: Draft, duration: str) -> None:
    """The running step's duration."""
    if draft.steps:
        draft.steps[-1] = (draft.steps[-1][0], duration)


def _metric(document: Located, place: tuple[str | int, ...], draft: Draft) -> None:
    name = text_at(document, *place, "name")
    kind = next((name for name in PROVIDERS if at(document, *place, "provider", name) is not None), "plugin")
    found = guessed(name, text_at(document, *place, "provider", kind, "query"))
    if kind == "job" or found is None:
        draft.notes.append(
            f"{name} ({kind}) is nothing that events tell: keep it with Argo Rollouts, or emit a measure"
        )
        return
    condition = text_at(document, *place, "successCondition") or text_at(document, *place, "failureCondition")
    draft.slis.append(found | {limit_of(found["type"]): TOLERANCE})
    draft.notes.append(
        f"{name} was held against {condition or 'a threshold'}; here {found['type']} may be {TOLERANCE} worse than control's"
    )
