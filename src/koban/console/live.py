"""One worker that works something out once a second for everybody who watches, and the streams that carry it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from koban.base import Unavailable, roam

TICK_S: Final = 1.0
STREAMS_MAX: Final = 500  # readers at once; further ones look every few seconds instead
STREAM_TICKS_MAX: Final = 600  # then the browser comes back, and its session is looked at again
RETRY_MS: Final = 2_000

_log: Final = structlog.get_logger("koban.console")

Parts = Mapping[str, str]  # part of the page -> HTML
Key = tuple[str, str]  # language, and which parts a reader may see


class Broadcast:
    """Computes while somebody watches, one moment for all; renders a moment once for all who see the same.

    Everything but `compute` and `render` runs on the event loop, so nothing here needs a lock; those two run in a thread
    of their own, one at a time, and never in the threads that answer requests.
    """

    def __init__(
        self,
        compute: Callable[[], object],
        render: Callable[[object, Key], Parts],
        *,
        stopping: Callable[[], bool],
        name: str,
        tick_s: float = TICK_S,
    ) -> None:
        """Compute nothing yet: nobody watches."""
        self._compute = compute
        self._render = render
        self._stopping = stopping
        self._name = name
        self._tick_s = tick_s
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="koban-board", initializer=roam)
        self._watching = 0
        self._task: asyncio.Task[None] | None = None
        self._changed: asyncio.Event = asyncio.Event()
        self._number = 0
        self._moment: object = None
        self._rendered: dict[Key, asyncio.Task[Parts]] = {}
        self._encoded: dict[tuple[str, Key, frozenset[str]], bytes] = {}

    @property
    def moment_id(self) -> str:
        """Return what browsers send back as Last-Event-ID."""
        return f"{self._name}.{self._number}"

    def follow(self, key: Key, seen: str) -> AsyncIterator[bytes]:
        """Return a stream of server-sent events: each part of the page whenever it differs from what was sent before.

        Why whole parts: whoever was away needs what is now, not what happened meanwhile; `seen` (the Last-Event-ID)
        only spares them the moment that they have.
        Raises Unavailable when too many watch.
        """
        if self._watching >= STREAMS_MAX:
            raise Unavailable("board", 5, "Too many watch the board at once; it can still be reloaded.")
        return self._follow(key, seen)

    async def _follow(self, key: Key, seen: str) -> AsyncIterator[bytes]:
        self._watching += 1
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            sent: dict[str, str] = {}
            for _ in range(STREAM_TICKS_MAX):
                if self._stopping():
                    return
                self._keep_ticking()
                if self._moment is None or self.moment_id == seen:
                    try:
                        await asyncio.wait_for(self._changed.wait(), timeout=10 * self._tick_s)
                    except TimeoutError:
                        yield _event("beat", seen, {})
                    continue
                seen = self.moment_id
                parts = await self._parts(key)
                new = {name: html for name, html in parts.items() if sent.get(name) != html}
                sent.update(new)
                yield self._bytes_of(seen, key, new)
        finally:
            self._watching -= 1

    def _keep_ticking(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while self._watching and not self._stopping():
            try:
                moment = await loop.run_in_executor(self._pool, self._compute)
            except Exception:  # noqa: BLE001 - an edge: whoever watches goes on waiting, and the page says so
                _log.exception("board_failed")
            else:
                self._moment, self._number = moment, self._number + 1
                self._rendered, self._encoded = {}, {}
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()
            await asyncio.sleep(self._tick_s)

    def _bytes_of(self, number: str, key: Key, new: Parts) -> bytes:
        """Return an event as it is sent, written once for all who are sent the same."""
        name = (number, key, frozenset(new))
        found = self._encoded.get(name)
        if found is None:
            found = self._encoded[name] = _event("parts" if new else "beat", number, new)
        return found

    async def _parts(self, key: Key) -> Parts:
        task = self._rendered.get(key)
        if task is None:
            task = self._rendered[key] = asyncio.create_task(self._render_later(key, self._moment))
        return await asyncio.shield(task)

    async def _render_later(self, key: Key, moment: object) -> Parts:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._render, moment, key)


def _event(name: str, number: str, data: Mapping[str, str]) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
