"""A log with everything that a backtest must get right: lists and labels that change, expiries, pack switches, an archive."""

import contextlib
import pathlib
import random
from collections.abc import Iterator

import pytest
from tests.archive.conftest import SMALL_PACK, Station, open_station

from koban.base import DAY, MINUTE, Instant, ManualClock
from koban.db import Database
from koban.lab import Log
from koban.labels import LabelSet, LabelSource
from koban.lists import EntriesAdded, EntryRemoved
from koban.packs import load_pack, parse_files
from koban.pipeline import commands
from koban.pipeline.commands import activate

TEXTS = (
    "こんにちは",
    "直取引しませんか",
    "直取引はお断りします",
    "please pay outside",
    "call 090-1234-5678",
    "値下げできますか",
    "see bar.example/x",
)


@pytest.fixture
def station(database: Database, clock: ManualClock, tmp_path: pathlib.Path) -> Iterator[Station]:
    """A desk that has just been opened for the first time."""
    with open_station(database, clock, tmp_path, first=True, pack=load_pack(SMALL_PACK)) as opened:
        yield opened


def play(station: Station, seed: int, *, events: int = 220) -> None:
    """Send events, and change lists, labels and the pack in between."""
    randomness = random.Random(seed)
    for number in range(events):
        station.clock.advance(randomness.choice([0, 1_000_000, 1_000_000, MINUTE, 5 * MINUTE, 70 * MINUTE]))
        if randomness.random() < 0.15:
            change(station, randomness)
        if number % 50 == 49:
            station.clock.advance(3 * DAY)
        if number == events // 2:
            switch(station)
        station.send(event(station, randomness, number))


def event(station: Station, randomness: random.Random, number: int) -> dict[str, object]:
    """Make an event; now and then without a text or a recipient."""
    if number % 7 == 0:
        return station.payout(
            f"p{number}", randomness.choice([5, 99_999, 100_000]), account=f"a{randomness.randrange(3)}"
        )
    made = station.event(f"e{number}", randomness.choice(TEXTS))
    data = dict(made["data"])  # type: ignore[call-overload]  # a mapping
    data |= {"sender": {"id": f"a{randomness.randrange(3)}"}, "recipient": {"id": f"b{randomness.randrange(7)}"}}
    if randomness.random() < 0.3:
        data["price_minor"] = randomness.choice([0, 100, 5_000])
    if randomness.random() < 0.1:
        del data[randomness.choice(["text", "recipient"])]
    return {**made, "data": data}


def change(station: Station, randomness: random.Random) -> None:
    """Put something on a list, take it off, or say what an account is; nothing where it cannot be."""
    expires = Instant(station.clock.now() + randomness.choice([10 * MINUTE, 2 * DAY]))
    until = randomness.choice([None, expires])
    account, phrase = f"a{randomness.randrange(3)}", randomness.choice(["値下げ", "bar.example", "こんにちは"])
    run = station.desk.command
    with contextlib.suppress(Exception):
        match randomness.randrange(5):
            case 0:
                added = EntriesAdded(list="trusted", values=(account,), note="n", by="t", expires_at=until)
                run(lambda memory, tx: commands.change_list(memory, tx, added))
            case 1:
                gone = EntryRemoved(list="trusted", value=account, note="n", by="t")
                run(lambda memory, tx: commands.change_list(memory, tx, gone))
            case 2:
                phrases = EntriesAdded(list="lures", values=(phrase,), note="n", by="t", expires_at=until)
                run(lambda memory, tx: commands.change_list(memory, tx, phrases))
            case 3:
                removed = EntryRemoved(list="lures", value=randomness.choice([phrase, "直取引"]), note="n", by="t")
                run(lambda memory, tx: commands.change_list(memory, tx, removed))
            case _:
                said = LabelSet(subject_kind="account", subject_id=account, label="truth", by="t",
                                value=randomness.choice(["fraud", "honest", None]), source=LabelSource.PERSON,
                                expires_at=until)  # fmt: skip
                run(lambda memory, tx: commands.label(memory, tx, said))


def switch(station: Station) -> None:
    """Activate a version with another phrase, in mid-stream."""
    files = dict(station.desk.memory.compiled.pack.files)
    files["lists.yaml"] = files["lists.yaml"].replace("entries: [直取引, pay outside]", "entries: [直取引, 090]")
    compiled = station.desk.memory.compile(parse_files(files))
    station.desk.command(
        lambda memory, tx: activate(memory, tx, compiled, by="test", reason="another phrase"), alone=True
    )


@contextlib.contextmanager
def log_of(station: Station) -> Iterator[Log]:
    """Read a station's log as of now."""
    with station.database.read() as tx:
        yield Log(tx=tx, archive=station.archive, vault=station.vault)
