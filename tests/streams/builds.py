"""Davy as another build: `python -m tests.streams.builds VERSION AGGREGATE_VERSION run ROLE --config FILE`.

`DAVY_OTHER_BUILD`, a folder with another checkout, makes the older one of an upgrade really another build.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import schemas

OTHER = os.environ.get("DAVY_OTHER_BUILD")
FROM_ITS_FOLDER = """
import runpy, sys
sys.path.insert(0, {folder!r})
sys.argv[0] = "davy"
runpy.run_module("davy", {{}}, "__main__")
"""


def build(version: str, aggregate: int | None = None) -> Sequence[str]:
    """Python's arguments; the aggregate's version is ours where none is given."""
    from streams.layout import AGGREGATE_VERSION

    return ("-m", "tests.streams.builds", version, str(aggregate or AGGREGATE_VERSION))


def older() -> Sequence[str]:
    """Python's arguments for what ran before."""
    return build("0.0.9") if OTHER is None else ("-c", FROM_ITS_FOLDER.format(folder=OTHER))


if __name__ == "__main__":
    schemas.__version__ = sys.argv[1]
    from streams import layout

    layout.AGGREGATE_VERSION = int(sys.argv[2])
    from davy.cli import main

    sys.argv[1:3] = []
    main()
