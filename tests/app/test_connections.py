"""What a sender may take of a connection: so much head, so much time, so many at once."""

import asyncio
import dataclasses
import gc
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from koban.access import Sent
from koban.app.connections import bounded_protocol
from koban.base import limits

HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\n"
BODY = b'{"a": "a body of some length"}'
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


async def _nothing(_scope: object, _receive: object, _send: object) -> None:
    """Serve nothing."""


class Task:
    def add_done_callback(self, _callback: Callable[..., object]) -> None:
        pass


class Handle:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop whose time passes when a test says so, and whose tasks are never begun."""

    def __init__(self) -> None:
        self.looks: list[tuple[Handle, Callable[[], object]]] = []
        self.soon: list[Callable[[], object]] = []

    def call_later(
        self, _delay: float, callback: Callable[..., object], *_args: object, **_more: object
    ) -> Any:  # Any: a handle
        self.looks.append((Handle(), callback))
        return self.looks[-1][0]

    def call_soon(self, callback: Callable[..., object]) -> None:
        self.soon.append(callback)

    def create_task(self, coroutine: Coroutine[Any, Any, Any], **_more: object) -> Any:  # Any: a task
        coroutine.close()
        return Task()

    def look(self) -> None:
        waiting, self.looks = self.looks, []
        for handle, callback in waiting:
            if not handle.cancelled:
                callback()


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written, self.is_closed, self.is_paused = b"", False, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


@dataclasses.dataclass
class Way:
    """A short way that takes what comes, and is answered when a test says so."""

    waiting: list[Callable[[Sent], None]] = dataclasses.field(default_factory=list)

    def __call__(self, _headers: Sequence[tuple[bytes, bytes]]) -> Callable[[bytes, Callable[[Sent], None]], bool]:
        return self.serve

    def serve(self, _body: bytes, answered: Callable[[Sent], None]) -> bool:
        self.waiting.append(answered)
        return True

    def answer(self) -> None:
        self.waiting.pop(0)(Sent(status=204, headers=[], body=b""))


@dataclasses.dataclass
class Door:
    """A server's connections without a network."""

    loop: Loop = dataclasses.field(default_factory=Loop)
    state: ServerState = dataclasses.field(default_factory=ServerState)
    config: uvicorn.Config = dataclasses.field(default_factory=lambda: uvicorn.Config(_nothing, log_config=None))

    def connect(
        self, most_open: int = 10, short_ways: Mapping[tuple[bytes, bytes], Any] | None = None
    ) -> tuple[Any, Transport]:  # Any: the protocol, and what is called as a short way is
        if not self.config.loaded:
            self.config.load()
        protocol = bounded_protocol(most_open, short_ways)(self.config, self.state, {}, self.loop)  # type: ignore[arg-type]  # what of a loop it uses
        transport = Transport()
        protocol.connection_made(transport)
        return protocol, transport


@pytest.fixture
def door() -> Door:
    return Door()


def test_who_sends_half_a_head_is_cut_off_at_the_next_look(door: Door) -> None:
    for sent in (b"P", b"POST", HEAD):
        protocol, transport = door.connect()
        protocol.data_received(sent)
        door.loop.look()
        assert transport.written.startswith(b"HTTP/1.1 408 "), sent
        assert transport.is_closing()


def test_a_connection_that_was_opened_ahead_stays_as_long_as_one_that_is_kept(door: Door) -> None:
    door.config.timeout_keep_alive = 3 * int(limits.SENDER_LOOK_EVERY_S)
    for looks in range(3):
        protocol, transport = door.connect()
        for _ in range(looks):
            door.loop.look()
        protocol.data_received(HEAD + b"\r\n")
        door.loop.look()
        assert (transport.is_closing(), transport.written) == (False, b"")
    _, idle = door.connect()
    for _ in range(3):
        assert not idle.is_closing()
        door.loop.look()
    assert (idle.is_closing(), idle.written) == (True, b""), "nobody asked, so nobody is answered"


def test_a_body_may_take_as_long_as_it_keeps_coming(door: Door) -> None:
    protocol, transport = door.connect()
    protocol.data_received(HEAD + b"Content-Length: 99999999\r\n\r\n")
    for _ in range(20):
        protocol.data_received(b"x" * limits.SENDER_BYTES_MIN)
        protocol.cycle.body = bytearray()  # somebody reads it
        protocol.flow.resume_reading()
        door.loop.look()
        assert not transport.is_closing()
    protocol.data_received(b"x" * (limits.SENDER_BYTES_MIN - 1))
    protocol.flow.resume_reading()
    door.loop.look()
    assert transport.is_closing()


def test_a_body_that_nobody_reads_yet_is_not_its_senders_fault(door: Door) -> None:
    protocol, transport = door.connect()
    protocol.data_received(HEAD + b"Content-Length: 99999999\r\n\r\n" + b"x" * 100_000)
    assert transport.is_paused
    for _ in range(5):
        door.loop.look()
    assert not transport.is_closing()


@pytest.mark.parametrize(
    "more", [b"", b"X: 1\r\nContent-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"]
)
def test_a_whole_request_is_waited_for_no_longer(door: Door, more: bytes) -> None:
    protocol, transport = door.connect()
    whole = HEAD + (more or b"\r\n")
    for place in range(0, len(whole), 7):
        protocol.data_received(whole[place : place + 7])
    door.loop.look()
    assert (transport.written, transport.is_closing()) == (b"", False)


@pytest.mark.parametrize(
    "head", [b"GET /" + b"a" * 30_000, HEAD + b"X: ", b"".join((HEAD, *(b"X-%d: a\r\n" % n for n in range(99))))]
)
def test_a_head_that_does_not_end_is_cut_off(door: Door, head: bytes) -> None:
    protocol, transport = door.connect()
    protocol.data_received(head)
    assert not transport.is_closing()
    for _ in range(9):
        if not transport.is_closing():
            protocol.data_received(b"a" * 8_000 if head.endswith(b": ") or b"\r" not in head else b"Y: b\r\n" * 2_000)
    assert transport.is_closing()
    assert transport.written[:12] in {b"HTTP/1.1 431", b"HTTP/1.1 400"}


def test_many_requests_in_a_row_are_no_head_that_does_not_end(door: Door) -> None:
    protocol, transport = door.connect()
    many = (HEAD + b"Content-Length: 3\r\n\r\nabc") * 3_000
    assert len(many) > 2 * limits.HEAD_BYTES_MAX
    protocol.data_received(many + HEAD)
    most = len(protocol.pipeline)
    while protocol.pipeline or door.loop.soon:
        protocol.on_response_complete()
        while door.loop.soon:
            door.loop.soon.pop()()
        most = max(most, len(protocol.pipeline))
    assert 0 < most < 1_000, "what waits is read piece by piece"
    assert (transport.written, transport.is_closing()) == (b"", False)
    for _ in range(9):
        protocol.data_received(b"Y: " + b"b" * 8_000 + b"\r\n")
    assert transport.is_closing()


def test_chunks_that_are_nearly_all_border_are_cut_off(door: Door) -> None:
    protocol, transport = door.connect()
    protocol.data_received(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(3_000):
        protocol.data_received(b"1\r\na\r\n" * 10)
    assert not transport.is_closing(), "a byte in a chunk of its own is a body like any other"
    protocol.data_received(b"1;" + b"e" * 300_000)
    assert transport.is_closing()


def test_past_the_most_that_may_be_open_a_connection_is_told_to_come_back(door: Door) -> None:
    kept = [door.connect(most_open=2) for _ in range(2)]
    refused, third = door.connect(most_open=2)
    assert third.written.startswith(b"HTTP/1.1 503 ")
    assert third.is_closing()
    assert [transport.is_closing() for _, transport in kept] == [False, False]
    kept[0][0].connection_lost(None)
    refused.connection_lost(None)
    assert not door.connect(most_open=2)[1].is_closing()


def test_a_kept_connection_keeps_no_body(door: Door) -> None:
    way = Way()
    protocol, transport = door.connect(short_ways={(b"POST", b"/x"): way})
    protocol.data_received(WHOLE)
    way.answer()
    assert transport.written.startswith(b"HTTP/1.1 204 ")
    assert BODY not in vars(protocol).values()


@pytest.mark.parametrize("answered_first", [True, False])
def test_a_connection_that_is_lost_is_no_garbage_that_somebody_has_to_find(door: Door, *, answered_first: bool) -> None:
    way = Way()
    protocol, _ = door.connect(short_ways={(b"POST", b"/x"): way})
    protocol.data_received(WHOLE)
    gc.disable()
    try:
        if answered_first:
            way.answer()
        protocol.connection_lost(None)
        if not answered_first:
            way.answer()
        door.loop.looks.clear()
        left = weakref.ref(protocol)
        del protocol
        assert left() is None
    finally:
        gc.enable()


def test_a_stop_waits_for_a_request_that_is_half_way(door: Door) -> None:
    protocol, transport = door.connect(short_ways={(b"POST", b"/x"): Way()})
    protocol.data_received(WHOLE[:-9])
    protocol.shutdown()
    protocol.data_received(WHOLE[-9:])
    assert not transport.is_closing()
    assert (protocol.cycle.body, protocol.cycle.more_body, protocol.cycle.keep_alive) == (BODY, False, False)


@pytest.mark.parametrize("is_short", [True, False])
@pytest.mark.parametrize("behind", [b"\0 no request", HEAD, HEAD + b"X: "])
def test_a_refusal_is_not_taken_for_the_answer_of_the_request_before(
    door: Door, behind: bytes, *, is_short: bool
) -> None:
    protocol, transport = door.connect(short_ways={(b"POST", b"/x"): Way()} if is_short else None)
    protocol.data_received(WHOLE + behind)
    if behind.endswith(b"X: "):
        protocol.data_received(b"x" * 2 * limits.HEAD_BYTES_MAX)
    door.loop.look()
    assert (transport.written, transport.is_closing()) == (b"", True)


def test_who_leaves_with_several_requests_under_way_is_no_fault_of_the_one_being_answered(door: Door) -> None:
    protocol, _ = door.connect()
    protocol.data_received(WHOLE)
    answering = protocol.cycle
    protocol.data_received(WHOLE)
    protocol.connection_lost(None)
    assert protocol.cycle is not answering
    assert (answering.disconnected, answering.message_event.is_set()) == (True, True)


def test_nothing_more_is_read_while_requests_wait_for_their_turn(door: Door) -> None:
    way = Way()
    protocol, transport = door.connect(short_ways={(b"POST", b"/x"): way})
    protocol.data_received(WHOLE * 3)
    way.answer()
    paused = [transport.is_paused]
    for _ in range(2):  # the second and the third are answered
        protocol.on_response_complete()
        paused.append(transport.is_paused)
    assert paused == [True, True, False]
