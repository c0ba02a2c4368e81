"""One seed: a ledger on a real database, a workload, an auditor, and everything that can go wrong between them."""

import contextlib
import dataclasses
import enum
import pathlib
import random
import shutil
from collections.abc import Iterator, Sequence

from tests.sim_ledger.auditor import Audit, Book, Reply
from tests.sim_ledger.workload import Workload

from koban.base import SECOND, Instant
from koban.db import Database, metadata
from koban.ledger import (
    BookKind,
    Chart,
    NewBook,
    Transfer,
    balances,
    change_limits,
    create_books,
    create_transfers,
    expire_due,
    log_end,
    statement,
    verify,
)

START = 1_792_584_000_000_000
NAMES = ("bank", *(f"w{number}" for number in range(8)), "capped", "fee")

CHART = Chart(
    kinds={
        "any": BookKind(code="any", grows="credit", backing="people", owner=None, currencies=("JPY",), title={}),
    }
)


class Crash(enum.Enum):
    """Where the process dies. `TORN`: with the last commit's bytes cut off somewhere."""

    NONE = 0
    BEFORE = 1
    BEFORE_COMMIT = 2
    AFTER_COMMIT = 3
    TORN = 4


class Died(Exception):
    """The process died."""


@dataclasses.dataclass
class World:
    """A ledger that can be killed and opened again."""

    folder: pathlib.Path
    url: str
    schema: str | None
    lives: int = 0
    crashes: int = 0

    def __post_init__(self) -> None:
        self.database = self._open()
        with self.database.write() as tx:
            metadata.create_all(
                tx.connection, tables=[each for each in metadata.sorted_tables if each.name.startswith("ledger_")]
            )

    @property
    def is_sqlite(self) -> bool:
        return self.url == ""

    def _path(self) -> pathlib.Path:
        return self.folder / f"life{self.lives}" / "ledger.db"

    def _open(self) -> Database:
        if not self.is_sqlite:
            return Database.open(self.url, durable=False, schema=self.schema)
        self._path().parent.mkdir(exist_ok=True)
        return Database.open(f"sqlite:///{self._path()}", durable=False)

    def send(self, batch: Sequence[Transfer], at: int, crash: Crash, dice: random.Random) -> list[Reply] | None:
        """Send a batch; None: the process died before it could answer."""
        wal = self._path().with_name("ledger.db-wal")
        length = wal.stat().st_size if self.is_sqlite and wal.exists() else 0
        answers: list[Reply] = []
        with contextlib.suppress(Died):
            if crash is Crash.BEFORE:
                raise Died
            with self.database.write() as tx:
                results = create_transfers(tx, Instant(at), CHART, batch)
                answers = [(each.code.value, each.amount_minor) for each in results]
                if crash is Crash.BEFORE_COMMIT:
                    raise Died
            if crash is Crash.NONE:
                return answers
        self.die(torn_after=length if crash is Crash.TORN else None, dice=dice)
        return None

    def die(self, *, torn_after: int | None, dice: random.Random) -> None:
        """Leave everything as it lies, and open what a power cut would have left."""
        self.crashes += 1
        if self.is_sqlite:
            old = self._path()
            self.lives += 1
            new = self._path()
            new.parent.mkdir()
            for name in ("ledger.db", "ledger.db-wal"):
                if old.with_name(name).exists():
                    shutil.copyfile(old.with_name(name), new.with_name(name))
            wal = new.with_name("ledger.db-wal")
            if torn_after is not None and wal.exists() and wal.stat().st_size > torn_after:
                with wal.open("r+b") as file:
                    file.truncate(dice.randint(torn_after, wal.stat().st_size))
            self.database.close()
            shutil.rmtree(old.parent)
        else:
            self.database.close()
        self.database = self._open()

    def close(self) -> None:
        self.database.close()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Story:
    """What one seed came to."""

    transfers: int
    replies: int
    crashes: int
    expired: int
    planned: dict[str, int]
    codes: dict[str, int]


@contextlib.contextmanager
def open_world(folder: pathlib.Path, url: str = "", schema: str | None = None) -> Iterator[World]:
    world = World(folder=folder, url=url, schema=schema)
    try:
        yield world
    finally:
        world.close()


def _limits(name: str) -> tuple[int | None, int | None]:
    return {"bank": (None, None), "capped": (0, 20_000)}.get(name, (0, None))


def run_seed(seed: int, world: World, *, transfers: int) -> Story:
    """Play one seed: safety under faults first, then liveness with everything healed."""
    player = Player(seed, world)
    player.open_books()
    while len(player.workload.sent) < transfers:
        player.safety_round()
    player.liveness()
    return player.story()


class Player:
    """Plays a seed. Every assertion names the seed."""

    def __init__(self, seed: int, world: World) -> None:
        self.seed = seed
        self.world = world
        self.dice = random.Random(seed * 7_919 + 1)
        self.workload = Workload(seed)
        self.at = START
        self.audit = Audit({name: Book(*_limits(name)) for name in NAMES}, START)
        self.codes: dict[str, int] = {}
        self.replies = 0
        self.moments: list[tuple[int, dict[str, tuple[int, int, int, int]]]] = []

    def open_books(self) -> None:
        new = [
            NewBook(
                id=name,
                currency="JPY",
                code="any",
                net_debit_max_minor=_limits(name)[0],
                net_credit_max_minor=_limits(name)[1],
            )
            for name in NAMES
        ]
        with self.world.database.write() as tx:
            assert all(each.code.value == "created" for each in create_books(tx, Instant(START), CHART, new))

    def pass_time(self) -> None:
        """Mostly a little; sometimes a jump ahead, sometimes the wall clock steps back."""
        dice = self.dice.random()
        if dice < 0.85:
            self.at += self.dice.randint(1, 3 * SECOND)
        elif dice < 0.93:
            self.at += self.dice.randint(30 * SECOND, 900 * SECOND)
        else:
            self.at -= self.dice.randint(1, 3_600 * SECOND)

    def safety_round(self) -> None:
        self.pass_time()
        batch = self.workload.batch(self.audit, self.at, self.dice.choice([1, 1, 3, 10, 25, 60]))
        if self.dice.random() < 0.1:  # a torn request: its head alone arrives first
            self.deliver(batch[: self.dice.randrange(len(batch))], Crash.NONE)
        crash = Crash.NONE
        if self.dice.random() < 0.08:
            kinds = [Crash.BEFORE, Crash.BEFORE_COMMIT, Crash.AFTER_COMMIT] + (
                [Crash.TORN] if self.world.is_sqlite else []
            )
            crash = self.dice.choice(kinds)
        self.deliver(batch, crash)
        if self.dice.random() < 0.1:  # a doubled request
            self.pass_time()
            self.deliver(batch, Crash.NONE)
        if self.dice.random() < 0.05:
            self.change_a_limit()
        if self.dice.random() < 0.1:
            self.look()

    def deliver(self, batch: Sequence[Transfer], crash: Crash) -> None:
        """Send until there is an answer, as a client does, and hold every reply against what the auditor expects."""
        if not batch:
            return
        before = self.end()
        answers = self.world.send(batch, self.at, crash, self.dice)
        if answers is None:
            after = self.end()
            expected = self.audit.copy()
            expected.expect(batch, self.at)
            changed = (expected.stands.keys(), expected.burned.keys(), expected.expired) != (
                self.audit.stands.keys(), self.audit.burned.keys(), self.audit.expired
            )  # fmt: skip
            applied = after != before
            if crash in {Crash.BEFORE, Crash.BEFORE_COMMIT}:
                assert not applied, f"seed {self.seed}: what was not committed stands"
            if crash is Crash.AFTER_COMMIT:
                assert applied is changed, f"seed {self.seed}: what was committed is lost"
            if applied:
                self.audit = expected
            self.check_books("after a crash")
            self.remember()
            self.pass_time()
            answers = self.world.send(batch, self.at, Crash.NONE, self.dice)
        assert answers is not None
        expectation = self.audit.expect(batch, self.at)
        for request, answer, wanted in zip(batch, answers, expectation, strict=True):
            self.replies += 1
            self.codes[answer[0]] = self.codes.get(answer[0], 0) + 1
            amount = answer[1] if answer[0] == "created" or answer[0].startswith("exists") else None
            assert (answer[0], amount) == (wanted[0], wanted[1]), (
                f"seed {self.seed}: {request} got {answer}, expected {wanted}"
            )
        self.check_books("after a reply")
        self.remember()

    def remember(self) -> None:
        """Keep how all books stand in the ledger's own time, for a later look.

        Why not the clock's: one that was set back gives later entries an earlier time than was read before.
        """
        self.moments.append((self.end()[2], {name: book.numbers() for name, book in self.audit.books.items()}))

    def end(self) -> tuple[int, str, Instant]:
        with self.world.database.read() as tx:
            return log_end(tx)

    def check_books(self, when: str) -> None:
        with self.world.database.read() as tx:
            found = balances(tx, NAMES)
        for name, balance in zip(NAMES, found, strict=True):
            assert balance is not None
            told = (
                balance.debits_pending_minor,
                balance.debits_posted_minor,
                balance.credits_pending_minor,
                balance.credits_posted_minor,
            )
            assert told == self.audit.books[name].numbers(), f"seed {self.seed}, {when}: {name} holds {told}"
            assert balance.closed is (self.audit.books[name].closed_by is not None), f"seed {self.seed}: {name}"

    def change_a_limit(self) -> None:
        name = f"w{self.dice.randrange(8)}"
        limit = self.dice.choice([0, 0, 500, 5_000])
        with self.world.database.write() as tx:
            change_limits(tx, Instant(self.at), name, net_debit_max_minor=limit, net_credit_max_minor=None)
        self.audit.books[name].debit_max = limit
        self.audit.now = max(self.audit.now, self.at)

    def look(self) -> None:
        """Prove the whole ledger, and read a book as it stood at a moment that is past."""
        name = self.dice.choice(NAMES)
        at, books = self.dice.choice(self.moments)
        later = [each for each in self.moments if each[0] == at]
        with self.world.database.read() as tx:
            report = verify(tx, [log_end(tx)[:2]])
            told = statement(tx, name, at=Instant(at), limit=1).balance
        assert report.broken is None, f"seed {self.seed}: {report.broken}"
        numbers = (
            told.debits_pending_minor,
            told.debits_posted_minor,
            told.credits_pending_minor,
            told.credits_posted_minor,
        )
        assert numbers in [each[1][name] for each in later], f"seed {self.seed}: {name} at {at} (one of {books[name]})"

    def liveness(self) -> None:
        """Everything is well again: every hold can be resolved, every honest transfer goes through, and it all adds up."""
        self.at = max(self.at, self.audit.now) + 1_000 * SECOND
        with self.world.database.write() as tx:
            expire_due(tx, Instant(self.at), CHART)
        self.audit.pass_time(self.at)
        self.check_books("after time ran out")
        closing = {book.closed_by for book in self.audit.books.values() if book.closed_by}
        still = sorted(
            (name for name, hold in self.audit.holds.items() if hold.state == "open"),
            key=lambda each: each not in closing,
        )
        for number, name in enumerate(still, start=1):
            flags = 8 if name in closing or number % 2 else 4
            self.deliver([Transfer(id=f"end{number}", pending_id=name, flags=flags)], Crash.NONE)
        assert all(each.state != "open" for each in self.audit.holds.values()), f"seed {self.seed}"
        for wallet in range(8):
            self.deliver(
                [
                    Transfer(
                        id=f"live{wallet}",
                        debit_book="bank",
                        credit_book=f"w{wallet}",
                        amount_minor=1,
                        currency="JPY",
                        reason="sim",
                    )
                ],
                Crash.NONE,
            )
            assert f"live{wallet}" in self.audit.stands, f"seed {self.seed}: nothing goes through any more"
        with self.world.database.read() as tx:
            report = verify(tx)
        assert (report.broken, report.pending) == (None, 0), f"seed {self.seed}: {report}"
        assert report.transfers == len(self.audit.stands) + self.audit.expired, f"seed {self.seed}"
        assert sum(book.came - book.out for book in self.audit.books.values()) == 0, f"seed {self.seed}"

    def story(self) -> Story:
        return Story(
            transfers=len(self.audit.stands),
            replies=self.replies,
            crashes=self.world.crashes,
            expired=self.audit.expired,
            planned=self.workload.planned,
            codes=self.codes,
        )
