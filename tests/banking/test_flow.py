"""Cash-outs through the bank and back: nothing is lost or made, two people let a file leave, the bank's lines settle it."""

import functools
import hashlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.banking.ground import HANAKO, TARO, US, House, statement

from koban.app import banking as app_banking
from koban.app.banking import carry_on, release
from koban.banking import lines, store
from koban.banking.types import BatchDecided, CashOutUnfit
from koban.banking.zengin import read_transfer
from koban.base import DAY, HOUR
from koban.db import Tx
from koban.pipeline import banking
from koban.pipeline.memory import Memory
from koban.pipeline.money import expire_when_due


def paid_and_returned(house: House) -> str:
    house.fund("a", 10_000)
    house.fund("b", 5_000)
    house.cash_out("out.a", "a", 8_000, fee=200)
    house.cash_out("out.b", "b", 5_000, payee=TARO)
    return str(house.batch()["id"])


def test_a_cash_out_goes_from_the_wallet_through_the_file_to_the_payee(house: House) -> None:
    house.fund("a", 10_000)
    asked = house.cash_out("out.a", "a", 8_000, fee=200)
    assert (asked["state"], asked["amount_minor"], asked["reference"]) == ("waiting", 7_800, "KB0000000001")
    assert asked["payee"] == {
        "bank": "0005", "bank_name": "三菱ＵＦＪ", "branch": "001", "branch_name": "本店", "type": "ordinary",
        "number": "····042", "name": "ﾔ…",
    }  # fmt: skip
    assert house.ask("GET", "/v1/bank/cash-outs/out.a", by="clerk")["payee"]["name"] == "ﾔ…"
    assert house.balance("wallet.JPY:a") == (10_000, 8_000)
    proposed = house.ask("POST", "/v1/bank/batches", {"account": "main"})
    assert (proposed["state"], proposed["count"], proposed["total_minor"], proposed["value_on"]) == (
        "proposed", 1, 7_800, "2026-10-22",
    )  # fmt: skip
    assert house.refused("POST", f"/v1/bank/batches/{proposed['id']}/file")["code"] == "bank_file_missing"
    assert house.refused("POST", f"/v1/bank/batches/{proposed['id']}/approve")["code"] == "second_person_needed"
    released = house.ask("POST", f"/v1/bank/batches/{proposed['id']}/approve", by="ben")
    assert (released["state"], released["file_name"]) == ("released", "T000001_20261022.txt")
    assert house.balance("wallet.JPY:a") == (2_000, 0)
    assert house.balance("cash_out_transit.JPY") == (7_800, 0)
    assert house.balance("cash_out_fee_income.JPY") == (200, 0)
    taken = house.raw("POST", f"/v1/bank/batches/{proposed['id']}/file")
    assert hashlib.sha256(taken.content).hexdigest() == released["file_hash"]
    head, orders = read_transfer(taken.content)
    assert (head["day"], head["consignor"]) == ("1022", "0123456789")
    assert [(each["name"], each["amount"], each["edi"]) for each in orders] == [
        ("ﾔﾏﾀﾞ ﾊﾅｺ", "0000007800", "KB0000000001")
    ]
    (file,) = house.take_in([(-7_800, "", "ｿｳｺﾞｳﾌﾘｺﾐ", ""), (-145, "", "ﾌﾘｺﾐﾃｽｳﾘﾖｳ", "")], opening=10_000)
    assert (file["lines"], file["done"], file["closing_minor"]) == (2, 2, 2_055)
    assert house.lines() == [(-7_800, "matched", None, "T000001"), (-145, "matched", None, "fee")]
    assert house.state("out.a") == "paid"
    assert house.balance("cash_out_transit.JPY") == (0, 0)
    assert house.balance("bank.JPY") == (2_055, 0)  # as the statement says
    assert house.ask("POST", "/v1/ledger/verify")["broken"] is None


def test_what_comes_back_is_in_the_wallet_again(house: House) -> None:
    batch = paid_and_returned(house)
    house.take_in([(-12_800, "", "ｿｳｺﾞｳﾌﾘｺﾐ", ""), (7_800, "ﾔﾏﾀﾞ ﾊﾅｺ", "ﾌﾘｺﾐｸﾐﾓﾄﾞｼ", "")], opening=15_000)
    assert house.lines() == [(-12_800, "matched", None, batch), (7_800, "matched", None, "out.a")]
    assert (house.state("out.a"), house.state("out.b")) == ("returned", "paid")
    assert house.balance("wallet.JPY:a") == (9_800, 0)
    assert house.balance("cash_out_transit.JPY") == (0, 0)
    assert house.balance("bank.JPY") == (10_000, 0)
    assert house.people_hold() + 200 == 10_000


def test_a_return_before_its_debit_is_settled_in_either_order(small: House) -> None:
    batch = paid_and_returned(small)
    small.take_in([(7_800, "", "", "KB0000000001")], opening=2_200)
    assert small.state("out.a") == "returned"
    small.ask("POST", "/v1/bank/statements", data=statement([(-12_800, "", "", "")], opening=15_000, day="081022"))
    assert small.lines()[-1] == (-12_800, "matched", None, batch)
    assert (small.state("out.a"), small.state("out.b")) == ("returned", "paid")
    assert small.balance("cash_out_transit.JPY") == (0, 0)
    assert small.balance("bank.JPY") == (10_000, 0)


def test_the_same_file_again_and_the_same_lines_in_another_file_move_nothing(house: House) -> None:
    paid_and_returned(house)
    rows = [(-12_800, "", "", ""), (7_800, "ﾔﾏﾀﾞ ﾊﾅｺ", "ｸﾐﾓﾄﾞｼ", "")]
    first = house.take_in(rows, opening=15_000)
    before = house.ask("GET", "/v1/ledger/totals")
    assert house.take_in(rows, opening=15_000) == first
    (longer,) = house.take_in([*rows, (300, "ﾀﾅｶ", "", "")], opening=15_000)
    assert longer["done"] == 3
    assert house.lines()[2:] == [
        (-12_800, "known", None, None),
        (7_800, "known", None, None),
        (300, "exception", "unmatched_credit", None),
    ]
    assert house.ask("GET", "/v1/ledger/totals") == before


def test_a_frozen_payout_and_a_suspended_account_do_not_leave(house: House) -> None:
    for account in ("a", "b", "c"):
        house.fund(account, 1_000)
        house.cash_out(f"out.{account}", account, 1_000)
    house.sanction("a", "freeze_payout")
    proposed = house.ask("POST", "/v1/bank/batches", {"account": "main"})
    assert proposed["count"] == 2
    house.sanction("b", "suspend")  # after the draft: the release asks again
    released = house.ask("POST", f"/v1/bank/batches/{proposed['id']}/approve", by="ben")
    assert (released["count"], released["total_minor"]) == (1, 1_000)
    found = {each["id"]: each for each in house.ask("GET", "/v1/bank/cash-outs")["items"]}
    assert {name: (each["state"], each["left_out"]) for name, each in found.items()} == {
        "out.a": ("waiting", "payout_frozen"),
        "out.b": ("waiting", "suspended"),
        "out.c": ("sent", None),
    }
    assert house.balance("wallet.JPY:b") == (1_000, 1_000)
    assert house.refused("POST", "/v1/bank/batches", {"account": "main"})["code"] == "bank_batch_empty"


def test_what_a_rule_freezes_does_not_leave(watched: House) -> None:
    watched.post("paid", "order_paid_card", order="o1", payment="p1", provider="gmo", amount=900_000)
    watched.post("done", "order_completed", order="o1", seller="a", amount=900_000, fee=0)
    watched.cash_out("out.a", "a", 900_000)
    assert watched.refused("POST", "/v1/bank/batches", {"account": "main"})["code"] == "bank_batch_empty"
    assert watched.ask("GET", "/v1/bank/cash-outs/out.a")["left_out"] == "payout_frozen"


def test_a_batch_of_which_nothing_may_leave_has_no_file(small: House) -> None:
    small.fund("a", 1_000)
    small.cash_out("out.a", "a", 1_000)
    proposed = small.ask("POST", "/v1/bank/batches", {"account": "main"})
    small.sanction("a", "freeze_payout")
    assert small.ask("POST", f"/v1/bank/batches/{proposed['id']}/approve", by="ben")["state"] == "empty"
    assert small.refused("POST", f"/v1/bank/batches/{proposed['id']}/file")["code"] == "bank_file_missing"


def test_a_reservation_near_its_end_is_not_sent_and_lapses(small: House) -> None:
    small.fund("a", 1_000)
    small.cash_out("out.a", "a", 1_000)
    small.clock.advance(14 * DAY - 6 * HOUR)
    assert small.refused("POST", "/v1/bank/batches", {"account": "main"})["code"] == "bank_batch_empty"
    assert small.ask("GET", "/v1/bank/cash-outs/out.a")["left_out"] == "hold_ending"
    small.clock.advance(7 * HOUR)
    expire_when_due(small.koban.desk)
    carry_on(small.koban.desk, small.koban.vault)  # the job of every ten seconds
    assert small.state("out.a") == "lapsed"
    assert small.balance("wallet.JPY:a") == (1_000, 0)


def test_what_left_stays_in_transit_however_long_the_bank_takes(small: House) -> None:
    paid_and_returned(small)
    small.clock.advance(40 * DAY)
    expire_when_due(small.koban.desk)
    assert small.balance("cash_out_transit.JPY") == (12_800, 0)
    assert small.refused("POST", "/v1/bank/cash-outs/out.a/cancel")["code"] == "cash_out_unfit"


def test_a_declined_batch_gives_its_cash_outs_back_and_one_can_be_taken_back(small: House) -> None:
    small.fund("a", 1_000)
    small.cash_out("out.a", "a", 1_000)
    proposed = small.ask("POST", "/v1/bank/batches", {"account": "main"})
    path = f"/v1/bank/batches/{proposed['id']}"
    assert small.refused("POST", "/v1/bank/cash-outs/out.a/cancel")["code"] == "cash_out_unfit"
    assert small.ask("POST", f"{path}/decline", {"reason": "wrong day"}, by="ben")["state"] == "declined"
    for verb, body in (("approve", None), ("decline", {"reason": "again"})):
        assert small.refused("POST", f"{path}/{verb}", body, by="ben")["code"] == "bank_batch_decided"
    assert small.ask("POST", "/v1/bank/cash-outs/out.a/cancel")["state"] == "cancelled"
    assert small.ask("POST", "/v1/bank/cash-outs/out.a/cancel")["state"] == "cancelled"
    assert small.balance("wallet.JPY:a") == (1_000, 0)


def test_one_id_is_one_cash_out(house: House) -> None:
    house.fund("a", 3_000)
    first = house.cash_out("out", "a", 1_000)
    assert house.cash_out("out", "a", 1_000) == first
    for change in ({"amount_minor": 999}, {"fee_minor": 1}, {"account": "b"}, {"payee": TARO}):
        body: dict[str, Any] = {
            "id": "out",
            "account": "a",
            "amount_minor": 1_000,
            "level": "identity",
            "payee": HANAKO,
        }
        assert house.refused("POST", "/v1/bank/cash-outs", {**body, **change})["code"] == "cash_out_unfit"
    too_much = {"id": "big", "account": "a", "amount_minor": 9_000, "level": "identity", "payee": HANAKO}
    refused = house.refused("POST", "/v1/bank/cash-outs", too_much)
    assert (refused["code"], "transfer_refused (exceeds_credits)" in refused["detail"]) == ("cash_out_refused", True)
    again = house.refused("POST", "/v1/bank/cash-outs", too_much)
    assert "id_already_failed" in again["detail"]  # the id is burned: it will never succeed behind anybody's back
    assert house.balance("wallet.JPY:a") == (3_000, 1_000)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"bank": "0002"}, "/payee/bank"),
        ({"branch": "999"}, "/payee/branch"),
        ({"name": "山田 花子"}, "/payee/name"),
        ({"name": "ガ" * 16}, "/payee/name"),
    ],
)
def test_a_payee_that_no_bank_knows_is_refused_by_its_field(small: House, change: dict[str, str], path: str) -> None:
    small.fund("a", 1_000)
    body = {"id": "out", "account": "a", "amount_minor": 1_000, "level": "identity", "payee": {**HANAKO, **change}}
    refused = small.refused("POST", "/v1/bank/cash-outs", body)
    assert (refused["code"], refused["errors"][0]["path"]) == ("payee_invalid", path)
    assert small.balance("wallet.JPY:a") == (1_000, 0)


def test_an_account_is_added_changed_and_closed_by_two_people(small: House) -> None:
    wanted = {**US, "id": "second", "number": "7654321"}

    def second() -> Any:
        return next((each for each in small.ask("GET", "/v1/bank/accounts") if each["id"] == "second"), None)

    proposed = small.ask("POST", "/v1/bank/accounts", wanted)["proposal"]
    assert (proposed["kind"], proposed["about"], proposed["target"]) == ("account", "second", "new")
    assert proposed["account"]["originator"]["number"] == "7654321"
    assert small.ask("POST", "/v1/bank/accounts", wanted)["proposal"]["id"] == proposed["id"]  # the same is the same
    assert second() is None
    assert small.refused("POST", "/v1/bank/batches", {"account": "second"})["code"] == "bank_account_missing"
    approve = f"/v1/bank/proposals/{proposed['id']}/approve"
    assert small.refused("POST", approve)["code"] == "second_person_needed"
    small.ask("POST", approve, by="ben")
    assert (second()["originator"]["name"], second()["added_by"] != second()["approved_by"]) == ("ｺﾊﾞﾝ(ｶ", True)
    assert small.ask("POST", "/v1/bank/accounts", wanted)["proposal"] is None
    assert small.refused("POST", "/v1/bank/accounts", {**wanted, "number": "7"})["code"] == "bank_account_exists"
    assert small.refused("POST", "/v1/bank/accounts", {**wanted, "id": "twin"})["code"] == "bank_account_exists"
    assert small.refused("POST", "/v1/bank/accounts", {**US, "id": "x", "branch": "999"})["code"] == "payee_invalid"
    change = {"account": {**wanted, "number": "7", "lead_days": 2}, "reason": "the bank merged branches"}
    assert small.refused("POST", "/v1/bank/accounts/x/change", change)["code"] == "bank_account_missing"
    changed = small.ask("POST", "/v1/bank/accounts/second/change", change)["proposal"]
    assert second()["originator"]["number"] == "7654321"
    small.ask("POST", f"/v1/bank/proposals/{changed['id']}/approve", by="ben")
    assert (second()["originator"]["number"], second()["lead_days"]) == ("0000007", 2)
    closing = small.ask("POST", "/v1/bank/accounts/second/close", {"reason": "moved"})
    assert small.refused("POST", f"/v1/bank/proposals/{closing['id']}/approve")["code"] == "second_person_needed"
    small.ask("POST", f"/v1/bank/proposals/{closing['id']}/approve", by="ben")
    assert small.refused("POST", "/v1/bank/batches", {"account": "second"})["code"] == "bank_account_closed"
    assert small.refused("POST", "/v1/bank/accounts/second/close", {"reason": "again"})["code"] == "bank_account_closed"
    rows = [action for about, action, _ in small.audit() if about == "second" and action.startswith("bank.account")]
    assert rows == ["bank.account_added", "bank.account_changed", "bank.account_closed"]


def test_an_account_of_which_a_batch_is_under_way_stays_as_it_is(house: House) -> None:
    house.fund("a", 1_000)
    house.cash_out("out", "a", 1_000)
    closing = house.ask("POST", "/v1/bank/accounts/main/close", {"reason": "moved"})
    batch = house.ask("POST", "/v1/bank/batches", {"account": "main"})
    refused = house.refused("POST", f"/v1/bank/proposals/{closing['id']}/approve", by="ben")
    assert refused["code"] == "bank_account_busy"
    house.ask("POST", f"/v1/bank/batches/{batch['id']}/decline", {"reason": "first the account"})
    house.ask("POST", f"/v1/bank/proposals/{closing['id']}/approve", by="ben")
    assert house.ask("GET", "/v1/bank/accounts")[0]["closed_at"] is not None


def test_names_are_masked_until_somebody_opens_them_and_that_is_written_down(house: House) -> None:
    house.fund("a", 1_000)
    asked = house.cash_out("out", "a", 1_000)
    assert (asked["payee"]["name"], asked["payee"]["number"]) == ("ﾔ…", "····042")
    batch = house.batch()["id"]
    listed = house.ask("GET", f"/v1/bank/batches/{batch}/cash-outs")["items"]
    assert [each["payee"]["name"] for each in listed] == ["ﾔ…"]
    assert house.refused("POST", "/v1/bank/cash-outs/out/names", by="clerk")["code"] == "not_allowed"
    assert house.ask("POST", "/v1/bank/cash-outs/out/names", by="ben")["payee"]["name"] == "ﾔﾏﾀﾞ ﾊﾅｺ"
    assert [each["payee"]["number"] for each in house.ask("POST", f"/v1/bank/batches/{batch}/names")] == ["0000042"]
    house.take_in([(500, "ﾀﾛｳ", "", "")])
    (line,) = house.ask("GET", "/v1/bank/lines")["items"]
    assert line["counterparty"] == "ﾀ…"
    assert house.ask("POST", f"/v1/bank/lines/{line['id']}/names")["counterparty"] == "ﾀﾛｳ"
    opened = [about for about, action, _ in house.audit() if action == "bank.names_opened"]
    assert opened == ["out", batch, line["id"]]
    assert house.refused("POST", "/v1/bank/cash-outs/none/names")["code"] == "cash_out_missing"


def test_lines_that_nothing_explains_are_typed_and_wait_for_two_people(house: House) -> None:
    batch = paid_and_returned(house)
    house.take_in([
        (-12_800, "", "", ""), (-500, "ﾅﾆｶ", "", ""), (9_999, "ﾀﾚｶ", "", ""), (700, "", "", "KB0000000001"),
        (-7_800, "", "", "KB0000000001"), (5_000, "ｶﾞｯﾂ", "ｸﾐﾓﾄﾞｼ", ""),
    ], opening=15_000)  # fmt: skip
    assert house.lines() == [
        (-12_800, "matched", None, batch),
        (-500, "exception", "unmatched_debit", None),
        (9_999, "exception", "unmatched_credit", None),
        (700, "exception", "partial_return", None),
        (-7_800, "exception", "already_paid", None),
        (5_000, "exception", "unmatched_credit", None),
    ]
    wanted = {"target": "out.b", "reason": "the bank says so"}
    assert house.refused("POST", "/v1/bank/lines/S000001.00003/match", wanted)["code"] == "bank_match_unfit"
    proposed = house.ask("POST", "/v1/bank/lines/S000001.00006/match", wanted)
    assert house.refused("POST", "/v1/bank/lines/S000001.00006/match", wanted)["code"] == "bank_match_unfit"
    approve = f"/v1/bank/proposals/{proposed['id']}/approve"
    assert house.refused("POST", approve)["code"] == "second_person_needed"
    assert house.balance("wallet.JPY:b") == (0, 0)
    assert house.ask("POST", approve, by="ben")["state"] == "approved"
    assert house.balance("wallet.JPY:b") == (5_000, 0)
    assert house.state("out.b") == "returned"
    assert house.refused("POST", approve, by="ben")["code"] == "bank_proposal_missing"
    assert house.refused("POST", "/v1/bank/lines/S000001.00006/match", wanted)["code"] == "bank_line_missing"
    elsewhere = {"target": "elsewhere", "reason": "a refund of the tax office"}
    other = house.ask("POST", "/v1/bank/lines/S000001.00003/match", elsewhere)
    house.ask("POST", f"/v1/bank/proposals/{other['id']}/decline", by="ben")
    other = house.ask("POST", "/v1/bank/lines/S000001.00003/match", elsewhere)
    house.ask("POST", f"/v1/bank/proposals/{other['id']}/approve", by="ben")
    fee = house.ask("POST", "/v1/bank/lines/S000001.00002/match", {"target": "fee", "reason": "a fee"})
    house.ask("POST", f"/v1/bank/proposals/{fee['id']}/approve", by="ben")
    assert house.balance("bank_fee_cost.JPY") == (500, 0)
    assert [each[1] for each in house.lines()] == [
        "matched", "resolved", "resolved", "exception", "exception", "resolved",
    ]  # fmt: skip


def test_a_cash_out_that_the_bank_never_carried_out_goes_back_by_two_people(house: House) -> None:
    paid_and_returned(house)
    failed = {"reason": "no such account", "fee_back": True}
    proposed = house.ask("POST", "/v1/bank/cash-outs/out.a/fail", failed)
    house.ask("POST", f"/v1/bank/proposals/{proposed['id']}/approve", by="ben")
    assert (house.state("out.a"), house.balance("wallet.JPY:a"), house.balance("cash_out_fee_income.JPY")) == (
        "failed", (10_000, 0), (0, 0),
    )  # fmt: skip
    assert house.balance("cash_out_transit.JPY") == (5_000, 0)
    assert house.refused("POST", "/v1/bank/cash-outs/out.a/fail", failed)["code"] == "cash_out_unfit"
    house.take_in([(-5_000, "", "", ""), (-7_800, "", "", "KB0000000001")], opening=15_000)
    assert house.lines() == [
        (-5_000, "matched", None, "T000001"),
        (-7_800, "exception", "unmatched_debit", None),
    ]
    assert house.state("out.b") == "paid"
    assert house.people_hold() == 10_000


def test_two_of_one_amount_and_name_are_never_guessed(small: House) -> None:
    small.fund("a", 4_000)
    for number in (1, 2):
        small.cash_out(f"out.{number}", "a", 2_000)
    small.batch()
    small.take_in([(-4_000, "", "", ""), (2_000, "ﾔﾏﾀﾞ ﾊﾅｺ", "ｸﾐﾓﾄﾞｼ", "")], opening=4_000)
    assert small.lines()[1] == (2_000, "exception", "ambiguous", None)
    assert small.people_hold() == 0


def test_a_notice_moves_nothing_and_the_statement_after_it_does(small: House) -> None:
    paid_and_returned(small)
    notice = (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"><BkToCstmrDbtCdtNtfctn><Ntfctn><Acct><Id><Othr>'
        "<Id>1234567</Id></Othr></Id><Ccy>JPY</Ccy></Acct><Ntry><Amt Ccy='JPY'>7800</Amt><CdtDbtInd>DBIT</CdtDbtInd>"
        "<BookgDt><Dt>2026-10-21</Dt></BookgDt><AcctSvcrRef>00000001</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>"
        "KB0000000001</EndToEndId></Refs></TxDtls></NtryDtls></Ntry></Ntfctn></BkToCstmrDbtCdtNtfctn></Document>"
    )
    small.ask("POST", "/v1/bank/statements", data=notice.encode())
    assert small.lines() == [(-7_800, "noticed", None, "out.a")]
    assert small.state("out.a") == "sent"
    small.take_in([(-7_800, "", "", "KB0000000001"), (-5_000, "ｽｽﾞｷ ﾀﾛｳ", "", "")], opening=15_000)
    assert small.lines()[1:] == [(-7_800, "matched", None, "out.a"), (-5_000, "matched", None, "T000001")]
    assert small.balance("bank.JPY") == (2_200, 0)


def test_a_wallet_that_is_full_keeps_the_return_in_sight(small: House) -> None:
    def earn(order: str) -> None:
        small.post(f"{order}.paid", "order_paid_card", order=order, payment=order, provider="gmo", amount=900_000)
        small.post(f"{order}.done", "order_completed", order=order, seller="a", amount=900_000, fee=0)

    small.post("own", "company_paid_in", bank_line="z", amount=900_000)
    earn("o1")
    small.cash_out("out.a", "a", 900_000)
    small.batch()
    earn("o2")
    small.take_in([(-900_000, "", "", ""), (900_000, "", "", "KB0000000001")], opening=900_000)
    assert small.lines()[1] == (900_000, "exception", "ledger_refused", "out.a")
    assert (small.balance("wallet.JPY:a"), small.balance("bank.JPY")) == ((900_000, 0), (0, 0))
    again = {"target": "out.a", "reason": "there is room now"}
    proposed = small.ask("POST", "/v1/bank/lines/S000001.00002/match", again)
    approve = f"/v1/bank/proposals/{proposed['id']}/approve"
    assert small.refused("POST", approve, by="ben")["code"] == "bank_match_unfit"
    small.clock.advance(2 * DAY)
    small.cash_out("out.more", "a", 900_000)
    small.batch()
    small.ask("POST", approve, by="ben")
    assert (small.balance("wallet.JPY:a"), small.balance("bank.JPY")) == ((900_000, 0), (900_000, 0))
    assert small.state("out.a") == "returned"


def test_a_crash_between_settling_and_the_file_is_taken_up_again(house: House) -> None:
    house.fund("a", 10_000)
    for number in range(banking.SENT_AT_ONCE):
        house.cash_out(f"out.{number}", "a", 1_000)
    house.fund("b", 10_000)
    for number in range(3):
        house.cash_out(f"out.b{number}", "b", 1_000)
    desk, vault = house.koban.desk, house.koban.vault
    proposed = house.ask("POST", "/v1/bank/batches", {"account": "main"})["id"]
    desk.command(lambda memory, tx: banking.approve_batch(memory, tx, proposed, by="staff_ben"))
    left = desk.command(lambda memory, tx: banking.send_some(memory, tx, proposed))
    assert left > 0
    assert house.balance("cash_out_transit.JPY") == (5_000, 0)
    assert house.refused("POST", f"/v1/bank/batches/{proposed}/file")["code"] == "bank_file_missing"
    carry_on(desk, vault)  # the job of every ten seconds; it may be the second to do so
    batch = house.ask("GET", f"/v1/bank/batches/{proposed}")
    assert (batch["state"], batch["count"], batch["total_minor"]) == ("released", 8, 8_000)
    before = house.raw("POST", f"/v1/bank/batches/{proposed}/file").content
    assert release(desk, vault, proposed).file_hash == batch["file_hash"]
    assert house.raw("POST", f"/v1/bank/batches/{proposed}/file").content == before
    assert house.balance("cash_out_transit.JPY") == (8_000, 0)
    assert len(read_transfer(before)[1]) == 8


def test_a_crash_within_a_statement_is_taken_up_again(small: House) -> None:
    batch = paid_and_returned(small)
    rows = [(100 + number, f"ﾅﾏｴ{number}", "", "") for number in range(7)]
    data = statement([(-12_800, "", "", ""), *rows], opening=15_000)
    desk, vault = small.koban.desk, small.koban.vault
    read = app_banking.read(desk, data)
    with desk.database.read() as tx:
        parts = [app_banking._part(tx, read[0], 0, digest=hashlib.sha256(data).hexdigest(), name="x")]
    (file,) = desk.command(lambda memory, tx: banking.take_in(memory, tx, parts, data, by="staff_anna"))
    sames = list(zip(read[0].rows, lines.sames_of(vault, read[0].rows), strict=True))
    assert desk.command(lambda memory, tx: banking.follow_lines(memory, tx, file.id, 0, sames[:3])) == 3
    assert desk.command(lambda memory, tx: banking.follow_lines(memory, tx, file.id, 0, sames[:3])) == 3
    carry_on(desk, vault)
    found = small.lines()
    assert len(found) == 8
    assert found[0] == (-12_800, "matched", None, batch)
    with desk.database.read() as tx:
        assert store.unfinished_files(tx) == []
    assert small.balance("cash_out_transit.JPY") == (0, 0)


@pytest.mark.parametrize("left_by_a_crash", [0, 1, 2, 3])
def test_wherever_a_crash_cuts_a_statement_each_line_is_done_once(house: House, left_by_a_crash: int) -> None:
    count, at_once = 17, banking.LINES_AT_ONCE
    for number in range(count):
        body = {"id": f"e{number}", "reference": f"REF{number:04}", "kind": "wallet", "owner": "a", "level": "identity"}
        house.ask("POST", "/v1/bank/expected", body)
    data = statement([(100 + number, f"REF{number:04}", "", "") for number in range(count)])
    desk, vault = house.koban.desk, house.koban.vault
    read = app_banking.read(desk, data)
    with desk.database.read() as tx:
        parts = [app_banking._part(tx, read[0], 0, digest=hashlib.sha256(data).hexdigest(), name="x")]
    (file,) = desk.command(lambda memory, tx: banking.take_in(memory, tx, parts, data, by="staff_anna"))
    rows = list(zip(read[0].rows, lines.sames_of(vault, read[0].rows), strict=True))
    some: list[Callable[[Memory, Tx], int]] = [
        functools.partial(app_banking._follow_some, file.id, rows, begin) for begin in range(0, count, at_once)
    ]
    if left_by_a_crash:
        # The commit of a crash holds whole commands; what another one who follows the same file does twice counts once.
        done = desk.commands([*some[:left_by_a_crash], *some[:left_by_a_crash]])[-1]
        assert done == left_by_a_crash * at_once
    with pytest.raises(RuntimeError, match="died"):
        desk.commands([*some[left_by_a_crash + 1 :], _die])
    carry_on(desk, vault)
    assert [(each[0], each[1]) for each in sorted(house.lines())] == [
        (100 + number, "matched") for number in range(count)
    ]
    assert house.balance("wallet.JPY:a") == (sum(range(100, 100 + count)), 0)
    with desk.database.read() as tx:
        assert store.unfinished_files(tx) == []


def _die(_memory: Memory, _tx: Tx) -> int:
    raise RuntimeError("died")


def test_commands_that_are_handed_in_together_are_one_commit_and_one_refusal_leaves_the_others(small: House) -> None:
    desk = small.koban.desk
    assert len(set(desk.commands([lambda _, tx: id(tx)] * 5))) == 1

    def note(name: str, *, fails: bool = False) -> Any:  # Any: a command
        def run(memory: Memory, _tx: Tx) -> None:
            memory.alert("note", name, "")
            if fails:
                raise CashOutUnfit(name)

        return run

    with pytest.raises(CashOutUnfit, match="two"):
        desk.commands([note("one"), note("two", fails=True), note("three")])
    with desk.database.read() as tx:
        assert [row[0] for row in tx.rows("SELECT object FROM alerts WHERE kind = 'note' ORDER BY object")] == [
            "one", "three",
        ]  # fmt: skip


def test_two_who_release_at_once_send_each_cash_out_once(house: House) -> None:
    house.fund("a", 10_000)
    house.fund("b", 10_000)
    for number in range(5):
        house.cash_out(f"out.a{number}", "a", 1_000)
        house.cash_out(f"out.b{number}", "b", 1_000)
    proposed = house.ask("POST", "/v1/bank/batches", {"account": "main"})["id"]
    answers: list[str] = []

    def approve() -> None:
        try:
            answers.append(app_banking.approve(house.koban.desk, house.koban.vault, proposed, by="staff_ben").state)
        except BatchDecided:
            answers.append("decided")

    threads = [threading.Thread(target=approve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["decided", "decided", "decided", "released"]
    assert house.balance("cash_out_transit.JPY") == (10_000, 0)
    assert len(read_transfer(house.raw("POST", f"/v1/bank/batches/{proposed}/file").content)[1]) == 10


def test_an_erased_person_is_not_paid_before_the_file_and_stays_in_it_after(house: House) -> None:
    for account in ("a", "b"):
        house.fund(account, 1_000)
        house.cash_out(f"out.{account}", account, 1_000, payee=TARO)
    house.ask("POST", "/v1/people/erase", {"person": "a"})
    released = house.batch()
    assert released["count"] == 1
    erased = house.ask("GET", "/v1/bank/cash-outs/out.a")
    assert (erased["payee"], erased["left_out"]) == (None, "details_erased")
    house.ask("POST", "/v1/people/erase", {"person": "b"})
    assert house.ask("GET", "/v1/bank/cash-outs/out.b")["payee"] is None
    (order,) = read_transfer(house.raw("POST", f"/v1/bank/batches/{released['id']}/file").content)[1]
    assert order["name"] == "ｽｽﾞｷ ﾀﾛｳ"  # a voucher: kept for ten years, whoever is forgotten
    with house.koban.database.read() as tx:
        rows = tx.rows("SELECT sealed, sent_sealed FROM bank_cash_outs")
        rows += tx.rows("SELECT file_sealed, file_sealed FROM bank_batches")
    for column in (value for row in rows for value in row if value is not None):
        assert "ｽｽﾞｷ".encode("cp932") not in bytes(column)
        assert "ｽｽﾞｷ".encode() not in bytes(column)


def test_files_of_others_and_broken_files_are_refused_and_kept_out(small: House) -> None:
    strange = statement([(1, "", "", "")]).replace(b"0001234567", b"0007654321")
    refused = small.refused("POST", "/v1/bank/statements", data=strange)
    assert (refused["code"], "…321" in refused["detail"]) == ("bank_account_missing", True)
    broken = small.refused("POST", "/v1/bank/statements", data=statement([(1, "", "", "")])[:-203])
    assert (broken["code"], broken["errors"][0]["path"]) == ("bank_file_invalid", "/records/3/データ区分")
    assert small.ask("GET", "/v1/bank/statements")["items"] == []


def test_a_payment_order_in_xml_leaves_as_well(small: House) -> None:
    small.open_account({**US, "id": "xml", "number": "7", "format": "pain.001", "fee_minor": 100})
    small.fund("a", 1_000)
    small.cash_out("out.a", "a", 1_000)
    proposed = small.ask("POST", "/v1/bank/batches", {"account": "xml"})
    released = small.ask("POST", f"/v1/bank/batches/{proposed['id']}/approve", by="ben")
    taken = small.raw("POST", f"/v1/bank/batches/{proposed['id']}/file")
    assert released["file_name"] == "T000001_20261022.xml"
    assert taken.headers["content-type"].startswith("application/xml")
    assert b"<EndToEndId>KB0000000001</EndToEndId>" in taken.content
    own = statement([(-1_100, "", "", "")], opening=1_100).replace(b"0001234567", b"0000000007")
    small.post("own", "company_paid_in", bank_line="z", amount=100)
    small.ask("POST", "/v1/bank/statements", data=own)
    assert small.lines() == [(-1_100, "matched", None, "T000001")]  # the bank took its fee with the amount
    assert small.balance("bank_fee_cost.JPY") == (100, 0)


def test_who_did_what_is_written_down_and_rights_are_asked(small: House) -> None:
    batch = paid_and_returned(small)
    small.raw("POST", f"/v1/bank/batches/{batch}/file", by="ben")
    with small.koban.database.read() as tx:
        actions = [row[0] for row in tx.rows("SELECT action FROM audit_entries WHERE action LIKE 'bank.%' ORDER BY id")]
    assert actions == [
        "bank.proposed", "bank.account_added", "bank.proposal_approved", "bank.cash_out", "bank.cash_out", "bank.batch_proposed", "bank.batch_approved",
        "bank.batch_released", "bank.file_taken",
    ]  # fmt: skip
    for path in (f"/v1/bank/batches/{batch}/file", "/v1/bank/batches", "/v1/bank/cash-outs"):
        assert small.raw("POST", path, {}, by="clerk").status_code == 403
    assert small.raw("POST", "/v1/bank/statements", data=b"x", by="clerk").status_code == 403


def test_the_calendar_says_when_money_would_be_there(small: House) -> None:
    found = small.ask("GET", "/v1/bank/calendar")
    assert (found["taken_on"], found["value_on"], found["known_until"]) == ("2026-10-21", "2026-10-22", "2027-12-31")
    assert [(each["day"], each["cut_off"]) for each in found["days"][2:5]] == [
        ("2026-10-23", "15:00"), ("2026-10-24", None), ("2026-10-25", None),
    ]  # fmt: skip
    assert small.ask("GET", "/v1/bank/places/0005/002")["branch_name"] == "丸の内"
    assert small.refused("GET", "/v1/bank/places/0005/998")["code"] == "payee_invalid"


def test_an_approval_after_the_cut_off_moves_the_day_on(small: House) -> None:
    small.fund("a", 1_000)
    small.cash_out("out.a", "a", 1_000)
    proposed = small.ask("POST", "/v1/bank/batches", {"account": "main"})
    small.clock.advance(6 * HOUR)
    released = small.ask("POST", f"/v1/bank/batches/{proposed['id']}/approve", by="ben")
    assert (proposed["value_on"], released["value_on"]) == ("2026-10-22", "2026-10-23")


def test_a_freeze_while_a_batch_is_released_stops_each_cash_out_or_comes_too_late_for_it(house: House) -> None:
    accounts = [f"a{number}" for number in range(12)]
    for account in accounts:
        house.fund(account, 1_000)
        house.cash_out(f"out.{account}", account, 1_000)
    proposed = house.ask("POST", "/v1/bank/batches", {"account": "main"})["id"]
    gate = threading.Barrier(2)

    def release() -> None:
        gate.wait()
        app_banking.approve(house.koban.desk, house.koban.vault, proposed, by="staff_ben")

    def freeze() -> None:
        gate.wait()
        for account in reversed(accounts):
            house.sanction(account, "freeze_payout")

    threads = [threading.Thread(target=each) for each in (release, freeze)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {each["id"]: each for each in house.ask("GET", "/v1/bank/cash-outs")["items"]}
    sent = {name for name, each in found.items() if each["state"] == "sent"}
    assert {name: each["left_out"] for name, each in found.items() if name not in sent} == dict.fromkeys(
        set(found) - sent, "payout_frozen"
    )
    assert house.balance("cash_out_transit.JPY") == (1_000 * len(sent), 0)
    batch = house.ask("GET", f"/v1/bank/batches/{proposed}")
    assert (batch["count"], batch["total_minor"]) == (len(sent), 1_000 * len(sent))
    if sent:
        assert len(read_transfer(house.raw("POST", f"/v1/bank/batches/{proposed}/file").content)[1]) == len(sent)
    for account in accounts:
        kept = (0, 0) if f"out.{account}" in sent else (1_000, 1_000)
        assert house.balance(f"wallet.JPY:{account}") == kept
