"""error_ratio: the share of requests that fail."""

from __future__ import annotations

from analyzers.share_sli import ShareSli
from schemas.spec import SliSpec


class ErrorRatio(ShareSli):
    """The SLI."""

    type = "error_ratio"
    absolute = True

    def show(self, sli: SliSpec, value: float, margin: bool = False) -> str:
        """A share of requests as per cent, a margin of it in percentage points."""
        return f"{100 * value:.3g} {'pp' if margin else '%'}"


SLI = ErrorRatio()
