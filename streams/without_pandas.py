"""Keeps pandas out of a process that has no use for it.

pyarrow imports pandas at the first `to_numpy`, `scalar` or `array`, if it is installed: more than a second in which a worker
that is started again counts nothing, and some 60 MB.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder


class _Absent(MetaPathFinder):
    """Finds that there is no pandas."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        """Raise for pandas, leave everything else to the others."""
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is kept out of this process", name=fullname)


def keep_out() -> None:
    """From now on `import pandas` fails in this process, unless it was imported before."""
    sys.meta_path.insert(0, _Absent())
