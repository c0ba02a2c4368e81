"""The short way of a request: served once, or left to the long way before anything was counted."""

import asyncio
import concurrent.futures
import contextlib
import random
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
from starlette.applications import Starlette

from koban.access import (
    Answer,
    Call,
    Endpoint,
    Gate,
    Guarded,
    Principal,
    Rate,
    Sent,
    Shortcut,
    build_routes,
    endpoint,
    short_ways,
)
from koban.access.permissions import grants_of_scopes
from koban.access.web import Caller
from koban.base import Instant, ManualClock, Refusal, Relay, Unavailable

START = Instant(1_800_000_000_000_000)
GOOD = ((b"authorization", b"Bearer koban_good"), (b"content-type", b"application/json"))
Result = concurrent.futures.Future[str]


class Remembered:
    """A directory that remembers who may send, and somebody who may only read."""

    def recall(self, kind: str, secret: str, at: Instant) -> Caller | None:  # noqa: ARG002 - the protocol's names
        scopes = {"koban_good": ("events.write",), "koban_reader": ("events.read",)}.get(secret)
        if kind != "bearer" or scopes is None:
            return None
        return Caller(principal=Principal(kind="token", id=secret, name="shop", grants=grants_of_scopes(scopes)))

    def look_up(self, kind: str, secret: str, at: Instant) -> Caller | None:
        raise AssertionError((kind, secret, at))


class Odd(Refusal):
    code = "odd"
    status = 409
    title = "It is odd."


class Counter:
    """An endpoint that answers later with what a thread says; what it was given can be looked at."""

    def __init__(self) -> None:
        self.relay = Relay()
        self.begun: list[tuple[bytes, Result]] = []

    def begin(self, body: bytes, _at: Instant) -> Result:
        if body == b"{odd":
            raise Odd("nobody takes that")
        if body == b"{bug":
            raise ZeroDivisionError("secret detail")
        self.begun.append((body, concurrent.futures.Future()))
        return self.begun[-1][1]

    def end(self, said: str) -> Answer:
        if said == "odd":
            raise Odd("it turned out odd")
        if said == "bug":
            raise ZeroDivisionError("secret detail")
        return Answer(body={"said": said})

    def described(self) -> Endpoint:
        async def take(_call: Call) -> object:
            await asyncio.sleep(0)
            return None

        return endpoint(
            "POST", "/v1/count", "events.write", take, summary="Count", body=bytes, blocking=False,
            shortcut=Shortcut(
                fits=lambda media, body: media == b"application/json" and body[:1] == b"{",
                begin=self.begin, end=self.end, relay=self.relay,
            ),
        )  # fmt: skip


class Door:
    """The short way of the counter, and what came out of it, on an event loop."""

    def __init__(self, gate: Gate, counter: Counter) -> None:
        routes = build_routes([counter.described()], gate)
        (self.way,) = short_ways(Guarded(Starlette(routes=routes), gate, routes)).values()
        self.loop = asyncio.new_event_loop()
        self.sent: list[Sent] = []

    def ask(self, headers: Sequence[tuple[bytes, bytes]] = GOOD, body: bytes = b"{}") -> bool:
        async def on_the_loop() -> bool:
            return self.served(headers, body, self.sent.append)

        return self.loop.run_until_complete(on_the_loop())

    def served(self, headers: Sequence[tuple[bytes, bytes]], body: bytes, answered: Callable[[Sent], None]) -> bool:
        serve = self.way(headers)
        return serve is not None and serve(body, answered)

    def turn(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0))

    @property
    def said(self) -> list[tuple[int, dict[str, object]]]:
        return [(each.status, msgspec.json.decode(each.body)) for each in self.sent]


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def open_door(counter: Counter) -> Iterator[Callable[[Rate], Door]]:
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))

        def open_(rate: Rate) -> Door:
            gate = Gate(
                clock=ManualClock(START),
                randomness=random.Random(1),
                directory=Remembered(),
                pool=pool,
                known_rate=rate,
            )
            door = Door(gate, counter)
            stack.callback(door.loop.close)
            return door

        yield open_


@pytest.fixture
def door(open_door: Callable[[Rate], Door]) -> Door:
    return open_door(Rate(per_s=1, burst=3))


def test_it_is_answered_when_the_thread_is_done(door: Door, counter: Counter) -> None:
    assert door.ask((*GOOD, (b"x-request-id", b"mine-1")), b'{"a":1}')
    door.turn()
    assert door.sent == []
    [(body, result)] = counter.begun
    result.set_result("yes")
    door.turn()
    assert (body, door.said) == (b'{"a":1}', [(200, {"said": "yes"})])
    headers = dict(door.sent[0].headers)
    assert headers[b"x-request-id"] == b"mine-1"
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == str(len(door.sent[0].body)).encode()
    assert headers[b"cache-control"] == b"no-store"
    assert b"content-security-policy" in headers


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((), b"{}"),
        ((GOOD[0],), b"{}"),
        (((b"authorization", b"Basic koban_good"), GOOD[1]), b"{}"),
        (((b"authorization", b"Bearer"), GOOD[1]), b"{}"),
        (((b"authorization", b"Bearer unknown"), GOOD[1]), b"{}"),
        (((b"cookie", b"koban_session=koban_good"), GOOD[1]), b"{}"),
        ((*GOOD, (b"content-encoding", b"gzip")), b"{}"),
        ((*GOOD, (b"content-encoding", b"identity")), b"{}"),
        (GOOD, b""),
        (GOOD, b"[]"),
    ],
)
def test_the_unusual_is_left_to_the_long_way_and_nothing_was_taken(
    door: Door, counter: Counter, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> None:
    for _ in range(9):  # more than the bucket holds
        assert not door.ask(headers, body)
    assert (door.sent, counter.begun) == ([], [])
    assert door.ask()
    assert len(counter.begun) == 1


def test_more_than_the_rate_allows_is_refused(door: Door, counter: Counter) -> None:
    assert all(door.ask() for _ in range(4))
    assert len(counter.begun) == 3
    assert [(status, said["code"]) for status, said in door.said] == [(429, "too_many_requests")]
    assert dict(door.sent[0].headers)[b"retry-after"] == b"1"


def test_a_refusal_comes_later_too(door: Door) -> None:
    async def ask() -> None:
        assert door.served(GOOD, b"{odd", door.sent.append)
        assert door.sent == [], "what is sent behind it would find the connection idle, and be cut off as idle ones are"

    door.loop.run_until_complete(ask())
    door.turn()
    assert [status for status, _ in door.said] == [409]


def test_without_a_grant_nothing_is_taken(door: Door, counter: Counter) -> None:
    assert door.ask(((b"authorization", b"Bearer koban_reader"), GOOD[1]))
    assert [(status, said["code"]) for status, said in door.said] == [(403, "not_allowed")]
    assert counter.begun == []


def test_refusals_are_answered_whenever_they_come_and_bugs_tell_nothing(
    open_door: Callable[[Rate], Door], counter: Counter
) -> None:
    door = open_door(Rate(per_s=99, burst=99))
    for body in (b"{odd", b"{bug", b"{1", b"{2", b"{3", b"{4"):
        assert door.ask(GOOD, body)
    results = [result for _, result in counter.begun]
    results[0].set_result("odd")
    results[1].set_result("bug")
    results[2].set_exception(Unavailable("decider", 5))
    results[3].set_result("yes")
    door.turn()
    assert [(status, said.get("code")) for status, said in door.said] == [
        (409, "odd"),
        (500, "internal"),
        (409, "odd"),
        (500, "internal"),
        (503, "unavailable"),
        (200, None),
    ]
    assert b"secret" not in b"".join(each.body for each in door.sent)
    assert dict(door.sent[4].headers)[b"retry-after"] == b"5"
    assert dict(door.sent[0].headers)[b"content-type"] == b"application/problem+json"


def test_a_connection_that_fails_keeps_nobody_else_from_an_answer(door: Door, counter: Counter) -> None:
    failed: list[object] = []
    door.loop.set_exception_handler(lambda _loop, context: failed.append(context["exception"]))

    async def ask() -> None:
        def break_off(_sent: Sent) -> None:
            raise ConnectionError("torn")

        assert door.served(GOOD, b"{}", break_off)
        assert door.served(GOOD, b"{}", door.sent.append)

    door.loop.run_until_complete(ask())
    with counter.relay.gather():
        for _, result in counter.begun:
            result.set_result("yes")
    door.turn()
    assert [status for status, _ in door.said] == [200]
    assert [str(each) for each in failed] == ["torn"]
