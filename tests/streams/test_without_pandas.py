"""Ingest's process never imports pandas, which pyarrow would at its first conversion."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from streams import ingest_loop
{prepare}
import pyarrow as pa
pa.array([1, 2]).to_numpy()
pa.scalar(1, pa.int64())
print('pandas' in sys.modules)
"""


def loaded(prepare: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(prepare=prepare)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "True"


def test_pandas_stays_out() -> None:
    assert loaded("")  # else there is nothing to keep out any more, and the module can go
    assert not loaded("ingest_loop.prepare()")
