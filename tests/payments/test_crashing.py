"""The process dies at every place where it can: before and after each commit, before and after each call."""

import contextlib
import dataclasses
import datetime
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tests.payments.world import BY, World, open_world, simulated
from tests.pipeline.conftest import Station

from koban.base import ManualClock
from koban.db import Database, Tx
from koban.payments.simulated import SimulatedProvider
from koban.payments.types import (
    Answer,
    Instruction,
    NewPart,
    NewPayment,
    NewPayout,
    NewRefund,
    ProviderReportRow,
    Told,
)
from koban.pipeline import paying
from koban.pipeline.memory import Memory

T = TypeVar("T")

EVERY_PLACE = os.environ.get("KOBAN_LONG") == "1"


class Died(Exception):
    """The process died."""


@dataclasses.dataclass
class Fuse:
    """Counts the places where a process can die, and lets it die at one of them."""

    dies_at: int | None
    passed: int = 0
    where: str = ""

    def pass_by(self, where: str) -> None:
        self.passed += 1
        if self.passed == self.dies_at:
            self.where = where
            raise Died(where)


@dataclasses.dataclass
class Breaking:
    """A provider with a fuse before and after each call."""

    sim: SimulatedProvider
    fuse: Fuse

    @property
    def name(self) -> str:
        return self.sim.name

    def report(self, day: datetime.date) -> Sequence[ProviderReportRow]:
        return self.sim.report(day)

    def perform(self, instruction: Instruction) -> Answer:
        self.fuse.pass_by(f"before the call of {instruction.kind}")
        answer = self.sim.perform(instruction)
        self.fuse.pass_by(f"after the call of {instruction.kind}")
        return answer


@dataclasses.dataclass
class Machine:
    """A process that can be started again over what the last one left."""

    database: Database
    clock: ManualClock
    folder: pathlib.Path
    sim: SimulatedProvider
    fuse: Fuse
    first: bool = True
    deaths: int = 0

    @contextlib.contextmanager
    def run(self) -> Iterator[World]:
        breaking = Breaking(sim=self.sim, fuse=self.fuse)
        with open_world(
            self.database,
            self.clock,
            self.folder,
            self.sim,
            first=self.first,
            provider=breaking,
            tell=self._tell,
        ) as world:
            self.first = False
            unbroken = world.kit.open

            def opened(tx: Tx, account: str, context: str, sealed: bytes) -> dict[str, object] | None:
                self.fuse.pass_by("after the claim")
                return unbroken(tx, account, context, sealed)

            world.kit = dataclasses.replace(world.kit, open=opened)
            yield world

    def _tell(self, station: Station, told: Told) -> None:
        self.command(station, "settling", lambda memory, tx: paying.settle(memory, tx, told))

    def command(self, station: Station, what: str, run: Callable[[Memory, Tx], T]) -> T:
        def inside(memory: Memory, tx: Tx) -> T:
            result = run(memory, tx)
            self.fuse.pass_by(f"before the commit of {what}")
            return result

        self.fuse.pass_by(f"before {what}")
        result = station.desk.command(inside)
        self.fuse.pass_by(f"after the commit of {what}")
        return result


def _story(machine: Machine, world: World, name: str) -> None:
    """What a client does, from the start: each command is safe to send again. Dies wherever the fuse says."""

    def client(what: str, run: Callable[[Memory, Tx], object]) -> None:
        machine.command(world.station, what, run)

    names = ("sim",)
    good = NewPayment(
        id=f"{name}-good", order=f"{name}-o1", account=name, level="identity",
        parts=(
            NewPart(method="card", amount_minor=1_000, token="silent_after"),
            NewPart(method="wallet", amount_minor=500),
        ),
    )  # fmt: skip
    bad = NewPayment(
        id=f"{name}-bad", order=f"{name}-o2", account=name, level="identity",
        parts=(NewPart(method="wallet", amount_minor=300), NewPart(method="card", amount_minor=900, token="short")),
    )  # fmt: skip
    payout = NewPayout(id=f"{name}-out", account=name, amount_minor=200, level="identity", token="silent_before")
    back = NewRefund(id="r", payment=good.id, amount_minor=1_200)
    client("beginning", lambda memory, tx: paying.begin(memory, tx, good, names, by=BY))
    world.drive(for_s=6)
    client("beginning", lambda memory, tx: paying.begin(memory, tx, bad, names, by=BY))
    client("paying out", lambda memory, tx: paying.begin_payout(memory, tx, payout, names, by=BY))
    world.drive(for_s=6)
    if world.status(good.id) in {"captured", "refunding", "partly_refunded"}:
        client("refunding", lambda memory, tx: paying.refund(memory, tx, back, by=BY))
    world.drive(for_s=6)


def _outcome(world: World, name: str) -> dict[str, object]:
    charges = [each for each in world.sim.charges() if each.instruction.payment.startswith(f"{name}-")]
    return {
        "statuses": [world.status(f"{name}-{each}") for each in ("good", "bad", "out")],
        "wallet": world.balance("wallet", name),
        "escrow": [world.balance("escrow", f"{name}-{each}") for each in ("o1", "o2")],
        "charges": sorted((each.state, each.captured_minor, each.refunded_minor) for each in charges),
        "postings": sorted(
            str(row[0])
            for row in world.station.rows(
                "SELECT template FROM ledger_postings WHERE id LIKE ? AND code = 'posted'", (f"pay:{name}-%",)
            )
        ),
        "open": world.pendings(),
    }


def _live(machine: Machine, name: str) -> dict[str, object]:
    """Run the story to its end, however often the process dies, and return what it came to."""
    while True:
        try:
            with machine.run() as world:
                if machine.deaths == 0 and machine.fuse.passed == 0:
                    world.give(name, "wallet", 5_000)
                _story(machine, world, name)
                outcome = _outcome(world, name)
                world.prove()
                return outcome
        except Died:
            machine.deaths += 1


def test_dying_anywhere_changes_nothing_about_the_outcome(
    database: Database, clock: ManualClock, tmp_path: pathlib.Path
) -> None:
    sim = simulated(clock)
    calm = Machine(database=database, clock=clock, folder=tmp_path, sim=sim, fuse=Fuse(dies_at=None))
    expected = _live(calm, "calm")
    assert expected["statuses"] == ["partly_refunded", "failed", "paid_out"]
    assert expected["wallet"] == (5_000 - 500 + 200 - 200, 0)
    assert expected["escrow"] == [(300, 0), (0, 0)]
    assert expected["open"] == 0
    places = calm.fuse.passed
    assert places > 40
    seen = set()
    # Each database takes every second place, so that together they take all; the long form takes all on both.
    first, pace = (1, 1) if EVERY_PLACE else (1 + (database.dialect == "sqlite"), 2)
    for place in range(first, places + 1, pace):
        fuse = Fuse(dies_at=place)
        machine = Machine(database=database, clock=clock, folder=tmp_path, sim=sim, fuse=fuse, first=False)
        outcome = _live(machine, f"at{place}")
        assert machine.deaths == 1, place
        seen.add(fuse.where)
        assert outcome == expected, f"died {fuse.where} (place {place} of {places})"
    assert {each.split(" of ")[0] for each in seen} >= {
        "after the claim", "before the call", "after the call", "before settling", "before the commit",
        "after the commit",
    }  # fmt: skip
