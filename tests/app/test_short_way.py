"""Events over a real connection: the short way answers what the long one answers, and keeps the order of a connection."""

import contextlib
import dataclasses
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from tests.app.conftest import MakeSite, Site
from tests.serving import serving

from koban.access import SYSTEM, Sent, Serve, issue_token, short_ways
from koban.app import Koban, asgi
from koban.app.connections import bounded_protocol

EVENTS = (b"POST", b"/v1/events")
KEPT = re.compile(rb"quarantine_[0-9a-z]+")
DATE = re.compile(rb"\r\ndate: [^\r]+")


@dataclasses.dataclass(kw_only=True)
class Shop:
    """A marketplace at its Koban's door; `short` counts what went the short way."""

    port: int
    token: str
    reader: str
    site: Site
    short: list[bool]

    def head(self, length: int, *more: str, path: str = "/v1/events", version: str = "1.1", token: str = "") -> bytes:
        lines = [f"POST {path} HTTP/{version}", "host: koban", f"authorization: Bearer {token or self.token}"]
        lines += ["content-type: application/cloudevents+json", f"content-length: {length}", *more]
        return "\r\n".join([*lines, "", ""]).encode()

    def post(self, body: bytes, *more: str, path: str = "/v1/events", version: str = "1.1", token: str = "") -> bytes:
        return self.head(len(body), *more, path=path, version=version, token=token) + body

    def event(self, event_id: str, **data: str) -> bytes:
        return json.dumps(self.site.event(event_id, **data)).encode()

    @contextlib.contextmanager
    def connect(self) -> Iterator["Line"]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as line:
            yield Line(line=line)


@dataclasses.dataclass(kw_only=True)
class Line:
    """A connection, read answer by answer."""

    line: socket.socket
    unread: bytes = b""

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.line.sendall(part)

    def answer(self) -> tuple[bytes, bytes]:
        """Return the head and the body of the next answer."""
        while b"\r\n\r\n" not in self.unread:
            self.more()
        head, _, rest = self.unread.partition(b"\r\n\r\n")
        length = int(re.search(rb"\r\ncontent-length: (\d+)", head)[1])  # type: ignore[index]  # each answer has one
        self.unread = rest
        while len(self.unread) < length:
            self.more()
        body, self.unread = self.unread[:length], self.unread[length:]
        return head, body

    def more(self) -> None:
        got = self.line.recv(65_536)
        assert got, "the connection is closed"
        self.unread += got

    def is_closed(self) -> bool:
        return self.unread == b"" and self.line.recv(1) == b""


@pytest.fixture
def shop(site_of: MakeSite) -> Iterator[Shop]:
    site = site_of("shop")
    short: list[bool] = []
    with contextlib.ExitStack() as stack:
        koban = stack.enter_context(site.open())
        token, reader = (_token(koban, scope) for scope in ("events.write", "events.read"))
        app = asgi(koban)
        way = short_ways(app)[EVENTS]

        def counted(headers: Sequence[tuple[bytes, bytes]]) -> Serve | None:
            serve = way(headers)
            if serve is None:
                short.append(False)
                return None

            def serve_counted(body: bytes, answered: Callable[[Sent], None]) -> bool:
                short.append(serve(body, answered))
                return short[-1]

            return serve_counted

        protocol = bounded_protocol(100, {EVENTS: counted})  # type: ignore[dict-item]  # as a short way is called
        port = stack.enter_context(serving(app, http=protocol, server_header=False))
        shop = Shop(port=port, token=token, reader=reader, site=site, short=short)
        with shop.connect() as line:  # both tokens are remembered from here on
            for each in (token, reader):
                line.send(shop.post(b"[]", token=each))
                line.answer()
        short.clear()
        yield shop


def _token(koban: Koban, scope: str) -> str:
    with koban.database.write() as tx:
        return issue_token(
            tx, koban.clock.now(), koban.randomness, koban.secrets, by=SYSTEM, name=scope, scopes=(scope,), days=1
        )[1]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (None, 200),
        (b'{"specversion":"1.0","id":"q","source":"shop","type":"nothing.known","data":{}}', 422),
        (b'{"specversion":"1.0","id":"q"}', 422),
        (b'{"half": ', 400),
        (b"{" * 3_000, 400),
        (b'{"a": NaN}', 400),
        (b'{"a":1,"a":2}', 400),
        ('{"id":"山","data":"\\ud800"}'.encode(), 422),
    ],
)
def test_it_answers_as_the_long_way_does(shop: Shop, body: bytes | None, status: int) -> None:
    event = shop.event("e1") if body is None else body
    with shop.connect() as line:
        line.send(shop.post(event, "x-request-id: mine"))
        short = line.answer()
        line.send(shop.post(event, "x-request-id: mine", "content-encoding: identity"))
        long = line.answer()
    assert shop.short == [True, False]
    assert short[0].startswith(f"HTTP/1.1 {status} ".encode())
    assert _alike(short) == _alike(long)


def _alike(answer: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return DATE.sub(b"", answer[0]), KEPT.sub(b"quarantine", answer[1])


def test_the_same_id_for_something_else_and_a_missing_scope_are_refused_alike(shop: Shop) -> None:
    other = shop.event("e1", text="another")
    answers = []
    with shop.connect() as line:
        line.send(shop.post(shop.event("e1")))
        assert line.answer()[0].startswith(b"HTTP/1.1 200 ")
        for more in ((), ("content-encoding: identity",)):
            for body, token in ((other, shop.token), (other, shop.reader)):
                line.send(shop.post(body, "x-request-id: mine", *more, token=token))
                answers.append(_alike(line.answer()))
    assert shop.short == [True, True, True, False, False]
    assert answers[:2] == answers[2:]
    assert [head[9:12] for head, _ in answers[:2]] == [b"409", b"403"]


def test_answers_keep_the_order_of_their_requests(shop: Shop) -> None:
    health = b"GET /health HTTP/1.1\r\nhost: koban\r\n\r\n"
    pieces = [shop.post(shop.event("e1")), health, shop.post(shop.event("e2")), shop.post(shop.event("e3")), health]
    with shop.connect() as line:
        line.send(b"".join(pieces))
        bodies = [json.loads(line.answer()[1]) for _ in pieces]
    assert [each.get("id", each.get("status")) for each in bodies] == ["e1", "ok", "e2", "e3", "ok"]
    assert shop.short[0]


def test_a_request_may_come_in_pieces_and_many_after_each_other(shop: Shop) -> None:
    whole = shop.post(shop.event("e1"))
    with shop.connect() as line:
        for place in range(0, len(whole), 40):
            line.send(whole[place : place + 40])
            time.sleep(0.001)
        assert json.loads(line.answer()[1])["id"] == "e1"
        for number in range(2, 30):
            line.send(shop.post(shop.event(f"e{number}")))
            assert json.loads(line.answer()[1])["id"] == f"e{number}"
    assert shop.short == [True] * 29


def test_a_connection_ends_where_its_sender_asks_for_it(shop: Shop) -> None:
    with shop.connect() as line:
        line.send(shop.post(shop.event("e1"), "connection: close"))
        head, body = line.answer()
        assert line.is_closed()
    assert (b"\r\nconnection: close" in head, json.loads(body)["id"]) == (True, "e1")
    assert shop.short == [True]


@pytest.mark.parametrize(
    ("more", "path", "version", "said"),
    [
        (("expect: 100-continue",), "/v1/events", "1.1", b"HTTP/1.1 100 "),
        (("upgrade: h2c", "connection: upgrade"), "/v1/events", "1.1", b"HTTP/1.1 400 "),
        ((), "/v1/events", "1.0", b"HTTP/1.1 200 "),
        ((), "/v1/events?mode=async", "1.1", b"HTTP/1.1 202 "),
        ((), "/v1/%65vents", "1.1", b"HTTP/1.1 200 "),
    ],
)
def test_what_is_unusual_about_a_head_takes_the_long_way(
    shop: Shop, more: tuple[str, ...], path: str, version: str, said: bytes
) -> None:
    with shop.connect() as line:
        line.send(shop.post(shop.event("e1"), *more, path=path, version=version))
        while len(line.unread) < len(said):
            line.more()
        assert line.unread.startswith(said)
    assert shop.short == []


def test_who_is_not_known_is_refused_before_the_body_is_there(shop: Shop) -> None:
    with shop.connect() as line:
        line.send(shop.head(90_000, token="nobody"), b"{")
        assert line.answer()[0].startswith(b"HTTP/1.1 401 ")
    assert shop.short == [False]


def test_a_large_body_and_one_in_chunks_take_the_long_way(shop: Shop) -> None:
    large = shop.event("e1", text="長い" * 20_000)
    small = shop.event("e2")
    chunked = shop.head(0, "transfer-encoding: chunked").replace(b"content-length: 0\r\n", b"")
    with shop.connect() as line:
        line.send(shop.post(large))
        assert json.loads(line.answer()[1])["id"] == "e1"
        line.send(chunked, b"%x\r\n%s\r\n0\r\n\r\n" % (len(small), small))
        assert json.loads(line.answer()[1])["id"] == "e2"
    assert shop.short == []


def test_who_leaves_before_the_answer_disturbs_nobody(shop: Shop) -> None:
    for number in range(20):
        with shop.connect() as line:
            line.send(shop.post(shop.event(f"gone-{number}")))
    with shop.connect() as line:
        line.send(shop.post(shop.event("stays")))
        assert json.loads(line.answer()[1])["id"] == "stays"
        line.send(shop.post(shop.event("gone-7")))
        assert json.loads(line.answer()[1])["id"] == "gone-7"
    assert shop.short[-2:] == [True, True]


def test_who_never_reads_answers_is_written_to_no_more(shop: Shop) -> None:
    with shop.connect() as line:
        line.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.line.settimeout(3)
        many = shop.post(shop.event("e1")) * 100_000
        with pytest.raises(TimeoutError):  # the server stops to read, and what it has written is bounded
            line.send(many)
    with shop.connect() as line:
        line.send(shop.post(shop.event("e2")))
        assert json.loads(line.answer()[1])["id"] == "e2"
