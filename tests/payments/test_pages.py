"""The pages of payments, and the command line beside them."""

import asyncio
import html
import pathlib
import random
import re
import time
import urllib.parse
from collections.abc import Iterator

import httpx
import pytest
from tests.conftest import hire
from tests.ledger.test_border import START, STARTER, Shop

from koban.access import issue_token
from koban.access.permissions import ROLES, grants_of
from koban.access.types import Principal
from koban.app import open_koban
from koban.app.people import forget_person
from koban.audit import SeededSecrets
from koban.base import DAY, ManualClock
from koban.base.settings import read_settings
from koban.payments import store
from koban.reconciliation import take_file


@pytest.fixture
def shop(migrated_data: pathlib.Path) -> Iterator[Shop]:
    """A Koban with the starter pack and a simulated provider."""
    clock = ManualClock(START)
    settings = read_settings({"KOBAN_DATA": str(migrated_data), "KOBAN_PACK": str(STARTER)})
    with open_koban(
        settings, clock, random.Random(3), SeededSecrets(3), durable=False, simulated=True
    ) as opened:  # fmt: skip
        yield Shop(opened, clock)


def read(shop: Shop, path: str, language: str = "en", form: dict[str, str] | None = None) -> tuple[int, str]:
    """Return status and text, or where a browser is sent on to."""

    async def run() -> httpx.Response:
        headers = {"authorization": f"Bearer {shop.token}", "accept": "text/html", "accept-language": language}
        transport = httpx.ASGITransport(app=shop.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://koban.test", headers=headers) as client:
            return await client.post(path, data=form) if form is not None else await client.get(path)

    answer = asyncio.run(run())
    if answer.is_redirect:
        return answer.status_code, answer.headers["location"]
    return answer.status_code, " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def second_token(shop: Shop) -> str:
    """Return the token of a member of the staff."""
    hire(shop.koban.database, "staff_second", "finance")
    roles = ("finance",)
    by = Principal(id="staff_second", kind="staff", name="second", roles=roles, grants=grants_of(roles))
    with shop.koban.database.write() as tx:
        _, token = issue_token(
            tx, shop.clock.now(), random.Random(2), SeededSecrets(2), by=by, name="second",
            scopes=tuple(ROLES["finance"]), days=30,
        )  # fmt: skip
    return token


def until(shop: Shop, payment_id: str, status: str) -> None:
    for number in range(300):
        shop.clock.advance(200_000)
        found = shop.ask("GET", f"/v1/payments/{payment_id}")[1]
        if found["payment"]["status"] == status:
            return
        time.sleep(0.05 + number / 1_000)  # a minute in all
    raise AssertionError(found)


def test_a_payment_is_told_step_by_step_in_both_languages(shop: Shop) -> None:
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    body = {
        "id": "p1", "order": "o1", "account": "b1", "level": "identity",
        "parts": [{"method": "card", "amount_minor": 3_000, "token": "t"}, {"method": "wallet", "amount_minor": 1_000}],
    }  # fmt: skip
    assert shop.ask("POST", "/v1/payments", body)[0] == 200
    until(shop, "p1", "captured")
    bad = {**body, "id": "p2", "order": "o2", "parts": [{"method": "card", "amount_minor": 900, "token": "declined"}]}
    assert shop.ask("POST", "/v1/payments", bad)[0] == 200
    until(shop, "p2", "failed")
    refund = {"id": "r1", "amount_minor": 500}
    assert shop.ask("POST", "/v1/payments/p1/refunds", refund)[0] == 200
    until(shop, "p1", "partly_refunded")
    status, listed = read(shop, "/money/payments")
    assert status == 200
    assert "p1 partly refunded ¥4,000" in listed
    assert "p2 failed declined by the card's bank ¥900" in listed
    assert "p2" not in read(shop, "/money/payments?order=o1")[1]
    _, one = read(shop, "/money/payments/p1")
    assert "Authorise · Card ¥3,000 done approved" in one
    assert "Refund · Card ¥500 done" in one
    assert "3-D Secure frictionless/Y/05" in one
    assert "Refund r1" in one
    _, japanese = read(shop, "/money/payments/p1", "ja")
    assert "一部返金" in japanese
    assert "与信 · カード 3,000円 完了 承認" in japanese
    _, order = read(shop, "/money/orders?order=o1")
    assert "Payments of this order ¥4,000 p1 partly refunded" in order
    assert read(shop, "/money/payments/nobody")[0] == 404
    assert read(shop, "/money/payments?cursor=x.y&status=captured")[0] == 200


def test_a_refund_shows_what_it_would_do_and_is_begun_once(shop: Shop) -> None:
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    body = {
        "id": "p1", "order": "o1", "account": "b1", "level": "identity",
        "parts": [{"method": "card", "amount_minor": 3_000, "token": "t"}, {"method": "wallet", "amount_minor": 1_000}],
    }  # fmt: skip
    assert shop.ask("POST", "/v1/payments", body)[0] == 200
    until(shop, "p1", "captured")
    there = "/money/payments/p1/refund"
    assert "Refund … p1" in read(shop, "/money/orders?order=o1")[1]
    assert "Refund …" in read(shop, "/money/payments/p1")[1]
    _, asked = read(shop, there)
    assert "¥4,000 at most" in asked
    assert "Show what would happen" in asked
    assert "This cannot be taken back" not in asked
    _, seen = read(shop, f"{there}?amount=3,500")
    assert "the provider is asked to carry it out: simulated" in seen
    assert "order_refund_reserved ¥3,000 ¥0" in seen
    assert "order_partly_refunded_wallet ¥500 ¥500" in seen
    assert "Give ¥3,500 back" in seen
    for written in ("3500", "３，５００", "¥3,500", "3,500円"):
        assert "3,500円を返金する" in read(shop, f"{there}?{urllib.parse.urlencode({'amount': written})}", "ja")[1]
    assert "order_refund_reserved" not in read(shop, f"{there}?amount=700&part=1")[1]
    for wrong, said in (("4001", "No more than ¥4,000"), ("-1", "This is no amount"), ("0", "This is no amount")):
        status, refused = read(shop, f"{there}?amount={wrong}")
        assert (status, said in refused, "This cannot be taken back" in refused) == (422, True, False)
    assert read(shop, f"{there}?amount=1001&part=1")[0] == 422
    form = {"id": "refund_1", "amount": "700", "part": "1"}
    for _ in range(2):
        assert read(shop, there, form=form) == (303, "/money/payments/p1?done=payment_refund")
    until(shop, "p1", "partly_refunded")
    parts = shop.ask("GET", "/v1/payments/p1")[1]["parts"]
    assert [each["refunded_minor"] for each in parts] == [0, 700]
    for wrong_form, said in (
        ({**form, "amount": "701"}, "asked for before with another amount"),
        ({**form, "id": "refund_2"}, "No more than ¥300 can be given back"),
        ({**form, "id": ""}, "This is no amount"),
        ({**form, "id": "refund_3", "amount": "x"}, "This is no amount"),
        ({**form, "id": "refund_4", "amount": "1", "part": "x"}, "This is no amount"),
        ({**form, "id": "refund_5", "amount": "1", "part": "9"}, "can be given back"),
    ):
        status, refused = read(shop, there, form=wrong_form)
        assert (status, said in refused) == (422, True)
    assert [each["refunded_minor"] for each in shop.ask("GET", "/v1/payments/p1")[1]["parts"]] == [0, 700]
    assert read(shop, "/money/payments/none/refund")[0] == 404


def test_what_was_not_taken_cannot_be_given_back_on_the_page(shop: Shop) -> None:
    body = {"id": "p1", "order": "o1", "account": "b1", "level": "identity", "capture": False,
            "parts": [{"method": "card", "amount_minor": 900, "token": "t"}]}  # fmt: skip
    assert shop.ask("POST", "/v1/payments", body)[0] == 200
    until(shop, "p1", "authorised")
    assert "Refund …" not in read(shop, "/money/payments/p1")[1]
    assert "Nothing can be given back" in read(shop, "/money/payments/p1/refund")[1]
    status, refused = read(shop, "/money/payments/p1/refund", form={"id": "r", "amount": "900", "part": ""})
    assert (status, "Nothing of this payment can be given back now" in refused) == (422, True)


def test_money_on_its_way_is_seen_at_a_glance_and_leads_to_its_rows(shop: Shop) -> None:
    _, empty = read(shop, "/money")
    assert "Payments under way ¥0 In all: 0" in empty
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    card = {"method": "card", "amount_minor": 900, "token": "t"}
    for payment, capture in (("p1", False), ("p2", True)):
        body = {"id": payment, "order": f"o-{payment}", "account": "b1", "level": "identity", "parts": [card]}
        assert shop.ask("POST", "/v1/payments", {**body, "capture": capture})[0] == 200
    until(shop, "p1", "authorised")
    until(shop, "p2", "captured")
    payee = {"bank": "0005", "branch": "001", "type": "ordinary", "number": "42", "name": "ヤマダ　ハナコ"}
    out = {"id": "out", "account": "b1", "amount_minor": 2_000, "level": "identity", "payee": payee}
    assert shop.ask("POST", "/v1/bank/cash-outs", out)[0] == 200
    expected = {"id": "e1", "reference": "ORD-7", "kind": "order", "owner": "o7", "amount_minor": 700}
    assert shop.ask("POST", "/v1/bank/expected", expected)[0] == 200
    _, glance = read(shop, "/money")
    assert "Payments under way ¥900 In all: 1" in glance
    assert "Going back to buyers ¥0 In all: 0" in glance
    assert "Cash-outs to be sent ¥2,000 In all: 1" in glance
    assert "In transit at banks ¥0 In all: 0" in glance
    assert "Expected to come in ¥700 In all: 1" in glance
    assert "Lines that wait for a person 0" in glance
    assert "進行中の決済 900円 1件" in read(shop, "/money", "ja")[1]
    # The provider has not paid out yet. While it still may, that is nobody's trouble; a line of the bank that nobody knows is.
    bank = b"id,booked_on,amount,currency\nl9,2026-10-21,320,JPY\n"
    for rows, late, count in ((b"", 1, 0), (bank, 1, 2)):  # and the cash-in, whose line the bank does not have
        if rows:
            take_file(shop.koban.database, shop.clock.now(), "bank", "main", rows)
            shop.clock.advance(7 * DAY)
        assert shop.ask("POST", "/v1/reconciliation/runs")[0] == 200
        types = [each["type"] for each in shop.ask("GET", "/v1/reconciliation/exceptions")[1]["items"]]
        assert (types.count("late"), len(types)) == (late, late + count)
        assert re.search(rf"Differences \S+ In all: {count}", read(shop, "/money")[1])
    _, listed = read(shop, "/money/payments?status=under_way")
    assert "p1 authorised" in listed
    assert "p2 captured" not in listed
    assert "No payments" in read(shop, "/money/payments?status=going_back")[1]
    with shop.koban.database.write() as tx:
        tx.change("UPDATE payment_steps SET status = 'open', kind = 'refund', amount_minor = 250 WHERE payment = 'p2'")
        assert store.sum_going_back(tx) == [("JPY", 2, 500)]
        tx.change("UPDATE payments SET status = 'stuck' WHERE id = 'p2'")
        statuses = ("stuck", "authorised", "held")
        assert store.sum_by_status(tx, statuses) == [("authorised", "JPY", 1, 900), ("stuck", "JPY", 1, 900)]
        assert [each.id for each in store.list_payments(tx, statuses=statuses, limit=9)] == ["p2", "p1"]


def test_a_person_says_on_the_page_how_a_payout_ended_whose_person_was_erased(shop: Shop) -> None:
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    for payout in ("o1", "o2"):
        body = {"id": payout, "account": "b1", "amount_minor": 700, "level": "identity", "token": "silent_before"}
        assert shop.ask("POST", "/v1/payouts", body)[0] == 200
        calls_until(shop, payout, "")
        assert "Only people can say how this ended" not in read(shop, f"/money/payments/{payout}")[1]
    shop.koban.desk.command(lambda memory, tx: forget_person(memory, tx, "b1", by="staff_1"), alone=True)
    for payout in ("o1", "o2"):
        calls_until(shop, payout, "the token was erased before the outcome was known")
    there = "/money/payments/o1/steps/o1-1/outcome"
    _, one = read(shop, "/money/payments/o1")
    assert "Only people can say how this ended" in one
    assert "It was not paid out; the money goes back to the wallet" in one
    assert "結果は担当者二人が確かめる必要があります" in read(shop, "/money/payments/o1", "ja")[1]
    form = {"happened": "yes", "reference": "po_9", "reason": "their page of the day"}
    for wrong in ({"reference": ""}, {"reason": "x"}, {"happened": ""}):
        status, refused = read(shop, there, form={**form, **wrong})
        assert (status, "Say how it ended and why" in refused) == (422, True)
    assert read(shop, there, form=form) == (303, "/money/payments/o1?done=payment_said_once")
    first, second = shop.token, second_token(shop)
    _, one = read(shop, "/money/payments/o1")
    assert "Said by one person" in one
    assert "po_9 · their page of the day" in one
    assert "paid out ¥700" not in one
    body = {"happened": False, "reason": "their report has no such row"}
    status, answer = shop.ask("POST", "/v1/payments/o2/steps/o2-1/outcome", body)
    assert (status, answer["status"]) == (200, "paying_out")
    (step,) = shop.ask("GET", "/v1/payments/o2")[1]["steps"]
    assert (step["said"]["happened"], step["said"]["reason"]) == (False, "their report has no such row")
    shop.token = second
    assert read(shop, there, form=form) == (303, "/money/payments/o1?done=payment_said")
    _, one = read(shop, "/money/payments/o1")
    assert "paid out ¥700" in one
    assert "their page of the day" in one
    assert "Only people" not in one
    status, answer = shop.ask("POST", "/v1/payments/o2/steps/o2-1/outcome", body)
    assert (status, answer["status"]) == (200, "failed")
    assert shop.ask("GET", "/v1/payments/o2")[1]["steps"][0]["said"] is None
    shop.token = first
    assert "a person said that it did not happen" in read(shop, "/money/payments/o2")[1]
    assert shop.ask("POST", "/v1/payments/o2/steps/o2-1/outcome", {**body, "happened": True})[0] == 422
    assert shop.ask("POST", "/v1/payments/o1/steps/o1-1/outcome", body)[1]["code"] == "payment_not_there"
    said = "SELECT object_id FROM audit_entries WHERE action = 'payment.outcome_said' ORDER BY id"
    assert shop.rows(said) == [("o1",), ("o2",), ("o1",), ("o2",)]


def calls_until(shop: Shop, payment_id: str, detail: str) -> None:
    """Let time pass until the newest call of a payment says so; with no detail, until there is one."""
    for number in range(300):
        shop.clock.advance(500_000 if detail else 1_000)  # not so much that it is asked about again
        calls = shop.ask("GET", f"/v1/payments/{payment_id}")[1]["calls"]
        if calls and (not detail or calls[-1]["detail"] == detail):
            return
        time.sleep(0.05 + number / 1_000)
    raise AssertionError(calls)


def test_an_order_is_paid_on_the_page_by_what_needs_no_device_once(shop: Shop) -> None:
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    there = "/money/orders/pay"
    assert "Pay …" in read(shop, "/money/orders?order=o1")[1]
    _, asked = read(shop, f"{there}?order=o1")
    assert "Wallet" in asked
    assert "Card" not in asked
    assert "What would happen" not in asked
    _, seen = read(shop, f"{there}?order=o1&account=b1&method=wallet&amount=1,200&level=identity")
    assert "The rules decide first: payment.attempted" in seen
    assert "order_wallet_reserved" in seen
    assert "Pay ¥1,200" in seen
    assert "1,200円を決済する" in read(shop, f"{there}?order=o1&account=b1&method=wallet&amount=1200", "ja")[1]
    form = {"id": "p1", "order": "o1", "account": "b1", "method": "wallet", "amount": "1200", "level": "identity"}
    for change in ({"amount": "0"}, {"method": "card"}, {"account": ""}, {"order": ""}, {"id": ""}):
        status, refused = read(shop, there, form={**form, **change})
        assert (status, "Order, buyer, method and an amount" in refused) == (422, True)
    status, refused = read(shop, there, form={**form, "level": "nobody"})
    assert (status, "It cannot be paid so" in refused) == (422, True)
    assert shop.ask("GET", "/v1/payments")[1]["items"] == []
    for _ in range(2):
        assert read(shop, there, form=form) == (303, "/money/payments/p1?done=payment_begun")
    until(shop, "p1", "captured")
    status, refused = read(shop, there, form={**form, "amount": "1300"})
    assert (status, "begun before with other content" in refused) == (422, True)
    assert [each["amount_minor"] for each in shop.ask("GET", "/v1/payments")[1]["items"]] == [1_200]


def test_an_order_paid_twice_is_on_its_page_among_the_alerts_and_in_a_queue(shop: Shop) -> None:
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    for name in ("p1", "p2"):
        parts = [{"method": "wallet", "amount_minor": 1_000}]
        body = {"id": name, "order": "o1", "account": "b1", "level": "identity", "parts": parts}
        assert shop.ask("POST", "/v1/payments", body)[0] == 200
        page = read(shop, "/money/orders?order=o1")[1]
        assert ("This order was paid more than once" in page) is (name == "p2")
    assert "Its money came by p1 (¥1,000), p2 (¥1,000)." in page
    assert "p1 (1,000円)、p2 (1,000円)で代金が支払われました。" in read(shop, "/money/orders?order=o1", "ja")[1]
    alerts = {language: read(shop, "/alerts", language)[1] for language in ("en", "ja")}
    assert "An order was paid more than once Paid by p1 (1,000 JPY)" in alerts["en"]
    assert "and again by p2 (1,000 JPY)" in alerts["en"]
    assert "同じ取引の代金が二重に支払われました p1 (1,000 JPY) で支払われたあと" in alerts["ja"]
    [case] = shop.ask("GET", "/v1/cases?queue=money")[1]["items"]
    assert case["subject"] == {"kind": "account", "id": "b1"}
    assert shop.ask("POST", "/v1/payments/p2/refunds", {"id": "r1", "amount_minor": 1_000})[0] == 200
    assert "This order was paid more than once" not in read(shop, "/money/orders?order=o1")[1]
