"""A Slack-compatible incoming webhook: `url` is the webhook's."""

from __future__ import annotations

from deploy.incidents.base import Post, encoded, linked
from schemas.alerts import Receiver
from schemas.incident import Incident


class Slack:
    """One message for each piece of news."""

    type = "slack"
    repeats = False

    def write(self, incident: Incident, receiver: Receiver, link: str | None, now: int) -> Post:
        """See `Writer`."""
        mark = (
            ":white_check_mark: resolved:" if incident.ended is not None else f":rotating_light: {incident.severity}:"
        )
        page = linked(incident, link)
        lines = [f"{mark} *{_plain(incident.title)}*", _plain(incident.text), *([f"<{page}|console>"] if page else [])]
        return Post(receiver.place, encoded({"text": "\n".join(lines)}))


def _plain(text: str) -> str:
    """What Slack reads as markup, as text (its "Escaping text")."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


RECEIVER = Slack()
