"""When a role stands still, and what is said of it."""

from __future__ import annotations

from streams.standing import Standing

PLACE = ("davy.events", 0)


def test_a_standstill_needs_records_that_wait_and_ends_with_the_first_step() -> None:
    standing = Standing("ingest", 15.0)
    assert "nothing was heard of ingest yet" in (standing.fault(0.0) or "")
    standing.take(PLACE, 5, 5, 1.0)
    standing.beat(1.0)
    for second in range(2, 41):
        standing.beat(second)
        standing.take(PLACE, 5, 5, second)
    assert (standing.fault(40.0), standing.lag) == (None, 0)
    for second in range(41, 56):
        standing.beat(second)
        standing.take(PLACE, 5, 1_900, second)
        assert standing.fault(second) is None, "it has 15 s from the moment at which records wait"
    standing.beat(58.0)
    assert standing.fault(58.0) == (
        "ingest stands still: 1,895 records wait in davy.events/0, none was taken for 18 s: "
        "see whether the process of `davy run ingest` is well, and what its log says last"
    )
    standing.take(PLACE, 6, 1_900, 58.0)
    assert (standing.fault(58.0), standing.lag) == (None, 1_894)


def test_going_back_is_moving_too() -> None:
    """Who reads a block again after a crash works."""
    standing = Standing("ingest", 15.0)
    standing.take(PLACE, 900, 2_000, 0.0)
    standing.beat(16.0)
    standing.take(PLACE, 800, 2_000, 16.0)
    assert standing.fault(16.0) is None


def test_silence_is_a_standstill_whether_or_not_records_wait() -> None:
    standing = Standing("judge", 15.0)
    standing.beat(0.0)
    assert standing.fault(15.0) is None
    assert (standing.fault(16.0) or "").startswith("judge has said nothing for 16 s: ")
    standing.take(PLACE, 0, 12_000, 16.0)
    assert (standing.fault(16.0) or "").startswith("judge has said nothing for 16 s while 12,000 records wait for it: ")


def test_a_partition_that_is_anothers_now_is_not_waited_for() -> None:
    standing = Standing("judge", 15.0)
    standing.take(PLACE, 0, 10, 0.0)
    standing.take(("davy.events", 1), 0, 7, 0.0)
    standing.beat(20.0)
    assert "17 records wait in davy.events/0 and 1 more partitions" in (standing.fault(20.0) or "")
    standing.forget(PLACE)
    standing.forget(("davy.events", 1))
    assert (standing.fault(20.0), standing.lag, standing.marks()) == (None, 0, [])
