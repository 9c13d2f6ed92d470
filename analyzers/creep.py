"""What creeps: a promoted release that gets worse so slowly that no question of the watch finds more than is allowed.

A question compares windows that are minutes apart. Here windows from before the promotion are kept, in pieces, and all windows
since then are held against them:

1. The time since the promotion is cut into rounds, a round into as many stretches as there are pieces. A stretch is
   compared with one piece, none twice in a round, by the tests of the rollout. Round k may err with alpha / (2 k (k + 1)); a
   round rests on windows that no other one has looked at, and which they are is fixed beforehand.
2. A stretch counts only where a piece has about its load (`ALIKE`): errors and durations go with the load of the day, which is
   not the release's doing. Which piece it is depends on numbers of requests alone.
3. HARM needs `PAIRS_MIN` pairs, so that their scatter over time is known.

Traffic is not asked about: it goes with the day. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from analyzers import reasons
from analyzers import trial as trials
from analyzers.arm import EMPTY, ArmWindow, PairWindow
from analyzers.case import Situation
from analyzers.judgement import Judgement, judge_watch
from analyzers.slis import kinds
from analyzers.trial import Trial, plan_of
from schemas.frozen import frozen
from schemas.spec import ExperimentSpec, SliSpec, Step

BEFORE = 144
"""Windows from before the promotion: twelve minutes."""
PIECE = 4
"""Of them in a piece."""
PAIRS_MIN = 12
STRETCH = 20
"""Windows that are compared with one piece: a round lasts an hour."""
ALIKE = 0.1
"""Of a stretch's load, so far may a piece's be from it."""
ALPHA_SHARE = 0.5
"""Of alpha; the rest is for the questions of the watch."""


@frozen(eq=False)
class Piece:
    """Neighbouring windows: `content` of who is judged, `load` of all of the service; `exposure`: how many windows of all its
    traffic that content would be."""

    content: ArmWindow = EMPTY
    load: int = 0
    windows: int = 0
    exposure: float = 0.0

    def add(self, content: ArmWindow, load: int, exposure: float) -> Piece:
        """With one window more."""
        return Piece(self.content + content, self.load + load, self.windows + 1, self.exposure + exposure)

    @property
    def rate(self) -> float:
        """Load of a window."""
        return self.load / self.windows


NOTHING = Piece()


@frozen(eq=False)
class Creep:
    """`pieces` from before; in this `round` (from 1; 0: not promoted yet) `left` of them, `stretches` that are over and
    `pairs` compared. `gathered`: of the next piece, later of the next stretch, which began at `begun_us`."""

    pieces: tuple[Piece, ...] = ()
    gathered: Piece = NOTHING
    begun_us: int = 0
    round: int = 0
    stretches: int = 0
    left: tuple[int, ...] = ()
    trial: Trial | None = None
    pairs: int = 0


def before(held: Creep, whole: ArmWindow, pair: PairWindow) -> Creep:
    """After one more window before the promotion; `pair`'s control is who had the traffic then."""
    if not (pair.steady and pair.control.rows and pair.share):
        return held
    gathered = held.gathered.add(pair.control, whole.weight, 1 / pair.share - 1)
    if gathered.windows < PIECE:
        return replace(held, gathered=gathered)
    return replace(held, pieces=(*held.pieces, gathered), gathered=NOTHING)


def step(
    spec: ExperimentSpec, candidate: str, held: Creep, whole: ArmWindow, pair: PairWindow, since_us: int
) -> tuple[Creep, Judgement | None]:
    """After one more window since the promotion at `since_us`, and what is to be done where that is worse than before it by
    more than is allowed."""
    if held.round == 0 or held.stretches == len(held.pieces):
        held = _begun(spec, candidate, held, pair.end_us - pair.start_us)
    trial = held.trial
    if trial is None:
        return held, None
    if pair.steady:
        begun = held.begun_us if held.gathered.windows else pair.start_us
        held = replace(held, begun_us=begun, gathered=held.gathered.add(pair.candidate, whole.weight, 1.0))
    if held.gathered.windows < STRETCH:
        return held, None
    stretch, begun = held.gathered, held.begun_us
    held = replace(held, stretches=held.stretches + 1, gathered=NOTHING)
    place = min(held.left, key=lambda place: abs(held.pieces[place].rate - stretch.rate))
    piece = held.pieces[place]
    if abs(piece.rate - stretch.rate) > ALIKE * stretch.rate:
        return held, None
    share = stretch.exposure / (stretch.exposure + piece.exposure)
    trial = trials.step(trial, PairWindow(begun, pair.end_us, piece.content, stretch.content, share, 0, steady=True))
    left = tuple(one for one in held.left if one != place)
    held = replace(held, trial=trial, left=left, pairs=held.pairs + 1)
    if held.pairs < PAIRS_MIN:
        return held, None
    said = f"held against what was before the promotion {reasons.time(pair.end_us - since_us)} ago"
    now = Situation(pair.end_us, 0, 1, True, since_us, since_us)
    judgement = judge_watch(_asked(spec, held, pair.end_us - pair.start_us), trial, now, said)
    return held, judgement if judgement.action == "ROLLBACK" else None


def _begun(spec: ExperimentSpec, candidate: str, held: Creep, window_us: int) -> Creep:
    """A new round; nothing to do where too little was before, or nothing but traffic is judged."""
    begun = Creep(held.pieces, round=held.round + 1, left=tuple(range(len(held.pieces))))
    asked = _asked(spec, begun, window_us)
    able = len(begun.pieces) >= PAIRS_MIN and bool(asked.slis)
    return replace(begun, trial=trials.start(asked, candidate)) if able else begun


def _asked(spec: ExperimentSpec, held: Creep, window_us: int) -> ExperimentSpec:
    """What a round is held against: all traffic, its part of alpha, and the enforced SLIs that have a SAFETY, which is all but
    traffic."""
    plan = plan_of(spec)

    def able(sli: SliSpec) -> bool:
        kind = kinds()[sli.type]
        return trials.enforced(spec, sli) and kind.weigh(kind.start(sli, plan))[1] is not None

    policy = spec.policy.model_copy(update={"alpha": ALPHA_SHARE * spec.policy.alpha / (held.round * (held.round + 1))})
    alone = Step.model_construct(weight=1.0, duration_us=len(held.pieces) * STRETCH * window_us)
    return spec.model_copy(update={"policy": policy, "steps": (alone,), "slis": tuple(filter(able, spec.slis))})
