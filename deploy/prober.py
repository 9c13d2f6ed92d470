"""One target's probes in turn: due times, the breaker, and what each result says. Time comes in as data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from deploy.breaker import Breaker
from deploy.probes.base import Failed, Probe
from schemas.probe import ProbeResult
from schemas.probes import Target

ERROR_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Watched:
    """A target between two probes; `open_until_us` counts while its circuit is open."""

    name: str
    target: Target
    breaker: Breaker
    open_until_us: int = 0

    @classmethod
    def of(cls, name: str, target: Target) -> Watched:
        """Closed, until something is known."""
        return cls(name, target, Breaker(target.open_after, target.close_after))

    def ready(self, now_us: int) -> Watched:
        """As it is before a probe: a circuit that has cooled down is half open."""
        if self.breaker.circuit == "OPEN" and now_us >= self.open_until_us:
            return replace(self, breaker=self.breaker.cooled())
        return self

    def wait_us(self, now_us: int) -> int:
        """How long until the next probe is due, without jitter."""
        if self.breaker.circuit == "OPEN":
            return max(0, self.open_until_us - now_us)
        return self.target.every_us

    def after(self, error: str | None, latency_us: int | None, now_us: int) -> tuple[Watched, ProbeResult]:
        """What a probe found, None for nothing wrong."""
        breaker = self.breaker.result(error is None)
        until = now_us + self.target.cool_down_us if breaker.circuit == "OPEN" else 0
        result = ProbeResult(
            self.name, self.target.kind, now_us, error is None, breaker.circuit, latency_us, error,
            breaker.error_ratio, self.target.services,
        )  # fmt: skip
        return replace(self, breaker=breaker, open_until_us=until), result


async def probe(kind: Probe, target: Target, monotonic: Callable[[], float]) -> tuple[str | None, int | None]:
    """What is wrong, None for nothing, and how long it took where there was an answer."""
    begin = monotonic()
    try:
        async with asyncio.timeout(target.timeout_us / 1e6):
            await kind.check(target)
    except TimeoutError:
        return f"no answer within {target.timeout_us / 1e6:g} s", None
    except Failed as failed:
        return str(failed)[:ERROR_CHARACTERS], round((monotonic() - begin) * 1e6)
    except OSError as error:
        return f"cannot be reached: {error.strerror or error}"[:ERROR_CHARACTERS], None
    except Exception as error:  # a probe that breaks says so, and takes no other with it
        return f"the probe itself failed: {type(error).__name__}: {error}"[:ERROR_CHARACTERS], None
    return None, round((monotonic() - begin) * 1e6)
