"""What is answered, refused, or leads elsewhere, by a real server."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.exchange import NoAnswer, exchange
from streams.embedded import free_port
from tests.support.receiver import receiver


@contextmanager
def leading_to(place: str, status: int) -> Iterator[str]:
    """An address that sends whoever asks elsewhere."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Location", place)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_led_elsewhere_with_a_token(status: int) -> None:
    with receiver() as elsewhere, leading_to(elsewhere.url, status) as url:
        with pytest.raises(NoAnswer, match=f"^answered {status}") as refused:
            exchange("POST", url, {"Authorization": "Bearer s3cret"}, b"{}", timeout_s=5)
        assert refused.value.status == status
        assert elsewhere.calls == []


def test_an_answer_is_its_first_bytes_and_a_refusal_says_why() -> None:
    with receiver(lambda call: (200, "fine") if call.method == "GET" else (503, "busy")) as asked:
        assert exchange("GET", asked.url, {}, timeout_s=5, bytes_max=3) == b'"fi'
        with pytest.raises(NoAnswer, match=r'^answered 503: "busy"$') as refused:
            exchange("PUT", asked.url, {}, b"{}", timeout_s=5)
        assert refused.value.status == 503
    with pytest.raises(NoAnswer, match=r"^cannot be reached: .*refused") as silent:
        exchange("GET", f"http://127.0.0.1:{free_port()}", {}, timeout_s=5)
    assert silent.value.status is None
