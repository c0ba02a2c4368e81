"""A server that speaks as much of Koban's API as the runner and the report use, and fails when told to."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator

import pytest


class FakeKoban:
    """Answers events with the verdict that `judge` gives, and keeps every body it was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.events: dict[str, dict[str, object]] = {}
        self.tokens: set[str] = set()
        self.failures: list[str] = []  # what happens to the next requests: "503", "drop", "401"
        self.confirmed: list[str] = []
        self.confirm_status = 200
        self.judge: Callable[[dict[str, object]], str] = lambda _event: "allow"
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def post_events(self, body: bytes) -> tuple[int, object]:
        self.bodies.append(body)
        items = []
        for event in json.loads(body):
            self.events[event["id"]] = event
            decision = {"id": event["id"], "source": event["source"], "verdict": self.judge(event)}
            items.append({"status": 200, "id": event["id"], "source": event["source"], "decision": decision})
        return 200, {"items": items}

    def get_decisions(self, query: str) -> tuple[int, object]:
        """Give two decisions a page, newest first."""
        newest = list(self.events.values())[::-1]
        start = int(query.partition("cursor=")[2].partition("&")[0] or 0)
        items = [
            {"id": event["id"], "type": event["type"], "verdict": self.judge(event), "seq": 1, "signals": []}
            for event in newest[start : start + 2]
        ]
        more = str(start + 2) if start + 2 < len(newest) else None
        return 200, {"items": items, "next_cursor": more}


def _handler(koban: FakeKoban) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            koban.tokens.add(self.headers.get("authorization", ""))
            if self.path.endswith("/confirm"):
                koban.confirmed.append(self.path.split("/")[3])
                self.answer(koban.confirm_status, {})
                return
            failure = koban.failures.pop(0) if koban.failures else ""
            if failure == "drop":
                koban.bodies.append(body)
                self.close_connection = True
                self.connection.close()
            elif failure:
                koban.bodies.append(body)
                self.answer(int(failure), {"code": "unavailable"})
            else:
                self.answer(*koban.post_events(body))

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            self.answer(*(koban.get_decisions(query) if path == "/v1/decisions" else (200, {"status": "ok"})))

        def answer(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            pass

        def finish(self) -> None:
            if not self.wfile.closed:
                try:
                    super().finish()
                except OSError:
                    self.rfile.close()

    return Handler


@pytest.fixture
def koban_server() -> Iterator[FakeKoban]:
    """A server on a free port."""
    server = FakeKoban()
    try:
        yield server
    finally:
        server.close()
