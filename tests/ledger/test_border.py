"""The ledger over HTTP with the starter pack: postings, statements, proof, and facts that rules see."""

import asyncio
import pathlib
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from koban.access import SYSTEM, issue_token
from koban.access.permissions import CATALOGUE
from koban.app import Koban, asgi, open_koban
from koban.app.money import prove
from koban.audit import SeededSecrets
from koban.base import DAY, SECOND, Instant, ManualClock, to_rfc3339
from koban.base.settings import read_settings
from koban.ledger import Posting, log_end
from koban.pipeline.money import expire_when_due, make_posting
from koban.subscriptions import LEDGER_CHECKPOINTS, _sign_ledger

START = Instant(1_792_584_000_000_000)
STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"


class Shop:
    """A Koban with the starter pack and a client that may do everything."""

    def __init__(self, koban: Koban, clock: ManualClock) -> None:
        self.koban, self.clock = koban, clock
        with koban.database.write() as tx:
            _, self.token = issue_token(
                tx,
                clock.now(),
                random.Random(1),
                SeededSecrets(1),
                by=SYSTEM,
                name="t",
                scopes=tuple(CATALOGUE),
                days=30,
            )
        self.app = asgi(koban)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            headers = {"authorization": f"Bearer {self.token}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://koban.test", headers=headers) as client:
                return await client.request(method, path, json=body)

        response = asyncio.run(run())
        return response.status_code, response.json()

    def post(self, posting_id: str, template: str, level: str | None = "identity", **parameters: object) -> Any:
        body = {"id": posting_id, "template": template, "parameters": parameters, "level": level}
        status, answer = self.ask("POST", "/v1/ledger/postings", body)
        assert status == 200, answer
        return answer

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.koban.database.read() as tx:
            return [tuple(row) for row in tx.rows(sql)]


@pytest.fixture
def shop(migrated_data: pathlib.Path) -> Iterator[Shop]:
    clock = ManualClock(START)
    settings = read_settings({"KOBAN_DATA": str(migrated_data), "KOBAN_PACK": str(STARTER)})
    with open_koban(settings, clock, random.Random(3), SeededSecrets(3), durable=False) as opened:
        yield Shop(opened, clock)


def test_an_order_from_payment_to_cash_out_over_http(shop: Shop) -> None:
    assert (
        shop.post("pay", "order_paid_card", order="o1", payment="p1", provider="gmo", amount=3_000)["code"] == "posted"
    )
    shop.clock.advance(60 * SECOND)
    assert shop.post("done", "order_completed", order="o1", seller="s1", amount=3_000, fee=300)["code"] == "posted"
    between = to_rfc3339(Instant(START + 30 * SECOND))
    status, then = shop.ask("GET", f"/v1/ledger/books/escrow.JPY:o1/statement?at={between}")
    assert (status, then["balance"]["balance_minor"], len(then["lines"])) == (200, 3_000, 1)
    _, now = shop.ask("GET", "/v1/ledger/books/escrow.JPY:o1/statement")
    assert (now["balance"]["balance_minor"], [each["reason"] for each in now["lines"]]) == (
        0,
        ["order_completed", "order_completed", "order_paid_card"],
    )
    _, story = shop.ask("GET", "/v1/ledger/transfers?order=o1")
    assert [each["id"] for each in story["items"]] == ["done.2", "done.1", "pay.1"]
    assert shop.ask("GET", "/v1/ledger/transfers/done.1")[1]["amount_minor"] == 2_700
    assert shop.ask("GET", "/v1/ledger/transfers/none")[0] == 404
    assert shop.ask("GET", "/v1/ledger/books/none")[0] == 404
    assert shop.ask("GET", "/v1/ledger/books/escrow.JPY:o1/statement?at=yesterday")[0] == 400
    _, wallets = shop.ask("GET", "/v1/ledger/books?code=wallet")
    assert [(each["book"], each["balance_minor"]) for each in wallets["items"]] == [("wallet.JPY:s1", 2_700)]
    _, totals = shop.ask("GET", "/v1/ledger/totals")
    assert {each["code"]: each["credits_posted_minor"] for each in totals}["fee_income"] == 300
    _, listed = shop.ask("GET", "/v1/ledger/postings?limit=1")
    assert (
        listed["items"][0]["id"],
        shop.ask("GET", f"/v1/ledger/postings?cursor={listed['next_cursor']}")[1]["items"][0]["id"],
    ) == ("done", "pay")
    assert "order_completed" in shop.ask("GET", "/v1/ledger")[1]["templates"]
    assert shop.rows("SELECT action, object_id FROM audit_entries WHERE action = 'ledger.posting' ORDER BY id") == [
        ("ledger.posting", "pay"),
        ("ledger.posting", "done"),
    ]


def test_limits_of_a_book_and_transfers_by_hand(shop: Shop) -> None:
    draw: dict[str, Any] = {"order": "o1", "buyer": "b1", "amount": 60_000}
    refused = shop.post("d1", "credit_drawn", **draw)
    assert (refused["code"], refused["about"]) == ("transfer_refused", "exceeds_credits")
    assert shop.ask("GET", "/v1/ledger/books/credit_drawn.JPY:b1")[0] == 404  # of a refusal not even the book stays
    line = {"id": "credit_drawn.JPY:b1", "currency": "JPY", "code": "credit_drawn", "owner": "b1"}
    assert shop.ask("POST", "/v1/ledger/books", {"books": [line]})[1] == [{"id": line["id"], "code": "created"}]
    status, changed = shop.ask(
        "POST",
        "/v1/ledger/books/credit_drawn.JPY:b1/limits",
        {"net_debit_max_minor": 80_000, "net_credit_max_minor": 0},
    )
    assert (status, changed["code"]) == (200, "changed")
    assert shop.post("d1", "credit_drawn", **draw)["code"] == "id_already_failed"
    assert shop.post("d2", "credit_drawn", **draw)["code"] == "posted"
    assert shop.ask("POST", "/v1/ledger/books", {"books": [{"id": "x", "currency": "JPY", "code": "cellar"}]})[1] == [
        {"id": "x", "code": "code_not_in_chart"}
    ]
    by_hand = {
        "id": "fix",
        "debit_book": "escrow.JPY:o1",
        "credit_book": "credit_drawn.JPY:b1",
        "amount_minor": 10,
        "currency": "JPY",
        "reason": "correction",
        "cause": "d2.1",
    }
    assert shop.ask("POST", "/v1/ledger/transfers", {"transfers": [by_hand]})[1][0]["code"] == "created"
    assert shop.ask("POST", "/v1/ledger/verify")[1]["broken"] is None


def test_what_passes_through_a_wallet_is_a_fact_that_rules_judge(shop: Shop) -> None:
    for number in range(3):
        assert (
            shop.post(f"in{number}", "cash_in", account="m1", bank_line=f"l{number}", amount=95_000)["code"] == "posted"
        )
        shop.clock.advance(60 * SECOND)
    assert shop.post("out", "cash_out_requested_free", account="m1", amount=285_000)["code"] == "posted"
    facts = shop.rows("SELECT source, type, event_id FROM log_entries WHERE source = 'koban:ledger' ORDER BY seq")
    assert facts == [
        ("koban:ledger", "wallet.cashed_in", "in0"),
        ("koban:ledger", "wallet.cashed_in", "in1"),
        ("koban:ledger", "wallet.cashed_in", "in2"),
        ("koban:ledger", "wallet.cash_out_requested", "out"),
    ]
    signals = shop.rows("SELECT rule FROM signals ORDER BY seq, rule")
    assert signals == [("cash_in_structuring",), ("wallet_pass_through",)]
    _, cases = shop.ask("GET", "/v1/cases?queue=money&subject_id=m1")
    assert len(cases["items"]) >= 1
    assert shop.post("in0", "cash_in", account="m1", bank_line="l0", amount=95_000)["code"] == "exists"
    assert len(shop.rows("SELECT 1 FROM log_entries WHERE source = 'koban:ledger'")) == 4


def test_facts_that_follow_too_many_facts_are_not_told(shop: Shop) -> None:
    def told(posting_id: str, cause: int | None) -> int | None:
        posting = Posting(
            id=posting_id,
            template="cash_in",
            currency="JPY",
            parameters={"account": "a", "bank_line": posting_id, "amount": 1},
            level="identity",
        )
        shop.koban.desk.command(lambda memory, tx: make_posting(memory, tx, posting, by="koban", cause_seq=cause))
        found = shop.rows(f"SELECT seq FROM log_entries WHERE event_id = '{posting_id}'")
        return found[0][0] if found else None

    first = told("f1", None)
    second = told("f2", first)
    third = told("f3", second)
    assert third is not None
    assert told("f4", third) is None
    assert shop.rows("SELECT kind FROM alerts") == [("chain.too_deep",)]
    assert len(shop.rows("SELECT 1 FROM ledger_postings")) == 4


def test_time_frees_a_cash_out_that_nobody_paid(shop: Shop) -> None:
    shop.post("in", "cash_in", account="a", bank_line="l", amount=1_000)
    shop.post("out", "cash_out_requested_free", account="a", amount=800)
    assert expire_when_due(shop.koban.desk) == 0
    shop.clock.advance(14 * DAY + SECOND)
    # The job of every second may have been first; what matters is that it is freed once.
    expire_when_due(shop.koban.desk)
    _, book = shop.ask("GET", "/v1/ledger/books/wallet.JPY:a")
    assert (book["balance_minor"], book["debits_pending_minor"]) == (1_000, 0)
    assert len(shop.rows("SELECT 1 FROM ledger_transfers WHERE flags = 256")) == 1


def test_time_does_not_free_a_cash_out_that_left(shop: Shop) -> None:
    shop.post("in", "cash_in", account="a", bank_line="l", amount=1_000)
    shop.post("out", "cash_out_requested_free", account="a", amount=800)
    assert shop.post("sent", "cash_out_sent_free", request="out", batch="t1")["code"] == "posted"
    shop.clock.advance(15 * DAY)
    expire_when_due(shop.koban.desk)
    _, book = shop.ask("GET", "/v1/ledger/books/wallet.JPY:a")
    assert (book["balance_minor"], book["debits_pending_minor"]) == (200, 0)
    _, transit = shop.ask("GET", "/v1/ledger/books/cash_out_transit.JPY")
    assert transit["balance_minor"] == 800
    assert shop.post("failed", "cash_out_failed_free", request="out")["code"] == "transfer_impossible"
    paid: dict[str, Any] = {"batch": "t1", "bank_line": "l2", "amount": 800, "bank_fee": 0}
    assert shop.post("paid", "cash_out_paid", **paid)["code"] == "posted"
    twice: dict[str, Any] = {"account": "a", "cash_out": "out", "amount": 800, "fee_back": 0}
    assert shop.post("back", "cash_out_returned", **twice)["about"] == "exceeds_credits"
    _, bank = shop.ask("GET", "/v1/ledger/books/bank.JPY")
    assert bank["balance_minor"] == 200


def test_signed_checkpoints_find_a_ledger_that_was_rewritten(shop: Shop) -> None:
    shop.post("in", "cash_in", account="a", bank_line="l", amount=1_000)
    data = shop.koban.settings.data
    key = shop.koban.signing_key
    shop.clock.advance(DAY)
    _sign_ledger(shop.koban.database, shop.clock, key, data / LEDGER_CHECKPOINTS)
    report = prove(shop.koban.database, data, key.public)
    assert (report.broken, report.signed >= 1) == (None, True)
    with shop.koban.database.write() as tx:
        tx.change("DELETE FROM ledger_transfers")
        tx.change("DELETE FROM ledger_changes")
        tx.change("DELETE FROM ledger_books")
        tx.change("DELETE FROM ledger_totals")
        tx.change("DELETE FROM ledger_head")
        assert log_end(tx)[0] == 0
    broken = prove(shop.koban.database, data, key.public).broken
    assert broken is not None
    assert broken.what == "truncated"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/ledger/books/%00", 400),
        ("/v1/ledger/transfers/a%00b", 400),
        ("/v1/ledger/books?owner=%00", 400),
        ("/v1/ledger/transfers?order=%00", 400),
        (f"/v1/ledger/postings?cursor={'9' * 60}.%00", 400),
        (f"/v1/ledger/books?cursor={'9' * 60}", 200),  # past the end of everything
        ("/v1/ledger/books?cursor=%C2%B2", 200),  # a digit to Unicode and no number: from the start
        (f"/v1/ledger/transfers?order=o1&cursor={'9' * 60}", 200),
        (f"/v1/ledger/postings?cursor={'9' * 60}.x", 200),
        ("/v1/ledger/transfers/none", 404),
    ],
)
def test_what_can_be_no_id_is_refused_and_any_cursor_is_a_place(shop: Shop, path: str, status: int) -> None:
    answered, body = shop.ask("GET", path)
    assert answered == status, body
    if status == 400:
        assert body["code"] == "malformed_request"
    if status == 200:
        assert body["items"] == []
