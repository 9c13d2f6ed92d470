"""What a run of the tests leaves for people to look at: the folder `.artefacts`, kept until the next run replaces it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2] / ".artefacts"


def pictures() -> Path:
    """Where screenshots go."""
    folder = ROOT / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
