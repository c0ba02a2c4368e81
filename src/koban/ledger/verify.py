"""Prove every balance again from the log: nothing is believed but the rows and their hashes."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from koban.base import Instant
from koban.db import Tx
from koban.ledger import store
from koban.ledger.logic import EXPIRED_FLAG
from koban.ledger.types import Flag

Break = Literal["removed", "altered", "unproved", "balance", "pending", "total", "head", "rewritten", "truncated"]

_PENDING: Final = int(Flag.PENDING)
_POST: Final = int(Flag.POST_PENDING)
_VOID: Final = int(Flag.VOID_PENDING)
_AMOUNT: Final = 5
_FLAGS: Final = 8
_BOOKED: Final = 14


class LedgerBreak(msgspec.Struct, frozen=True, kw_only=True):
    """The first row that does not hold."""

    position: int
    what: Break
    about: str
    detail: str


class LedgerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found; every balance is proved when `broken` is null."""

    rows: int
    transfers: int
    books: int
    pending: int
    signed: int  # signed checkpoints that the log was compared with
    broken: LedgerBreak | None


class _Proof:
    """The state that the log leads to, built row by row. Everything is keyed by a book's number."""

    def __init__(self) -> None:
        self.hash = store.FIRST_HASH
        self.position = 0
        self.at = 0
        self.transfers = 0
        self.closed_through = ""
        self.books: dict[int, list[int]] = {}  # dp, dpo, cp, cpo, nth, last
        self.limits: dict[int, tuple[int | None, int | None]] = {}
        self.kinds: dict[int, tuple[str, str]] = {}
        self.nums: dict[str, int] = {}
        self.closed: dict[int, int] = {}  # which pending transfer keeps it closed
        self.open: dict[int, tuple[int, int, int, int, int]] = {}  # debit, credit, amount, flags, when it expires
        self.done: dict[int, tuple[str, int]] = {}

    def fault(self, what: Break, about: str, detail: str) -> LedgerBreak:
        return LedgerBreak(position=self.position, what=what, about=about, detail=detail)

    def take(self, kind: str, row: Sequence[Any]) -> LedgerBreak | None:  # Any: a row of the driver
        expected = self.position + 1
        self.position = expected
        if row[0] != expected:
            return self.fault("removed", "", f"there is no row at position {expected} of the log")
        about = str(row[1]) if kind == "transfer" else str(row[3])
        content = tuple(row[:-1])
        if store.row_hash(self.hash, content) != bytes(row[-1]):
            return self.fault("altered", about, "the row, or the one before it, is not what was once written")
        self.hash = bytes(row[-1])
        at = int(row[2] if kind == "transfer" else row[1])
        if at < self.at:
            return self.fault("unproved", about, "time goes back in the log")
        self.at = at
        return self._transfer(row, at) if kind == "transfer" else self._change(row)

    def _change(self, row: Sequence[Any]) -> LedgerBreak | None:  # Any: a row of the driver
        position, kind, about, body = int(row[0]), str(row[2]), str(row[3]), msgspec.json.decode(row[4])
        if kind == "book":
            self.books[position] = [0, 0, 0, 0, 0, 0]
            self.limits[position] = (body["debit_max"], body["credit_max"])
            self.kinds[position] = (body["code"], body["currency"])
            self.nums[about] = position
        elif kind == "limits":
            if about not in self.nums:
                return self.fault("unproved", about, "limits of a book that was never opened")
            self.limits[self.nums[about]] = (body["debit_max"], body["credit_max"])
        elif kind == "period":
            self.closed_through = about
        return None

    def _transfer(self, row: Sequence[Any], at: int) -> LedgerBreak | None:  # Any: a row of the driver
        self.transfers += 1
        position, about, flags, amount = int(row[0]), str(row[1]), int(row[_FLAGS]), int(row[_AMOUNT])
        debit_num, credit_num = int(row[3]), int(row[4])
        debit, credit = self.books.get(debit_num), self.books.get(credit_num)
        if debit is None or credit is None or debit is credit:
            return self.fault("unproved", about, "a book of this transfer was never opened")
        if self.kinds[debit_num][1] != self.kinds[credit_num][1]:
            return self.fault("unproved", about, "debit and credit are in different currencies")
        if not flags & EXPIRED_FLAG and str(row[_BOOKED]) <= self.closed_through:
            return self.fault("unproved", about, f"it is booked into a period that was closed, on {row[_BOOKED]}")
        fault = self._apply(row, at, debit, credit)
        if fault is not None:
            return fault
        befores = (debit[5], credit[5])
        for book in (debit, credit):
            book[4] += 1
            book[5] = position
        told = (*row[17:25], row[25], row[26], row[27], row[28])
        proved = (*debit[:4], *credit[:4], debit[4], credit[4], *befores)
        if told != proved or min(*debit[:4], *credit[:4]) < 0:
            return self.fault(
                "balance", about, f"the row says {told} of its books, the log before it leads to {proved}"
            )
        return self._limits(row, amount, flags)

    def _apply(
        self, row: Sequence[Any], at: int, debit: list[int], credit: list[int]
    ) -> LedgerBreak | None:  # Any: row
        position, about, flags, amount = int(row[0]), str(row[1]), int(row[_FLAGS]), int(row[_AMOUNT])
        debit_num, credit_num = int(row[3]), int(row[4])
        if not flags & (_PENDING | _POST | _VOID | EXPIRED_FLAG):
            debit[1] += amount
            credit[3] += amount
            return self._is_open(about, debit_num, credit_num)
        if flags & _PENDING:
            fault = self._is_open(about, debit_num, credit_num)
            timeout = int(row[10])
            self.open[position] = (debit_num, credit_num, amount, flags, at + timeout * 1_000_000 if timeout else 0)
            debit[0] += amount
            credit[2] += amount
            for bit, num in ((Flag.CLOSING_DEBIT, debit_num), (Flag.CLOSING_CREDIT, credit_num)):
                if flags & bit:
                    self.closed[num] = position
            return fault
        reserved = self.open.pop(int(row[9]), None) if row[9] is not None else None
        if reserved is None or reserved[:2] != (debit_num, credit_num) or amount > reserved[2]:
            return self.fault("unproved", about, "it resolves no open pending transfer between these books")
        if flags & EXPIRED_FLAG and not 0 < reserved[4] <= at:
            return self.fault("unproved", about, "the pending transfer's time had not run out")
        debit[0] -= reserved[2]
        credit[2] -= reserved[2]
        if flags & _POST:
            debit[1] += amount
            credit[3] += amount
        for num in (debit_num, credit_num):
            if self.closed.get(num) == int(row[9]):
                del self.closed[num]
        state = "posted" if flags & _POST else "voided" if flags & _VOID else "expired"
        self.done[int(row[9])] = (state, position)
        return None

    def _is_open(self, about: str, debit_num: int, credit_num: int) -> LedgerBreak | None:
        if debit_num in self.closed or credit_num in self.closed:
            return self.fault("unproved", about, "a book of this transfer was closed")
        return None

    def _limits(self, row: Sequence[Any], amount: int, flags: int) -> LedgerBreak | None:  # Any: a row of the driver
        """No transfer takes a book past its limit; what was reserved in time may be posted later (law 5)."""
        if flags & (_POST | _VOID | EXPIRED_FLAG) or not amount:
            return None
        debit, credit = self.books[int(row[3])], self.books[int(row[4])]
        debit_max, credit_max = self.limits[int(row[3])][0], self.limits[int(row[4])][1]
        if debit_max is not None and debit[0] + debit[1] - debit[3] > debit_max:
            return self.fault("unproved", str(row[1]), "the debited book passes its limit")
        if credit_max is not None and credit[2] + credit[3] - credit[1] > credit_max:
            return self.fault("unproved", str(row[1]), "the credited book passes its limit")
        return None


def verify(tx: Tx, signed: Sequence[tuple[int, str]] = ()) -> LedgerReport:
    """Walk the whole log, prove every balance from it, and name the first row that does not hold.

    `signed` are (position, hash) from checkpoints that left the database: without them, somebody who rewrites the whole
    log is not found. Law 5 is proved per currency: a transfer debits and credits one amount, and every balance that is
    stored is the one that the transfers lead to.
    """
    proof = _Proof()
    by_position: dict[int, set[str]] = {}
    for position, chain_hash in signed:
        by_position.setdefault(position, set()).add(chain_hash)
    broken: LedgerBreak | None = None
    for kind, row in store.walk_log(tx):
        broken = proof.take(kind, row)
        if broken is None and any(each != proof.hash.hex() for each in by_position.get(proof.position, ())):
            broken = proof.fault("rewritten", "", "the log is whole in itself, but a signed checkpoint says otherwise")
        if broken is not None:
            break
    broken = broken or _check_end(tx, proof, max(by_position, default=0)) or _check_tables(tx, proof)
    return LedgerReport(
        rows=proof.position,
        transfers=proof.transfers,
        books=len(proof.books),
        pending=len(proof.open),
        signed=len(signed),
        broken=broken,
    )


def _check_end(tx: Tx, proof: _Proof, last_signed: int) -> LedgerBreak | None:
    end = store.read_head(tx)
    if proof.position < last_signed:
        return proof.fault("truncated", "", f"a signed checkpoint reaches position {last_signed}")
    if (end.position, end.hash, end.closed_through) != (proof.position, proof.hash, proof.closed_through):
        return proof.fault("head", "", f"the head says position {end.position}, the log reaches {proof.position}")
    return None


def _check_tables(tx: Tx, proof: _Proof) -> LedgerBreak | None:
    """Compare what the log leads to with the tables that answer questions."""
    seen = 0
    for book in store.walk_books(tx):
        seen += 1
        told = [book.debits_pending, book.debits_posted, book.credits_pending, book.credits_posted, book.nth, book.last]
        if (
            proof.books.get(book.num) != told
            or proof.limits[book.num] != (book.debit_max, book.credit_max)
            or proof.kinds[book.num] != (book.code, book.currency)
            or proof.nums.get(book.id) != book.num
            or (book.num in proof.closed) != book.closed
        ):
            return LedgerBreak(
                position=book.last or book.num,
                what="balance",
                about=book.id,
                detail=f"the book says {told}, the log leads to {proof.books.get(book.num)}, or its limits differ",
            )
    if seen != len(proof.books):
        return proof.fault("balance", "", f"the log opened {len(proof.books)} books, the table has {seen}")
    for position, state, expires_at, resolved_by in store.walk_pendings(tx):
        wanted = ("open", None) if position in proof.open else proof.done.get(position)
        stored_timer = proof.open[position][4] or None if position in proof.open else expires_at
        if (state, resolved_by) != wanted or expires_at != stored_timer:
            return LedgerBreak(
                position=position, what="pending", about="", detail=f"it is kept as {state}, the log says {wanted}"
            )
    return _check_totals(tx, proof)


def _check_totals(tx: Tx, proof: _Proof) -> LedgerBreak | None:
    sums: dict[tuple[str, str], list[int]] = {}
    for num, kind in proof.kinds.items():
        sum_ = sums.setdefault(kind, [0, 0, 0, 0, 0])
        sum_[0] += 1
        for index in range(4):
            sum_[index + 1] += proof.books[num][index]
    told = {
        (each.code, each.currency): [
            each.books,
            each.debits_pending_minor,
            each.debits_posted_minor,
            each.credits_pending_minor,
            each.credits_posted_minor,
        ]
        for each in store.read_totals(tx)
    }
    if told != sums:
        wrong = next(key for key in {**told, **sums} if told.get(key) != sums.get(key))
        return proof.fault("total", ":".join(wrong), f"kept as {told.get(wrong)}, the log leads to {sums.get(wrong)}")
    by_currency: dict[str, int] = {}
    for (_, currency), each in sums.items():
        by_currency[currency] = by_currency.get(currency, 0) + each[1] + each[2] - each[3] - each[4]
    if any(by_currency.values()):
        return proof.fault("total", "", f"debits and credits differ: {by_currency}")
    return None


def log_end(tx: Tx) -> tuple[int, str, Instant]:
    """Return position, hash and time of the newest row of the log, for a checkpoint."""
    end = store.read_head(tx)
    return end.position, end.hash.hex(), end.last_at
