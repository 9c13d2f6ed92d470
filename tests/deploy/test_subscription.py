"""A subscription: the latest is applied once, and nothing that is forged, replayed, reordered, expired or of an old judge."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from deploy.ledger import digest
from deploy.subscription import Refusal, Subscription
from schemas.decision import Decision
from schemas.signature import Keys, Signer, Signing
from schemas.verdict import Verdict
from tests.deploy.verdicts import DAY, NOW, TTL, verdict
from tests.support.signing import key_pair

PRIVATE, PUBLIC = key_pair()
KEYS = Keys.of(Signing.model_validate({"public_keys": {"judge": PUBLIC}}))


def signer(private: str) -> Signer:
    made = Signer.of(Signing.model_validate({"key_id": "judge", "private_key": private}))
    assert made is not None
    return made


JUDGE, THIEF = signer(PRIVATE), signer(key_pair()[0])
HOUR = 3_600_000_000


class Deployer:
    """Takes records as the shell does, and writes down what it applied; saved and loaded again after every record."""

    def __init__(self) -> None:
        self.subscription = Subscription()
        self.applied: list[Verdict] = []
        self.refused: list[str] = []
        self.offset = -1

    def read(self, said: Verdict, header: bytes | None, now_us: int) -> None:
        self.offset += 1
        fault = KEYS.fault("Verdict", said.encode(), header)
        self._refuse(self.subscription.take(said, fault, self.offset), now_us)
        self.subscription = Subscription.load(json.loads(json.dumps(self.subscription.dump())))

    def apply(self, now_us: int) -> None:
        for refusal in self.subscription.expired(now_us):
            self._refuse(refusal, now_us)
        while (due := self.subscription.due(now_us)) is not None:
            assert self.subscription.trying(due) == 1
            self.applied.append(due)
            self.subscription.settled(due, applied=True)

    def _refuse(self, refusal: Refusal | None, now_us: int) -> None:
        if refusal is not None:
            self.subscription.record(refusal, "test", f"{refusal.verdict.verdict_id} {self.offset}", now_us)
            self.refused.append(refusal.reason)


def signed(said: Verdict) -> bytes:
    return JUDGE.sign("Verdict", said.encode())


def test_who_was_away_for_an_hour_applies_the_latest_state_once() -> None:
    deployer = Deployer()
    for number in range(720):
        said = verdict("ADVANCE" if number % 7 == 0 else "CONTINUE", number + 1, at_us=NOW + number * 5_000_000)
        deployer.read(said, signed(said), NOW + HOUR)
    deployer.apply(NOW + HOUR)
    deployer.apply(NOW + HOUR)
    assert [said.sequence for said in deployer.applied] == [720]
    assert (deployer.subscription.skipped, deployer.refused) == (719, [])


def test_a_rollback_is_applied_also_when_more_was_said_since() -> None:
    deployer = Deployer()
    back = verdict("ROLLBACK", 1)
    deployer.read(back, signed(back), NOW)
    for number in range(2, 700):
        said = verdict("CONTINUE", number, at_us=NOW + number * 5_000_000, phase="watch", weight=0.0)
        deployer.read(said, signed(said), NOW + HOUR)
    deployer.apply(NOW + HOUR)
    assert deployer.applied == [back]


def test_a_promotion_that_expired_meanwhile_makes_room_for_what_holds_now() -> None:
    deployer = Deployer()
    for said in (verdict("PROMOTE", 1), verdict("CONTINUE", 2, at_us=NOW + HOUR, phase="watch", weight=1.0)):
        deployer.read(said, signed(said), NOW + HOUR)
    deployer.apply(NOW + HOUR)
    assert [(said.sequence, said.weight) for said in deployer.applied] == [(2, 1.0)]


def test_candidates_wait_apart_and_come_in_the_order_in_which_they_were_said() -> None:
    deployer = Deployer()
    plan = [("bolder", "ADVANCE"), ("canary", "HOLD"), ("bolder", "ROLLBACK"), ("canary", "ADVANCE")]
    for number, (variant, action) in enumerate(plan):
        said = verdict(action, number + 1, variant=variant, at_us=NOW + number)  # type: ignore[arg-type]
        deployer.read(said, signed(said), NOW + 10)
    deployer.apply(NOW + 10)
    assert [(said.variant, said.action) for said in deployer.applied] == [("bolder", "ROLLBACK"), ("canary", "ADVANCE")]


def test_what_is_tried_again_is_counted_and_a_later_verdict_takes_its_place() -> None:
    subscription = Subscription()
    first, second = verdict("ADVANCE", 1), verdict("HOLD", 2)
    subscription.take(first, None, 0)
    assert [subscription.trying(first), subscription.trying(first)] == [1, 2]
    subscription = Subscription.load(json.loads(json.dumps(subscription.dump())))
    assert subscription.trying(first) == 3
    subscription.take(second, None, 1)
    assert (subscription.due(NOW), subscription.tried) == (second, {})


# -- ten thousand ways to be wrong -------------------------------------------------------------------------------------


Case = Callable[[random.Random, list[Verdict]], tuple[Verdict, bytes | None, str]]
"""From what was truly said so far: a record that must not be applied, its header, and a part of the reason."""


def _forged(rng: random.Random, said: list[Verdict]) -> tuple[Verdict, bytes | None, str]:
    last = said[-1]
    fake = replace(last, action=rng.choice(["PROMOTE", "ROLLBACK", "ADVANCE"]), sequence=last.sequence + rng.randint(1, 9),
                   epoch=last.epoch + rng.randint(0, 9))  # fmt: skip
    good = bytearray(signed(last))
    good[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
    header = rng.choice([
        None, b"", b"{}", signed(last), THIEF.sign("Verdict", fake.encode()), JUDGE.sign("Decision", fake.encode()),
        bytes(good), rng.randbytes(rng.randrange(200)), signed(last)[:-2],
    ])  # fmt: skip
    return fake, header, "sign"


def _replayed(rng: random.Random, said: list[Verdict]) -> tuple[Verdict, bytes | None, str]:
    old = said[-1]
    return old, signed(old), "it was said before"


def _reordered(rng: random.Random, said: list[Verdict]) -> tuple[Verdict, bytes | None, str]:
    old = rng.choice(said[:-1] or said)
    late = replace(old, epoch=said[-1].epoch, verdict_id=str(rng.random()), action=rng.choice(["PROMOTE", "ROLLBACK"]))
    return late, signed(late), "it was said before"


def _old_judge(rng: random.Random, said: list[Verdict]) -> tuple[Verdict, bytes | None, str]:
    last = said[-1]
    old = replace(last, epoch=last.epoch - rng.randint(1, last.epoch), sequence=last.sequence + rng.randint(1, 9))
    return old, signed(old), "an old judge"


def _expired(rng: random.Random, said: list[Verdict]) -> tuple[Verdict, bytes | None, str]:
    last = said[-1]
    age = rng.randint(TTL, 10 * DAY)
    stale = verdict("ADVANCE", last.sequence + 1, last.epoch, last.issued_at - age)
    return stale, signed(stale), "had expired"


CASES: tuple[Case, ...] = (_forged, _replayed, _reordered, _old_judge, _expired)


def attacked(seed: int, count: int) -> None:
    """`count` wrong records among true ones; the true ones are applied, the wrong ones never, and each is in the ledger."""
    rng, deployer = random.Random(seed), Deployer()
    true: list[Verdict] = []
    stale: list[Verdict] = []
    now_us, expected = NOW, list[str]()
    while len(expected) < count:
        now_us += rng.randint(1, 5_000_000)
        if not true or rng.random() < 0.3:
            before = max((said.sequence for said in [*true[-1:], *stale[-1:]]), default=0)
            epoch = (true[-1].epoch if true else 3) + (rng.random() < 0.1)
            said = verdict(
                rng.choice(["CONTINUE", "ADVANCE", "HOLD", "PROMOTE", "ROLLBACK"]), before + 1, epoch, now_us
            )
            true.append(said)
            deployer.read(said, signed(said), now_us)
        else:
            case = rng.choice(CASES)
            past = true if not stale or case is _expired else [*true, stale[-1]]
            latest = max(past, key=lambda said: said.sequence)
            wrong, header, reason = case(rng, [*(said for said in past if said is not latest), latest])
            if case is _expired:
                wrong = replace(wrong, sequence=deployer.subscription.fences["e"].sequence + 1)
                header = signed(wrong)
                stale.append(wrong)
            deployer.read(wrong, header, now_us)
            expected.append(reason)
        deployer.apply(now_us)
    assert deployer.applied == true
    assert len(deployer.refused) == count
    for told, reason in zip(deployer.refused, expected, strict=True):
        assert reason in told
    ledger = [Decision.decode(value) for value in deployer.subscription.outbox]
    assert [d.sequence for d in ledger] == list(range(1, count + 1))
    assert all(d.outcome == "REFUSED" and d.hash == digest(d) for d in ledger)
    assert [d.previous_hash for d in ledger] == [None, *(d.hash for d in ledger[:-1])]


@pytest.mark.parametrize("seed", range(5))
def test_no_wrong_verdict_is_ever_applied_and_each_is_in_the_ledger(seed: int) -> None:
    attacked(seed, 60)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 150))
def test_ten_thousand_wrong_verdicts(seed: int) -> None:
    attacked(seed, 200)
