"""Results of a thread reach every coroutine that waits, together or one by one, and nobody else's cancelling touches them."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

import pytest

from koban.base import Relay

Future = concurrent.futures.Future[int]
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Woken(asyncio.SelectorEventLoop):
    """An event loop that counts how often another thread woke it."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self.wakes += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def play(coroutine: Coroutine[Any, Any, T]) -> tuple[T, int]:
    loop = Woken()
    try:
        return loop.run_until_complete(coroutine), loop.wakes
    finally:
        loop.close()


def test_a_batch_wakes_the_event_loop_once() -> None:
    relay, futures = Relay(), [Future() for _ in range(50)]

    def answer() -> None:
        with relay.gather():
            for number, each in enumerate(futures):
                each.set_result(number)

    async def wait() -> list[int]:
        waiting = [asyncio.ensure_future(relay.result(each)) for each in futures]
        await asyncio.sleep(0)
        threading.Thread(target=answer).start()
        return await asyncio.gather(*waiting)

    assert play(wait()) == (list(range(50)), 1)


def test_what_is_answered_outside_a_batch_or_before_anybody_waits_arrives_too() -> None:
    relay, early, late, wrong = Relay(), Future(), Future(), Future()
    early.set_result(1)

    def answer() -> None:
        late.set_result(2)
        wrong.set_exception(ValueError("no"))

    async def wait() -> list[int | BaseException]:
        threading.Timer(0.02, answer).start()
        return await asyncio.gather(*(relay.result(each) for each in (early, late, wrong)), return_exceptions=True)

    (first, second, third), _ = play(wait())
    assert (first, second, str(third)) == (1, 2, "no")


def test_whoever_is_cancelled_only_stops_waiting() -> None:
    relay, future = Relay(), Future()
    future.set_running_or_notify_cancel()

    async def wait() -> int:
        gone = asyncio.ensure_future(relay.result(future))
        stays = asyncio.ensure_future(relay.result(future))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        future.set_result(3)
        return await stays

    assert play(wait())[0] == 3


def test_a_loop_that_is_closed_is_nobody() -> None:
    relay, future, other = Relay(), Future(), Future()

    async def leave() -> None:
        asyncio.ensure_future(relay.result(future))  # noqa: RUF006 - it is to be left alone
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    future.set_result(1)

    async def wait() -> int:
        waiting = asyncio.ensure_future(relay.result(other))
        await asyncio.sleep(0)
        other.set_result(2)
        return await waiting

    assert play(wait())[0] == 2


def test_many_threads_lose_nothing() -> None:
    relay, futures = Relay(), [Future() for _ in range(4_000)]

    def answer(first: int) -> None:
        for number in range(first, len(futures), 4):
            if number % 3:
                futures[number].set_result(number)
            else:
                with relay.gather():
                    futures[number].set_result(number)

    async def wait() -> list[int]:
        threads = [threading.Thread(target=answer, args=(first,)) for first in range(4)]
        waiting = [asyncio.ensure_future(relay.result(each)) for each in futures]
        for each in threads:
            each.start()
        return await asyncio.wait_for(asyncio.gather(*waiting), 60)

    assert play(wait())[0] == list(range(4_000))
