"""Verbs of reconciliation: take rows in, compare, keep what does not match."""

import datetime
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from koban.base import Instant
from koban.db import Database, Tx
from koban.ledger import Chart, booking_date
from koban.reconciliation import store
from koban.reconciliation.files import FileKind, read_file
from koban.reconciliation.logic import days_after, match_rows
from koban.reconciliation.types import Discrepancy, ExceptionDone, ExceptionMissing, Leg, Row, RunReport, Terms

MARGIN_DAYS: Final = 5  # a movement may be booked some days before the other side shows it
CHUNK: Final = 500  # rows in one transaction: no other writer waits for more
PAGE: Final = 2_000
T = TypeVar("T")


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Which codes of the chart are compared with whom: outside, of a provider each, or one for the bank."""

    provider: tuple[str, ...]
    bank: tuple[str, ...]
    costs: frozenset[str]


def books_of(chart: Chart) -> Books:
    """Say which books of the chart are reconciled."""
    outside = [each for each in chart.kinds.values() if each.backing == "outside"]
    return Books(
        provider=tuple(each.code for each in outside if each.owner == "provider"),
        bank=tuple(each.code for each in outside if each.owner is None),
        costs=frozenset(each.code for each in chart.kinds.values() if each.backing == "own" and each.grows == "debit"),
    )


def take_file(database: Database, at: Instant, kind: FileKind, source: str, raw: bytes) -> tuple[int, int]:
    """Take a file in; return how many rows it has and how many were new.

    Refuses: RowsUnreadable.
    """
    rows = read_file(kind, source, raw)
    return sum(row.leg != "settlement" for row in rows), take_rows(database, at, rows)


def take_rows(database: Database, at: Instant, rows: Sequence[Row]) -> int:
    """Take rows in, a piece in each transaction; what is there already is left alone. Return how many were new."""
    new = 0
    for piece in _pieces(sorted(rows, key=lambda row: (row.id, row.leg)), CHUNK):
        with database.write() as tx:
            store.insert_rows(tx, at, piece)
        new += sum(row.leg != "settlement" for row in piece)
    return new


def _pieces(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def run(
    database: Database,
    clock: Callable[[], Instant],
    chart: Chart,
    terms: Terms,
    outside: Callable[[], Sequence[Row]] = tuple,
    *,
    chunk: int = CHUNK,
    page: int = PAGE,
) -> RunReport:
    """Take in what is new on all sides, compare everything that is open, and keep what came of it.

    Idempotent: without anything new, nothing changes. A crash in the middle loses nothing: the next run goes on.
    """
    at = clock()
    take_rows(database, at, outside())
    _take_ledger(database, at, books_of(chart), page)
    with database.read() as tx:
        rows = store.open_rows(tx)
        references = sorted({key for row in rows for key in row.keys})
        known, seen = store.spoken_for(tx, references)
    outcome = match_rows(rows, booking_date(at, chart.time_zone), terms, known=known, seen=seen)
    for piece in _pieces(outcome.matches, chunk):
        with database.write() as tx:
            store.save_matches(tx, at, piece)
    named = [(exception_id(each.key), each) for each in outcome.exceptions]
    for some in _pieces(named, chunk):
        with database.write() as tx:
            store.save_exceptions(tx, at, some)
    with database.write() as tx:
        cleared = store.clear_others(tx, at, {each for each, _ in named})
        store.write_state(tx, "last_run_at", at)
    sides = Counter(row.side for row in rows if row.leg != "settlement" or row.side == "ledger")
    return RunReport(
        ledger_rows=sides["ledger"],
        provider_rows=sides["provider"],
        bank_rows=sides["bank"],
        open_before=len(rows),
        matched=len(outcome.matches),
        exceptions=len(outcome.exceptions),
        cleared=cleared,
    )


def exception_id(key: str) -> str:
    """Name an exception by what it is about."""
    return f"exception_{hashlib.sha256(key.encode()).hexdigest()[:20]}"


def _take_ledger(database: Database, at: Instant, books: Books, page: int) -> None:
    """Take in what was booked on reconciled books since the last time; a posting is one row for each of them.

    From when on the other side reports, less a margin. Why: a ledger with years behind it would be all exceptions on the
    day on which the first file comes.
    """
    codes = (*books.provider, *books.bank)
    with database.read() as tx:
        firsts = store.first_days(tx)
    for side, first in sorted(firsts.items()):
        if codes:
            _take_side(database, at, books, side, days_after(first, -MARGIN_DAYS), page=page)


def _take_side(database: Database, at: Instant, books: Books, side: str, since: str, *, page: int) -> None:
    legs = ("provider",) if side == "provider" else ("bank", "settlement")
    codes = (*books.provider, *books.bank)
    begins, position = f"since_{side}", f"position_{side}"
    with database.write() as tx:
        stored = store.read_state(tx, begins)
        if not stored or int(since.replace("-", "")) < stored:
            # An older file came: look at the log again from its beginning; what is there already is left alone.
            store.write_state(tx, begins, int(since.replace("-", "")))
            store.write_state(tx, position, 0)
    while True:
        with database.read() as tx:
            found = store.walk_ledger(tx, store.read_state(tx, position), codes, limit=page)
        whole = _whole_postings(found, page)
        if not whole:
            return
        rows = [
            row
            for lines in _by_posting(whole)
            for row in ledger_rows(lines, books)
            if row.leg in legs and row.booked_on >= since
        ]
        with database.write() as tx:
            store.insert_rows(tx, at, rows)
            store.write_state(tx, position, int(whole[-1][0]))


def _whole_postings(found: Sequence[Any], page: int) -> Sequence[Any]:  # Any: rows of the driver
    """Leave out the last posting of a full page, of which more may follow; a posting is far shorter than a page."""
    if len(found) < page:
        return found
    last = posting_id(found[-1][1])
    whole = next((index for index in range(len(found), 0, -1) if posting_id(found[index - 1][1]) != last), 0)
    return found[:whole] or found


def posting_id(transfer: str) -> str:
    """Return the posting of a transfer; a transfer made by hand is its own."""
    head, dot, tail = transfer.rpartition(".")
    return head if dot and tail.isdigit() else transfer


def _by_posting(lines: Sequence[Any]) -> list[list[Any]]:  # Any: rows of the driver
    """Cut the log into postings: transfers of one name that follow each other."""
    found: list[list[Any]] = []
    for each in lines:
        if found and posting_id(found[-1][-1][1]) == posting_id(each[1]) and found[-1][-1][1] != each[1]:
            found[-1].append(each)
        else:
            found.append([each])
    return found


def ledger_rows(lines: Sequence[Any], books: Books) -> list[Row]:  # Any: rows of the driver
    """Return what one posting did to reconciled books."""
    place, transfer, reason, booked_on, _, _, _, _, _, _, payment, cause = lines[0]
    posting = posting_id(transfer)
    bank: Counter[str] = Counter()
    providers: Counter[tuple[str, str]] = Counter()
    fees: Counter[str] = Counter()
    for _, _, _, _, debit, debit_owner, credit, credit_owner, amount, currency, _, _ in lines:
        for code, owner, other, signed in (
            (debit, debit_owner, credit, amount),
            (credit, credit_owner, debit, -amount),
        ):
            if code in books.bank:
                bank[currency] += signed
                fees[currency] += amount if other in books.costs else 0
            elif code in books.provider:
                providers[owner or "", currency] += signed
    by_bank = tuple(dict.fromkeys(each for each in (cause, posting) if each))
    by_provider = tuple(dict.fromkeys(each for each in (posting, cause, payment) if each))
    found: list[Row] = []
    paid: set[str] = set()

    def add(leg: Leg, source: str, keys: tuple[str, ...], amount: int, currency: str, *, fee: int) -> None:
        content = "\0".join((str(place), leg, source, currency))
        found.append(
            Row(
                id=f"l_{hashlib.sha256(content.encode()).hexdigest()[:24]}",
                leg=leg,
                side="ledger",
                source=source,
                kind=reason,
                keys=keys,
                amount_minor=amount,
                currency=currency,
                booked_on=booked_on,
                fee_minor=fee,
                named=True,
            )
        )

    for (source, currency), amount in sorted(providers.items()):
        net = bank[currency]
        if amount < 0 < net:
            paid.add(currency)
            add("settlement", source, by_bank, net, currency, fee=-amount - net)
        elif amount:
            add("provider", source, by_provider, amount, currency, fee=0)
    for currency, amount in sorted(bank.items()):
        if amount and currency not in paid:
            add("bank", "", by_bank, amount, currency, fee=fees[currency])
    return found


def find(tx: Tx, exception_id_: str) -> Discrepancy:
    """Return an exception. Refuses: ExceptionMissing."""
    found = store.find_exception(tx, exception_id_)
    if found is None:
        raise ExceptionMissing(f"There is no exception {exception_id_[:60]!r}.")
    return found


def find_live(tx: Tx, exception_id_: str) -> Discrepancy:
    """Return an exception that is not over. Refuses: ExceptionMissing, ExceptionDone."""
    found = find(tx, exception_id_)
    if found.state not in ("open", "proposed"):
        raise ExceptionDone(f"{found.id} is {found.state}.")
    return found


def age_days(since: str, today: str) -> int:
    """Return how many days a date lies back."""
    return max(0, (datetime.date.fromisoformat(today) - datetime.date.fromisoformat(since)).days)


BUCKETS: Final = ((1, "0-1"), (7, "2-7"), (30, "8-30"), (10**6, "31+"))


def bucket(days: int) -> str:
    """Return the ageing bucket of a number of days."""
    return next(name for most, name in BUCKETS if days <= most)
