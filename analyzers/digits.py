"""Numbers as verdicts carry them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import overload

from schemas.verdict import EVIDENCE_MAX

_LOG_EVIDENCE_MAX = math.log(EVIDENCE_MAX)


def e_value(log_e: float) -> float:
    """exp, capped at what JSON can hold."""
    return EVIDENCE_MAX if log_e >= _LOG_EVIDENCE_MAX else math.exp(log_e)


@overload
def six(value: float) -> float: ...
@overload
def six(value: None) -> None: ...
@overload
def six(value: float | None) -> float | None: ...
def six(value: float | None) -> float | None:
    """Six significant digits: what a person reads, and no more than every machine's arithmetic agrees on."""
    return value if value is None else float(format(value, ".6g"))


@lru_cache(maxsize=1024)
def constant(value: float) -> float:
    """The same of what many verdicts carry."""
    return six(value)
