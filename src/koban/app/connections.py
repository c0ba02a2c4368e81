"""One HTTP connection at the border: a sender who is too slow, or whose head never ends, is cut off and holds nothing.

Why here: the server beneath waits for the end of a request for ever and keeps whatever head comes, so a few hundred open
sockets, or one endless header, would take a process down that otherwise bounds everything. And a usual request of which
many come is answered here the short way (`koban.access.shortcut`), past what the server wraps around each.
"""

import asyncio
import functools
import resource
from collections.abc import Collection, Mapping
from typing import ClassVar, Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from koban.access import Sent, Serve, ShortWay
from koban.base import limits

ShortWays = Mapping[tuple[bytes, bytes], ShortWay]  # by method and address

_REFUSALS: Final = {
    408: b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    503: b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
}
_SHORT_DIGITS_MAX: Final = 5  # of the length of a body that goes the short way, which is held until it is whole
_PIECE_BYTES: Final = 16 * 1024  # of what came, read before it is seen whether requests wait
FILES_APART: Final = 256  # descriptors for the database, threads' pipes, calls to others


def allow_connections() -> int:
    """Take as many descriptors as the system gives; return how many connections may be open at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.CONNECTIONS_MAX + FILES_APART
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return (
        limits.CONNECTIONS_MAX
        if soft == resource.RLIM_INFINITY
        else max(16, min(limits.CONNECTIONS_MAX, soft - FILES_APART))
    )


def bounded_protocol(most_open: int, short_ways: ShortWays | None = None) -> "type[BoundedProtocol]":
    """Return the protocol of a server that lets so many connections be open at a time, and knows these short ways."""
    return type("BoundedProtocol", (BoundedProtocol,), {"most_open": most_open, "short_ways": short_ways or {}})


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose requests have to come within bounds. `most_open`: connections at a time, of all."""

    most_open = limits.CONNECTIONS_MAX
    short_ways: ShortWays = {}  # noqa: RUF012 - a mapping that nobody writes to
    look_every_s: float = limits.SENDER_LOOK_EVERY_S

    _is_whole = False  # whether no request is half-way
    _ended = False  # whether a request ended in what came last
    _is_behind = False  # whether the request that is half-way began behind it
    _has_head = False
    _received = 0  # bytes of the request that is half-way
    _in_body = 0  # of them, those of the body
    _seen = 0  # bytes at the last look
    _looks = 0  # in vain, at a connection on which nothing came yet
    _look: asyncio.TimerHandle | None = None
    _serve: Serve | None = None  # the short way of the request that is half-way
    _short_body = b""
    _answering: "RequestResponseCycle | _Reply | None" = None  # the request whose turn it is, or was last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base does
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._unread = bytearray()  # what came behind requests that wait for their turn
        self.flow = _Flow(transport, (self.pipeline, self._unread))
        if len(self.connections) > self.most_open:
            self._refuse(503)
            return
        self._look = self.loop.call_later(self.look_every_s, self._look_again)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting, and tell whoever makes an answer: the server beneath tells the last of several requests alone."""
        self._stop_looking()
        super().connection_lost(exc)
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Read what came, but for what is behind requests that wait for their turn: each of them takes 2 KB."""
        for start in range(0, len(data), _PIECE_BYTES):
            if self._unread or (start and self.pipeline):
                self._unread += data[start:]
                return
            self._read(data if len(data) <= _PIECE_BYTES else data[start : start + _PIECE_BYTES])
            if self.transport.is_closing():
                return

    def on_response_complete(self) -> None:
        """Go on with the next request, and read on when it is the last that waited."""
        super().on_response_complete()
        if self._unread and not self.pipeline:
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._unread or self.pipeline or self.transport.is_closing():
            return
        data = bytes(self._unread)
        self._unread.clear()
        self.data_received(data)
        self.flow.resume_reading()  # whoever waits for the rest of a body asked for it in vain

    def _read(self, data: bytes) -> None:
        """Read a piece of what came; nearly always that is a whole request."""
        self._is_behind = self._ended = False
        super().data_received(data)
        if self._is_whole:
            self._stop_looking()
            return
        # Where a request began behind the end of another nobody says where: of these bytes its body alone is counted.
        self._received += self._in_body + 1 if self._is_behind else len(data)
        if self._received - self._in_body > limits.HEAD_BYTES_MAX + self._in_body * limits.CHUNK_OVERHEAD_MAX:
            self._refuse(431)
        elif self._look is None:
            self._look = self.loop.call_later(self.look_every_s, self._look_again)

    def on_message_begin(self) -> None:
        """Note that a request began."""
        self._is_whole = self._has_head = False
        self._received = self._in_body = self._seen = 0
        self._is_behind = self._ended
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the body comes next."""
        self._has_head = True
        self._serve, self._short_body = self._find_short_way(), b""
        if self._serve is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count the body apart: how large it may be is the route's to say."""
        self._in_body += len(body)
        if self._serve is None:
            super().on_body(body)
        else:
            self._short_body += body

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self._is_whole = self._ended = True
        serve, body = self._serve, self._short_body
        if serve is None or not self._answer_shortly(serve, body):
            self._leave_short_way()
            super().on_message_complete()
        self._serve, self._short_body = None, b""  # a connection that is kept must not keep the body

    def shutdown(self) -> None:
        """Close as soon as what is under way is answered; a request that is half-way still may come whole."""
        self._leave_short_way()
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read."""
        if self._may_refuse():
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _find_short_way(self) -> Serve | None:
        """Return the short way of a request whose head is there, if it has one and nothing about it is unusual."""
        way = self.short_ways.get((self.parser.get_method(), self.url))
        if (
            way is None
            or (self.cycle is not None and not self.cycle.response_complete)
            or self.flow.write_paused  # answers that nobody reads must not pile up
            or self.expect_100_continue
            or self.parser.should_upgrade()
            or self.parser.get_http_version() != "1.1"
        ):
            return None
        length = dict(self.headers).get(b"content-length", b"")
        return way(self.headers) if 0 < len(length) <= _SHORT_DIGITS_MAX else None

    def _answer_shortly(self, serve: Serve, body: bytes) -> bool:
        reply = _Reply(keep_alive=self.parser.should_keep_alive())
        before, self.cycle = self.cycle, reply  # type: ignore[assignment]  # what the server beneath asks of it
        if serve(body, functools.partial(self._send, reply)):
            self._answering = reply
            return True
        self.cycle = before
        return False

    def _leave_short_way(self) -> None:
        """Let a request that has a short way go the long one, with what is there of it."""
        if self._serve is not None:
            self._serve = None
            super().on_headers_complete()
            super().on_body(self._short_body)

    def _send(self, reply: "_Reply", sent: Sent) -> None:
        """Write the answer to a request that went the short way, unless its caller has left."""
        reply.response_started = reply.response_complete = True
        if reply.disconnected or self.transport.is_closing():
            return
        lines = [STATUS_LINE[sent.status]]
        for name, value in (*self.server_state.default_headers, *sent.headers):
            lines += (name, b": ", value, b"\r\n")
        if not reply.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", sent.body)
        self.transport.write(b"".join(lines))
        if not reply.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _look_again(self) -> None:
        self._look = None
        if not self._received and not self._is_whole:
            # Opened ahead, as browsers and pools do: it may stay as long as one that is kept after a request.
            self._looks += 1
            if self._looks * self.look_every_s >= self.timeout_keep_alive:
                self.transport.close()
            else:
                self._look = self.loop.call_later(self.look_every_s, self._look_again)
            return
        came, self._seen = self._received - self._seen, self._received
        # A body that nobody reads yet is not its sender's fault.
        if self.flow.read_paused or (self._has_head and came >= limits.SENDER_BYTES_MIN):
            self._look = self.loop.call_later(self.look_every_s, self._look_again)
        else:
            self._refuse(408)

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _refuse(self, status: int) -> None:
        self._stop_looking()
        if self.transport.is_closing():
            return
        if self._may_refuse():
            self.transport.write(_REFUSALS[status])
        self.transport.close()

    def _may_refuse(self) -> bool:
        """Tell whether what is written now is taken for the answer to the request that is half-way, and to none before it."""
        answering = self._answering
        if answering is None or answering.response_complete:
            return True
        is_half_way = answering is self.cycle and self._has_head and not self._is_whole and self._serve is None
        return is_half_way and not answering.response_started


class _Flow(FlowControl):
    """Whether the connection is read from: not while requests wait behind the one whose turn it is.

    The server beneath reads on after each answer, and thousands of small requests come with one read: 5 MB of them,
    sent by somebody unknown, took 340 MB.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Collection[Collection[object]]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not any(self._waiting):
            super().resume_reading()


class _Reply:
    """How far the answer to a request that went the short way is, in the place of the server's own: later ones wait for it.

    It does not know its connection, which knows it: garbage in cycles is looked for seldom (`koban.app.garbage`).
    """

    message_event: ClassVar = asyncio.Event()  # set when the connection is lost; nobody waits for it

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_started = self.response_complete = self.disconnected = False
