"""Ingest and decide in bulk, durable: SQLite with synchronous FULL on real files, one core, and where its time goes."""

import contextlib
import functools
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, cast
from unittest import mock

import koban.events
import koban.language.emit
import koban.pipeline.ahead
import koban.pipeline.desk
import koban.rules
from bench.measure import Row, Size, quantile
from bench.pack import write_pack
from bench.station import Station, bench_bodies, market_bodies, open_station, starter_pack
from koban.base import limits
from koban.features import FeatureStore
from koban.packs import PackDef, load_pack
from koban.pipeline.rows import Rows
from koban.text import PhraseMatcher

BATCH: Final = 500
BUDGET_US: Final = {"decode": 8.0, "text": 20.0, "features": 25.0, "rules": 25.0, "store": 20.0}


def measure_bulk(size: Size) -> list[Row]:
    """Measure the fixed mix, with ids that rise and with random ones, then the starter pack on the simulated marketplace."""
    with tempfile.TemporaryDirectory() as folder:
        pack = load_pack(write_pack(pathlib.Path(folder)))
    # As many events before the clock runs as it takes until each event has feature records written back.
    warm = min(size.bulk_events, limits.FEATURES_BEHIND_MAX) // BATCH
    count = size.bulk_events + warm * BATCH
    rows = _measure("200 rules, 24 features, 4 text lists", pack, bench_bodies(count, BATCH), warm)
    plain, batches = _run(pack, bench_bodies(count, BATCH, random_ids=True), warm, None)
    rows.append(_whole("the same, ids drawn at random", plain, batches, target=None))
    rows += _measure("starter pack, simulated marketplace", starter_pack(), market_bodies(count, BATCH), warm)
    return rows


def _measure(name: str, pack: PackDef, bodies: list[bytes], warm: int) -> list[Row]:
    plain, batches = _run(pack, bodies, warm, None)
    split = Stopwatch()
    _run(pack, bodies, warm, split)
    rows = [_whole(name, plain, batches, target=10_000)]
    watched = sum(split.us.values())
    for part, used in split.us.items():
        rows.append(
            Row(
                bench="bulk",
                what=f"{name}: {part}",
                value=plain * used / watched,
                unit="µs/event",
                target=BUDGET_US.get(part),
                note=f"{used / watched:.0%}",
            )
        )
    return rows


def _whole(name: str, plain: float, batches: list[float], *, target: float | None) -> Row:
    return Row(
        bench="bulk",
        what=f"{name}: events a second of one core",
        value=1_000_000 / plain,
        unit="events/s",
        target=target,
        higher_is_better=True,
        note=f"{plain:.0f} µs of CPU an event; a batch of {BATCH} took {quantile(batches, 0.5):.0f} ms, "
        f"p99 {quantile(batches, 0.99):.0f} ms, waiting for the disk and for others included",
    )


def _run(pack: PackDef, bodies: list[bytes], warm: int, watch: "Stopwatch | None") -> tuple[float, list[float]]:
    """Return microseconds of CPU an event, and milliseconds a batch."""
    with (
        tempfile.TemporaryDirectory(prefix="koban-bench-") as folder,
        watch.compiling() if watch is not None else contextlib.nullcontext(),
        open_station(pathlib.Path(folder), pack) as station,
    ):
        for body in bodies[:warm]:
            station.take(body)
        with watch.watching(station) if watch is not None else contextlib.nullcontext():
            taken, batches = 0, []
            start = time.process_time_ns()
            for body in bodies[warm:]:
                began = time.perf_counter_ns()
                taken += station.take(body)
                batches.append((time.perf_counter_ns() - began) / 1_000_000)
            used = (time.process_time_ns() - start) / 1_000 / taken
    return used, batches


class Stopwatch:
    """Splits CPU time by what the decider does: each part's own time, without that of parts inside it."""

    def __init__(self) -> None:
        """Begin with nothing on the clock."""
        self.us: dict[str, float] = {}
        self._open: list[int] = []

    def compiling(self) -> contextlib.AbstractContextManager[object]:
        """Watch what generated functions call by name; they look it up when they are compiled."""
        runtime = koban.language.emit.RUNTIME
        timed = {name: self._timed(cast("Callable[..., Any]", runtime[name]), "text") for name in ("contacts", "urls")}
        return mock.patch.dict(runtime, timed)  # Any: passes everything through

    @contextlib.contextmanager
    def watching(self, station: Station) -> Iterator[None]:
        """Watch a station's parts; what lies in none of them is `the rest`."""
        places: list[tuple[object, str, str]] = [
            (koban.pipeline.desk.Desk, "prepare", "decode"),
            *((sys.modules["koban.events.decode"], name, "decode") for name in ("_cut", "_piece", "_whole")),
            (koban.language.emit, "normalise", "text"),
            (koban.pipeline.ahead, "normalise_many", "text"),
            (PhraseMatcher, "find", "text"),
            (FeatureStore, "apply", "features"),
            (FeatureStore, "forget", "features"),
            (FeatureStore, "write_slice", "store"),
            (koban.rules.CompiledRules, "run", "rules"),
            (Rows, "write", "store"),
        ]
        with contextlib.ExitStack() as stack:
            for target, name, part in places:
                stack.enter_context(mock.patch.object(target, name, self._timed(getattr(target, name), part)))
            start = time.thread_time_ns()
            commits = self._timed(station.database._writer.dialect.do_commit, "store")  # noqa: SLF001
            stack.enter_context(mock.patch.object(station.database._writer.dialect, "do_commit", commits))  # noqa: SLF001
            yield
            self.us["the rest"] = (time.thread_time_ns() - start) / 1_000 - sum(self.us.values())

    def _timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:  # Any: passes everything through
        clock, inside = time.thread_time_ns, self._open
        self.us.setdefault(part, 0.0)

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            inside.append(0)
            start = clock()
            try:
                return function(*arguments, **named)
            finally:
                used = clock() - start
                below = inside.pop()
                if inside:
                    inside[-1] += used
                self.us[part] += (used - below) / 1_000

        return timed
