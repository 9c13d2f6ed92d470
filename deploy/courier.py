"""Brings the messages of one outbox to its receiver, in a thread of its own: who hangs or says 500 delays nobody else.

What the receiver does not take is tried again, with pauses that double; an answer that says that the message itself is wrong
(400 to 499, but for 408 and 429) gives it up, counted, so that it does not stand before all others forever.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict

import structlog
from prometheus_client import Counter

from deploy.exchange import NoAnswer, exchange
from deploy.incidents import types
from deploy.incidents.base import Post
from deploy.outbox import DROPPED, Outbox
from schemas.alerts import Alerts, Receiver
from schemas.incident import Incident

PAUSE_FIRST_S, PAUSE_MAX_S = 0.5, 60.0
IDLE_S = 0.2
AGAIN = (408, 429)

log = structlog.get_logger("alert")
SENT = Counter("davy_alerts_sent_total", "Messages that a receiver took.", ["receiver"])
FAILED = Counter("davy_alerts_failed_total", "Tries that a receiver did not take.", ["receiver"])


class Courier(threading.Thread):
    """One receiver's; `now_us` is asked when a message is sent."""

    def __init__(
        self, name: str, alerts: Alerts, outbox: Outbox, now_us: Callable[[], int], stop: threading.Event
    ) -> None:
        super().__init__(name=f"courier-{name}", daemon=True)
        self.receiver, self.link, self.outbox = alerts.receivers[name], alerts.link, outbox
        self._label, self._now_us, self._halt = name, now_us, stop

    def run(self) -> None:
        pause_s = PAUSE_FIRST_S
        while not self._halt.is_set():
            message = self.outbox.first()
            if message is None:
                self._halt.wait(IDLE_S)
                continue
            fault, final = self._bring(message[1])
            if fault is None:
                SENT.labels(self._label).inc()
            elif final:
                DROPPED.labels(self._label, "refused").inc()
                log.error("a message is given up", receiver=self._label, reason=fault)
            else:
                FAILED.labels(self._label).inc()
                log.warning("not taken, will be tried again", receiver=self._label, reason=fault, pause_s=pause_s)
                self._halt.wait(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
                continue
            pause_s = PAUSE_FIRST_S
            self.outbox.done(message[0])

    def _bring(self, content: bytes) -> tuple[str | None, bool]:
        """What went wrong, None for nothing, and whether trying again is pointless."""
        try:
            incident = Incident(**json.loads(content))
        except (ValueError, TypeError) as error:
            return f"the outbox holds something else: {error}", True
        writer = types()[self.receiver.type]
        return post(writer.write(incident, self.receiver, self.link, self._now_us()), self.receiver)


def post(what: Post, receiver: Receiver) -> tuple[str | None, bool]:
    """Send it; as `Courier._bring`."""
    headers = {"Content-Type": what.content_type, "User-Agent": "davy"}
    try:
        exchange("POST", what.url, headers, what.body, timeout_s=receiver.timeout_us / 1e6, bytes_max=1)
    except NoAnswer as error:
        final = error.status is not None and 300 <= error.status < 500 and error.status not in AGAIN
        return str(error), final
    return None, False


def packed(incident: Incident) -> bytes:
    """As it stands in the outbox."""
    return json.dumps(asdict(incident)).encode()
