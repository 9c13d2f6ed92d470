"""A million made-up versions of a real experiment: what they cost, and that nobody's verdict changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

VERSIONS = 1_000_000
MEMORY_BYTES_MAX = 64 << 20
OWN_CHANGES = ("verdict_id", "offsets")


def test_a_million_made_up_versions_cost_little_and_change_no_verdict() -> None:
    """Through decoding, ingest, judge, console and the sink's rows, in a process whose memory is measured."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.flood", str(VERSIONS)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["memory_bytes"] <= MEMORY_BYTES_MAX, f"{told['memory_bytes'] / 2**20:.0f} MiB"
    quiet, flooded = told["quiet"], told["flooded"]
    assert quiet["evidence"][0]["n_candidate"] > 5000
    assert {k: v for k, v in flooded.items() if k not in OWN_CHANGES} == {
        k: v for k, v in quiet.items() if k not in OWN_CHANGES
    }
    assert told["other"] > 0.98 * VERSIONS, "what was not told apart must be counted"
    assert told["console"][0] == told["console"][1]
