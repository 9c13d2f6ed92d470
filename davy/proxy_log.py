"""What the proxy of the live demo logs, and what that says of each half of the users."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from deploy import splitter

DAVY, RULE = "davy", "rule"
LINE = re.compile(rf"(\d+) (\d+) ({DAVY}|{RULE}) (\S+) (\d+) (\d+) (\d+)")
SURE_US = 1_000_000


@dataclass(slots=True)
class Half:
    """What the proxy's log says of one half of the users; times are UTC microseconds, of requests when they were routed.
    Lines come in the order of the answers, so that an older request may come after a younger one."""

    requests: int = 0
    bad_requests: int = 0
    bad_failures: int = 0
    first_failure_us: int | None = None
    """The first answer of the bad version that was a failure, when it was given."""
    last_bad_us: int | None = None
    """The last request for which the bad version had a share."""
    newest_us: int = 0
    good_begun_us: int | None = None
    good_all_us: int | None = None

    def take(self, line: ProxyLine) -> None:
        """One line of the log."""
        self.requests += 1
        self.newest_us = max(self.newest_us, line.routed_us)
        if line.arm == "bad":
            self.bad_requests += 1
            if line.status >= 500:
                self.bad_failures += 1
                self.first_failure_us = min(self.first_failure_us or line.answered_us, line.answered_us)
        if line.bad:
            self.last_bad_us = max(self.last_bad_us or 0, line.routed_us)
        if line.good:
            self.good_begun_us = min(self.good_begun_us or line.routed_us, line.routed_us)
        if line.good == splitter.SHARES:
            self.good_all_us = min(self.good_all_us or line.routed_us, line.routed_us)

    @property
    def to_zero_s(self) -> float | None:
        """From the first bad answer to no traffic at the proxy: a second went by in which the bad version had no share."""
        if self.last_bad_us is None or self.first_failure_us is None or self.newest_us < self.last_bad_us + SURE_US:
            return None
        return (self.last_bad_us - self.first_failure_us) / 1e6

    @property
    def to_all_s(self) -> float | None:
        """From the good version's first share to all of it."""
        if self.good_all_us is None or self.good_begun_us is None:
            return None
        return (self.good_all_us - self.good_begun_us) / 1e6


@dataclass(frozen=True, slots=True)
class ProxyLine:
    """One request: `bad` and `good` are the buckets of `SHARES` that the versions had when it was routed to `arm`."""

    routed_us: int
    answered_us: int
    half: str
    arm: str
    status: int
    bad: int
    good: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for what else HAProxy says."""
        match = LINE.fullmatch(text)
        if match is None:
            return None
        routed, answered, half, arm, status, bad, good = match.groups()
        return cls(int(routed), int(answered), half, arm, int(status), int(bad), int(good))


@dataclass(slots=True)
class ProxyLog:
    """HAProxy's log as it grows."""

    path: Path
    halves: dict[str, Half] = field(default_factory=lambda: {DAVY: Half(), RULE: Half()})
    _offset: int = 0

    def read(self) -> None:
        """Take what is new; a line that is not finished waits."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for text in whole.decode("utf-8", "replace").splitlines():
            line = ProxyLine.parse(text)
            if line is not None:
                self.halves[line.half].take(line)
