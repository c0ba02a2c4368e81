"""Runs over a real database: taking in, comparing, running again, crashing in between; on SQLite and PostgreSQL."""

import pytest
from tests.ledger.ground import CHART, START, codes, move, open_ground

from koban.base import DAY, Instant
from koban.db import Database
from koban.ledger import TransferCode
from koban.reconciliation import RunReport, Terms, run, store, take_file

HEADER = "id,booked_on,amount,currency,reference\n"


def compare(database: Database, at: int = START, *, page: int = 2_000) -> RunReport:
    return run(database, lambda: Instant(at), CHART, Terms(), page=page)


def load(database: Database, *lines: str) -> tuple[int, int]:
    return take_file(database, START, "bank", "main", (HEADER + "\n".join(lines)).encode())


def live(database: Database) -> list[tuple[str, str, int]]:
    with database.read() as tx:
        found = store.list_exceptions(tx, state="live", type_="", leg="", owner="", after=None, limit=100)
    return [(each.type.value, each.state, each.amount_minor) for each in found]


def everything(database: Database) -> list[object]:
    with database.read() as tx:
        return [
            tx.rows(f"SELECT * FROM reconciliation_{name} ORDER BY 1, 2")
            for name in ("rows", "matches", "exceptions", "keys")
        ]


@pytest.fixture
def ground(database: Database) -> Database:
    with database.write() as tx:
        open_ground(tx)  # 10,000 came in, by no line of the bank
        assert codes(
            tx, move("in.1", "bank", "b", 500, cause="line1"), move("in.2", "bank", "fee", 30, cause="line1")
        ) == [
            TransferCode.CREATED,
            TransferCode.CREATED,
        ]
    return database


def test_a_run_takes_the_ledger_in_and_what_comes_later_clears_it(ground: Database) -> None:
    nothing = compare(ground)
    assert (nothing.ledger_rows, nothing.exceptions) == (0, 0)  # nobody reports yet: nothing can be missing
    assert load(ground, "in2,2026-10-21,40,JPY,") == (1, 1)
    with ground.write() as tx:
        codes(tx, move("in2", "bank", "b", 40, cause="in2"), move("old", "bank", "b", 7, booking_date="2026-10-10"))
    first = compare(ground)
    assert (first.ledger_rows, first.matched, first.exceptions) == (3, 1, 2)
    assert live(ground) == [("late", "open", 10_000), ("late", "open", 530)]
    assert load(ground, "line1,2026-10-21,530,JPY,", "other,2026-10-22,10000,JPY,") == (2, 2)
    second = compare(ground)
    assert (second.bank_rows, second.matched, second.exceptions, second.cleared) == (2, 2, 0, 2)
    with ground.read() as tx:
        assert store.match_counts(tx) == {"reference": 2, "amount_and_date": 1}
    assert live(ground) == []
    load(ground, "old,2026-10-11,7,JPY,")  # an older file: the ledger is looked at from there
    compare(ground)
    assert live(ground) == []


def test_a_run_again_changes_nothing_and_time_makes_late_things_missing(ground: Database) -> None:
    load(ground, "x,2026-10-21,77,JPY,", "line1,2026-10-21,531,JPY,")
    compare(ground)
    before = everything(ground)
    again = compare(ground)
    assert (again.matched, again.cleared) == (0, 0)
    assert everything(ground) == before
    assert load(ground, "line1,2026-10-21,531,JPY,", "x,2026-10-21,77,JPY,")[0] == 2
    compare(ground)
    assert everything(ground) == before
    compare(ground, START + 10 * DAY)
    assert sorted(live(ground)) == [
        ("amount_differs", "open", -1),
        ("missing_at_bank", "open", 10_000),
        ("missing_in_ledger", "open", -77),
    ]


def test_a_line_that_is_booked_twice_later_is_a_duplicate(ground: Database) -> None:
    load(ground, "line1,2026-10-21,530,JPY,", "other,2026-10-22,10000,JPY,")
    compare(ground)
    with ground.write() as tx:
        codes(tx, move("again", "bank", "b", 530, cause="line1"))
    compare(ground)
    assert live(ground) == [("duplicated", "open", 530)]


def test_a_run_that_dies_after_any_commit_is_finished_by_the_next(ground: Database) -> None:
    load(ground, "line1,2026-10-21,530,JPY,", "other,2026-10-22,10000,JPY,", "x,2026-10-01,5,JPY,")

    class _Crash(Exception):
        pass

    class Dying:
        """A database that dies after so many commits."""

        def __init__(self, commits: int) -> None:
            self.left, self.dialect = commits, None

        def read(self) -> object:
            return ground.read()

        def write(self) -> object:
            if self.left == 0:
                raise _Crash
            self.left -= 1
            return ground.write()

    for commits in range(1, 8):
        try:
            run(Dying(commits), lambda: START, CHART, Terms(), chunk=1)  # type: ignore[arg-type]  # stands for a database at its seam
        except _Crash:
            continue
    compare(ground)
    assert [each[0] for each in live(ground)] == ["missing_in_ledger"]
    with ground.read() as tx:
        assert sum(store.match_counts(tx).values()) == 2
        assert tx.rows("SELECT count(*) FROM reconciliation_rows")[0][0] == 5


def test_pages_of_the_ledger_cut_no_posting_in_two(ground: Database) -> None:
    with ground.write() as tx:
        codes(
            tx,
            *(
                move(f"p{number // 3}.{number % 3 + 1}", "bank", "free", 7, cause=f"c{number // 3}")
                for number in range(30)
            ),
        )
    load(ground, "line1,2026-10-21,530,JPY,")
    compare(ground, page=4)
    with ground.read() as tx:
        rows = tx.rows(
            "SELECT amount, count(*) FROM reconciliation_rows WHERE side = 'ledger' GROUP BY amount ORDER BY amount"
        )
    assert [tuple(each) for each in rows] == [(21, 10), (530, 1), (10_000, 1)]
