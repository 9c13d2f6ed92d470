"""What judges say, and at which offset of their log: the same at the same place, whoever says it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from schemas.verdict import Verdict
from streams.judge import Alarm, Judge
from streams.judge_loop import JudgeLoop
from streams.judge_state import Owned

DeltaPlace = tuple[int, int]
"""Delta partition and offset."""


class Heard:
    """Collected while a schedule runs."""

    def __init__(self) -> None:
        self.lost: dict[str, list[tuple[int, int]]] = defaultdict(list)
        """Ranges that retention took, by "topic/partition", as the experiment's judge says them."""
        self.impure: list[str] = []
        self.closings: dict[DeltaPlace, int] = {}
        """Up to when windows were closed, where that moved."""
        self.said: dict[str, DeltaPlace] = {}
        """Where each verdict was said."""
        self.epochs: dict[tuple[int, int], Owned] = {}
        """Whose each delta partition's epochs are."""
        self._place: DeltaPlace = (0, -1)

    def claimed(self, partition: int, owned: Owned) -> None:
        """A judge has begun: nobody else may ever have had its epoch."""
        key = (partition, owned.judge.epoch)
        assert key not in self.epochs, f"two judges of delta partition {partition} have epoch {owned.judge.epoch}"
        self.epochs[key] = owned

    @contextmanager
    def at(self, loop: JudgeLoop, message: Any) -> Generator[None]:
        """While a judge handles one record."""
        place = self._place = (int(message.partition()), int(message.offset() or 0))
        owned = loop.owned.get(place[0])
        before = owned.judge.closed_us if owned else 0
        yield
        if owned is not None and owned.judge.closed_us > before:
            told = self.closings.setdefault(place, owned.judge.closed_us)
            assert told == owned.judge.closed_us, f"at {place} windows were closed up to two different times"

    @contextmanager
    def outputs(self) -> Generator[None]:
        """Listen to every judge that owns the experiment."""
        step, heard = Judge.step, self

        def watched(judge: Judge, delta: Any) -> Any:
            outputs = step(judge, delta)
            if judge.settings.owns("cart", "test"):
                for output in outputs:
                    heard.output(output)
            return outputs

        with patch.object(Judge, "step", watched):
            yield

    def output(self, output: object) -> None:
        """One thing that was said."""
        match output:
            case Alarm(text) if "were lost before" in text:
                words = text.split()
                self.lost[words[5]].append((int(words[1]), int(words[3])))
            case Alarm(text) if "two contents" in text:
                self.impure.append(text)
            case Verdict():
                told = self.said.setdefault(output.verdict_id, self._place)
                assert told == self._place, f"verdict {output.sequence} was said at {told} and at {self._place}"
            case _:
                pass
