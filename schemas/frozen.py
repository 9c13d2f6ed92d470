"""Values: dataclasses whose fields nobody sets again, held to that by the type checker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(*, eq: bool = True) -> Callable[[type[T]], type[T]]:
    """A class with slots, compared and hashed by its fields where `eq`.

    `dataclass(frozen=True)` says the same at run time, too: then each field is set through `object.__setattr__`, at nine times
    the cost (2.5 against 0.27 us for fourteen fields), and a judge's round makes 200 values for each experiment.
    """
    return dataclass(slots=True, eq=eq, unsafe_hash=eq)
