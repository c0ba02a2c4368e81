"""Windowed features: time an event by window, growth with the number of subjects, memory an account."""

import pathlib
import random
import sys
import tempfile
from collections.abc import Callable

from bench.measure import Row, Size, cpu_us, interleave, run_child
from bench.pack import feature_documents, write_pack
from bench.workload import TYPES, Event, make_events
from koban.base import HOUR, SECOND
from koban.features import FeatureProgram, FeatureStore, compile_features
from koban.packs import load_pack

START = 1_792_584_000_000_000
EVERY_KIND = ("account", "device", "item")


def compile_bench_features(kinds: tuple[str, ...] = EVERY_KIND, window: str = "") -> FeatureProgram:
    """Compile eight features for each kind of subject, all of them read at every event."""
    with tempfile.TemporaryDirectory() as folder:
        pack = load_pack(write_pack(pathlib.Path(folder), kinds=kinds, window=window))
    names = frozenset(str(each["feature"]) for each in feature_documents(kinds, window))
    return compile_features(pack, dict.fromkeys(TYPES, names))


def measure_features(size: Size) -> list[Row]:
    """Measure 24 features over 3 kinds of subject, then what makes them dearer."""
    rows = []
    events = make_events(5, size.events)
    programs = {
        "8 features, 1 kind": compile_bench_features(("account",)),
        "16 features, 2 kinds": compile_bench_features(("account", "device")),
        "24 features, 3 kinds": compile_bench_features(),
        "24 features, every window 10 minutes": compile_bench_features(window="10 minutes"),
        "24 features, every window 24 hours": compile_bench_features(window="24 hours"),
        "24 features, every window 30 days": compile_bench_features(window="30 days"),
    }
    measured = interleave(size.runs, {name: _timed(program, events) for name, program in programs.items()})
    for name, value in measured.items():
        target = 30.0 if name == "24 features, 3 kinds" else None
        rows.append(Row(bench="features", what=name, value=value, unit="µs/event", target=target))
    rows += _growth(programs["24 features, 3 kinds"], size)
    for accounts in (size.accounts, size.many_accounts):
        if accounts:
            used = float(run_child("bench.features", str(accounts)))
            rows.append(
                Row(
                    bench="features",
                    what=f"memory with 8 features at {accounts:,} accounts",
                    value=used / accounts,
                    unit="bytes/account",
                    target=1024**3 / 1_000_000 if accounts == size.many_accounts else None,
                    note=f"{used / 1024**2:,.0f} MiB in all; 10 events an account",
                )
            )
    return rows


def _timed(program: FeatureProgram, events: list[tuple[str, Event]]) -> Callable[[], float]:
    """Time events that come one a second to subjects with some history."""
    store = FeatureStore(program)
    seq = 0

    def run() -> None:
        nonlocal seq
        for event_type, event in events:
            seq += 1
            store.apply(None, seq, event_type, event, START + seq * SECOND)
            if seq % 250 == 0:
                store.forget()

    for _ in range(3):
        run()
    return lambda: cpu_us(run, len(events))


def _growth(program: FeatureProgram, size: Size) -> list[Row]:
    """Time an event when the kind `account` has more and more subjects, all with a history."""
    rows = []
    for subjects in sorted({min(1_000, size.accounts), min(10_000, size.accounts), size.accounts}):
        store = FeatureStore(program)
        events = spread(subjects, size.events, seed=subjects)
        fill(store, subjects)
        value = interleave(size.runs, {"": _timed_on(store, events, 10 * subjects)})[""]
        rows.append(
            Row(
                bench="features",
                what=f"24 features, {subjects:,} accounts, devices and items each",
                value=value,
                unit="µs/event",
                note="touched evenly: the worst case; beyond 50,000 records those longest unused are kept packed",
            )
        )
    return rows


def _timed_on(store: FeatureStore, events: list[tuple[str, Event]], seq: int) -> Callable[[], float]:
    def run() -> None:
        nonlocal seq
        for event_type, event in events:
            seq += 1
            store.apply(None, seq, event_type, event, START + HOUR + seq * SECOND // 100)
            if seq % 250 == 0:
                store.forget()

    return lambda: cpu_us(run, len(events))


def spread(subjects: int, count: int, *, seed: int) -> list[tuple[str, Event]]:
    """Make events whose subjects are drawn evenly from so many."""
    randomness = random.Random(seed)
    return [(event_type, _at(event, randomness.randrange(subjects))) for event_type, event in make_events(seed, count)]


def fill(store: FeatureStore, subjects: int, times: int = 1) -> None:
    """Give every subject `times` events of history."""
    models = make_events(9, 500)
    seq = 0
    for _ in range(times):
        for number in range(subjects):
            seq += 1
            event_type, event = models[seq % len(models)]
            store.apply(None, seq, event_type, _at(event, number), START + seq * HOUR // max(1, times * subjects))
            if seq % 250 == 0:
                store.forget()
    store.forget()


def _at(event: Event, number: int) -> Event:
    return {
        **event,
        "account_id": f"account-{number:07d}",
        "device_id": f"device-{number:07d}",
        "item_id": f"item-{number:07d}",
    }


def memory_of(accounts: int) -> int:
    """Return by how many bytes this process grows when so many accounts get 10 events each."""
    import psutil  # type: ignore[import-untyped]  # used in two places only

    process = psutil.Process()
    store = FeatureStore(compile_bench_features(("account",)))
    fill(store, 10)
    before = process.memory_info().rss
    fill(store, accounts, times=10)
    return int(process.memory_info().rss - before)


if __name__ == "__main__":
    print(memory_of(int(sys.argv[1])))
