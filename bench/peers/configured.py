"""Davy's configuration for a task."""

from __future__ import annotations

from bench.peers.peer import Task
from schemas.config import Config, Input


def configured(task: Task) -> Config:
    """Defaults, reading the task's topic and writing under its run's name; no group, no commits."""
    kafka = {"bootstrap.servers": task.bootstrap}
    return Config(kafka=kafka, embedded=True, prefix=f"{task.run}.", inputs={task.topic: Input()})
