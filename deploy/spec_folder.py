"""A folder of specs that is watched: what changed in it is applied, all of it or nothing.

A bad change keeps the last good state: as long as any file has an error nothing of the folder is applied, and what is wrong is
told once. A file that goes away ends nothing: experiments are ended by people, or by their rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from schemas.errors import UserError
from schemas.spec import ExperimentSpec, load_specs

EVERY_S = 2.0
"""How often it is looked at."""


class SpecFolder:
    """The folder, and what of it was seen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._sent: dict[str, str] = {}

    def changed(self, in_force: Mapping[str, str]) -> tuple[list[ExperimentSpec], str | None]:
        """Specs to be applied, and what is wrong (None: nothing, or it was told before). `in_force`: digests by experiment."""
        stamp = self._stamp()
        if stamp == self._seen:
            return [], None
        self._seen = stamp
        if not stamp:
            return [], None
        try:
            specs = load_specs(self.path)
        except UserError as error:
            return [], str(error)
        fresh = [spec for spec in specs if self._sent.get(spec.id, in_force.get(spec.id)) != spec.digest]
        self._sent |= {spec.id: spec.digest for spec in specs}
        return fresh, None

    def _stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of every file: whether there is anything to read."""
        try:
            files = [
                (path.name, path.stat()) for path in sorted(self.path.iterdir()) if path.suffix in (".yaml", ".yml")
            ]
        except OSError:
            return ()
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in files)
