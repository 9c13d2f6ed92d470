"""Canary configuration of other systems as experiments of ours: one file for each system, one function `drafts` in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from davy.importers.draft import Draft
from schemas.located import Located

SYSTEMS = ("argo", "flagger", "kayenta")
Drafts = Callable[[Sequence[Located]], list[Draft]]


def drafts_of(system: str) -> Drafts:
    """How documents of that system become drafts: an unfit one is passed over, a broken one raises `Errors`."""
    return import_module(f"davy.importers.{system}").drafts
