"""Which expectation a line of a statement fulfils: by reference first, then by amount and name, never by a guess. Pure."""

import datetime
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from koban.banking.kana import likeness
from koban.banking.types import BankAccount, CashOut, ExceptionKind, Expected, StatementRow

NAME_CHARS_MIN: Final = 4  # a shorter name is in many others
CUT_CHARS_MIN: Final = 12
DAYS_AROUND: Final = 7  # how far from its day a batch may be taken


class OpenBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of which the bank took not all yet."""

    id: str
    value_on: str
    count: int
    open_minor: int


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A cash-out of the line's amount, with its payee's name as it left."""

    cash_out: CashOut
    name: str


class Pays(msgspec.Struct, frozen=True, kw_only=True):
    """The line took one cash-out."""

    cash_out: str


class PaysBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The line took all that was open of a batch, and the bank's fees with it."""

    batch: str
    fee_minor: int


class Returns(msgspec.Struct, frozen=True, kw_only=True):
    """The line brought a cash-out back."""

    cash_out: str


class Fee(msgspec.Struct, frozen=True, kw_only=True):
    """The line is a fee of the bank's."""


class Receives(msgspec.Struct, frozen=True, kw_only=True):
    """The line brought money that was expected."""

    expected: str


class Unexplained(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing explains the line, or too much does: a person looks at it."""

    kind: ExceptionKind
    detail: str


Match: TypeAlias = Pays | PaysBatch | Returns | Receives | Fee | Unexplained


def match_row(
    row: StatementRow,
    account: BankAccount,
    *,
    referred: CashOut | None,
    batches: Sequence[OpenBatch],
    candidates: Sequence[Candidate],
    expected: Sequence[Expected] = (),
) -> Match:
    """Say what a line is.

    `expected` is what was said to come under words that the line carries.
    `referred` is the cash-out whose reference the line carries; `candidates` are those of the line's amount that could
    still be paid (money out) or returned (money in); of a return also those of a little more, of which a bank kept a fee.
    """
    return (
        _incoming(row, referred, candidates, expected)
        if row.amount_minor > 0
        else _outgoing(row, account, referred, batches, candidates)
    )


def _incoming(
    row: StatementRow, referred: CashOut | None, candidates: Sequence[Candidate], expected: Sequence[Expected]
) -> Match:
    if referred is not None:
        return _return_of(row, referred)
    if row.kind != "return":
        return _received(row, expected)
    named = _named(row, candidates)
    whole = [each for each in named if each.amount_minor == row.amount_minor]
    # What comes back whole explains the line before what could have come back in part.
    fitting = whole or named
    if len(fitting) == 1:
        return _return_of(row, fitting[0])
    if fitting:
        return Unexplained(kind="ambiguous", detail=_listed(fitting))
    return Unexplained(kind="unmatched_credit", detail="")


def _received(row: StatementRow, expected: Sequence[Expected]) -> Match:
    """Say whose money came in: by the reference that the payment carries, never by its amount alone."""
    if not expected:
        return Unexplained(kind="unmatched_credit", detail="")
    if len(expected) > 1:
        return Unexplained(kind="ambiguous", detail=", ".join(each.id for each in expected)[:200])
    (one,) = expected
    if one.state == "met" and not one.reusable:
        return Unexplained(kind="already_received", detail=one.id)
    if one.currency != row.currency or one.amount_minor not in {None, row.amount_minor}:
        return Unexplained(kind="amount_differs", detail=f"{one.id}: {one.amount_minor or 0:,} {one.currency}")
    return Receives(expected=one.id)


def _return_of(row: StatementRow, cash_out: CashOut) -> Match:
    if cash_out.returned_line is not None or cash_out.state == "failed":
        return Unexplained(kind="already_returned", detail=cash_out.id)
    if cash_out.sent_at is None:
        return Unexplained(kind="unmatched_credit", detail=cash_out.id)
    if row.amount_minor < cash_out.amount_minor:
        less = cash_out.amount_minor - row.amount_minor
        return Unexplained(kind="partial_return", detail=f"{cash_out.id}: {cash_out.amount_minor:,}, {less:,} less")
    if cash_out.amount_minor != row.amount_minor:
        return Unexplained(kind="amount_differs", detail=f"{cash_out.id}: {cash_out.amount_minor:,}")
    return Returns(cash_out=cash_out.id)


def _outgoing(
    row: StatementRow,
    account: BankAccount,
    referred: CashOut | None,
    batches: Sequence[OpenBatch],
    candidates: Sequence[Candidate],
) -> Match:
    amount = -row.amount_minor
    if referred is not None:
        if referred.paid_line is not None:
            return Unexplained(kind="already_paid", detail=referred.id)
        if referred.sent_at is None or referred.state == "failed":
            return Unexplained(kind="unmatched_debit", detail=f"{referred.id}: {referred.state}")
        if referred.amount_minor != amount:
            return Unexplained(kind="amount_differs", detail=f"{referred.id}: {referred.amount_minor:,}")
        return Pays(cash_out=referred.id)
    if row.kind == "fee":
        return Fee()
    named_batch = next((each for each in batches if each.id == row.reference), None)
    fitting = [each for each in batches if _fits(each, account, amount) and _is_near(each.value_on, row.booked_on)]
    if named_batch is not None:
        if not _fits(named_batch, account, amount):
            return Unexplained(kind="amount_differs", detail=f"{named_batch.id}: {named_batch.open_minor:,}")
        return PaysBatch(batch=named_batch.id, fee_minor=amount - named_batch.open_minor)
    named = _named(row, candidates)
    if len(fitting) + len(named) > 1 and not (len(fitting) == 1 and _is_alone(fitting[0], named)):
        return Unexplained(kind="ambiguous", detail=", ".join([*(each.id for each in fitting), *_ids(named)])[:200])
    if fitting:
        return PaysBatch(batch=fitting[0].id, fee_minor=amount - fitting[0].open_minor)
    if named:
        return Pays(cash_out=named[0].id)
    return Unexplained(kind="unmatched_debit", detail="")


def _fits(batch: OpenBatch, account: BankAccount, amount: int) -> bool:
    return amount in {batch.open_minor, batch.open_minor + account.fee_minor * batch.count}


def _is_near(value_on: str, booked_on: str) -> bool:
    apart = datetime.date.fromisoformat(booked_on) - datetime.date.fromisoformat(value_on)
    return abs(apart.days) <= DAYS_AROUND


def _is_alone(batch: OpenBatch, named: Sequence[CashOut]) -> bool:
    """Tell whether the batch is open with this one cash-out: then both say the same."""
    return batch.count == 1 and len(named) == 1 and named[0].batch == batch.id


def _named(row: StatementRow, candidates: Sequence[Candidate]) -> list[CashOut]:
    """Return the candidates whose payee the line names; a line that names nobody names none of them."""
    written = [each for each in (likeness(row.counterparty), likeness(row.narrative)) if each]
    return [each.cash_out for each in candidates if any(_same(likeness(each.name), one) for one in written)]


def _same(name: str, written: str) -> bool:
    """Tell whether a name is written: whole, inside a note, or cut off where the bank's field ends."""
    return name == written or (
        len(name) >= NAME_CHARS_MIN
        and (name in written or (len(written) >= CUT_CHARS_MIN and name.startswith(written)))
    )


def _ids(found: Sequence[CashOut]) -> list[str]:
    return [each.id for each in found]


def _listed(found: Sequence[CashOut]) -> str:
    return ", ".join(_ids(found))[:200]
