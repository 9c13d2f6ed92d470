"""What `davy doctor` looks at: one module per check, found by its name.

A module exports one object `CHECK` (see `davy.checks.base.Check`). A check is not made where one that it needs found a
problem.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module

from confluent_kafka import KafkaException

from davy.checks.base import Check, Finding, Level
from schemas.config import Config
from schemas.errors import DavyError


@cache
def checks() -> tuple[Check, ...]:
    """All of them, each behind those that it needs, else by name."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__) if m.name != "base"]
    by_name: dict[str, Check] = {module.CHECK.name: module.CHECK for module in modules}
    order = TopologicalSorter({name: by_name[name].needs for name in sorted(by_name)}).static_order()
    return tuple(by_name[name] for name in order)


def examine(config: Config) -> Iterator[tuple[Check, Finding]]:
    """Every finding, as soon as it is known. What a check raises as a sentence is a problem that it found, and so
    is what the Kafka library raises where the broker is too slow to answer."""
    broken: set[str] = set()
    for check in checks():
        missing = [name for name in check.needs if name in broken]
        if missing:
            broken.add(check.name)
            yield check, Finding(Level.SKIPPED, f"not looked at: needs {', '.join(missing)}")
            continue
        try:
            for finding in check.look(config):
                if finding.level is Level.PROBLEM:
                    broken.add(check.name)
                yield check, finding
        except (DavyError, KafkaException) as error:
            broken.add(check.name)
            slow = isinstance(error, KafkaException)
            said = f"the broker does not answer: {error.args[0].str()}" if slow else str(error)
            yield check, Finding(Level.PROBLEM, said, "mend that, then run `davy doctor` again")
