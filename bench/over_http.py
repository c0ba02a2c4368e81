"""One decision over HTTP at a fixed rate of arrivals, timed from when each was due, by a process of its own.

Open loop: an event is sent when it is due, whatever became of those before it, and its latency counts from then; a
server that stalls cannot hide it by keeping the sender from sending.
"""

import collections
import dataclasses
import gc
import json
import pathlib
import select
import socket
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


@dataclasses.dataclass(kw_only=True, eq=False)
class _Line:
    """One keep-alive connection with at most one request on its way."""

    line: socket.socket
    due: float = 0.0
    received: bytes = b""

    def fileno(self) -> int:
        """Stand for its socket."""
        return self.line.fileno()

    def answer(self) -> bool | None:
        """Read what came; tell whether a whole answer is there and says 200, None while it is not whole."""
        more = self.line.recv(65_536)
        if not more:
            # An answer that never comes must not be left out of the figures.
            raise ConnectionError("the server closed a connection")
        self.received += more
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return None
        self.received = b""
        return head.startswith(b"HTTP/1.1 200")


@dataclasses.dataclass(kw_only=True)
class _Sent:
    """What became of the requests."""

    latencies: list[float] = dataclasses.field(default_factory=list)  # milliseconds
    refused: int = 0
    behind: float = 0.0  # seconds that a request was sent late, at most


def _send(port: int, requests: Sequence[bytes], rate: float, early: int) -> _Sent:
    """Send requests when they are due and note how long each answer took.

    Why no event loop: it takes six times as long for a request, on a core that the server could use. Only lines that
    wait are looked at, by select(), which waits to the microsecond where epoll rounds to milliseconds.
    """
    free = [_Line(line=socket.create_connection(("127.0.0.1", port))) for _ in range(CONNECTIONS)]
    busy: list[_Line] = []
    sent, start, now = _Sent(), time.perf_counter() + 0.5, time.perf_counter
    coming = collections.deque((start + number / rate, request) for number, request in enumerate(requests))
    try:
        while coming or busy:
            while coming and free and (due := coming[0][0]) <= now():
                line, request = free.pop(), coming.popleft()[1]  # the one used last: the server closes those long idle
                line.due = due
                sent.behind = max(sent.behind, now() - due)
                line.line.sendall(request)
                busy.append(line)
            wait = max(0.0, coming[0][0] - now()) if coming and free else None
            for line in select.select(busy, (), (), wait)[0]:
                ok = line.answer()
                if ok is None:
                    continue
                if line.due >= start + early:
                    sent.latencies.append((now() - line.due) * 1_000)
                sent.refused += not ok
                busy.remove(line)
                free.append(line)
    finally:
        for line in (*free, *busy):
            line.line.close()
    return sent


def main(port: int, token: str, prefix: str, *, rate: int, seconds: int, batch: int, early: int) -> dict[str, float]:
    """Send for some seconds and return the figures; what is due in the first `early` seconds is not counted."""
    bodies = bench_bodies(rate * seconds * batch, batch, seed=rate, prefix=f"{prefix}-{rate}-{batch}")
    requests = [_request(body if batch > 1 else body[1:-1], token) for body in bodies]
    gc.collect()
    gc.disable()  # a search for garbage here would count as the server's time
    cpu = time.process_time()
    sent = _send(port, requests, rate, early)
    cpu = time.process_time() - cpu
    return {
        "sent": len(requests),
        "refused": sent.refused,
        "behind_ms": sent.behind * 1_000,
        "cpu_us": cpu / len(requests) * 1e6,
        "p50": quantile(sent.latencies, 0.5),
        "p99": quantile(sent.latencies, 0.99),
        "p999": quantile(sent.latencies, 0.999),
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
