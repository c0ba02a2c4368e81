"""What a transfer does to its books: pure, in memory, over the rows that a batch may touch.

`Work` holds those rows while a batch is judged. It is the only mutable thing here, it lives for one batch, and a chain that
fails is taken back from its journal, so nothing of a refusal reaches the database but the id that it burns.
"""

import datetime
import functools
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from koban.base import SECOND, Instant, limits
from koban.ledger.codes import TRANSIENT, BookCode, TransferCode
from koban.ledger.types import (
    BookKind,
    Chart,
    Condition,
    Flag,
    NewBook,
    PendingState,
    Transfer,
    TransferResult,
)

ID: Final = re.compile(r"[A-Za-z0-9_.:~%-]{1,96}").fullmatch
_CURRENCY: Final = re.compile(r"[A-Z]{3}").fullmatch
_REASON: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}").fullmatch
_REFERENCE: Final = re.compile(r"[^\x00-\x1f\x7f]{1,128}").fullmatch
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}").fullmatch

EXPIRED_FLAG: Final = 256  # a row that the ledger writes itself when a pending transfer's time runs out
EXPIRED_ID: Final = "!expired:"  # no client can make such an id

_RESOLVES: Final = int(Flag.POST_PENDING | Flag.VOID_PENDING)
_BALANCES: Final = int(Flag.BALANCING_DEBIT | Flag.BALANCING_CREDIT)
_CLOSES: Final = int(Flag.CLOSING_DEBIT | Flag.CLOSING_CREDIT)
_EVERY_FLAG: Final = 255
_LINKED: Final = int(Flag.LINKED)
_PENDING: Final = int(Flag.PENDING)
_POST: Final = int(Flag.POST_PENDING)
_VOID: Final = int(Flag.VOID_PENDING)
# Plain integers, since an enum's `&` costs ten times theirs and runs several times a transfer.
_CLOSES_DEBIT: Final = int(Flag.CLOSING_DEBIT)
_CLOSES_CREDIT: Final = int(Flag.CLOSING_CREDIT)
_BALANCES_DEBIT: Final = int(Flag.BALANCING_DEBIT)
_BALANCES_CREDIT: Final = int(Flag.BALANCING_CREDIT)
_MAX: Final = limits.AMOUNT_MINOR_MAX


class BookState(msgspec.Struct, kw_only=True):
    """A book while a batch is judged."""

    num: int
    id: str
    currency: str
    code: str
    owner: str | None
    debit_max: int | None
    credit_max: int | None
    closed: bool
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    nth: int
    last: int


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer that stands, as far as a retry or a resolution must know it."""

    position: int
    id: str
    debit_book: str
    credit_book: str
    amount: int
    asked: int | None
    currency: str
    reason: str
    flags: int
    pending_id: str
    timeout_s: int
    order: str | None
    payment: str | None
    cause: str | None
    booking_date: str
    effective_date: str
    conditions: str | None


class Pending(msgspec.Struct, kw_only=True):
    """A pending transfer and what became of it."""

    known: Known
    state: PendingState
    expires_at: int | None


class NewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer that the batch adds, with what its two books are after it."""

    known: Known
    debit_num: int
    credit_num: int
    pending_position: int | None
    released: int | None  # what the pending transfer that it resolves had reserved
    debit_after: tuple[int, int, int, int]
    credit_after: tuple[int, int, int, int]
    debit_nth: int
    credit_nth: int
    debit_before: int
    credit_before: int


_Saved = tuple[BookState, int, int, int, int, int, int, bool]


class Work:
    """The rows that a batch may touch. Invariant: `rows` and the books agree after every transfer."""

    def __init__(self, at: Instant, today: str, closed_through: str, position: int) -> None:
        """Begin after `position` of the log."""
        self.at = at
        self.today = today
        self.closed_through = closed_through
        self.position = position
        self.books: dict[str, BookState] = {}
        self.known: dict[str, Known] = {}
        self.burned: dict[str, TransferCode] = {}
        self.pendings: dict[str, Pending] = {}
        self.rows: list[NewRow] = []
        self.resolved: dict[
            int, tuple[PendingState, int]
        ] = {}  # position of a pending: what became of it, by which row
        self.newly_burned: list[tuple[str, TransferCode]] = []
        self._journal: list[_Saved] | None = None

    def change(self, book: BookState) -> None:
        """Note how a book stands before it is changed, while a chain is open."""
        if self._journal is not None:
            self._journal.append(
                (
                    book,
                    book.debits_pending,
                    book.debits_posted,
                    book.credits_pending,
                    book.credits_posted,
                    book.nth,
                    book.last,
                    book.closed,
                )
            )

    def open_chain(self) -> tuple[int, int]:
        """Begin a chain and return where to go back to."""
        self._journal = []
        return len(self.rows), self.position

    def keep_chain(self) -> None:
        """Keep what the chain did: it succeeded as a whole."""
        self._journal = None

    def drop_chain(self, mark: tuple[int, int]) -> None:
        """Take back everything since the chain was opened."""
        assert self._journal is not None, "a chain is open"
        for book, dp, dpo, cp, cpo, nth, last, closed in reversed(self._journal):
            book.debits_pending, book.debits_posted, book.credits_pending, book.credits_posted = dp, dpo, cp, cpo
            book.nth, book.last, book.closed = nth, last, closed
        self._journal = None
        length, self.position = mark
        for row in reversed(self.rows[length:]):
            del self.known[row.known.id]
            self.pendings.pop(row.known.id, None)
            if row.pending_position is not None:
                del self.resolved[row.pending_position]
                self.pendings[row.known.pending_id].state = "open"
        del self.rows[length:]

    def burn(self, transfer_id: str, code: TransferCode) -> None:
        """Remember that this id failed, so that it can never succeed."""
        self.burned[transfer_id] = code
        self.newly_burned.append((transfer_id, code))


def judge(work: Work, batch: Sequence[Transfer]) -> list[TransferResult]:
    """Judge a batch in order; `work` holds every row that it names."""
    results: list[TransferResult] = []
    index = 0
    while index < len(batch):
        if not batch[index].flags & _LINKED:
            results.append(_settled(work, batch[index], _one(work, batch[index])))
            index += 1
            continue
        end = index
        while end < len(batch) and batch[end].flags & _LINKED:
            end += 1
        results.extend(_chain(work, batch[index : end + 1], is_open=end == len(batch)))
        index = end + 1
    return results


def _settled(work: Work, transfer: Transfer, result: TransferResult) -> TransferResult:
    if result.code in TRANSIENT:
        work.burn(transfer.id, result.code)
    return result


def _chain(work: Work, chain: Sequence[Transfer], *, is_open: bool) -> list[TransferResult]:
    """Judge transfers that succeed or fail as a whole. The first failure says why; the others say that it failed.

    A chain whose every transfer exists already is a retry: each answers `exists`. One that exists among some that do not
    is a failure, as nothing that stands can be part of a new whole.
    """
    mark = work.open_chain()
    results: list[TransferResult] = []
    failed: int | None = None
    for index, each in enumerate(chain):
        if is_open and index == len(chain) - 1:
            result = TransferResult(id=each.id, code=TransferCode.LINKED_EVENT_CHAIN_OPEN)
        else:
            result = _one(work, each)
        results.append(result)
        if result.code is not TransferCode.CREATED:
            failed = index
            break
    if failed is None:
        work.keep_chain()
        return results
    work.drop_chain(mark)
    if failed == 0 and not is_open and results[0].code is TransferCode.EXISTS:
        retried = [_one(work, each) if each.id in work.known else None for each in chain]
        if all(each is not None and each.code is TransferCode.EXISTS for each in retried):
            return [each for each in retried if each is not None]
    cause = _settled(work, chain[failed], results[failed])
    return [
        cause if index == failed else TransferResult(id=each.id, code=TransferCode.LINKED_EVENT_FAILED)
        for index, each in enumerate(chain)
    ]


def _one(work: Work, transfer: Transfer) -> TransferResult:
    if not ID(transfer.id):
        return TransferResult(id=transfer.id, code=TransferCode.ID_INVALID)
    known = work.known.get(transfer.id)
    if known is not None:
        return TransferResult(
            id=transfer.id, code=_same(known, transfer), position=known.position, amount_minor=known.amount
        )
    first = work.burned.get(transfer.id)
    if first is not None:
        return TransferResult(id=transfer.id, code=TransferCode.ID_ALREADY_FAILED, first=first)
    fault = _form_fault(transfer)
    if fault is None:
        made = _resolve(work, transfer) if transfer.flags & _RESOLVES else _move(work, transfer)
        if isinstance(made, Known):
            return TransferResult(
                id=transfer.id, code=TransferCode.CREATED, position=made.position, amount_minor=made.amount
            )
        fault = made
    return TransferResult(id=transfer.id, code=fault)


def _same(known: Known, asked: Transfer) -> TransferCode:
    """Compare a retry with what stands, field by field in the order of precedence."""
    resolves = bool(known.flags & _RESOLVES)
    references = (asked.order, asked.payment, asked.cause)
    stored = (known.order, known.payment, known.cause)
    code = TransferCode
    if asked.flags != known.flags:
        return code.EXISTS_WITH_DIFFERENT_FLAGS
    if asked.pending_id != known.pending_id:
        return code.EXISTS_WITH_DIFFERENT_PENDING_ID
    if asked.timeout_s != known.timeout_s:
        return code.EXISTS_WITH_DIFFERENT_TIMEOUT
    if asked.debit_book != known.debit_book and not (resolves and not asked.debit_book):
        return code.EXISTS_WITH_DIFFERENT_DEBIT_BOOK
    if asked.credit_book != known.credit_book and not (resolves and not asked.credit_book):
        return code.EXISTS_WITH_DIFFERENT_CREDIT_BOOK
    if asked.amount_minor != known.asked:
        return code.EXISTS_WITH_DIFFERENT_AMOUNT
    if asked.currency != known.currency and not (resolves and not asked.currency):
        return code.EXISTS_WITH_DIFFERENT_CURRENCY
    if asked.reason != known.reason and not (resolves and not asked.reason):
        return code.EXISTS_WITH_DIFFERENT_REASON
    if any(ours != theirs and not (resolves and ours is None) for ours, theirs in zip(references, stored, strict=True)):
        return code.EXISTS_WITH_DIFFERENT_REFERENCES
    if (
        (asked.booking_date is not None and asked.booking_date != known.booking_date)
        or (asked.effective_date is not None and asked.effective_date != known.effective_date)
        or written_conditions(asked.conditions) != known.conditions
    ):
        return code.EXISTS_WITH_DIFFERENT_DATES
    return code.EXISTS


def _form_fault(transfer: Transfer) -> TransferCode | None:
    """Check what can be checked without looking at the ledger; the answer is the same for ever."""
    code = TransferCode
    flags = transfer.flags
    if flags & ~_LINKED and _flags_clash(flags):
        return code.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    resolves = flags & _RESOLVES
    if not resolves:
        if not transfer.debit_book:
            return code.DEBIT_BOOK_MISSING
        if not transfer.credit_book:
            return code.CREDIT_BOOK_MISSING
    if transfer.debit_book == transfer.credit_book and transfer.debit_book:
        return code.BOOKS_MUST_BE_DIFFERENT
    if resolves:
        if not transfer.pending_id:
            return code.PENDING_ID_MISSING
        if transfer.pending_id == transfer.id:
            return code.PENDING_ID_MUST_BE_DIFFERENT
    elif transfer.pending_id:
        return code.PENDING_ID_MUST_BE_EMPTY
    if transfer.timeout_s:
        if not flags & _PENDING:
            return code.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
        if not 0 < transfer.timeout_s <= limits.PENDING_TIMEOUT_S_MAX:
            return code.TIMEOUT_OUT_OF_RANGE
    if flags & _CLOSES and not flags & _PENDING:
        return code.CLOSING_TRANSFER_MUST_BE_PENDING
    return _amount_fault(transfer) or _words_fault(transfer)


def _flags_clash(flags: int) -> bool:
    kinds = flags & (_PENDING | _RESOLVES)
    return (
        flags & ~_EVERY_FLAG != 0
        or kinds not in {0, _PENDING, _POST, _VOID}
        or bool(flags & _RESOLVES and flags & (_BALANCES | _CLOSES))
    )


def _amount_fault(transfer: Transfer) -> TransferCode | None:
    code = TransferCode
    amount = transfer.amount_minor
    if amount is None:
        # None is "all of it" where that means something; elsewhere nothing was said.
        return None if transfer.flags & (_RESOLVES | _BALANCES) else code.AMOUNT_MUST_NOT_BE_ZERO
    if amount < 0:
        return code.AMOUNT_MUST_NOT_BE_NEGATIVE
    if amount == 0 and not transfer.flags & _CLOSES:
        return code.AMOUNT_MUST_NOT_BE_ZERO
    return code.AMOUNT_OUT_OF_RANGE if amount > _MAX else None


def _words_fault(transfer: Transfer) -> TransferCode | None:
    code = TransferCode
    resolves = transfer.flags & _RESOLVES
    if not transfer.currency and not resolves:
        return code.CURRENCY_MISSING
    if not _REASON(transfer.reason) and not (resolves and not transfer.reason):
        return code.REASON_INVALID
    for reference in (transfer.order, transfer.payment, transfer.cause):
        if reference is not None and not _REFERENCE(reference):
            return code.REFERENCE_INVALID
    for date in (transfer.booking_date, transfer.effective_date):
        if date is not None and not is_date(date):
            return code.DATE_INVALID
    return None


@functools.lru_cache(maxsize=4_096)
def is_date(text: str) -> bool:
    """Tell whether a text is a date, YYYY-MM-DD."""
    if not _DATE(text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _move(work: Work, transfer: Transfer) -> Known | TransferCode:
    """Make a single or a pending transfer, or say why not."""
    code = TransferCode
    flags = transfer.flags
    debit = work.books.get(transfer.debit_book)
    if debit is None:
        return code.DEBIT_BOOK_NOT_FOUND
    credit = work.books.get(transfer.credit_book)
    if credit is None:
        return code.CREDIT_BOOK_NOT_FOUND
    if debit.currency != credit.currency:
        return code.BOOKS_MUST_HAVE_THE_SAME_CURRENCY
    if transfer.currency != debit.currency:
        return code.TRANSFER_MUST_HAVE_THE_CURRENCY_OF_ITS_BOOKS
    booked = transfer.booking_date or work.today
    if booked <= work.closed_through:
        return code.BOOKING_PERIOD_CLOSED
    if debit.closed:
        return code.DEBIT_BOOK_ALREADY_CLOSED
    if credit.closed:
        return code.CREDIT_BOOK_ALREADY_CLOSED
    if transfer.conditions and (fault := _condition_fault(work, transfer.conditions)):
        return fault
    amount = _MAX if transfer.amount_minor is None else transfer.amount_minor
    if flags & _BALANCES:
        amount = _balanced(debit, credit, flags, amount)
    fault = _limit_fault(debit, credit, amount, pending=bool(flags & _PENDING))
    if fault is not None:
        return fault
    work.change(debit)
    work.change(credit)
    if flags & _PENDING:
        debit.debits_pending += amount
        credit.credits_pending += amount
        debit.closed = bool(flags & _CLOSES_DEBIT)
        credit.closed = bool(flags & _CLOSES_CREDIT)
    else:
        debit.debits_posted += amount
        credit.credits_posted += amount
    known = _known(work, transfer, amount, booked)
    _add(work, known, debit, credit, None)
    if flags & _PENDING:
        work.pendings[transfer.id] = Pending(
            known=known,
            state="open",
            expires_at=work.at + transfer.timeout_s * SECOND if transfer.timeout_s else None,
        )
    return known


def _known(work: Work, transfer: Transfer, amount: int, booked: str) -> Known:
    return Known(
        position=work.position + 1,
        id=transfer.id,
        debit_book=transfer.debit_book,
        credit_book=transfer.credit_book,
        amount=amount,
        asked=transfer.amount_minor,
        currency=transfer.currency,
        reason=transfer.reason,
        flags=transfer.flags,
        pending_id=transfer.pending_id,
        timeout_s=transfer.timeout_s,
        order=transfer.order,
        payment=transfer.payment,
        cause=transfer.cause,
        booking_date=booked,
        effective_date=transfer.effective_date or booked,
        conditions=written_conditions(transfer.conditions),
    )


def _condition_fault(work: Work, conditions: Sequence[Condition]) -> TransferCode | None:
    if any(each.book not in work.books for each in conditions):
        return TransferCode.PRECONDITION_BOOK_NOT_FOUND
    for each in conditions:
        book = work.books[each.book]
        balance = book.credits_posted - book.debits_posted
        if each.of == "available":
            balance -= book.debits_pending
        if each.at_least_minor is not None and balance < each.at_least_minor:
            return TransferCode.PRECONDITION_FAILED
        if each.at_most_minor is not None and balance > each.at_most_minor:
            return TransferCode.PRECONDITION_FAILED
    return None


def _balanced(debit: BookState, credit: BookState, flags: int, amount: int) -> int:
    """Cut an amount to what the books' limits leave; a book without a limit is balanced to zero."""
    if flags & _BALANCES_DEBIT:
        room = (debit.debit_max or 0) + debit.credits_posted - debit.debits_posted - debit.debits_pending
        amount = min(amount, max(0, room))
    if flags & _BALANCES_CREDIT:
        room = (credit.credit_max or 0) + credit.debits_posted - credit.credits_posted - credit.credits_pending
        amount = min(amount, max(0, room))
    return amount


def _limit_fault(debit: BookState, credit: BookState, amount: int, *, pending: bool) -> TransferCode | None:
    """Check sums against 63 bits and balances against the books' limits.

    Why pendings count against a limit on their own side only: what is reserved may all be posted, and what is to come in
    may never come.
    """
    debits = debit.debits_pending + debit.debits_posted + amount
    credits_ = credit.credits_pending + credit.credits_posted + amount
    if debits > _MAX or credits_ > _MAX:
        return _overflow(debit, credit, amount, pending=pending)
    if amount:
        if debit.debit_max is not None and debits - debit.credits_posted > debit.debit_max:
            return TransferCode.EXCEEDS_CREDITS
        if credit.credit_max is not None and credits_ - credit.debits_posted > credit.credit_max:
            return TransferCode.EXCEEDS_DEBITS
    return None


def _overflow(debit: BookState, credit: BookState, amount: int, *, pending: bool) -> TransferCode:
    """Name the first sum that would not fit; one of them does not."""
    code = TransferCode
    if pending:
        if debit.debits_pending + amount > _MAX:
            return code.OVERFLOWS_DEBITS_PENDING
        if credit.credits_pending + amount > _MAX:
            return code.OVERFLOWS_CREDITS_PENDING
    else:
        if debit.debits_posted + amount > _MAX:
            return code.OVERFLOWS_DEBITS_POSTED
        if credit.credits_posted + amount > _MAX:
            return code.OVERFLOWS_CREDITS_POSTED
    if debit.debits_pending + debit.debits_posted + amount > _MAX:
        return code.OVERFLOWS_DEBITS
    return code.OVERFLOWS_CREDITS


def _resolve(work: Work, transfer: Transfer) -> Known | TransferCode:
    """Post or void a pending transfer, or say why not."""
    code = TransferCode
    is_void = bool(transfer.flags & _VOID)
    fault, pending = _pending_fault(work, transfer)
    if pending is None:
        return fault or code.PENDING_TRANSFER_NOT_FOUND
    reserved = pending.known
    amount = reserved.amount if transfer.amount_minor is None else transfer.amount_minor
    debit, credit = work.books[reserved.debit_book], work.books[reserved.credit_book]
    booked = transfer.booking_date or work.today
    if booked <= work.closed_through:
        return code.BOOKING_PERIOD_CLOSED
    if not is_void and debit.closed:
        return code.DEBIT_BOOK_ALREADY_CLOSED
    if not is_void and credit.closed:
        return code.CREDIT_BOOK_ALREADY_CLOSED
    if transfer.conditions and (unmet := _condition_fault(work, transfer.conditions)):
        return unmet
    work.change(debit)
    work.change(credit)
    debit.debits_pending -= reserved.amount
    credit.credits_pending -= reserved.amount
    if is_void:
        _reopen(reserved.flags, debit, credit)
    else:
        debit.debits_posted += amount
        credit.credits_posted += amount
    known = _known(
        work,
        msgspec.structs.replace(
            transfer,
            debit_book=reserved.debit_book,
            credit_book=reserved.credit_book,
            currency=reserved.currency,
            reason=transfer.reason or reserved.reason,
            order=transfer.order or reserved.order,
            payment=transfer.payment or reserved.payment,
            cause=transfer.cause or reserved.cause,
        ),
        amount,
        booked,
    )
    _add(work, known, debit, credit, reserved)
    pending.state = "voided" if is_void else "posted"
    work.resolved[reserved.position] = (pending.state, known.position)
    return known


def _pending_fault(work: Work, transfer: Transfer) -> tuple[TransferCode | None, Pending | None]:
    """Find the pending transfer that is to be resolved, or say why it cannot be."""
    code = TransferCode
    pending = work.pendings.get(transfer.pending_id)
    if pending is None:
        is_there = transfer.pending_id in work.known
        return (code.PENDING_TRANSFER_NOT_PENDING if is_there else code.PENDING_TRANSFER_NOT_FOUND), None
    reserved = pending.known
    amount = transfer.amount_minor
    fault = None
    if transfer.debit_book and transfer.debit_book != reserved.debit_book:
        fault = code.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_BOOK
    elif transfer.credit_book and transfer.credit_book != reserved.credit_book:
        fault = code.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_BOOK
    elif transfer.currency and transfer.currency != reserved.currency:
        fault = code.PENDING_TRANSFER_HAS_DIFFERENT_CURRENCY
    elif amount is not None and amount > reserved.amount:
        fault = code.EXCEEDS_PENDING_TRANSFER_AMOUNT
    elif amount is not None and transfer.flags & _VOID and amount != reserved.amount:
        fault = code.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT
    elif pending.state == "posted":
        fault = code.PENDING_TRANSFER_ALREADY_POSTED
    elif pending.state == "voided":
        fault = code.PENDING_TRANSFER_ALREADY_VOIDED
    elif pending.state == "expired" or (pending.expires_at is not None and pending.expires_at <= work.at):
        fault = code.PENDING_TRANSFER_EXPIRED
    return (fault, None) if fault is not None else (None, pending)


def _reopen(flags: int, debit: BookState, credit: BookState) -> None:
    if flags & _CLOSES_DEBIT:
        debit.closed = False
    if flags & _CLOSES_CREDIT:
        credit.closed = False


def expire(work: Work, pending: Pending) -> Known:
    """Free what a pending transfer reserved: a row of the ledger like any other, which moves nothing."""
    reserved = pending.known
    debit, credit = work.books[reserved.debit_book], work.books[reserved.credit_book]
    debit.debits_pending -= reserved.amount
    credit.credits_pending -= reserved.amount
    _reopen(reserved.flags, debit, credit)
    known = msgspec.structs.replace(
        reserved,
        position=work.position + 1,
        id=f"{EXPIRED_ID}{reserved.id}",
        asked=None,
        flags=EXPIRED_FLAG,
        pending_id=reserved.id,
        timeout_s=0,
        booking_date=work.today,
        effective_date=work.today,
        conditions=None,
    )
    _add(work, known, debit, credit, reserved)
    pending.state = "expired"
    work.resolved[reserved.position] = ("expired", known.position)
    return known


def _add(work: Work, known: Known, debit: BookState, credit: BookState, reserved: Known | None) -> None:
    position = work.position = known.position
    debit_before, credit_before = debit.last, credit.last
    debit.last = credit.last = position
    debit.nth += 1
    credit.nth += 1
    work.known[known.id] = known
    work.rows.append(
        NewRow(
            known=known,
            debit_num=debit.num,
            credit_num=credit.num,
            pending_position=reserved.position if reserved is not None else None,
            released=reserved.amount if reserved is not None else None,
            debit_after=(debit.debits_pending, debit.debits_posted, debit.credits_pending, debit.credits_posted),
            credit_after=(credit.debits_pending, credit.debits_posted, credit.credits_pending, credit.credits_posted),
            debit_nth=debit.nth,
            credit_nth=credit.nth,
            debit_before=debit_before,
            credit_before=credit_before,
        )
    )


def effect(row: NewRow) -> tuple[int, int]:
    """Return what a row adds to its debit book's pending and posted debits, and as much to its credit book's credits."""
    known = row.known
    if known.flags & _PENDING:
        return known.amount, 0
    if known.flags & EXPIRED_FLAG or known.flags & _VOID:
        return -known.amount, 0
    if known.flags & _POST:
        assert row.released is not None, "a post knows what was reserved"
        return -row.released, known.amount
    return 0, known.amount


def written_conditions(conditions: Sequence[Condition]) -> str | None:
    """Write conditions as they are stored."""
    return msgspec.json.encode(conditions).decode() if conditions else None


def book_fault(book: NewBook, chart: Chart) -> BookCode | None:
    """Check a new book against the chart."""
    code = BookCode
    if not _CURRENCY(book.currency):
        return code.CURRENCY_INVALID
    kind = chart.kinds.get(book.code)
    if kind is None:
        return code.CODE_NOT_IN_CHART
    if book.currency not in kind.currencies:
        return code.CURRENCY_NOT_IN_CHART
    if kind.owner is not None and (book.owner is None or not _REFERENCE(book.owner)):
        return code.OWNER_MISSING
    if kind.owner is None and book.owner is not None:
        return code.OWNER_NOT_ALLOWED
    return None if all(is_limit(each) for each in bounds(book, kind)) else code.LIMIT_OUT_OF_RANGE


def is_limit(limit: int | None) -> bool:
    """Tell whether a number can be a limit; half of 63 bits, so that no sum with it overflows."""
    return limit is None or -limits.BOOK_LIMIT_MINOR_MAX <= limit <= limits.BOOK_LIMIT_MINOR_MAX


def bounds(book: NewBook, kind: BookKind | None) -> tuple[int | None, int | None]:
    """Return the net debit and net credit that a new book may reach: its own, else the chart's."""
    floor = None if kind is None or kind.may_overdraw else 0
    most = None if kind is None else kind.most_minor
    by_chart = (floor, most) if kind is None or kind.grows == "credit" else (most, floor)
    debit_max, credit_max = book.net_debit_max_minor, book.net_credit_max_minor
    return (
        by_chart[0] if isinstance(debit_max, msgspec.UnsetType) else debit_max,
        by_chart[1] if isinstance(credit_max, msgspec.UnsetType) else credit_max,
    )
