"""Books, transfers and what the ledger says about them: frozen data. Amounts are `int` minor units."""

import enum
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from koban.base import Instant, Refusal
from koban.ledger.codes import BookCode, LimitCode, TransferCode

Side = Literal["debit", "credit"]
PendingState = Literal["open", "posted", "voided", "expired"]


class Flag(enum.IntFlag):
    """What kind of transfer it is; none: a single one, posted at once."""

    NONE = 0
    LINKED = 1  # succeeds or fails together with the next one of the batch
    PENDING = 2  # reserves the amount until it is posted, voided, or its time runs out
    POST_PENDING = 4
    VOID_PENDING = 8
    BALANCING_DEBIT = 16  # at most the amount, as far as the debit book's limit allows
    BALANCING_CREDIT = 32  # at most the amount, as far as the credit book's limit allows
    CLOSING_DEBIT = 64  # closes the debit book while it is pending; voiding it reopens the book
    CLOSING_CREDIT = 128


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The account of the company's own books into which a code is exported.

    `by_owner`: each owner is a sub-account (a provider, a carrier); `tax` is the tax class as the accounting program
    calls it.
    """

    code: str
    name: str
    tax: str = ""
    by_owner: bool = False


class BookKind(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the chart of books: what a code means and what its books may do.

    `grows` is the side on which the balance is counted positive. `backing` says where the value behind it comes from:
    `outside` (banks, providers, carriers), `people` (what we owe to somebody), `own` (income, cost, capital).
    """

    code: str
    grows: Side
    backing: Literal["outside", "people", "own"]
    owner: str | None  # the kind of subject each book belongs to; none: one book in each currency
    currencies: tuple[str, ...]
    title: Mapping[str, str]
    may_overdraw: bool = False  # False: the balance on its growing side may not fall below zero
    most_minor: int | None = None  # and may not rise above this
    account: Account | None = None  # None: the journal takes the code and the title


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """The enforced chart of books: a code that is not in it cannot be used. `time_zone` gives booking dates."""

    kinds: Mapping[str, BookKind]
    time_zone: str = "Asia/Tokyo"


class NewBook(msgspec.Struct, frozen=True, kw_only=True):
    """A book to be created. The id is the client's, stored by it before it is sent.

    `net_debit_max_minor` bounds debits less credits, pending debits included; `net_credit_max_minor` the other way
    round; none: no bound. A wallet that cannot go negative has a net debit of 0 at most; a credit line of 50,000 yen
    50,000. Left unset, the chart's bounds hold.
    """

    id: str
    currency: str
    code: str
    owner: str | None = None
    net_debit_max_minor: int | msgspec.UnsetType | None = msgspec.UNSET
    net_credit_max_minor: int | msgspec.UnsetType | None = msgspec.UNSET


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What must be true of a book's balance right before the transfer, or it is refused.

    Units: minor units of credits less debits; `available` leaves out what is still to come in and counts pending
    debits as gone, `posted` counts neither.
    """

    book: str
    of: Literal["posted", "available"] = "available"
    at_least_minor: int | None = None
    at_most_minor: int | None = None


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer to be made. The id is the client's, stored by it before it is sent.

    `amount_minor` none: everything that is pending (post, void), or as much as possible (balancing).
    `order`, `payment` and `cause` refer to what it is for; a correction's cause is the transfer that it corrects.
    Dates are YYYY-MM-DD; without one, booking is today in the chart's time zone and effective is the booking date.
    """

    id: str
    debit_book: str = ""
    credit_book: str = ""
    amount_minor: int | None = None
    currency: str = ""
    reason: str = ""
    flags: int = 0
    pending_id: str = ""
    timeout_s: int = 0
    order: str | None = None
    payment: str | None = None
    cause: str | None = None
    booking_date: str | None = None
    effective_date: str | None = None
    conditions: tuple[Condition, ...] = ()


class BookResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one book of a batch."""

    id: str
    code: BookCode

    @property
    def is_there(self) -> bool:
        """Tell whether the book exists as it was asked for."""
        return self.code in {BookCode.CREATED, BookCode.EXISTS}


class LimitResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a change of limits."""

    book: str
    code: LimitCode


class TransferResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one transfer of a batch.

    `position` and `amount_minor` say where it stands in the log and what it really moved (a balancing transfer may
    move less); `first` is the answer that burned the id, when it was burned before.
    """

    id: str
    code: TransferCode
    position: int | None = None
    amount_minor: int | None = None
    first: TransferCode | None = None

    @property
    def stands(self) -> bool:
        """Tell whether the transfer is in the ledger, now or since an earlier attempt."""
        return self.code in {TransferCode.CREATED, TransferCode.EXISTS}


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """A book with its balance and its pendings, read at one moment (position `as_of` of the log)."""

    book: str
    code: str
    currency: str
    owner: str | None
    debits_pending_minor: int
    debits_posted_minor: int
    credits_pending_minor: int
    credits_posted_minor: int
    net_debit_max_minor: int | None
    net_credit_max_minor: int | None
    closed: bool
    transfers: int  # how often it was moved
    as_of: int

    @property
    def net_credit_minor(self) -> int:
        """Posted credits less posted debits."""
        return self.credits_posted_minor - self.debits_posted_minor

    @property
    def available_minor(self) -> int:
        """What may still be debited at most, were there no limit but zero: pending debits are gone already."""
        return self.net_credit_minor - self.debits_pending_minor


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a statement: a transfer as one of its books sees it, and that book's balance after it."""

    position: int
    at: Instant
    transfer: str
    side: Side
    other_book: str
    amount_minor: int
    reason: str
    flags: int
    pending_id: str | None
    order: str | None
    payment: str | None
    cause: str | None
    booking_date: str
    effective_date: str
    debits_pending_minor: int
    debits_posted_minor: int
    credits_pending_minor: int
    credits_posted_minor: int


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A book as it stood at a moment, with its newest lines up to then, newest first.

    `next_position` asks for older lines; none: these are the first ones.
    """

    balance: Balance
    lines: tuple[Line, ...]
    next_position: int | None


class StoredTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer as it stands in the ledger; `state` of a pending one, none of any other."""

    position: int
    at: Instant
    id: str
    debit_book: str
    credit_book: str
    amount_minor: int
    currency: str
    reason: str
    flags: int
    pending_id: str | None
    expires_at: Instant | None
    order: str | None
    payment: str | None
    cause: str | None
    booking_date: str
    effective_date: str
    state: PendingState | None
    hash: str


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """A pending transfer whose time ran out: the amount is free again."""

    position: int
    pending_id: str
    amount_minor: int


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """All books of one code and currency together."""

    code: str
    currency: str
    books: int
    debits_pending_minor: int
    debits_posted_minor: int
    credits_pending_minor: int
    credits_posted_minor: int


class BookMissing(Refusal):
    """No book has this id."""

    code = "book_missing"
    status = 404
    title = "There is no such book."


class TransferMissing(Refusal):
    """No transfer has this id."""

    code = "transfer_missing"
    status = 404
    title = "There is no such transfer."


class PeriodChange(msgspec.Struct, frozen=True, kw_only=True):
    """The books were closed through a date, or opened again back to one; it stands in the ledger's log for ever."""

    position: int
    at: Instant
    kind: Literal["closed", "reopened"]
    through: str  # booking dates up to this one are closed from here on; empty: none
    by: str
    note: str


class JournalLine(msgspec.Struct, frozen=True, kw_only=True):
    """One booked transfer, as a journal takes it: codes of the chart on both sides."""

    position: int
    transfer: str
    reason: str
    booking_date: str
    debit_code: str
    debit_owner: str | None
    credit_code: str
    credit_owner: str | None
    amount_minor: int
    currency: str
    order: str | None
    payment: str | None
    cause: str | None


class TrialLine(msgspec.Struct, frozen=True, kw_only=True):
    """What all books of a code did in a period by their booking dates. Units: minor units, credits less debits."""

    code: str
    currency: str
    opening_minor: int
    debits_minor: int
    credits_minor: int

    @property
    def closing_minor(self) -> int:
        """Credits less debits at the end of the period."""
        return self.opening_minor + self.credits_minor - self.debits_minor


class PeriodStep(Refusal):
    """A period is closed forwards, and reopened backwards."""

    code = "period_step"
    status = 409
    title = "The books cannot be closed or reopened to that date."


Batch = Sequence[Transfer]
