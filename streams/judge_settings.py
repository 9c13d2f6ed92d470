"""What a judge's verdicts depend on beside its log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Self

from schemas import __version__
from schemas.config import Config
from schemas.frozen import frozen
from schemas.slo import Slo
from schemas.watching import Watching
from streams.layout import Layout
from streams.route import delta_partition
from streams.windows import UNNAMED_MAX

CODE_VERSION = f"davy {__version__}"


@frozen()
class JudgeSettings:
    """Of one judge. Times are microseconds."""

    digest: str
    """Of the layout of ingest; deltas of another one are refused."""
    window_us: int
    lateness_us: int
    keep_us: int
    """How long closed windows are kept, so that a spec applied late still sees them."""
    gap_timeout_us: int
    block_records: int
    code_version: str
    control_topic: str = "davy.control"
    topics: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names of source topics by id."""
    resolutions: Mapping[str, float] = field(default_factory=dict[str, float])
    """What one unit of a measure's total is worth; 1 where not named."""
    unnamed_max: int = UNNAMED_MAX
    """Contents kept of labels that no spec names."""
    slos: Mapping[str, Slo] = field(default_factory=dict[str, Slo])
    """Configured objectives of services."""
    dimensions: tuple[str, ...] = ()
    """Names of the dimensions of cells, in order."""
    watched_max: int = 0
    """Versions of services without an experiment that are watched; 0: none."""
    watching: Watching = field(default_factory=Watching)
    """When their watch tells."""
    owns: Callable[[str, str], bool] = lambda service, environment: True
    """Whether experiments on (service, environment) are judged from this partition."""

    @classmethod
    def of(cls, config: Config, partition: int, partitions: int, topics: Mapping[str, str]) -> Self:
        """For the judge of one of the delta topic's partitions."""
        limits = config.limits
        return cls(
            Layout.of(config).digest, limits.window_us, limits.lateness_us, limits.keep_us, limits.gap_timeout_us,
            limits.block_records, CODE_VERSION, config.topic("control"), topics, config.resolutions,
            limits.unnamed_windows, config.slos, config.dimensions, limits.watched_versions, config.watch,
            lambda service, environment: delta_partition(service, environment, partitions) == partition,
        )  # fmt: skip


def config_digest(spec_digest: str, settings: JudgeSettings) -> str:
    """Of everything configured that a verdict depends on: the spec and the layout of ingest."""
    return f"{spec_digest[:32]}-{settings.digest}"
