"""Shelf: the newest records of many groups, bounded for each group and for all together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Group = TypeVar("Group", bound=Hashable)
Key = TypeVar("Key", bound=tuple[object, ...])
Value = TypeVar("Value")


class Shelf(Generic[Group, Key, Value]):
    """Values by group and key. At a limit the oldest go: of the group in order of keys, of all in order of arrival.

    >>> shelf: Shelf[str, tuple[int], str] = Shelf(each=2, total=3)
    >>> for group, key in [("a", 1), ("a", 3), ("a", 2), ("b", 9), ("c", 9)]:
    ...     shelf.put(group, (key,), f"{group}{key}")
    >>> shelf.of("a"), shelf.of("b"), len(shelf)
    (['a2'], ['b9'], 3)
    """

    def __init__(self, each: int, total: int) -> None:
        self._each = each
        self._total = total
        self._groups: dict[Group, dict[Key, Value]] = {}
        self._arrived: OrderedDict[tuple[Group, Key], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._arrived)

    def put(self, group: Group, key: Key, value: Value) -> None:
        """Add a value or replace the one of that key."""
        values = self._groups.setdefault(group, {})
        values[key] = value
        self._arrived[group, key] = None
        if len(values) > self._each:
            self._drop(group, min(values))  # pyright: ignore[reportArgumentType]  # keys of one group compare
        if len(self._arrived) > self._total:
            self._drop(*next(iter(self._arrived)))

    def get(self, group: Group, key: Key) -> Value | None:
        """The value, while it is kept."""
        return self._groups.get(group, {}).get(key)

    def of(self, group: Group) -> list[Value]:
        """A group's values, in order of their keys."""
        values = self._groups.get(group, {})
        return [values[key] for key in sorted(values)]  # pyright: ignore[reportArgumentType]  # the same

    def drop(self, group: Group) -> None:
        """Forget a group."""
        for key in list(self._groups.get(group, {})):
            self._drop(group, key)

    def _drop(self, group: Group, key: Key) -> None:
        values = self._groups[group]
        del values[key]
        del self._arrived[group, key]
        if not values:
            del self._groups[group]
