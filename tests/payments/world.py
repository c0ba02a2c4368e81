"""A marketplace that is paid: a desk, a provider, whoever drives between them, and what the ledger then holds."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from tests.pipeline.conftest import Station, open_station

from koban.base import ManualClock
from koban.db import Database, Tx
from koban.ledger import Posting, posting_store, verify
from koban.ledger import store as ledger_store
from koban.ledger.posting import book_id
from koban.packs import PackDef
from koban.packs.load import files_of, parse_files
from koban.payments import store
from koban.payments.simulated import Faults, SimulatedProvider
from koban.payments.types import NewPart, NewPayment, NewPayout, Part, Payment, Provider, Step, Told
from koban.payments.worker import PaymentKit, work_off
from koban.pipeline import paying
from koban.pipeline.memory import Memory
from koban.pipeline.money import make_posting

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"
PACK = pathlib.Path(__file__).parent / "pack"
TAKEN = {"events.yaml", "ledger.yaml", "postings.yaml", "payments.yaml", "postings"}
BY = "test"

T = TypeVar("T")


@functools.cache
def paying_pack() -> PackDef:
    """Read the starter pack's events and postings with the rules of these tests, once for a process."""
    files = {name: text for name, text in files_of(STARTER).items() if name.split("/")[0] in TAKEN}
    return parse_files({**files, **files_of(PACK)})


@dataclasses.dataclass
class World:
    """What a test reaches."""

    station: Station
    provider: Provider
    sim: SimulatedProvider
    kit: PaymentKit

    @property
    def clock(self) -> ManualClock:
        return self.station.clock

    def run(self, command: Callable[[Memory, Tx], T]) -> T:
        return self.station.desk.command(command)

    def give(self, account: str, book: str, amount: int) -> None:
        """Give somebody wallet money or points."""
        template, more = {
            "wallet": ("cash_in", {"account": account, "bank_line": f"line-{account}"}),
            "points": ("points_granted", {"campaign": "spring", "account": account}),
        }[book]
        if book == "points":
            funded = Posting(
                id=f"fund-{account}",
                template="campaign_funded",
                currency="JPY",
                parameters={"campaign": "spring", "approval": "a", "amount": amount},
            )
            assert self.run(lambda memory, tx: make_posting(memory, tx, funded, by=BY)).stands
        posting = Posting(
            id=f"give-{book}-{account}", template=template, currency="JPY", level="identity",
            parameters={**more, "amount": amount},
        )  # fmt: skip
        assert self.run(lambda memory, tx: make_posting(memory, tx, posting, by=BY)).stands

    def pay(self, payment_id: str, *parts: NewPart, capture: bool = True, **more: object) -> Payment:
        new = NewPayment(
            id=payment_id, order=f"order-{payment_id}", account="buyer", parts=parts, level="identity", capture=capture,
            seller="seller", **more,  # type: ignore[arg-type]
        )  # fmt: skip
        return self.begin(new)

    def begin(self, new: NewPayment) -> Payment:
        names = tuple(self.kit.providers)
        return self.run(lambda memory, tx: paying.begin(memory, tx, new, names, by=BY))

    def pay_out(self, payout_id: str, amount: int, *, token: str = "bank", account: str = "buyer") -> Payment:  # noqa: S107
        new = NewPayout(id=payout_id, account=account, amount_minor=amount, level="identity", token=token)
        names = tuple(self.kit.providers)
        return self.run(lambda memory, tx: paying.begin_payout(memory, tx, new, names, by=BY))

    def show(self, payment_id: str) -> str:
        return "\n".join(map(str, [self.payment(payment_id), *self.parts(payment_id), *self.steps(payment_id)]))

    def drive(self, *, for_s: int = 0) -> int:
        """Ask the provider whatever is due now, and what falls due within some seconds."""
        sent = self._work_off()
        for _ in range(for_s):
            self.clock.advance(1_000_000)
            sent += self._work_off()
        return sent

    def _work_off(self) -> int:
        """Why the clock moves: log time runs some microseconds ahead of a clock that stands."""
        sent = 0
        while True:
            self.clock.advance(1_000)
            found = work_off(self.kit)
            if not found:
                return sent
            sent += found

    def deliver(self) -> int:
        """Deliver the provider's webhooks that are due; return how many were new."""
        new = 0
        for message, notice in self.sim.due_notices(self.clock.now()):
            new += self.run(lambda memory, tx, m=message, n=notice: paying.receive(memory, tx, self.sim.name, m, n))  # type: ignore[misc]
            self.sim.answered(message)
        return new

    def payment(self, payment_id: str) -> Payment:
        with self.station.database.read() as tx:
            found = store.find(tx, payment_id)
        assert found is not None
        return found

    def exists(self, payment_id: str) -> bool:
        with self.station.database.read() as tx:
            return store.find(tx, payment_id) is not None

    def parts(self, payment_id: str) -> list[Part]:
        with self.station.database.read() as tx:
            return store.parts_of(tx, payment_id)

    def steps(self, payment_id: str) -> list[Step]:
        with self.station.database.read() as tx:
            return store.steps_of(tx, payment_id)

    def status(self, payment_id: str) -> str:
        return self.payment(payment_id).status.value

    def balance(self, code: str, owner: str | None = None) -> tuple[int, int]:
        """Return what a book holds on the side on which it grows, and how much of it is reserved to go."""
        kind = self.station.desk.memory.compiled.pack.ledger.chart.kinds[code]
        with self.station.database.read() as tx:
            rows = ledger_store.list_books(tx, code=code, owner=owner, after_num=0, limit=50)
        wanted = book_id(code, "JPY", owner)
        for row in rows:
            if row.id == wanted:
                net = row.credits_posted - row.debits_posted
                return (net, row.debits_pending) if kind.grows == "credit" else (-net, row.credits_pending)
        return 0, 0

    def pendings(self) -> int:
        """Count what is still reserved in the ledger."""
        return int(str(self.station.rows("SELECT count(*) FROM ledger_pendings WHERE state = 'open'")[0][0]))

    def posting(self, posting_id: str) -> str:
        with self.station.database.read() as tx:
            found = posting_store.find(tx, posting_id)
        return "" if found is None else f"{found.template} {found.code.value}"

    def alerts(self) -> list[str]:
        return [str(row[0]) for row in self.station.rows("SELECT kind FROM alerts ORDER BY raised_at")]

    def prove(self) -> None:
        """Prove every balance of the ledger from its log."""
        with self.station.database.read() as tx:
            assert verify(tx, []).broken is None


@contextlib.contextmanager
def open_world(
    database: Database,
    clock: ManualClock,
    folder: pathlib.Path,
    sim: SimulatedProvider,
    *,
    first: bool = True,
    provider: Provider | None = None,
    providers: Mapping[str, Provider] | None = None,
    tell: Callable[[Station, Told], None] | None = None,
) -> Iterator[World]:
    """Open a desk with a provider, as a process does that starts, or starts again."""
    with open_station(database, clock, folder, first=first, pack=paying_pack()) as station:
        memory = station.desk.memory

        def settle(told: Told) -> None:
            if tell is not None:
                tell(station, told)
            else:
                station.desk.command(lambda memory, tx: paying.settle(memory, tx, told))

        def claim(steps: Sequence[str]) -> frozenset[str]:
            return station.desk.command(lambda _, tx: store.claim_all(tx, steps))

        def proves(method: str) -> bool:
            found = memory.compiled.pack.payments.methods.get(method)
            return found is not None and found.proves == "three_d_secure"

        used = provider or sim
        kit = PaymentKit(
            database=database, clock=clock, providers=providers or {used.name: used}, open=memory.vault.open,
            proves=proves, claim=claim, tell=settle,
        )  # fmt: skip
        yield World(station=station, provider=used, sim=sim, kit=kit)


def simulated(clock: ManualClock, *, seed: int = 1, **faults: int) -> SimulatedProvider:
    return SimulatedProvider("sim", clock.now, seed=seed, faults=Faults(**faults))
