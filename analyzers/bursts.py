"""An arm's own bursts: how much of a window's excess is believed before other windows confirm it.

A frozen pod or a full garbage collection makes one arm fail, or slow, for a window or two, and says nothing of
the release: the same happens to the other arm at other times. Section 1 takes a window's events for
independent, so that one such window can outweigh an hour. Here a window's excess over what earlier windows
lead to expect counts only up to `BELIEVED` standard deviations, and as far beyond as the median of the last
`CONFIRMING` windows lies: an excess that lasts is believed in full from its third window on, one that an arm
shows for ten seconds is not.

HARM is asked about the candidate's excess with the candidate's surplus events handed to control, SAFETY about
control's excess with the surplus handed to the candidate. While control is the far larger arm its own burst looks
like a common one that the candidate withstands, so for SAFETY control's events count no further than `LEVEL` times
its level lately; that surplus is dropped. All this only ever lowers evidence: whatever was an e-value stays one
(l' <= l in section 1), no matter how the caps are chosen. What it costs is power in the first two windows of a
lasting excess, measured in docs/judgement.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

BELIEVED = 1.8
"""Standard deviations of one window's excess that need no confirmation."""
CONFIRMING = 5
"""Earlier windows whose median confirms more."""
LEVEL, LEVEL_EVENTS = 2.0, 4.0
"""Control's events count for SAFETY up to that many times its level, and these few more."""
LEVEL_MEMORY = 0.9
"""Part of control's level that a window leaves of the one before."""


@dataclass(frozen=True, slots=True)
class Bursts:
    """The last windows' standardised excesses of the candidate, newest last; control's events per request lately."""

    recent: tuple[float, ...] = ()
    level: float | None = None

    def add(self, z: float, rate: float = 0.0, requests: float = 1.0) -> Bursts:
        """One window more: its z, control's events per request and requests."""
        level = rate
        if self.level is not None:
            level = LEVEL_MEMORY * self.level + (1 - LEVEL_MEMORY) * min(rate, self.most(requests) / requests)
        return Bursts((*self.recent[-CONFIRMING + 1 :], z), level)

    def quiet(self, requests: float) -> Bursts:
        """A window without any event: no excess to speak of, but a lower level."""
        return replace(self, level=self.add(0.0, 0.0, requests).level)

    def most(self, requests: float) -> float:
        """Control's events that its level lately explains."""
        return math.inf if self.level is None else LEVEL * self.level * requests + LEVEL_EVENTS

    @property
    def confirmed(self) -> float:
        """The median of the last `CONFIRMING` windows; what is not there yet counts as 0."""
        if len(self.recent) < CONFIRMING // 2 + 1:
            return 0.0
        padded = sorted((*self.recent, *(0.0,) * (CONFIRMING - len(self.recent))))
        return padded[CONFIRMING // 2]

    def above(self) -> float:
        """Standard deviations of candidate's excess that count for HARM."""
        return BELIEVED + max(0.0, self.confirmed)

    def below(self) -> float:
        """Standard deviations of control's excess that count for SAFETY."""
        return BELIEVED + max(0.0, -self.confirmed)


@dataclass(frozen=True, slots=True)
class Kept:
    """Parts, 0 to 1, of a window's events: of `candidate`'s what counts for HARM, of `control`'s what counts for SAFETY,
    and what is `dropped` there. The rest changes arms."""

    candidate: float = 1.0
    control: float = 1.0
    dropped: float = 0.0


ALL = Kept()


def believed(ec: float, eb: float, pi: float, nb: float, bursts: Bursts) -> Kept:
    """What counts of a window's events `ec`, `eb`, of which earlier windows lead to expect the share `pi`, 0 to 1, at the
    candidate; `nb` are control's requests. A single event always counts.

    >>> believed(30.0, 10.0, 0.5, 1000.0, Bursts())
    Kept(candidate=0.8564033262767694, control=1.0, dropped=0.0)
    """
    counted = min(eb, bursts.most(nb))
    candidate = control = 1.0
    most = _quantile(ec + eb, pi, bursts.above())
    if ec > most:
        candidate = most / ec
    most = min(counted, _quantile(ec + counted, 1 - pi, bursts.below()))
    if eb > most:
        control = most / eb
    return Kept(candidate, control, (eb - counted) / eb if counted < eb else 0.0)


def _quantile(events: float, pi: float, z: float) -> float:
    """Of a binomial number, z standard deviations up, with the skewness term of Cornish and Fisher; at least 1."""
    skew = (z * z - 1) * (1 - 2 * pi) / 6
    return max(1.0, events * pi + z * math.sqrt(events * pi * (1 - pi)) + max(0.0, min(skew, 1.0)))
