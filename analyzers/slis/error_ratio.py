"""error_ratio: the share of requests that fail."""

from __future__ import annotations

from analyzers.arm import PairWindow
from analyzers.instances import borne_out
from analyzers.share_sli import ShareSli
from schemas.spec import SliSpec


class ErrorRatio(ShareSli):
    """The SLI."""

    type = "error_ratio"
    absolute = True
    errors = True

    def borne_out(self, pair: PairWindow, ec: float, eb: float) -> tuple[float, float] | None:
        """Where both arms are compared as they are."""
        control, candidate = pair.instances
        if pair.whole is not None or not (control or candidate):
            return None
        return borne_out(pair.candidate, candidate, ec), borne_out(pair.control, control, eb)

    def show(self, sli: SliSpec, value: float, margin: bool = False) -> str:
        """A share of requests as per cent, a margin of it in percentage points."""
        return f"{100 * value:.3g} {'pp' if margin else '%'}"


SLI = ErrorRatio()
