from __future__ import annotations

import subprocess
import sys

FREED = """
import sys, time
from pathlib import Path
from davy.memory import given_back

def rss_mib():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line) / 1024

with given_back(float(sys.argv[1])):
    held = [bytes(100_000) for _ in range(1000)]
    held = held[::100]  # in between is free, and the end of the heap is not
    full = rss_mib()
    time.sleep(2)
    print(full - rss_mib())
"""


def freed_mib(every_s: float) -> float:
    command = [sys.executable, "-c", FREED, str(every_s)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_what_lies_free_between_what_is_used_goes_back() -> None:
    assert freed_mib(0.2) > 50
    assert freed_mib(1000.0) < 10
