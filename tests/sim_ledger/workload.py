"""A seeded workload that plans what must become of each request: success, failure, or unknown (it races a limit or a time)."""

import random
from typing import Final, Literal

import msgspec
from tests.sim_ledger.auditor import Audit

from koban.ledger import Condition, Flag, Transfer

Planned = Literal["success", "failure", "unknown"]

SUCCESS: Final = {"created", "exists"}


class Workload:
    """Makes batches. It looks at the auditor's books to plan, and never at the ledger."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.made = 0
        self.sent: list[Transfer] = []
        self.planned = {"success": 0, "failure": 0, "unknown": 0}

    def batch(self, audit: Audit, at: int, size: int) -> list[Transfer]:
        """Plan a batch against a copy of what is expected; each request's plan is held against what the auditor says."""
        ahead = audit.copy()
        ahead.pass_time(at)
        batch: list[Transfer] = []
        while len(batch) < size:
            linked = self.random.random() < 0.12
            count = self.random.randint(2, 5) if linked else 1
            chain: list[Transfer] = []
            for number in range(count):
                planned, request = self._request(ahead, planning=not linked)
                if linked and number < count - 1:
                    request = msgspec.structs.replace(request, flags=request.flags | Flag.LINKED)
                chain.append(request)
                if not linked:
                    code = ahead.expect([request], at)[0][0]
                    self.planned[planned] += 1
                    if planned != "unknown":
                        assert (code in SUCCESS) is (planned == "success"), (planned, code, request)
            if linked:
                self.planned["unknown"] += count
                ahead.expect(chain, at)
            batch.extend(chain)
        self.sent.extend(batch)
        return batch

    def _new_id(self) -> str:
        self.made += 1
        return f"t{self.made}"

    def _request(self, ahead: Audit, *, planning: bool) -> tuple[Planned, Transfer]:
        dice = self.random.random()
        if dice < 0.30:
            return self._plain(ahead)
        if dice < 0.45:
            return self._hold(ahead)
        if dice < 0.62:
            return self._resolution(ahead)
        if dice < 0.72:
            return self._too_much(ahead)
        if dice < 0.80 and planning:
            return self._again()
        if dice < 0.86:
            return "unknown", self._balancing()
        if dice < 0.90:
            return "unknown", self._closing(ahead)
        if dice < 0.94:
            return "unknown", self._conditional(ahead)
        return "failure", self._wrong()

    def _pair(self) -> tuple[str, str]:
        debit, credit = self.random.sample(["bank", *(f"w{number}" for number in range(8)), "capped", "fee"], 2)
        return debit, credit

    def _transfer(self, debit: str, credit: str, amount: int | None, **more: object) -> Transfer:
        fields = {
            "id": self._new_id(),
            "debit_book": debit,
            "credit_book": credit,
            "amount_minor": amount,
            "currency": "JPY",
            "reason": "sim",
            "order": f"o{self.made % 17}",
            **more,
        }
        return msgspec.convert(fields, Transfer)

    def _plain(self, ahead: Audit) -> tuple[Planned, Transfer]:
        """From a book that is open and holds enough, to one that may take it: a success by plan."""
        debit, credit = self._pair()
        source, target = ahead.books[debit], ahead.books[credit]
        most = min(source.room_out() if source.debit_max is not None else 5_000, 5_000)
        if target.credit_max is not None:
            most = min(most, target.room_in())
        if most < 1 or source.closed_by or target.closed_by:
            return "success", self._from_bank(ahead)
        return "success", self._transfer(debit, credit, self.random.randint(1, most))

    def _from_bank(self, ahead: Audit) -> Transfer:
        open_ones = [name for name, book in ahead.books.items() if name.startswith("w") and not book.closed_by]
        if ahead.books["bank"].closed_by or not open_ones:
            raise AssertionError("the workload never closes the bank, nor every wallet")
        return self._transfer("bank", self.random.choice(open_ones), self.random.randint(1, 5_000))

    def _hold(self, ahead: Audit) -> tuple[Planned, Transfer]:
        planned, request = self._plain(ahead)
        timeout = self.random.choice([0, 0, 1, 5, 60, 600])
        return planned, msgspec.structs.replace(request, flags=int(Flag.PENDING), timeout_s=timeout)

    def _resolution(self, ahead: Audit) -> tuple[Planned, Transfer]:
        if not ahead.holds:
            return self._plain(ahead)
        name = self.random.choice(sorted(ahead.holds))
        hold = ahead.holds[name]
        blocked = bool(ahead.books[hold.debit].closed_by or ahead.books[hold.credit].closed_by)
        dice = self.random.random()
        flags = int(Flag.VOID_PENDING if dice < 0.3 else Flag.POST_PENDING)
        amount = self.random.randint(1, hold.amount) if hold.amount and 0.3 <= dice < 0.65 else None
        planned: Planned = "success" if hold.state == "open" else "failure"
        if blocked:
            planned = "unknown"
        return planned, self._transfer("", "", amount, currency="", pending_id=name, flags=flags, order=None)

    def _too_much(self, ahead: Audit) -> tuple[Planned, Transfer]:
        wallets = [name for name, book in ahead.books.items() if name.startswith("w") and not book.closed_by]
        debit = self.random.choice(wallets)
        return "failure", self._transfer(debit, "fee", ahead.books[debit].room_out() + self.random.randint(1, 9))

    def _again(self) -> tuple[Planned, Transfer]:
        """Something that was sent before: the same, or the same id with another content."""
        old = [each for each in self.sent if not each.flags & Flag.LINKED]
        if not old:
            return "failure", self._wrong()
        request = self.random.choice(old)
        if self.random.random() < 0.5:
            return "unknown", request
        return "unknown", msgspec.structs.replace(request, reason="other", order=None)

    def _balancing(self) -> Transfer:
        debit, credit = self._pair()
        flags = int(
            self.random.choice(
                [Flag.BALANCING_DEBIT, Flag.BALANCING_CREDIT, Flag.BALANCING_DEBIT | Flag.BALANCING_CREDIT]
            )
        )
        return self._transfer(debit, credit, self.random.choice([None, 100, 100_000]), flags=flags)

    def _closing(self, ahead: Audit) -> Transfer:
        closed = [book.closed_by for book in ahead.books.values() if book.closed_by]
        if closed:  # at most one book is closed at a time; mostly it is reopened soon
            return self._transfer(
                "", "", None, currency="", pending_id=closed[0], flags=int(Flag.VOID_PENDING), order=None
            )
        flags = int(Flag.PENDING | Flag.CLOSING_DEBIT)
        book = f"w{self.random.randrange(8)}"
        return self._transfer(book, "fee", 0, flags=flags, timeout_s=self.random.choice([0, 30]))

    def _conditional(self, ahead: Audit) -> Transfer:
        debit, credit = self._pair()
        book = ahead.books[debit]
        least = book.came - book.out - book.pending_out + self.random.randint(-2, 2)
        return self._transfer(debit, credit, 1, conditions=(Condition(book=debit, at_least_minor=least),))

    def _wrong(self) -> Transfer:
        kind = self.random.randrange(6)
        if kind == 0:
            return self._transfer("nobody", "fee", 1)
        if kind == 1:
            return self._transfer("w0", "nobody", 1)
        if kind == 2:
            return self._transfer("w0", "w0", 1)
        if kind == 3:
            return self._transfer("w0", "fee", -self.random.randint(1, 9))
        if kind == 4:
            return self._transfer("w0", "fee", 1, currency="USD")
        return self._transfer("w0", "fee", 0)
