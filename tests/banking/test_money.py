"""Law 5 at the bank: whatever is asked, released, frozen, said by banks or by people, no yen is lost and none is made.

Hypothesis walks through a house with two accounts; after each step the books must agree with what became of each cash-out.
"""

import os
import pathlib
import random
import shutil
import tempfile
from typing import Final

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.banking.ground import HANAKO, TARO, House, moment, statement, without_rules

from koban.app import open_koban
from koban.audit import SeededSecrets
from koban.base import HOUR, ManualClock
from koban.base.settings import read_settings
from koban.pipeline.money import expire_when_due

STEPS: Final = int(os.environ.get("KOBAN_BANK_STEPS", "12"))
WALKS: Final = int(os.environ.get("KOBAN_BANK_WALKS", "4"))
OWNERS: Final = {"a": HANAKO, "b": TARO}
NAMES: Final = {"a": "ﾔﾏﾀﾞ ﾊﾅｺ", "b": "ｽｽﾞｷ ﾀﾛｳ"}


class Bank(RuleBasedStateMachine):
    """People ask for their money, two people let it leave, and a bank says what it likes about it."""

    @initialize()
    def opened(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="koban-bank-"))
        (self.folder / "data").mkdir()
        given = {"KOBAN_DATA": str(self.folder / "data"), "KOBAN_PACK": str(without_rules(self.folder))}
        self.clock = ManualClock(moment("2026-10-21T10:00:00+09:00"))
        self.opening = open_koban(read_settings(given), self.clock, random.Random(3), SeededSecrets(3), durable=False)
        self.house = House(self.opening.__enter__(), self.clock)
        self.house.open_account({
            "id": "main", "title": "x", "bank": "0001", "branch": "001", "number": "1234567", "name": "コバン",
            "consignor": "1",
        })  # fmt: skip
        self.house.post("own", "company_paid_in", bank_line="z", amount=100_000)
        for owner in OWNERS:
            self.house.fund(owner, 100_000)
        self.asked = 0
        self.files = 0
        self.at_bank = 300_000  # as the bank's statements have it

    @rule(owner=st.sampled_from("ab"), amount=st.sampled_from([1_000, 2_000, 2_500]), fee=st.sampled_from([0, 200]))
    def ask(self, owner: str, amount: int, fee: int) -> None:
        self.asked += 1
        body = {
            "id": f"out.{self.asked}", "account": owner, "amount_minor": amount, "fee_minor": fee, "level": "identity",
            "payee": OWNERS[owner],
        }  # fmt: skip
        assert self.house.raw("POST", "/v1/bank/cash-outs", body).status_code in {200, 409}

    @rule(approve=st.sampled_from([True, True, False]), freeze=st.sampled_from(["", "", "a", "b"]))
    def leave(self, approve: bool, freeze: str) -> None:  # noqa: FBT001 - a choice of the walk
        proposed = self.house.raw("POST", "/v1/bank/batches", {"account": "main"})
        if not proposed.is_success:
            return
        path = f"/v1/bank/batches/{proposed.json()['id']}"
        if freeze:
            self.house.sanction(freeze, "freeze_payout")
        if approve:
            self.house.ask("POST", f"{path}/approve", by="ben")
        else:
            self.house.ask("POST", f"{path}/decline", {"reason": "no"}, by="ben")

    @rule(data=st.data())
    def bank_says(self, data: st.DataObject) -> None:
        """Make a statement of lines that are right, doubled, late, wrong or nobody's."""
        sent = [
            each
            for each in self.house.ask("GET", "/v1/bank/cash-outs?limit=200")["items"]
            if each["sent_at"] is not None
        ]
        totals: dict[str, int] = {}
        for each in sent:
            if each["paid_line"] is None and each["state"] != "failed":
                totals[each["batch"]] = totals.get(each["batch"], 0) + each["amount_minor"]
        known = [(-total, "", "", "") for total in totals.values()]
        for each in sent:
            known.append((-each["amount_minor"], "", "", each["reference"]))
            known.append((each["amount_minor"], NAMES[each["account"]], "ｸﾐﾓﾄﾞｼ", ""))
            known.append((each["amount_minor"], "", "", each["reference"]))
        known += [(-145, "", "ﾌﾘｺﾐﾃｽｳﾘﾖｳ", ""), (777, "ﾀﾞﾚｶ", "", ""), (-888, "ﾀﾞﾚｶ", "", "")]
        rows = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=4))
        self.files += 1
        day = f"08{1 + self.files // 28 % 9:02d}{1 + self.files % 28:02d}"
        file = statement(rows, opening=self.at_bank, day=day)
        self.at_bank += sum(row[0] for row in rows)
        for _ in range(data.draw(st.integers(1, 2))):
            self.house.ask("POST", "/v1/bank/statements", data=file)

    @rule(data=st.data(), fee_back=st.booleans())
    def people_say(self, data: st.DataObject, fee_back: bool) -> None:  # noqa: FBT001 - a choice of the walk
        """Explain a line, or say that a cash-out failed, rightly or wrongly; a second person believes it or not."""
        waiting = self.house.ask("GET", "/v1/bank/lines?state=exception&limit=200")["items"]
        outs = self.house.ask("GET", "/v1/bank/cash-outs?limit=200")["items"]
        if waiting and data.draw(st.booleans()):
            line = data.draw(st.sampled_from([each["id"] for each in waiting]))
            target = data.draw(st.sampled_from(["fee", "elsewhere", "T000001", *(each["id"] for each in outs)]))
            answer = self.house.raw("POST", f"/v1/bank/lines/{line}/match", {"target": target, "reason": "so"})
        elif outs:
            one = data.draw(st.sampled_from([each["id"] for each in outs]))
            answer = self.house.raw("POST", f"/v1/bank/cash-outs/{one}/fail", {"reason": "so", "fee_back": fee_back})
        else:
            return
        if answer.is_success:
            verb = data.draw(st.sampled_from(["approve", "approve", "decline"]))
            said = self.house.raw("POST", f"/v1/bank/proposals/{answer.json()['id']}/{verb}", by="ben")
            if not said.is_success:
                self.house.ask("POST", f"/v1/bank/proposals/{answer.json()['id']}/decline", by="ben")

    @rule(hours=st.sampled_from([2, 30, 14 * 24]))
    def time_goes(self, hours: int) -> None:
        self.clock.advance(hours * HOUR)
        expire_when_due(self.house.koban.desk)

    @invariant()
    def books_agree_with_what_became_of_each(self) -> None:
        if not hasattr(self, "house"):
            return
        outs = self.house.ask("GET", "/v1/bank/cash-outs?limit=200")["items"]
        transit = sum(
            each["amount_minor"]
            for each in outs
            if each["sent_at"] is not None and each["paid_line"] is None and each["state"] != "failed"
        )
        assert self.house.balance("cash_out_transit.JPY") == (transit, 0)
        for owner in OWNERS:
            mine = [each for each in outs if each["account"] == owner]
            gone = sum(each["amount_minor"] + each["fee_minor"] for each in mine if each["sent_at"] is not None)
            back = sum(each["amount_minor"] for each in mine if each["returned_line"] or each["state"] == "failed")
            held, _ = self.house.balance(f"wallet.JPY:{owner}")
            fees = self.house.ask("GET", f"/v1/ledger/books/wallet.JPY:{owner}/statement?limit=200")["lines"]
            given = sum(
                each["amount_minor"]
                for each in fees
                if each["other_book"] == "cash_out_fee_income.JPY" and each["side"] == "credit"
            )
            assert held == 100_000 - gone + back + given
        lines = self.house.ask("GET", "/v1/bank/lines?limit=200")["items"]
        moved = sum(each["amount_minor"] for each in lines if each["posting"] is not None)
        assert self.house.balance("bank.JPY")[0] == 300_000 + moved

    def teardown(self) -> None:
        if hasattr(self, "house"):
            assert self.house.ask("POST", "/v1/ledger/verify")["broken"] is None
            self.opening.__exit__(None, None, None)
            shutil.rmtree(self.folder)


TestBank = Bank.TestCase
TestBank.settings = hypothesis_settings(
    max_examples=WALKS, stateful_step_count=STEPS, deadline=None, derandomize="KOBAN_BANK_WALKS" not in os.environ
)
