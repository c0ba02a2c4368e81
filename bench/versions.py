"""What a version costs before it decides and while it takes over: rules in shadow beside live ones, and the switch."""

import itertools
import json
import pathlib
import tempfile
import threading
import time
from collections.abc import Callable

from bench.measure import Row, Size, cpu_us, interleave
from bench.pack import write_pack
from bench.station import Station, bench_bodies, open_station
from koban.app.running import switch_pack
from koban.events import decode
from koban.events.archive import Archive, Places
from koban.packs import PackDef, load_pack, parse_files
from koban.packs.draft_store import Permit

BATCH = 250
SHADOW_TIMES = 2.0
SWITCH_S = 1.0


def measure_versions(size: Size) -> list[Row]:
    """Measure both."""
    tiny = size.stored_events == 0
    return [*_shadow(size, 20 if tiny else 100), *_switch(20 if tiny else 500, size.bulk_events // 4)]


def _shadow(size: Size, live: int) -> list[Row]:
    """Decide and store the same events under live rules alone, and with as many others in shadow beside them."""
    alone = _pack(live * 2, lambda number: "" if number % 2 else "live")
    beside = _pack(live * 2, lambda number: "shadow" if number % 2 else "live")
    bodies = bench_bodies(size.bulk_events // 4, BATCH)
    warm = bench_bodies(BATCH, BATCH, seed=13, prefix="w")

    def run(pack: PackDef) -> Callable[[], float]:
        def measured() -> float:
            with (
                tempfile.TemporaryDirectory(prefix="koban-bench-") as folder,
                open_station(pathlib.Path(folder), pack) as station,
            ):
                for body in warm:
                    station.take(body)
                return cpu_us(lambda: [station.take(body) for body in bodies], size.bulk_events // 4)

        return measured

    found = interleave(size.runs, {"alone": run(alone), "beside": run(beside)})
    return [
        Row(bench="versions", what=f"{live} live rules", value=found["alone"], unit="µs/event"),
        Row(bench="versions", what=f"the same, with {live} others in shadow", value=found["beside"], unit="µs/event"),
        Row(
            bench="versions",
            what="what as many rules in shadow make of the cost of an event",
            value=found["beside"] / found["alone"],
            unit="times",
            target=SHADOW_TIMES,
            note="decided and stored, CPU",
        ),
    ]


def _switch(rules: int, events: int) -> list[Row]:
    """Bring in a version with another rule and another feature while events come one after another."""
    pack = _pack(rules, lambda _number: "shadow")
    changed = _changed(pack)
    with (
        tempfile.TemporaryDirectory(prefix="koban-bench-") as folder,
        open_station(
            pathlib.Path(folder), pack, archive=Archive(places=Places(folder=pathlib.Path(folder) / "archive"))
        ) as station,
    ):
        for body in bench_bodies(events, BATCH):
            station.take(body)
        station.desk.decider.start()
        try:
            traffic = _Traffic(station, bench_bodies(events, 1, seed=12, prefix="t"))
            traffic.start()
            began = time.perf_counter()
            permit = Permit(base=pack.digest, by="bench", reason="bench", ground="ordinary")
            seq = switch_pack(station.desk, changed, permit)
            whole = time.perf_counter() - began
            waits = traffic.stop()
            assert station.desk.memory.compiled.pack.digest == changed.digest
            assert seq > events, "the switch is an entry after the events"
        finally:
            station.desk.decider.close()
    note = f"{len(waits):,} events came meanwhile, one after another; {events:,} were in the log"
    return [
        Row(
            bench="versions",
            what=f"switch at {rules} rules: longest that an event waited",
            value=max(waits),
            unit="s",
            target=SWITCH_S,
            note=note,
        ),
        Row(
            bench="versions",
            what=f"switch at {rules} rules: compiled, backfilled, caught up and switched",
            value=whole,
            unit="s",
        ),
    ]


class _Traffic:
    """Events one after another from a thread of its own; what each waited for its answer."""

    def __init__(self, station: Station, bodies: list[bytes]) -> None:
        self._station = station
        self._bodies = bodies
        self._waits: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")

    def start(self) -> None:
        """Begin, and return once the first event is answered."""
        self._send(self._bodies[0])
        self._thread.start()

    def stop(self) -> list[float]:
        """Stop, and return what the events waited, in seconds."""
        self._stopping.set()
        self._thread.join()
        return self._waits

    def _run(self) -> None:
        for turn in itertools.count():  # for as long as the switch takes: each turn the same events under other ids
            for body in self._bodies:
                self._send(body.replace(b'"t-', f'"t{turn}-'.encode(), 1))
                if self._stopping.is_set():
                    return

    def _send(self, body: bytes) -> None:
        began = time.perf_counter()
        self._station.desk.submit(decode(body, "application/json"), self._station.clock.now(), False).result()
        self._waits.append(time.perf_counter() - began)


def _pack(rules: int, mode: Callable[[int], str]) -> PackDef:
    with tempfile.TemporaryDirectory() as folder:
        return load_pack(write_pack(pathlib.Path(folder), rules=rules, mode=mode))


def _changed(pack: PackDef) -> PackDef:
    files = dict(pack.files)
    features = json.loads(files["features.yaml"])
    features[0] |= {"where": "photos > 3"}
    rules = json.loads(files["rules/rules.yaml"])
    rules[-1] |= {"when": "photos > 17 AND likes > 195"}
    files |= {"features.yaml": json.dumps(features), "rules/rules.yaml": json.dumps(rules)}
    return parse_files(files)
