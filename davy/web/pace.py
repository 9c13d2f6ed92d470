"""How fast one caller may ask: so many requests a second, and what was not asked for a while in one go (a token bucket)."""

from __future__ import annotations

import time
from collections import OrderedDict

SAVED_S = 5.0
"""Of requests that were not asked for, so many seconds may come at once."""
CALLERS_MAX = 10_000
"""Whoever asked longest ago is forgotten beyond that, and may begin anew."""


class Pace:
    """Of all callers; a caller is the address that a connection comes from, which no header can change.

    >>> pace = Pace(1.0)
    >>> [pace.takes("a", 0.0) for _ in range(6)], pace.takes("b", 0.0), pace.takes("a", 1.0), pace.takes("a", 1.0)
    ([True, True, True, True, True, False], True, True, False)
    """

    def __init__(self, per_s: float) -> None:
        self._per_s, self._most = per_s, per_s * SAVED_S
        self._saved: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What each may still ask, and when that was so."""

    def takes(self, caller: str, now_s: float | None = None) -> bool:
        """Whether one more request is answered now; `now_s` is monotonic."""
        now_s = time.monotonic() if now_s is None else now_s
        saved, then_s = self._saved.pop(caller, (self._most, now_s))
        saved = min(self._most, saved + (now_s - then_s) * self._per_s)
        taken = saved >= 1.0
        self._saved[caller] = (saved - taken, now_s)
        if len(self._saved) > CALLERS_MAX:
            self._saved.popitem(last=False)
        return taken
