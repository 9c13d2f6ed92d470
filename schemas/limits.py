"""Limits: everything that could grow has a name, a default, and a stated behaviour once it is reached."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from schemas.model import DurationUs, Model, PositiveUs


def _time(default_us: int, name: str, written: str) -> Any:
    return Field(default=default_us, alias=name, json_schema_extra={"default": written})


class Limits(Model):
    """Those marked (layout) are part of what a delta means: to change one begins a new generation."""

    block_records: int = Field(default=65_536, ge=1024, le=65_536)
    """Offsets in a block of a source partition (layout)."""
    window_us: PositiveUs = _time(5_000_000, "window", "5s")
    """Length of a window of event time (layout)."""
    lateness_us: DurationUs = _time(5_000_000, "lateness", "5s")
    """Rows that come later than this after their window's end count as late (layout)."""
    future_us: DurationUs = _time(60_000_000, "future", "60s")
    """Rows whose time lies further ahead of their own Kafka timestamp are quarantined (layout)."""
    keep_us: PositiveUs = _time(900_000_000, "keep", "15m")
    """How long the judge keeps closed windows apart; rows for older ones count as late."""
    unnamed_windows: int = Field(default=20_000, ge=1)
    """Windows that the judge keeps of versions that no spec names; the rows of more are counted under `__other__`."""
    watched_versions: int = Field(default=200, ge=0, le=100_000)
    """Versions of services without an experiment that a judge watches, each service as one more; others are counted
    in davy_judge_watch_left_out. 0: none."""
    gap_timeout_us: PositiveUs = _time(30_000_000, "gap_timeout", "30s")
    """Counts that are missing for longer than this make verdicts HOLD, and a repair is asked for."""
    standstill_us: PositiveUs = _time(15_000_000, "standstill", "15s")
    """A role that leaves records unread, or says nothing, for longer than this is not ready."""
    keys_per_block: int = Field(default=10_000, ge=1, le=65_535)
    """Cells of a block; beyond, dimensions are told together as `__other__`, and an arm is new with its 16th row (layout)."""
    arms_per_service: int = Field(default=500, ge=1, le=65_535)
    """Experiment, version, variant combinations of a service in a block; a later one is new with its 16th row (layout)."""
    label_bytes: int = Field(default=256, ge=16, le=4096)
    """A longer service, version, variant or dimension, or one that does not print, makes its row unusable (layout)."""
    record_bytes: int = Field(default=65_536, ge=1024, le=2**30)
    """A larger source record goes to the dead letters undecoded (layout)."""
    message_bytes: int = Field(default=900_000, ge=10_000, le=2**30)
    """Cells beyond this go into a further record of the delta topic."""
    delta_partitions: int = Field(default=4, ge=1, le=1024)
    """Partitions of the delta topic where it is created; fixed for good (layout)."""
    event_partitions: int = Field(default=4, ge=1, le=1024)
    """Partitions of the event topic where it is created."""
    delta_retention_us: PositiveUs = _time(604_800_000_000, "delta_retention", "7d")
    """How long the delta topic keeps records where it is created: at least the longest experiment."""
    replication: int = Field(default=1, ge=1, le=9)
    """Replicas of every topic where it is created."""
    spool_bytes: int = Field(default=2**30, ge=2**20, le=2**44)
    """Rows that the sink keeps on disk while the store is away; once it is full the rest waits in Kafka."""
