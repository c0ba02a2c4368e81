"""The marketplace's webhook side: a small server that checks signatures, applies states and confirms actions."""

import contextlib
import http.server
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

import httpx
import msgspec
import standardwebhooks

from koban.sim.market import Market, State

OutageNow = Callable[[], Literal["down", "silent"] | None]

_CONFIRM_ATTEMPTS_MAX: Final = 60
_BODY_MAX: Final = 1 << 20


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook asks of the marketplace. `action_id` is None for a notice that needs no confirmation."""

    action_id: str | None
    kind: str
    subject: str
    version: int
    state: State | None


class ReceiverCounts(msgspec.Struct, kw_only=True):
    """What a receiver has seen; counts only grow."""

    received: int = 0
    duplicates: int = 0
    forged: int = 0
    refused: int = 0  # answered 503 during an outage
    applied: int = 0
    confirmed: int = 0
    unconfirmed: int = 0  # given up after many attempts


class Receiver:
    """A running webhook server. Its address is `http://127.0.0.1:PORT/webhooks`."""

    def __init__(
        self,
        market: Market,
        *,
        secret: str,
        confirm: Callable[[str], bool],
        outage: OutageNow = lambda: None,
        port: int = 0,
    ) -> None:
        """Start serving on 127.0.0.1; port 0 takes a free one. `confirm` tells Koban that an action is done."""
        self.counts = ReceiverCounts()
        self._market = market
        self._webhook = standardwebhooks.Webhook(secret)
        self._confirm = confirm
        self._outage = outage
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._closing = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True),
            threading.Thread(target=self._confirm_all, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        """Return where Koban should send its webhooks."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/webhooks"

    def close(self) -> None:
        """Stop serving, after the confirmations that wait were tried once more."""
        self._closing.set()
        self._waiting.put(None)
        self._server.shutdown()
        for thread in self._threads:
            thread.join(timeout=10)
        self._server.server_close()

    def take(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Handle one delivery and return the HTTP status to answer: 204, 401 for a false signature, or 503."""
        if self._outage() == "down":
            with self._lock:
                self.counts.refused += 1
            return 503
        try:
            self._webhook.verify(body, dict(headers), json_parse=False)
            payload = msgspec.json.decode(body)
        except (standardwebhooks.WebhookVerificationError, msgspec.DecodeError, ValueError):
            with self._lock:
                self.counts.forged += 1
            return 401
        delivery = {name.lower(): value for name, value in headers.items()}["webhook-id"]
        notice = read_notice(payload)
        with self._lock:
            self.counts.received += 1
            again = delivery in self._seen
            self._seen.add(delivery)
            if again:
                self.counts.duplicates += 1
            elif notice.state is not None and self._market.learn(
                notice.kind, notice.subject, notice.version, notice.state
            ):
                self.counts.applied += 1
        # A delivery that comes again is confirmed again: the first confirmation may be what was lost.
        if notice.action_id is not None:
            self._waiting.put(notice.action_id)
        return 204

    def _confirm_all(self) -> None:
        attempts: dict[str, int] = {}
        while True:
            action_id = self._waiting.get()
            if action_id is None:
                return
            if self._outage() is None and self._confirm(action_id):
                with self._lock:
                    self.counts.confirmed += 1
                attempts.pop(action_id, None)
                continue
            attempts[action_id] = attempts.get(action_id, 0) + (self._outage() is None)
            if attempts[action_id] >= _CONFIRM_ATTEMPTS_MAX or self._closing.is_set():
                with self._lock:
                    self.counts.unconfirmed += 1
                continue
            self._waiting.put(action_id)
            self._closing.wait(0.1)


def confirmer(client: httpx.Client) -> Callable[[str], bool]:
    """Make the function that confirms an action to Koban; True also where Koban no longer knows the action."""

    def confirm(action_id: str) -> bool:
        try:
            answer = client.post(f"/v1/actions/{action_id}/confirm", json={})
        except httpx.TransportError:
            return False
        return answer.is_success or answer.status_code in {404, 409}

    return confirm


def read_notice(payload: object) -> Notice:
    """Read a webhook's payload; what is not understood is taken as a notice that asks for nothing."""
    nothing = Notice(action_id=None, kind="", subject="", version=0, state=None)
    if not isinstance(payload, dict):
        return nothing
    data = payload.get("data", payload)
    if not isinstance(data, dict):
        return nothing
    subject = data.get("subject")
    kind, name = "", ""
    if isinstance(subject, dict):
        kind, name = str(subject.get("kind", "")), str(subject.get("id", ""))
    elif isinstance(subject, str):
        kind, _, name = subject.replace("/", ":", 1).partition(":")
    action = data.get("action")
    version = data.get("state_version", 0)
    state: State | None = None
    with contextlib.suppress(msgspec.ValidationError):
        state = msgspec.convert(data["state"], State) if name and "state" in data else None
    return Notice(
        action_id=action if isinstance(action, str) else None,
        kind=kind,
        subject=name,
        version=version if isinstance(version, int) else 0,
        state=state,
    )


@contextlib.contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    """Close a receiver at the end of a block."""
    try:
        yield receiver
    finally:
        receiver.close()


def _handler(receiver: Receiver) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        """Hands each delivery to the receiver."""

        def do_POST(self) -> None:
            """Answer a delivery."""
            length = int(self.headers.get("content-length", "0") or 0)
            if not 0 <= length <= _BODY_MAX:
                self.send_error(413)
                return
            body = self.rfile.read(length)
            self.send_response(receiver.take(body, dict(self.headers.items())))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            """Say nothing: the runner reports counts."""

    return Handler
