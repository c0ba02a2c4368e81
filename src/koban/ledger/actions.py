"""Verbs of the ledger. Each works in the caller's transaction, so that money moves with the fact that moves it."""

import datetime
import functools
import zoneinfo
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from koban.base import SECOND, Instant, Refusal, limits
from koban.db import Tx
from koban.ledger import logic, store
from koban.ledger.codes import BookCode, LimitCode, TransferCode
from koban.ledger.types import (
    Balance,
    BookMissing,
    BookResult,
    Chart,
    Expired,
    Flag,
    LimitResult,
    NewBook,
    PeriodStep,
    Statement,
    StoredTransfer,
    Total,
    Transfer,
    TransferMissing,
    TransferResult,
)

_RESOLVES: Final = int(Flag.POST_PENDING | Flag.VOID_PENDING)
_PENDING: Final = int(Flag.PENDING)


class BatchTooLarge(Refusal):
    """More transfers or books in one call than fit."""

    code = "batch_too_large"
    status = 413
    title = "The batch is too large."


class LedgerBroken(AssertionError):
    """Debits and credits of a batch differ: a bug of ours, found before anything was written. Always on (law 5)."""


def create_books(tx: Tx, at: Instant, chart: Chart, batch: Sequence[NewBook]) -> list[BookResult]:
    """Open books; each answers for itself, in order.

    Refuses: BatchTooLarge. Everything else is a result code.
    """
    if len(batch) > limits.BOOKS_PER_BATCH_MAX:
        raise BatchTooLarge(f"{len(batch)} books in one call; {limits.BOOKS_PER_BATCH_MAX} are the most.")
    end = store.lock_head(tx)
    at = max(at, end.last_at)
    states = store.load_books(tx, [each.id for each in batch])
    made: list[logic.BookState] = []
    bodies: dict[str, dict[str, object]] = {}
    results: list[BookResult] = []
    position = end.position
    for each in batch:
        state = states.get(each.id)
        if not logic.ID(each.id):
            code = BookCode.ID_INVALID
        elif state is not None:
            opened = bodies[each.id] if each.id in bodies else store.opening_of(tx, state.num)
            code = _same_book(state, each, opened, chart)
        else:
            code = logic.book_fault(each, chart) or BookCode.CREATED
        results.append(BookResult(id=each.id, code=code))
        if code is BookCode.CREATED:
            position += 1
            state = _opened(each, chart, position)
            states[each.id] = state
            bodies[each.id] = _opening(state)
            made.append(state)
    if made:
        rows = [("book", each.id, msgspec.json.encode(bodies[each.id]).decode()) for each in made]
        position, chain_hash = store.insert_changes(tx, at, end.position, end.hash, rows)
        store.insert_books(tx, made)
        _count_books(tx, made)
        store.move_head(tx, at, position, chain_hash)
    return results


def _opened(book: NewBook, chart: Chart, num: int) -> logic.BookState:
    debit_max, credit_max = logic.bounds(book, chart.kinds[book.code])
    return logic.BookState(
        num=num,
        id=book.id,
        currency=book.currency,
        code=book.code,
        owner=book.owner,
        debit_max=debit_max,
        credit_max=credit_max,
        closed=False,
        debits_pending=0,
        debits_posted=0,
        credits_pending=0,
        credits_posted=0,
        nth=0,
        last=0,
    )


def _opening(state: logic.BookState) -> dict[str, object]:
    return {
        "currency": state.currency,
        "code": state.code,
        "owner": state.owner,
        "debit_max": state.debit_max,
        "credit_max": state.credit_max,
    }


def _same_book(state: logic.BookState, asked: NewBook, opened: dict[str, object], chart: Chart) -> BookCode:
    if asked.currency != state.currency:
        return BookCode.EXISTS_WITH_DIFFERENT_CURRENCY
    if asked.code != state.code:
        return BookCode.EXISTS_WITH_DIFFERENT_CODE
    if asked.owner != state.owner:
        return BookCode.EXISTS_WITH_DIFFERENT_OWNER
    debit_max, credit_max = logic.bounds(asked, chart.kinds.get(asked.code))
    explicit = (asked.net_debit_max_minor, asked.net_credit_max_minor)
    wanted = (debit_max, credit_max)
    # What the request leaves to the chart cannot differ: the chart may have changed since the book was opened.
    for said, limit, name in zip(explicit, wanted, ("debit_max", "credit_max"), strict=True):
        if said is not msgspec.UNSET and limit != opened[name]:
            return BookCode.EXISTS_WITH_DIFFERENT_LIMITS
    return BookCode.EXISTS


def _count_books(tx: Tx, made: Iterable[logic.BookState]) -> None:
    totals = {(each.code, each.currency): each for each in store.read_totals(tx)}
    changed: dict[tuple[str, str], Total] = {}
    for each in made:
        key = (each.code, each.currency)
        total = changed.get(key) or totals.get(key) or _no_total(*key)
        changed[key] = msgspec.structs.replace(total, books=total.books + 1)
    store.save_totals(tx, changed.values())


def _no_total(code: str, currency: str) -> Total:
    return Total(
        code=code,
        currency=currency,
        books=0,
        debits_pending_minor=0,
        debits_posted_minor=0,
        credits_pending_minor=0,
        credits_posted_minor=0,
    )


def change_limits(
    tx: Tx, at: Instant, book_id: str, *, net_debit_max_minor: int | None, net_credit_max_minor: int | None
) -> LimitResult:
    """Set what a book may reach from now on: a credit limit raised or lowered.

    A balance past a lowered limit stays; nothing more goes the same way until it is back inside.
    """
    if not logic.is_limit(net_debit_max_minor) or not logic.is_limit(net_credit_max_minor):
        return LimitResult(book=book_id, code=LimitCode.LIMIT_OUT_OF_RANGE)
    end = store.lock_head(tx)
    state = store.load_books(tx, [book_id]).get(book_id)
    if state is None:
        return LimitResult(book=book_id, code=LimitCode.BOOK_NOT_FOUND)
    if (state.debit_max, state.credit_max) == (net_debit_max_minor, net_credit_max_minor):
        return LimitResult(book=book_id, code=LimitCode.UNCHANGED)
    at = max(at, end.last_at)
    body = msgspec.json.encode({"debit_max": net_debit_max_minor, "credit_max": net_credit_max_minor}).decode()
    position, chain_hash = store.insert_changes(tx, at, end.position, end.hash, [("limits", book_id, body)])
    store.save_limits(tx, state.num, net_debit_max_minor, net_credit_max_minor)
    store.move_head(tx, at, position, chain_hash)
    return LimitResult(book=book_id, code=LimitCode.CHANGED)


def create_transfers(tx: Tx, at: Instant, chart: Chart, batch: Sequence[Transfer]) -> list[TransferResult]:
    """Make transfers in order; each answers for itself, and a linked chain as a whole.

    A refusal is a result code, never raised; one that depends on the moment burns its id, and that alone is written.
    Refuses: BatchTooLarge.
    """
    if len(batch) > limits.TRANSFERS_PER_BATCH_MAX:
        raise BatchTooLarge(f"{len(batch)} transfers in one call; {limits.TRANSFERS_PER_BATCH_MAX} are the most.")
    if any(len(each.conditions) > limits.CONDITIONS_PER_TRANSFER_MAX for each in batch):
        raise BatchTooLarge(f"A transfer has {limits.CONDITIONS_PER_TRANSFER_MAX} conditions at most.")
    end = store.lock_head(tx)
    at = max(at, end.last_at)
    work = logic.Work(at, booking_date(at, chart.time_zone), end.closed_through, end.position)
    _load(tx, work, batch)
    due = _expire_into(tx, work)
    results = logic.judge(work, batch)
    _write(tx, at, work, end, due)
    return results


def expire_due(tx: Tx, at: Instant, chart: Chart) -> list[Expired]:
    """Free what pending transfers reserved whose time ran out, 1,000 at most; every batch does so before it is judged.

    Why also by itself: in a quiet hour nothing else would, and the time is a fact that others wait for (law 6).
    """
    end = store.read_head(tx)
    if not store.due_pendings(tx, max(at, end.last_at), 1):
        return []  # nothing is locked for nothing
    end = store.lock_head(tx)
    at = max(at, end.last_at)
    work = logic.Work(at, booking_date(at, chart.time_zone), end.closed_through, end.position)
    due = _expire_into(tx, work)
    _write(tx, at, work, end, due)
    return [
        Expired(position=row.known.position, pending_id=row.known.pending_id, amount_minor=row.known.amount)
        for row in work.rows
    ]


def close_period(tx: Tx, at: Instant, chart: Chart, through: str, *, by: str = "", note: str = "") -> None:
    """Close the books for booking dates up to `through`; later corrections are booked on later dates.

    Refuses: PeriodStep when that is not a past date after the last closed one.
    """
    end = store.lock_head(tx)
    at = max(at, end.last_at)
    if not logic.is_date(through) or through <= end.closed_through or through >= booking_date(at, chart.time_zone):
        raise PeriodStep(
            f"{through[:20]!r} is no past date after {end.closed_through or 'the beginning'}; a close only goes forward."
        )
    _move_period(tx, at, end, through, "closed", by=by, note=note)


def reopen_period(tx: Tx, at: Instant, through: str, *, by: str, note: str) -> None:
    """Open the books again for booking dates after `through` (empty: all of them). The log keeps who did it and why.

    Refuses: PeriodStep when the books are not closed further than that.
    """
    end = store.lock_head(tx)
    at = max(at, end.last_at)
    if (through and not logic.is_date(through)) or through >= end.closed_through:
        raise PeriodStep(
            f"The books are closed through {end.closed_through or 'no date'}; {through[:20]!r} is no date before that."
        )
    _move_period(tx, at, end, through, "reopened", by=by, note=note)


def _move_period(tx: Tx, at: Instant, end: store.Head, through: str, kind: str, *, by: str, note: str) -> None:
    body = msgspec.json.encode({"kind": kind, "by": by, "note": note}).decode()
    position, chain_hash = store.insert_changes(tx, at, end.position, end.hash, [("period", through, body)])
    store.set_closed_through(tx, through)
    store.move_head(tx, at, position, chain_hash)


@functools.lru_cache(maxsize=64)
def _zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)


def booking_date(at: Instant, time_zone: str) -> str:
    """Return the date of a moment in a time zone, YYYY-MM-DD."""
    return datetime.datetime.fromtimestamp(at // SECOND, _zone(time_zone)).date().isoformat()


def _load(tx: Tx, work: logic.Work, batch: Sequence[Transfer]) -> None:
    """Load every row that a batch names."""
    ids = {each.id for each in batch}
    wanted = ids | {each.pending_id for each in batch if each.flags & _RESOLVES}
    wanted.discard("")
    work.known.update(store.load_known(tx, list(wanted)))
    new = [each for each in ids if each not in work.known]
    work.burned.update(store.load_burned(tx, new) if new else {})
    if len(wanted) > len(ids) or any(each.flags & _RESOLVES for each in batch):
        work.pendings.update(store.load_pendings(tx, work.known.values()))
    books = {each.debit_book for each in batch} | {each.credit_book for each in batch}
    books.update(condition.book for each in batch for condition in each.conditions)
    for each in work.pendings.values():
        books.update((each.known.debit_book, each.known.credit_book))
    books.discard("")
    work.books.update(store.load_books(tx, list(books)))


def _expire_into(tx: Tx, work: logic.Work) -> list[logic.Pending]:
    """Free everything that is due, before anything else is judged at this moment."""
    positions = store.due_pendings(tx, work.at, limits.EXPIRIES_PER_BATCH_MAX)
    if not positions:
        return []
    known = store.load_known_at(tx, positions)
    missing = {each for one in known.values() for each in (one.debit_book, one.credit_book)} - work.books.keys()
    work.books.update(store.load_books(tx, list(missing)) if missing else {})
    found = store.load_pendings(tx, known.values())
    by_position = {each.known.position: each for each in found.values()}
    due = []
    for position in positions:
        # One object for each pending transfer, so that a batch that names it sees that it expired.
        pending = work.pendings.setdefault(by_position[position].known.id, by_position[position])
        logic.expire(work, pending)
        due.append(pending)
    return due


def _write(tx: Tx, at: Instant, work: logic.Work, end: store.Head, due: Sequence[logic.Pending]) -> None:
    """Write what a batch did: its rows, the balances they lead to, and the ids that it burned."""
    if not work.rows and not work.newly_burned:
        return
    position, chain_hash = end.position, end.hash
    if work.rows:
        chain_hash = store.insert_transfers(tx, at, work.rows, chain_hash)
        position = work.position
        moved = _moved(work)
        before = store.read_totals(tx)
        store.save_totals(tx, _new_totals(before, work.rows, moved))
        store.save_books(tx, moved.values())
        made = [row for row in work.rows if row.known.flags & _PENDING]
        store.insert_pendings(tx, [(work.pendings[row.known.id], row.debit_num, row.credit_num) for row in made])
        store.save_resolved(tx, [(state, by, place) for place, (state, by) in work.resolved.items()])
        store.insert_marks(tx, work.rows)
    if work.newly_burned:
        burned = [
            ("burned", each, msgspec.json.encode({"code": code.value}).decode()) for each, code in work.newly_burned
        ]
        position, chain_hash = store.insert_changes(tx, at, position, chain_hash, burned)
    store.move_head(tx, at, position, chain_hash)
    assert all(each.state == "expired" for each in due), "what is due is expired or the batch is not written"


def _moved(work: logic.Work) -> dict[str, logic.BookState]:
    names = {row.known.debit_book for row in work.rows} | {row.known.credit_book for row in work.rows}
    return {each: work.books[each] for each in names}


def _new_totals(
    before: Sequence[Total], rows: Sequence[logic.NewRow], moved: dict[str, logic.BookState]
) -> list[Total]:
    """Add up a batch per code, and hold that its debits are its credits in every currency (law 5)."""
    sums: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        debit, credit = moved[row.known.debit_book], moved[row.known.credit_book]
        ours = sums.setdefault((debit.code, debit.currency), [0, 0, 0, 0])
        theirs = sums.setdefault((credit.code, credit.currency), [0, 0, 0, 0])
        pending, posted = logic.effect(row)
        ours[0] += pending
        ours[1] += posted
        theirs[2] += pending
        theirs[3] += posted
    balance: dict[str, int] = {}
    for (_, currency), (dp, dpo, cp, cpo) in sums.items():
        balance[currency] = balance.get(currency, 0) + (dp + dpo) - (cp + cpo)
    if any(balance.values()):
        raise LedgerBroken(f"a batch's debits and credits differ: {balance}")
    standing = {(each.code, each.currency): each for each in before}
    return [
        msgspec.structs.replace(
            standing[key],
            debits_pending_minor=standing[key].debits_pending_minor + dp,
            debits_posted_minor=standing[key].debits_posted_minor + dpo,
            credits_pending_minor=standing[key].credits_pending_minor + cp,
            credits_posted_minor=standing[key].credits_posted_minor + cpo,
        )
        for key, (dp, dpo, cp, cpo) in sums.items()
    ]


def balances(tx: Tx, book_ids: Sequence[str]) -> list[Balance | None]:
    """Return books with what is posted and what is pending, as one consistent read; None for one that is not there."""
    as_of = store.read_head(tx).position
    found = store.load_books(tx, book_ids)
    return [store.balance_of(found[each], as_of) if each in found else None for each in book_ids]


def list_books(tx: Tx, *, code: str | None, owner: str | None, after: int, limit: int) -> list[tuple[int, Balance]]:
    """Return books in the order in which they were opened, each with the number after which the next page begins."""
    as_of = store.read_head(tx).position
    found = store.list_books(tx, code=code, owner=owner, after_num=after, limit=limit)
    return [(each.num, store.balance_of(each, as_of)) for each in found]


def statement(
    tx: Tx,
    book_id: str,
    *,
    at: Instant | None = None,
    before: int | None = None,
    limit: int = limits.PAGE_DEFAULT,
) -> Statement:
    """Return a book as it stood at a past moment (now, when none is given), with its lines up to then, newest first.

    `before` is the position from which older lines follow (`next_position` of the page before).
    Refuses: BookMissing.
    """
    state = store.load_books(tx, [book_id]).get(book_id)
    upto = store.read_head(tx).position if at is None else store.position_at(tx, at)
    if state is None or state.num > upto:
        raise BookMissing(f"There is no book {book_id[:96]!r}" + (" at that moment." if state is not None else "."))
    if before is not None:
        upto = min(upto, before)
    lines = store.book_lines(tx, state, upto, limit + 1)
    debit_max, credit_max = store.limits_at(tx, state, upto)
    newest = lines[0] if lines else None
    balance = msgspec.structs.replace(
        store.balance_of(state, upto),
        debits_pending_minor=newest.debits_pending_minor if newest else 0,
        debits_posted_minor=newest.debits_posted_minor if newest else 0,
        credits_pending_minor=newest.credits_pending_minor if newest else 0,
        credits_posted_minor=newest.credits_posted_minor if newest else 0,
        net_debit_max_minor=debit_max,
        net_credit_max_minor=credit_max,
        closed=store.closed_at(tx, state, upto),
        transfers=store.nth_of(tx, state, newest.position) if newest else 0,
    )
    more = len(lines) > limit
    return Statement(balance=balance, lines=tuple(lines[:limit]), next_position=lines[limit].position if more else None)


def transfer(tx: Tx, transfer_id: str) -> StoredTransfer:
    """Return a transfer. Refuses: TransferMissing."""
    found = store.find_transfer(tx, transfer_id)
    if found is None:
        raise TransferMissing(f"There is no transfer {transfer_id[:96]!r}.")
    return found


def why_refused(tx: Tx, transfer_id: str) -> TransferCode | None:
    """Return the answer that burned an id; None when it was not burned."""
    return store.load_burned(tx, [transfer_id]).get(transfer_id)
