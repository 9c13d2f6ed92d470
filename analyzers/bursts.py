"""An arm's own bursts: how much of a window's excess is believed before other windows confirm it.

A frozen pod or a full garbage collection makes one arm fail, or slow, for a window or two, and says nothing of
the release: the same happens to the other arm at other times. Section 1 takes a window's events for
independent, so that one such window can outweigh an hour. Here a window's excess over what earlier windows
lead to expect counts only up to `BELIEVED` standard deviations, and as far beyond as `LASTING` of
the last `CONFIRMING` windows lie: an excess that lasts is believed in full from its fifth window on, one that an arm
shows for ten seconds is not.

HARM is asked without the candidate's surplus, SAFETY without control's; each is measured against what the *other* arm
shows in the same window, so that a burst common to both counts and an arm's own cannot vouch for itself. While control
is the far larger arm its own burst looks like a common one that the candidate withstands, so for SAFETY its events
count no further than `LEVEL` times its level lately, or as far as the candidate's own certainly bear them out. What
earlier windows lead to expect is learnt without surplus, too. All this only ever lowers evidence: whatever was an
e-value stays one (l' <= l in section 1, since dropping an event of the arm that is asked to have more of them lowers
l), no matter how the caps are chosen. What it costs is power in the first windows of a lasting excess, measured in
docs/judgement.md.
"""

from __future__ import annotations

import math
from dataclasses import replace

from analyzers.kernels import evidence_loops
from schemas.frozen import frozen

BELIEVED, BELIEVED_SAFE = 1.8, 1.8
"""Standard deviations of one window's excess that need no confirmation, for HARM (at alpha) and for SAFETY (at beta)."""
CONFIRMING, LASTING = 5, 4
"""Of the last windows so many must show an excess; the least of these confirms as much."""
ALWAYS = 2.0
"""The candidate's events that count for HARM in any window: at a low share few windows have more, and a burst of so few
says little. Of control's for SAFETY it is 1."""
LEVEL, LEVEL_EVENTS = 2.0, 4.0
"""Control's events count for SAFETY up to that many times its level, and these few more."""
LEVEL_MEMORY = 0.9
"""Part of control's level that a window leaves of the one before."""


@frozen()
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

    def confirmed(self) -> tuple[float, float]:
        """Standard deviations that the last windows bear out, of excess and of lack."""
        if len(self.recent) < LASTING:
            return 0.0, 0.0
        ordered = sorted(self.recent)
        return max(0.0, ordered[-LASTING]), max(0.0, -ordered[LASTING - 1])

    def counting(self, apart: tuple[bool, bool] = (False, False)) -> tuple[float, float]:
        """Standard deviations of the candidate's excess that count for HARM, and of control's for SAFETY; fewer where an
        instance (of control, of the candidate) stands `apart`."""
        above, below = self.confirmed()
        return above if apart[1] else above + BELIEVED, below if apart[0] else below + BELIEVED_SAFE


@frozen()
class Kept:
    """Parts, 0 to 1, of a window's events: of `candidate`'s what counts for HARM, of `control`'s what counts for SAFETY."""

    candidate: float = 1.0
    control: float = 1.0


ALL = Kept()


def believed(
    ec: float, eb: float, pi: float, nb: float, bursts: Bursts, borne_out: tuple[float, float] | None = None
) -> Kept:  # fmt: skip
    """What counts of a window's events `ec`, `eb`, of which earlier windows lead to expect the share `pi`, 0 to 1, at the
    candidate; `nb` are control's requests. `ALWAYS` events of the candidate and a single one of control's always count.
    `borne_out`: of the events those that do not hang on one instance, the candidate's and control's, where that is known: what
    does hang on one counts only as far as the last windows confirm it.

    >>> believed(30.0, 10.0, 0.5, 1000.0, Bursts())
    Kept(candidate=0.6610412068043026, control=1.0)
    """
    above, below = bursts.counting()
    candidate, control = evidence_loops().believed(ec, eb, pi, above, below, bursts.most(nb), ALWAYS, BELIEVED_SAFE)
    if borne_out is not None:
        above, below = bursts.confirmed()
        candidate = min(candidate, max(borne_out[0], most_beside(eb, pi, above)))
        control = min(control, max(borne_out[1], most_beside(ec, 1 - pi, below)))
    return Kept(candidate / ec if ec > candidate else 1.0, control / eb if eb > control else 1.0)


def unsurprising(ec: float, eb: float, pi: float, apart: tuple[bool, bool]) -> tuple[float, float]:
    """Of a window's events `ec` of the candidate and `eb` of control those that the other arm leads to expect, where an
    instance stands `apart` (of control, of the candidate); all of them where none does."""
    control, candidate = apart
    return (
        min(ec, most_beside(eb, pi, 0.0)) if candidate else ec,
        min(eb, most_beside(ec, 1 - pi, 0.0)) if control else eb,
    )


def most_beside(other: float, pi: float, z: float) -> float:
    """The most events x of an arm beside `other` of the other arm that are within z standard deviations of its share `pi`
    of all of them, x <= (x + other) pi + z sqrt((x + other) pi (1 - pi)), with the skewness term of Cornish and Fisher;
    at least 1."""
    return evidence_loops().most_beside(other, pi, z)
