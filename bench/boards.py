"""What open boards cost the decider, as seconds of its process's CPU: boards open and shut in short blocks by turns.

Why CPU and not a rate: on a machine that others use too, a rate says how busy they are. Why pairs of blocks: what drifts
falls on both halves of a pair alike, and an interval over the pairs says what the figure is worth. The readers are
another process, whose CPU is its own.
"""

import dataclasses
import pathlib
import random
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from bench.measure import ROOT, Row

PAIRS: Final = 24
BATCHES: Final = 6  # of one block
EVERY_S: Final = 0.25  # a batch
RESAMPLES: Final = 4_000
SHARE_MAX: Final = 5.0  # per cent of a core that all boards together may take of the decider's process
DECIDER: Final = 'koban_thread_cpu_seconds_total{thread="koban-decider"} '
OPENED_WITHIN_S: Final = 20.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """One block: what the server's process and in it the decider's thread took, and for how long it went on."""

    cpu_s: float
    decider_s: float
    wall_s: float
    events: int


def measure_boards(
    port: int, pid: int, secrets: Sequence[str], send: Callable[[], int], decider_s: Callable[[], float], *,
    pairs: int = PAIRS, batches: int = BATCHES,
) -> list[Row]:  # fmt: skip
    """Return what an event costs with no board open, and what open boards add, each with its interval.

    `decider_s` tells the seconds of CPU that the decider's own thread has used.
    """
    readers = subprocess.Popen(
        [sys.executable, "-m", "bench.boards", str(port)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    to, back = readers.stdin, readers.stdout
    assert to is not None
    assert back is not None

    def tell(said: str) -> None:
        to.write(said + "\n")
        to.flush()
        assert back.readline().strip() == "done", "the readers did not come to the board"

    def block(*, is_open: bool) -> Block:
        tell(" ".join(secrets) if is_open else "")
        return _block(pid, decider_s, send, batches)

    try:
        block(is_open=False), block(is_open=True)  # first looks are dearer, and nobody counts them
        shut: list[Block] = []
        watched: list[Block] = []
        for place in range(pairs):  # ABBA: what grows with time falls on both
            for is_open in (False, True) if place % 2 == 0 else (True, False):
                (watched if is_open else shut).append(block(is_open=is_open))
    finally:
        to.close()
        readers.wait(timeout=30)
    return _rows(shut, watched, boards=len(secrets))


def _block(pid: int, decider_s: Callable[[], float], send: Callable[[], int], batches: int) -> Block:
    own, cpu, start, events = decider_s(), cpu_ns(pid), time.perf_counter(), 0
    for place in range(batches):
        events += send()
        time.sleep(max(0.0, start + (place + 1) * EVERY_S - time.perf_counter()))
    cpu, wall_s = cpu_ns(pid) - cpu, time.perf_counter() - start
    return Block(cpu_s=cpu / 1e9, decider_s=decider_s() - own, wall_s=wall_s, events=events)


def cpu_ns(pid: int) -> int:
    """Return the nanoseconds of CPU that all threads of a process have used, as the scheduler counts them."""
    return sum(
        int(each.read_text(encoding="ascii").split()[0]) for each in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    )  # fmt: skip


def decider_seconds(metrics: str) -> float:
    """Read from `/metrics` what the decider's own thread has used of the CPU."""
    (line,) = [each for each in metrics.splitlines() if each.startswith(DECIDER)]
    return float(line.removeprefix(DECIDER))


def _rows(shut: Sequence[Block], watched: Sequence[Block], *, boards: int) -> list[Row]:
    alone = statistics.fmean(each.cpu_s / each.events for each in shut) * 1e6
    more = [1e6 * (b.cpu_s / b.events - a.cpu_s / a.events) for a, b in zip(shut, watched, strict=True)]
    share = [100 * (b.cpu_s / b.wall_s - a.cpu_s / a.wall_s) for a, b in zip(shut, watched, strict=True)]
    rate = statistics.fmean(each.events / each.wall_s for each in (*shut, *watched))
    own = statistics.fmean(each.decider_s / each.events for each in shut) * 1e6
    owned = [1e6 * (b.decider_s / b.events - a.decider_s / a.events) for a, b in zip(shut, watched, strict=True)]
    (low, high), (least, most), (lower, upper) = interval(more), interval(share), interval(owned)
    among = f"95 % of {len(more)} pairs of blocks"
    return [
        Row(bench="pages", what="CPU of the decider's process for an event, no board open", value=alone, unit="us",
            note=f"at {rate:,.0f} events/s"),
        Row(bench="pages", what=f"more of it for an event with {boards} boards open", value=statistics.fmean(more), unit="us",
            note=f"{low:,.1f} to {high:,.1f} us, {among}"),
        Row(bench="pages", what="of these, the decider's own thread for an event, no board open", value=own, unit="us"),
        Row(bench="pages", what=f"more of its own thread for an event with {boards} boards open",
            value=statistics.fmean(owned), unit="us", note=f"{lower:,.1f} to {upper:,.1f} us, {among}"),
        Row(bench="pages", what=f"what {boards} boards take of the decider's process", value=statistics.fmean(share),
            unit="% of a core", target=SHARE_MAX, note=f"{least:.2f} to {most:.2f} %, {among}"),
    ]  # fmt: skip


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return within which 95 of 100 means lie when the values are drawn again: a bootstrap, which asks for no bell curve."""
    chance = random.Random(7)
    means = sorted(statistics.fmean(chance.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]


def read_boards(port: int) -> None:
    """Keep as many boards open as the last line says, by its sessions; answer `done` once each has heard something."""
    chosen = selectors.DefaultSelector()
    streams: list[socket.socket] = []
    chosen.register(sys.stdin, selectors.EVENT_READ)
    waiting: set[socket.socket] = set()
    while True:
        for key, _ in chosen.select():
            stream = key.fileobj
            if not isinstance(stream, socket.socket):
                line = sys.stdin.readline()
                for each in streams:
                    chosen.unregister(each)
                    each.close()
                if not line:
                    return
                streams = [_open(port, secret) for secret in line.split()]
                for each in streams:
                    chosen.register(each, selectors.EVENT_READ)
                waiting = set(streams)
                if not streams:
                    time.sleep(1.2)  # the server notices within a beat that nobody watches any more
                    print("done", flush=True)
                continue
            heard = stream.recv(1 << 16)
            assert heard, "the server closed a board"
            if stream in waiting and b"event: parts" in heard:
                waiting.discard(stream)
                if not waiting:
                    print("done", flush=True)


def _open(port: int, secret: str) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), timeout=OPENED_WITHIN_S)
    asked = f"GET /board/stream HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncookie: koban_session={secret}\r\n\r\n"
    stream.sendall(asked.encode())
    return stream


if __name__ == "__main__":
    read_boards(int(sys.argv[1]))
