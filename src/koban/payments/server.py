"""A small payment provider behind HTTP, with the simulated one inside: to try Koban's payments without a real provider.

It sends its webhooks signed, to one address. `POST /buyer/{key}` and the like stand for what buyers and their banks do.
"""

import datetime
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import structlog

from koban.base import Instant, Unavailable, to_rfc3339
from koban.payments.http import ReportBody
from koban.payments.notices import written
from koban.payments.simulated import SimulatedProvider
from koban.payments.types import Instruction
from koban.webhooks import sign

BODY_BYTES_MAX: Final = 64 * 1024
SEND_EVERY_S: Final = 0.2
SEND_S: Final = 5.0
DROPPED: Final = 0  # in place of a status: the connection is closed without a word

_log: Final = structlog.get_logger("koban.payments.server")


class ProviderServer:
    """Serves one simulated provider on a free or given port until it is closed."""

    def __init__(
        self,
        provider: SimulatedProvider,
        key: str,
        now: Callable[[], Instant],
        *,
        port: int = 0,
        webhook_url: str = "",
        secret: bytes = b"",
    ) -> None:
        """Start at once. `webhook_url` empty: webhooks wait to be fetched by nobody."""
        self.provider = provider
        self._key = key
        self._now = now
        self._url, self._secret = webhook_url, secret
        self._stop = threading.Event()
        handler = type("Handler", (_Handler,), {"ours": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._threads = [threading.Thread(target=self._server.serve_forever, args=(0.05,), name="koban-provider")]
        if webhook_url:
            self._threads.append(threading.Thread(target=self._send_again_and_again, name="koban-provider-webhooks"))
        for each in self._threads:
            each.daemon = True
            each.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving and sending."""
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        for each in self._threads:
            each.join()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Answer one request: status and JSON; `DROPPED`: the connection ends without an answer."""
        parts = urlsplit(path)
        if headers.get("authorization") != f"Bearer {self._key}":
            return 401, b'{"detail":"who are you?"}'
        try:
            if (method, parts.path) == ("POST", "/v1/instructions"):
                instruction = msgspec.json.decode(body, type=Instruction)
                if headers.get("idempotency-key") != instruction.key:
                    return 422, b'{"detail":"the Idempotency-Key is not the key of the instruction"}'
                return 200, msgspec.json.encode(self.provider.perform(instruction))
            if (method, parts.path) == ("GET", "/v1/report"):
                day = datetime.date.fromisoformat(parse_qs(parts.query).get("day", [""])[0])
                return 200, msgspec.json.encode(ReportBody(rows=list(self.provider.report(day))))
            if method == "POST" and self._happens(parts.path.split("/")[1:]):
                return 200, b"{}"
        except Unavailable:
            return DROPPED, b""
        except (msgspec.DecodeError, ValueError) as error:
            return 422, msgspec.json.encode({"detail": str(error)})
        return 404, b'{"detail":"there is nothing here"}'

    def _happens(self, what: list[str]) -> bool:
        match what:
            case ["buyer", key, status] if status in {"Y", "N"}:
                self.provider.buyer_answers(key, status)
            case ["chargeback", key] if self.provider.has_captured(key):
                self.provider.charge_back(key)
            case ["return", key] if self.provider.charge(key) is not None:
                self.provider.return_payout(key)
            case _:
                return False
        return True

    def _send_again_and_again(self) -> None:
        with httpx.Client(timeout=SEND_S, trust_env=False) as client:
            bodies: dict[str, bytes] = {}  # the same bytes for every attempt
            while not self._stop.wait(SEND_EVERY_S):
                at = self._now()
                for message, notice in self.provider.due_notices(at):
                    body = bodies.setdefault(message, written(notice, to_rfc3339(at)))
                    if self._send(client, message, body):
                        bodies.pop(message)
                        self.provider.answered(message)

    def _send(self, client: httpx.Client, message: str, body: bytes) -> bool:
        headers = sign(message, body, [self._secret], self._now())
        try:
            return client.post(
                self._url, content=body, headers={**headers, "content-type": "application/json"}
            ).is_success
        except httpx.HTTPError as error:
            _log.info("webhook_not_taken", error=str(error))
            return False


class _Handler(BaseHTTPRequestHandler):
    ours: ProviderServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = self.headers.get("content-length", "0")
        size = int(length) if length.isdecimal() and len(length) < 8 else BODY_BYTES_MAX + 1
        if size > BODY_BYTES_MAX:
            status, body = 413, b'{"detail":"too large"}'
            self.close_connection = True
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = self.ours.answer(self.command, self.path, headers, self.rfile.read(size))
        if status == DROPPED:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing: whoever runs it sees what happens in Koban."""
