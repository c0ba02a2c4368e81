"""One decision over HTTP at a fixed rate of arrivals, timed from when each was due, by a process of its own.

Open loop: an event is sent when it is due, whatever became of those before it, and its latency counts from then; a
server that stalls cannot hide it by keeping the sender from sending.
"""

import asyncio
import collections
import gc
import json
import pathlib
import selectors
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Final

from bench.measure import FULL, Row, Size, quantile, run_child
from bench.pack import write_pack
from bench.server import cpu_of, serving
from bench.station import bench_bodies
from koban.base import limits

CONNECTIONS: Final = 400  # so many that an event never waits for a connection before the server is hopelessly late
WARM_S: Final = 3


def measure_http(size: Size) -> list[Row]:
    """Measure single events at the target rate and below it, then batches."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="koban-bench-") as name:
        folder = pathlib.Path(name)
        pack = write_pack(folder / "pack")
        with serving(folder / "data", pack) as server:
            for rate, batch in ((size.rate // 4, 1), (size.rate, 1), (max(1, size.rate // 100), 100)):
                door = (str(server.port), server.token)
                run_child("bench.over_http", *door, "warm", str(rate), str(min(WARM_S, size.http_s)), str(batch), "0")
                before = cpu_of(server.pid)
                # Not counted: what comes before each event has feature records of earlier ones written back.
                early = limits.FEATURES_BEHIND_MAX // rate if rate == FULL.rate else 0
                asked = (str(rate), str(early + size.http_s), str(batch), str(early))
                said = json.loads(run_child("bench.over_http", *door, "timed", *asked))
                used = cpu_of(server.pid) - before
                rows += _rows(said, rate, batch, used)
    return rows


def _rows(said: dict[str, float], rate: int, batch: int, cpu_s: float) -> list[Row]:
    what = f"{rate:,} events/s, one each" if batch == 1 else f"{rate:,} batches/s of {batch} events"
    note = (
        f"{said['sent']:,.0f} requests, {said['refused']:.0f} refused; {cpu_s / said['sent'] / batch * 1e6:.0f} µs of "
        f"server CPU an event, sender {said['cpu_us']:.0f} µs a request and up to {said['behind_ms']:.0f} ms behind"
    )
    target = 20.0 if batch == 1 else None
    return [
        Row(bench="http", what=f"{what}: p50", value=said["p50"], unit="ms", note=note),
        Row(bench="http", what=f"{what}: p99", value=said["p99"], unit="ms", target=target),
        Row(bench="http", what=f"{what}: p99.9", value=said["p999"], unit="ms"),
    ]


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on its way."""

    def __init__(self, sender: "_Sender") -> None:
        self._sender = sender
        self._received = b""
        self._due = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, due: float, request: bytes) -> None:
        self._due = due
        self._transport.write(request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sender.lost(self, exc)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        length = int(lowered.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._received = b""
        self._sender.answered(self, self._due, ok=head.startswith(b"HTTP/1.1 200"))


class _Sender:
    """Sends requests when they are due and notes how long each answer took."""

    def __init__(self, expected: int, counted_from: float) -> None:
        self.done = asyncio.Event()
        self._counted_from = counted_from
        self._answered = 0
        self._expected = expected
        self.free: collections.deque[_Connection] = collections.deque()
        self.waiting: collections.deque[tuple[float, bytes]] = collections.deque()
        self.latencies: list[float] = []
        self.refused = 0
        self.behind = 0.0
        self.failed: Exception | None = None

    def due(self, at: float, request: bytes) -> None:
        """Send now, or as soon as a connection is free."""
        if self.free:
            self.free.pop().send(at, request)  # the one used last: the server closes those that are long idle
        else:
            self.waiting.append((at, request))

    def lost(self, connection: _Connection, error: Exception | None) -> None:
        """Let an idle connection go; else end: an answer that never comes must not be left out of the figures."""
        if connection in self.free:
            self.free.remove(connection)
        elif not self.done.is_set():
            self.failed = error or ConnectionError("the server closed a connection")
            self.done.set()

    def answered(self, connection: _Connection, due: float, *, ok: bool) -> None:
        if due >= self._counted_from:
            self.latencies.append((time.perf_counter() - due) * 1_000)
        self.refused += not ok
        self._answered += 1
        if self._answered == self._expected:
            self.done.set()
        if self.waiting:
            connection.send(*self.waiting.popleft())
        else:
            self.free.append(connection)


async def _send(port: int, requests: Sequence[bytes], rate: float, early: int) -> _Sender:
    start = time.perf_counter() + 0.5
    sender = _Sender(len(requests), start + early)
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        _, connection = await loop.create_connection(lambda: _Connection(sender), "127.0.0.1", port)
        sender.free.append(connection)
    for number, request in enumerate(requests):
        at = start + number / rate
        wait = at - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        sender.behind = max(sender.behind, time.perf_counter() - at)
        sender.due(at, request)
    await sender.done.wait()
    if sender.failed is not None:
        raise sender.failed
    return sender


def main(port: int, token: str, prefix: str, *, rate: int, seconds: int, batch: int, early: int) -> dict[str, float]:
    """Send for some seconds and return the figures; what is due in the first `early` seconds is not counted."""
    bodies = bench_bodies(rate * seconds * batch, batch, seed=rate, prefix=f"{prefix}-{rate}-{batch}")
    requests = [_request(body if batch > 1 else body[1:-1], token) for body in bodies]
    gc.collect()
    gc.disable()  # a search for garbage here would count as the server's time
    # select() waits to the microsecond, where epoll and uvloop round to milliseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    cpu = time.process_time()
    sender = loop.run_until_complete(_send(port, requests, rate, early))
    cpu = time.process_time() - cpu
    loop.close()
    return {
        "sent": len(requests),
        "refused": sender.refused,
        "behind_ms": sender.behind * 1_000,
        "cpu_us": cpu / len(requests) * 1e6,
        "p50": quantile(sender.latencies, 0.5),
        "p99": quantile(sender.latencies, 0.99),
        "p999": quantile(sender.latencies, 0.999),
    }


def _request(body: bytes, token: str) -> bytes:
    head = (
        "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    _rate, _seconds, _batch, _early = map(int, sys.argv[4:])
    _door = (int(sys.argv[1]), sys.argv[2], sys.argv[3])
    print(json.dumps(main(*_door, rate=_rate, seconds=_seconds, batch=_batch, early=_early)))
