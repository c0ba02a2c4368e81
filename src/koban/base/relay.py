"""Results that a thread makes, handed to coroutines that wait for them: one wake-up of their event loop for many results."""

import asyncio
import collections
import concurrent.futures
import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

T = TypeVar("T")


class _Waiting(NamedTuple):
    loop: asyncio.AbstractEventLoop
    told: "Callable[[concurrent.futures.Future[Any]], None]"  # Any: what each one waits for is its own affair
    done: "concurrent.futures.Future[Any]"


class Relay:
    """Where coroutines wait for a thread. Safe to use from several threads and event loops.

    Why not `asyncio.wrap_future`: it writes to the loop's wake-up socket for every result, and gives the interpreter's
    lock away each time, so that a thread with ten answers is interrupted ten times. And it cancels the thread's future
    when whoever waits is cancelled, although the work is done all the same.
    """

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._ready: Final[collections.deque[_Waiting]] = collections.deque()
        self._gathers = False

    async def result(self, future: "concurrent.futures.Future[T]") -> T:
        """Wait for a result. Whoever is cancelled meanwhile only stops waiting."""
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.tell(future, functools.partial(_settle, waiter))
        return await waiter

    def tell(
        self,
        future: "concurrent.futures.Future[T]",
        told: "Callable[[concurrent.futures.Future[T]], None]",
    ) -> None:
        """Call `told` with the future once it has its result, later, on the event loop that is running here."""
        future.add_done_callback(functools.partial(self._take, asyncio.get_running_loop(), told))

    @contextlib.contextmanager
    def gather(self) -> Iterator[None]:
        """Hold back what becomes ready within this block, and hand it over together at its end. One thread's at a time."""
        self._gathers = True
        try:
            yield
        finally:
            self._gathers = False
            self._hand_over()

    def _take(
        self,
        loop: asyncio.AbstractEventLoop,
        told: "Callable[[concurrent.futures.Future[T]], None]",
        done: "concurrent.futures.Future[T]",
    ) -> None:
        self._ready.append(_Waiting(loop, told, done))
        if not self._gathers:
            self._hand_over()

    def _hand_over(self) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        while True:
            # Taken one by one: several threads may be here, and none may take what another one took.
            try:
                one = self._ready.popleft()
            except IndexError:
                break
            by_loop.setdefault(one.loop, []).append(one)
        for loop, ready in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, ready)


def _tell(ready: Sequence[_Waiting]) -> None:
    for loop, told, done in ready:
        try:
            told(done)
        except Exception as error:  # noqa: BLE001 - an edge: a failure of one must not keep the others from their results
            loop.call_exception_handler({"message": "a result could not be handed over", "exception": error})


def _settle(waiter: "asyncio.Future[T]", done: "concurrent.futures.Future[T]") -> None:
    if waiter.done():
        return  # cancelled meanwhile
    if done.cancelled():
        waiter.cancel()
    elif (error := done.exception()) is not None:
        waiter.set_exception(error)
    else:
        waiter.set_result(done.result())
