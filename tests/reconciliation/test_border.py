"""Reconciliation over HTTP and as pages: files, evidence, two people, the close, the daily job, the alarm."""

import asyncio
import random
from typing import Any

import httpx
import pytest
from tests.conftest import hire
from tests.ledger.test_border import Shop, shop
from tests.ledger.test_pages import read

from koban.access import SYSTEM, issue_token
from koban.access.permissions import CATALOGUE
from koban.access.types import Principal
from koban.app.reconciliation import reconciliation_desk, run_daily
from koban.audit import SeededSecrets
from koban.base import DAY, HOUR
from koban.ledger import LedgerReport, verify
from koban.oncall import logic as oncall
from koban.subscriptions import DailyProof
from koban.webhooks.store import open_alerts

assert shop is not None  # the fixture of the border's tests
BANK = "id,booked_on,amount,currency,reference\nl1,2026-10-21,5000,JPY,\nl2,2026-10-21,320,JPY,\n"
PROVIDER = (
    "provider_ref,kind,amount,fee,currency,booked_on,payment\n"
    "r1,capture,3000,90,JPY,2026-10-21,p1\nr2,capture,800,24,JPY,2026-10-21,p9\n"
)


class Second:
    """Another person with a token of their own."""

    def __init__(self, shop: Shop, by: str) -> None:
        self.shop, who = shop, Principal(id=by, kind="staff", name=by, grants=dict.fromkeys(CATALOGUE, "role admin"))
        if by != SYSTEM.id:
            hire(shop.koban.database, by)
        with shop.koban.database.write() as tx:
            _, self.token = issue_token(
                tx, shop.clock.now(), random.Random(by), SeededSecrets(len(by)), by=who, name=by, scopes=tuple(CATALOGUE),
                days=30,
            )  # fmt: skip

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        mine, self.shop.token = self.shop.token, self.token
        try:
            return self.shop.ask(method, path, body)
        finally:
            self.shop.token = mine


def load(shop: Shop, kind: str, source: str, text: str) -> tuple[int, Any]:
    async def send() -> httpx.Response:
        headers = {"authorization": f"Bearer {shop.token}", "content-type": "text/csv"}
        transport = httpx.ASGITransport(app=shop.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://koban.test", headers=headers) as client:
            path = f"/v1/reconciliation/files?kind={kind}&source={source}"
            return await client.post(path, content=text.encode())

    answer = asyncio.run(send())
    return answer.status_code, answer.json()


def live(shop: Shop) -> dict[str, Any]:
    items = shop.ask("GET", "/v1/reconciliation/exceptions?limit=100")[1]["items"]
    return {f"{each['leg']} {each['type']}": each for each in items}


@pytest.fixture
def open_shop(shop: Shop) -> Shop:
    """Booked: a card payment and a cash-in. Outside: the same, one unknown payment, and 320 yen that nobody booked."""
    shop.post("pay", "order_paid_card", order="o1", payment="p1", provider="gmo", amount=3_000)
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    assert load(shop, "bank", "main", BANK) == (200, {"rows": 2})
    assert load(shop, "provider", "gmo", PROVIDER) == (200, {"rows": 2})
    shop.clock.advance(10 * DAY)
    status, report = shop.ask("POST", "/v1/reconciliation/runs")
    assert (status, report["matched"]) == (200, 2)
    return shop


def test_what_does_not_match_is_listed_by_age_with_its_evidence(open_shop: Shop) -> None:
    found = live(open_shop)
    assert {name: each["amount_minor"] for name, each in found.items()} == {
        "bank missing_in_ledger": -320,
        "provider unknown_reference": -800,
        "settlement late": -3_686,
    }
    assert found["bank missing_in_ledger"]["age"] == "8-30"
    assert found["bank missing_in_ledger"]["overdue"]
    _, evidence = open_shop.ask("GET", f"/v1/reconciliation/exceptions/{found['bank missing_in_ledger']['id']}")
    assert [(row["side"], row["keys"], row["amount_minor"]) for row in evidence["rows"]] == [("bank", ["l2"], 320)]
    _, stands = open_shop.ask("GET", "/v1/reconciliation")
    assert stands["matches"] == {"reference": 2}
    assert {each["type"]: (each["count"], each["overdue"]) for each in stands["ageing"]} == {
        "late": (1, 0),
        "missing_in_ledger": (1, 1),
        "unknown_reference": (1, 1),
    }
    assert len(open_shop.ask("GET", "/v1/reconciliation/exceptions?limit=1")[1]["items"]) == 1
    assert open_shop.ask("GET", "/v1/reconciliation/exceptions/none")[0] == 404
    assert load(open_shop, "bank", "main", "id\n")[0] == 422
    status, owned = open_shop.ask(
        "POST", f"/v1/reconciliation/exceptions/{found['provider unknown_reference']['id']}/owner", {"owner": "staff_a"}
    )
    assert (status, owned["owner"]) == (200, "staff_a")
    for free_text in ("Hana from finance", "山田", "] 😀", "a\n", ""):
        path = f"/v1/reconciliation/exceptions/{found['provider unknown_reference']['id']}"
        assert open_shop.ask("POST", f"{path}/owner", {"owner": free_text})[0] == 422
        assert open_shop.ask("GET", path, None)[1]["exception"]["owner"] == "staff_a"


def test_an_adjustment_needs_two_people_and_is_a_new_posting(open_shop: Shop) -> None:
    one = live(open_shop)["bank missing_in_ledger"]["id"]
    path = f"/v1/reconciliation/exceptions/{one}"
    wanted = {
        "reason": "interest that nobody booked",
        "template": "adjust_bank_up",
        "parameters": {"exception": one, "bank_line": "l2", "amount": 320},
    }
    by_hand = open_shop.post("self", "adjust_bank_up", exception=one, bank_line="l2", amount=320)
    assert by_hand["code"] == "approval_missing"
    short = {**wanted, "parameters": {"exception": one, "bank_line": "l2"}}
    assert open_shop.ask("POST", f"{path}/propose", short)[1]["code"] == "adjustment_refused"
    status, proposal = open_shop.ask("POST", f"{path}/propose", wanted)
    assert (status, proposal["status"]) == (200, "waiting")
    assert open_shop.rows("SELECT count(*) FROM ledger_postings WHERE template = 'adjust_bank_up'") == [(0,)]
    assert open_shop.ask("POST", f"{path}/propose", wanted)[0] == 409
    say = {"proposal": proposal["id"]}
    assert open_shop.ask("POST", f"{path}/approve", say)[1]["code"] == "adjustment_own"
    same_person = Second(open_shop, SYSTEM.id)
    assert same_person.ask("POST", f"{path}/approve", say)[1]["code"] == "adjustment_own"
    other = Second(open_shop, "staff_other")
    assert other.ask("POST", f"{path}/approve", {"proposal": "adjustment_x"})[0] == 409
    status, done = other.ask("POST", f"{path}/approve", say)
    assert (status, done["status"]) == (200, "approved")
    assert other.ask("POST", f"{path}/approve", say)[0] == 409
    assert open_shop.ask("GET", "/v1/ledger/books/suspense.JPY")[1]["balance_minor"] == 320
    open_shop.ask("POST", "/v1/reconciliation/runs")
    assert "bank missing_in_ledger" not in live(open_shop)
    assert open_shop.ask("GET", path)[1]["exception"]["state"] == "resolved"
    actions = open_shop.rows("SELECT action FROM audit_entries WHERE object_id = '" + one + "' ORDER BY id")
    assert actions == [("reconciliation.propose",), ("reconciliation.approve",)]


def test_an_explanation_settles_and_a_declined_proposal_opens_again(open_shop: Shop) -> None:
    one = live(open_shop)["provider unknown_reference"]["id"]
    path, other = f"/v1/reconciliation/exceptions/{one}", Second(open_shop, "staff_other")
    first = open_shop.ask("POST", f"{path}/propose", {"reason": "of another shop of theirs"})[1]
    assert (
        other.ask("POST", f"{path}/decline", {"proposal": first["id"], "reason": "ask them"})[1]["answer"] == "ask them"
    )
    assert live(open_shop)["provider unknown_reference"]["state"] == "open"
    second = open_shop.ask("POST", f"{path}/propose", {"reason": "they took it out of the report"})[1]
    assert other.ask("POST", f"{path}/approve", {"proposal": second["id"]})[0] == 200
    open_shop.ask("POST", "/v1/reconciliation/runs")
    assert "provider unknown_reference" not in live(open_shop)
    assert open_shop.ask("POST", f"{path}/propose", {"reason": "once more"})[0] == 409


def test_a_period_with_open_exceptions_is_not_closed_by_accident(open_shop: Shop) -> None:
    status, refused = open_shop.ask("POST", "/v1/ledger/periods/close", {"through": "2026-10-25"})
    assert (status, refused["code"]) == (409, "period_unreconciled")
    despite = {"through": "2026-10-25", "despite_open": True}
    assert open_shop.ask("POST", "/v1/ledger/periods/close", despite)[0] == 409  # without a word of why
    status, closed = open_shop.ask("POST", "/v1/ledger/periods/close", {**despite, "note": "they answer in November"})
    assert (status, closed["closed_through"]) == (200, "2026-10-25")
    assert open_shop.ask("POST", "/v1/ledger/periods/close", {"through": "2026-10-20"})[0] == 409


def test_the_daily_run_happens_once_on_each_date(open_shop: Shop) -> None:
    desk = reconciliation_desk(open_shop.koban.desk)
    open_shop.post("more", "cash_in", account="b1", bank_line="l7", amount=10)
    run_daily(desk)
    assert "bank late" not in live(open_shop)
    open_shop.clock.advance(DAY)
    run_daily(desk)
    assert live(open_shop)["bank late"]["amount_minor"] == 10


def test_pages_show_the_queue_the_evidence_and_the_forms(open_shop: Shop) -> None:
    status, queue = read(open_shop, "/money/exceptions")
    assert status == 200
    assert "Missing in the ledger" in queue
    assert "Unknown reference" in queue
    assert "照合の不一致" in read(open_shop, "/money/exceptions?state=all&type=late", language="ja")[1]
    one = live(open_shop)["bank missing_in_ledger"]["id"]
    status, page = read(open_shop, f"/money/exceptions/{one}?template=adjust_bank_up")
    assert status == 200
    assert "At the bank" in page
    assert "Propose what is to be done" in page
    assert "台帳に記帳なし" in read(open_shop, f"/money/exceptions/{one}", language="ja")[1]
    open_shop.ask("POST", f"/v1/reconciliation/exceptions/{one}/propose", {"reason": "no more than a test"})
    assert "You proposed this; somebody else must approve it." in read(open_shop, f"/money/exceptions/{one}")[1]
    assert read(open_shop, "/money/exceptions/none")[0] == 404
    assert (
        "exceptions of reconciliation are open" in read(open_shop, "/money/close?first=2026-10-01&last=2026-10-25")[1]
    )


def test_a_ledger_that_does_not_hold_calls_a_person_once_a_day(shop: Shop) -> None:
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    proofs: list[LedgerReport] = []

    def prove() -> LedgerReport:
        with database.read() as tx:
            proofs.append(verify(tx))
        return proofs[-1]

    database = shop.koban.database
    daily = DailyProof(database, shop.clock, random.Random(1), prove)
    daily()
    with database.write() as tx:
        tx.change("UPDATE ledger_books SET credits_posted = credits_posted + 1 WHERE id = 'wallet.JPY:b1'")
    shop.clock.advance(HOUR)
    daily()  # was proved an hour ago
    assert [each.broken for each in proofs] == [None]
    shop.clock.advance(DAY)
    daily()
    with database.read() as tx:
        (alert,) = [each for each in open_alerts(tx) if each.kind == "ledger.unbalanced"]
    assert "wallet.JPY:b1" in alert.detail
    assert oncall.trouble("ledger.unbalanced") == ("critical", 2)
