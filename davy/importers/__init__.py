"""Configuration of other systems as ours: one file for each system, with one function in it: `drafts` of experiments, or
`settings` of davy.yaml."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from davy.importers.draft import Draft
from schemas.config import parse_config
from schemas.located import Located
from schemas.spec import load_specs

EXPERIMENTS, SETTINGS = ("argo", "flagger", "kayenta"), ("openslo",)
SYSTEMS = (*EXPERIMENTS, *SETTINGS)
Drafts = Callable[[Sequence[Located]], list[Draft]]


def written(system: str, documents: Sequence[Located]) -> str:
    """What documents of that system become, as YAML that was checked; an unfit document is passed over, a broken one raises
    `Errors`. Empty where none is fit."""
    importer = import_module(f"davy.importers.{system}")
    if system in SETTINGS:
        text: str = importer.settings(documents)
        parse_config(text, "<text>", {})
        return text
    drafts: Drafts = importer.drafts
    text = "---\n".join(draft.text() for draft in drafts(documents))
    if text:
        load_specs(text)  # a draft that lint refuses is a fault of ours: it says so
    return text
