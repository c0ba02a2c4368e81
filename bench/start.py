"""How long it takes to start: `koban --help`, a server over an empty folder, and over one with many events."""

import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from bench.measure import ROOT, Row, Size
from bench.server import serving
from bench.station import market_bodies, open_station, starter_pack


def measure_start(size: Size) -> list[Row]:
    """Measure starts; the first of each is not counted, for it writes what Python caches."""
    walls, cpus = zip(*[_help() for _ in range(size.runs + 1)], strict=True)
    rows = [
        Row(bench="start", what="koban --help, wall", value=statistics.median(walls[1:]), unit="s", target=0.5),
        Row(bench="start", what="koban --help, CPU", value=statistics.median(cpus[1:]), unit="s"),
    ]
    rows += _server_rows("empty folder", [_serve_empty() for _ in range(size.runs + 1)][1:])
    if size.stored_events:
        with tempfile.TemporaryDirectory(prefix="koban-bench-") as name:
            folder = pathlib.Path(name)
            _store(folder, size.stored_events)
            starts = [_serve(folder) for _ in range(size.runs + 1)]
        rows += _server_rows(f"{size.stored_events:,} events, first start after a crash", starts[:1])
        rows += _server_rows(f"{size.stored_events:,} events", starts[1:])
    return rows


def _server_rows(what: str, starts: list[tuple[float, float]]) -> list[Row]:
    wall = statistics.median(wall for wall, _ in starts)
    cpu = statistics.median(cpu for _, cpu in starts)
    return [
        Row(bench="start", what=f"koban serve, {what}, until /health answers", value=wall, unit="s", target=3.0),
        Row(bench="start", what=f"koban serve, {what}, CPU", value=cpu, unit="s"),
    ]


def _help() -> tuple[float, float]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [str(pathlib.Path(sys.executable).parent / "koban"), "--help"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _serve_empty() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="koban-bench-") as name:
        return _serve(pathlib.Path(name))


def _serve(folder: pathlib.Path) -> tuple[float, float]:
    with serving(folder) as server:
        return server.wall_s, server.cpu_s


def _store(folder: pathlib.Path, count: int) -> None:
    """Fill a folder with decided events, and leave it as a crash would: features not all written back."""
    with serving(folder):
        pass  # its tables, its keys, and the pack's activation
    with open_station(folder, starter_pack()) as station:
        for body in market_bodies(count, 250):
            station.take(body)
