"""The auditor: an implementation of the ledger's rules of its own, slow and plain, that holds what every reply must be.

It shares no code with `koban.ledger`: the order of checks is written here again, from the reference. Amounts are Python
integers in dictionaries, and a chain is taken back by going back to a copy.
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from koban.ledger import Flag, Transfer

MAX = 2**63 - 1
SECOND = 1_000_000

T = TypeVar("T")
Reply = tuple[str, int | None]  # code, and what was moved where it stands


@dataclasses.dataclass
class Book:
    """A book as the auditor sees it."""

    debit_max: int | None
    credit_max: int | None
    closed_by: str | None = None
    pending_out: int = 0
    out: int = 0
    pending_in: int = 0
    came: int = 0

    def numbers(self) -> tuple[int, int, int, int]:
        return self.pending_out, self.out, self.pending_in, self.came

    def room_out(self) -> int:
        """How much more may be debited; a book without a limit is taken as one of zero, as balancing does."""
        return max(0, (self.debit_max or 0) + self.came - self.out - self.pending_out)

    def room_in(self) -> int:
        return max(0, (self.credit_max or 0) + self.out - self.came - self.pending_in)


@dataclasses.dataclass
class Hold:
    """A pending transfer."""

    debit: str
    credit: str
    amount: int
    until: int | None
    state: str = "open"
    flags: int = 0


@dataclasses.dataclass
class Audit:
    """Everything that is expected."""

    books: dict[str, Book]
    now: int
    stands: dict[str, tuple[Transfer, int]] = dataclasses.field(default_factory=dict)
    burned: dict[str, str] = dataclasses.field(default_factory=dict)
    holds: dict[str, Hold] = dataclasses.field(default_factory=dict)
    expired: int = 0

    def copy(self) -> "Audit":
        """Return a copy of what can change; requests never do."""
        return Audit(
            _copies(self.books), self.now, dict(self.stands), dict(self.burned), _copies(self.holds), self.expired
        )

    def pass_time(self, at: int) -> None:
        """Time goes on, never back; holds whose time ran out give back what they held."""
        self.now = max(self.now, at)
        for name, hold in self.holds.items():
            if hold.state == "open" and hold.until is not None and hold.until <= self.now:
                self._give_back(name, hold)
                hold.state = "expired"
                self.expired += 1

    def _give_back(self, name: str, hold: Hold) -> None:
        self.books[hold.debit].pending_out -= hold.amount
        self.books[hold.credit].pending_in -= hold.amount
        for book in (self.books[hold.debit], self.books[hold.credit]):
            if book.closed_by == name:
                book.closed_by = None

    def expect(self, batch: Sequence[Transfer], at: int) -> list[Reply]:
        """Say what the ledger must answer, and follow it.

        Its time is that of its newest entry or the clock's, whichever is later: a moment at which nothing was written
        leaves no trace, so a clock that is set back afterwards is believed.
        """
        before, known = self.now, (len(self.stands), len(self.burned), self.expired)
        self.pass_time(at)
        replies: list[Reply] = []
        index = 0
        while index < len(batch):
            end = index
            while end < len(batch) and batch[end].flags & Flag.LINKED:
                end += 1
            if end == index:
                replies.append(self._note(batch[index], self._one(batch[index])))
            else:
                replies.extend(self._chain(batch[index : end + 1], is_open=end == len(batch)))
            index = end + 1
        if known == (len(self.stands), len(self.burned), self.expired):
            self.now = before
        return replies

    def _note(self, asked: Transfer, reply: Reply) -> Reply:
        if reply[0] in {
            "debit_book_not_found", "credit_book_not_found", "pending_transfer_not_found", "debit_book_already_closed",
            "credit_book_already_closed", "precondition_failed", "exceeds_credits", "exceeds_debits",
        }:  # fmt: skip
            self.burned[asked.id] = reply[0]
        return reply

    def _chain(self, chain: Sequence[Transfer], *, is_open: bool) -> list[Reply]:
        before = (_copies(self.books), dict(self.stands), _copies(self.holds))
        replies: list[Reply] = []
        for number, asked in enumerate(chain):
            last_of_open = is_open and number == len(chain) - 1
            reply: Reply = ("linked_event_chain_open", None) if last_of_open else self._one(asked)
            replies.append(reply)
            if reply[0] != "created":
                break
        else:
            return replies
        self.books, self.stands, self.holds = before
        if len(replies) == 1 and replies[0][0] == "exists" and not is_open:
            again = [self._one(each) if each.id in self.stands else ("", None) for each in chain]
            if all(each[0] == "exists" for each in again):
                return again
        failed = len(replies) - 1
        self._note(chain[failed], replies[failed])
        return [replies[failed] if number == failed else ("linked_event_failed", None) for number in range(len(chain))]

    def _one(self, asked: Transfer) -> Reply:
        if asked.id in self.stands:
            first, amount = self.stands[asked.id]
            return ("exists" if first == asked else _difference(first, asked)), amount
        if asked.id in self.burned:
            return "id_already_failed", None
        code, amount = (
            self._resolve(asked) if asked.flags & (Flag.POST_PENDING | Flag.VOID_PENDING) else self._move(asked)
        )
        if code == "created":
            self.stands[asked.id] = (asked, amount)
            return code, amount
        return code, None

    def _move(self, asked: Transfer) -> tuple[str, int]:
        amount = MAX if asked.amount_minor is None else asked.amount_minor
        if asked.debit_book == asked.credit_book:
            return "books_must_be_different", 0
        if amount < 0:
            return "amount_must_not_be_negative", 0
        if amount == 0 and not asked.flags & (Flag.CLOSING_DEBIT | Flag.CLOSING_CREDIT):
            return "amount_must_not_be_zero", 0
        if asked.debit_book not in self.books:
            return "debit_book_not_found", 0
        if asked.credit_book not in self.books:
            return "credit_book_not_found", 0
        debit, credit = self.books[asked.debit_book], self.books[asked.credit_book]
        if asked.currency != "JPY":
            return "transfer_must_have_the_currency_of_its_books", 0
        if debit.closed_by is not None:
            return "debit_book_already_closed", 0
        if credit.closed_by is not None:
            return "credit_book_already_closed", 0
        for condition in asked.conditions:
            book = self.books[condition.book]
            if (
                condition.at_least_minor is not None
                and book.came - book.out - book.pending_out < condition.at_least_minor
            ):
                return "precondition_failed", 0
        if asked.flags & Flag.BALANCING_DEBIT:
            amount = min(amount, debit.room_out())
        if asked.flags & Flag.BALANCING_CREDIT:
            amount = min(amount, credit.room_in())
        if (
            amount
            and debit.debit_max is not None
            and debit.out + debit.pending_out + amount - debit.came > debit.debit_max
        ):
            return "exceeds_credits", 0
        if (
            amount
            and credit.credit_max is not None
            and credit.came + credit.pending_in + amount - credit.out > credit.credit_max
        ):
            return "exceeds_debits", 0
        if asked.flags & Flag.PENDING:
            debit.pending_out += amount
            credit.pending_in += amount
            until = self.now + asked.timeout_s * SECOND if asked.timeout_s else None
            self.holds[asked.id] = Hold(asked.debit_book, asked.credit_book, amount, until)
            if asked.flags & Flag.CLOSING_DEBIT:
                debit.closed_by = asked.id
            if asked.flags & Flag.CLOSING_CREDIT:
                credit.closed_by = asked.id
        else:
            debit.out += amount
            credit.came += amount
        return "created", amount

    def _resolve(self, asked: Transfer) -> tuple[str, int]:
        hold = self.holds.get(asked.pending_id)
        if hold is None:
            stands = asked.pending_id in self.stands
            return ("pending_transfer_not_pending" if stands else "pending_transfer_not_found"), 0
        amount = hold.amount if asked.amount_minor is None else asked.amount_minor
        if amount > hold.amount:
            return "exceeds_pending_transfer_amount", 0
        if asked.flags & Flag.VOID_PENDING and amount != hold.amount:
            return "pending_transfer_has_different_amount", 0
        if hold.state != "open":
            told = {"posted": "already_posted", "voided": "already_voided", "expired": "expired"}[hold.state]
            return f"pending_transfer_{told}", 0
        debit, credit = self.books[hold.debit], self.books[hold.credit]
        if asked.flags & Flag.POST_PENDING:
            if debit.closed_by is not None:
                return "debit_book_already_closed", 0
            if credit.closed_by is not None:
                return "credit_book_already_closed", 0
        self._give_back(asked.pending_id, hold)
        hold.state = "voided" if asked.flags & Flag.VOID_PENDING else "posted"
        if asked.flags & Flag.POST_PENDING:
            debit.out += amount
            credit.came += amount
        return "created", amount


def _copies(things: dict[str, T]) -> dict[str, T]:
    return {name: copy.copy(thing) for name, thing in things.items()}


def _difference(first: Transfer, asked: Transfer) -> str:
    for field, name in (
        ("flags", "flags"), ("pending_id", "pending_id"), ("timeout_s", "timeout"), ("debit_book", "debit_book"),
        ("credit_book", "credit_book"), ("amount_minor", "amount"), ("currency", "currency"), ("reason", "reason"),
    ):  # fmt: skip
        if getattr(first, field) != getattr(asked, field):
            return f"exists_with_different_{name}"
    return "exists_with_different_references" if first.order != asked.order else "exists_with_different_dates"
