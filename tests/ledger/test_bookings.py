"""What people want booked needs two of them: every door, with every role, on both databases."""

import asyncio
import pathlib
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.conftest import START, hire, migrated_address

from koban.access import SYSTEM, issue_token
from koban.access.permissions import CATALOGUE, MACHINES, ROLES, grants_of
from koban.access.types import BeyondOwnGrants, Principal
from koban.app import Koban, asgi, open_koban
from koban.audit import SeededSecrets
from koban.base import ManualClock
from koban.base.settings import read_settings
from koban.ledger import verify

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"
WALLET = "wallet.JPY:a"


class Office:
    """A Koban with a member of the staff for every role, each with a token of their own, and a machine."""

    def __init__(self, koban: Koban, clock: ManualClock) -> None:
        self.koban, self.clock, self.app = koban, clock, asgi(koban)
        self.tokens: dict[str, str] = {}
        for role in sorted(ROLES):
            self.give(role, f"staff_{role}", role, tuple(ROLES[role]))
        self.give("second", "staff_second", "finance", tuple(ROLES["finance"]))
        self.give("machine", "staff_admin", "admin", ("ledger.post", "ledger.read"))
        self.give("hand", "staff_admin", "admin", tuple(sorted(MACHINES)))
        with koban.database.write() as tx:
            # The folder's owner, as `koban serve` leaves it for the command line.
            scopes = tuple(each for each in CATALOGUE if each not in MACHINES)
            _, self.tokens["owner"] = issue_token(
                tx, clock.now(), random.Random(1), SeededSecrets(99), by=SYSTEM, name="owner", scopes=scopes, days=9
            )

    def give(self, name: str, person: str, role: str, scopes: tuple[str, ...]) -> None:
        hire(self.koban.database, person, role)
        by = Principal(id=person, kind="staff", name=person, roles=(role,), grants=grants_of((role,)))
        with self.koban.database.write() as tx:
            _, self.tokens[name] = issue_token(
                tx, self.clock.now(), random.Random(name), SeededSecrets(len(self.tokens) + 1), by=by, name=name,
                scopes=scopes, days=30,
            )  # fmt: skip

    def ask(self, who: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async def run() -> httpx.Response:
            headers = {"authorization": f"Bearer {self.tokens[who]}"}
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://koban.test", headers=headers) as client:
                return await client.request(method, path, json=body)

        answer = asyncio.run(run())
        return answer.status_code, answer.json()

    def code(self, who: str, method: str, path: str, body: object = None) -> str:
        status, answer = self.ask(who, method, path, body)
        return "done" if status == 200 else str(answer["code"])

    def propose(self, who: str, booking: str, wants: object, reason: str = "they asked for it") -> str:
        return self.code(who, "POST", "/v1/ledger/bookings", {"id": booking, "reason": reason, "wants": wants})

    def approve(self, who: str, booking: str) -> str:
        return self.code(who, "POST", f"/v1/ledger/bookings/{booking}/approve", {})

    def wallet(self) -> int:
        status, book = self.ask("finance", "GET", f"/v1/ledger/books/{WALLET}")
        return int(book["balance_minor"]) if status == 200 else 0

    def moved(self) -> int:
        with self.koban.database.read() as tx:
            return int(tx.rows("SELECT count(*) FROM ledger_transfers")[0][0])


@pytest.fixture(params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Office]:
    clock = ManualClock(START)
    (tmp_path / "data").mkdir()
    with migrated_address(request, str(request.param), tmp_path / "data") as address:
        settings = read_settings(
            {"KOBAN_DATA": str(tmp_path / "data"), "KOBAN_PACK": str(STARTER), "KOBAN_DATABASE_URL": address}
        )
        with open_koban(settings, clock, random.Random(3), SeededSecrets(3), durable=False) as opened:
            yield Office(opened, clock)


def cash_in(number: int, amount: int = 900) -> dict[str, Any]:
    return {
        "kind": "posting",
        "template": "cash_in",
        "parameters": {"account": "a", "bank_line": f"l{number}", "amount": amount},
        "level": "identity",
    }


def by_hand(number: int) -> dict[str, Any]:
    moved = {"id": f"hand{number}", "debit_book": WALLET, "credit_book": "wallet.JPY:b", "amount_minor": 50}
    return {"kind": "transfers", "transfers": [{**moved, "currency": "JPY", "reason": "correction"}]}


def test_no_role_books_alone_through_any_door(office: Office) -> None:
    posting = {"id": "p", **{name: value for name, value in cash_in(1).items() if name != "kind"}}
    doors = [
        ("/v1/ledger/postings", posting),
        ("/v1/ledger/transfers", {"transfers": by_hand(1)["transfers"]}),
        (f"/v1/ledger/books/{WALLET}/limits", {"net_debit_max_minor": 10_000, "net_credit_max_minor": None}),
    ]
    for who in [*sorted(ROLES), "owner"]:
        for path, body in doors:
            assert office.code(who, "POST", path, body) == "not_allowed", (who, path)
    bounded = {"id": WALLET, "currency": "JPY", "code": "wallet", "owner": "a", "net_debit_max_minor": 10_000}
    opens = {who: office.code(who, "POST", "/v1/ledger/books", {"books": [bounded]}) for who in [*ROLES, "owner"]}
    may_open = dict.fromkeys(("admin", "finance", "owner"), "limits_by_hand")
    assert opens == dict.fromkeys(ROLES, "not_allowed") | may_open
    proposes = {who: office.propose(who, f"by.{who}", cash_in(2)) for who in [*ROLES, "owner"]}
    assert proposes == dict.fromkeys(ROLES, "not_allowed") | dict.fromkeys(("admin", "finance", "owner"), "done")
    assert (office.moved(), office.wallet()) == (0, 0)


def test_a_machine_books_what_its_scopes_name_and_nothing_else(office: Office) -> None:
    posting = {"id": "p", **{name: value for name, value in cash_in(1).items() if name != "kind"}}
    assert office.code("machine", "POST", "/v1/ledger/postings", posting) == "done"
    assert office.wallet() == 900
    transfers = {"transfers": by_hand(1)["transfers"]}
    assert office.code("machine", "POST", "/v1/ledger/transfers", transfers) == "not_allowed"
    assert office.propose("machine", "x", cash_in(3)) == "not_allowed"
    posting["id"], posting["parameters"] = "q", {"account": "b", "bank_line": "l9", "amount": 5}
    assert office.code("hand", "POST", "/v1/ledger/postings", posting) == "done"
    assert office.ask("hand", "POST", "/v1/ledger/transfers", transfers)[1][0]["code"] == "created"
    assert office.wallet() == 850
    adjusts = {"exception": "e", "bank_line": "l2", "amount": 320}
    said = office.ask(
        "hand", "POST", "/v1/ledger/postings", {"id": "r", "template": "adjust_bank_up", "parameters": adjusts}
    )
    assert said[1]["code"] == "approval_missing"


def test_scopes_of_machines_are_given_by_an_administrator_by_name_and_by_no_token(office: Office) -> None:
    for role in ROLES:
        assert not MACHINES & ROLES[role]
    finance = Principal(id="staff_finance", kind="staff", name="f", grants=grants_of(("finance",)))
    token = Principal(id="token_x", kind="token", name="t", grants={"tokens.manage": "scope tokens.manage"})
    for by in (finance, token):
        with (
            office.koban.database.write() as tx,
            pytest.raises(BeyondOwnGrants, match="in the console under API tokens"),
        ):
            issue_token(
                tx, START, random.Random(8), SeededSecrets(98), by=by, name="n", scopes=("ledger.post",), days=1
            )
    with office.koban.database.read() as tx:
        rows = tx.rows("SELECT details FROM audit_entries WHERE action = 'token.issued'")
    assert sum('"ledger.transfer":"given"' in str(details).replace(" ", "") for (details,) in rows) == 1


@pytest.mark.parametrize("kind", ["posting", "transfers", "limits"])
def test_another_person_approves_and_then_it_is_booked_once(office: Office, kind: str) -> None:
    posting = {"id": "p", **{name: value for name, value in cash_in(1).items() if name != "kind"}}
    assert office.code("machine", "POST", "/v1/ledger/postings", posting) == "done"
    office.ask(
        "finance",
        "POST",
        "/v1/ledger/books",
        {"books": [{"id": "wallet.JPY:b", "currency": "JPY", "code": "wallet", "owner": "b"}]},
    )
    limits = {"kind": "limits", "book": WALLET, "net_debit_max_minor": 700, "net_credit_max_minor": None}
    wants = {"posting": cash_in(2), "transfers": by_hand(2), "limits": limits}[kind]
    before = office.moved(), office.wallet()
    assert office.propose("finance", "b1", wants) == "done"
    assert (office.moved(), office.wallet()) == before
    assert office.propose("finance", "b1", wants) == "done"  # the same again is the same
    assert office.propose("finance", "b1", wants, reason="another reason") == "booking_differs"
    assert office.propose("finance", "b1", cash_in(7)) == "booking_differs"
    for role in sorted(ROLES):
        if role not in ("admin", "finance"):
            assert office.approve(role, "b1") == "not_allowed"
    assert office.approve("finance", "b1") == "booking_own"
    assert office.approve("owner", "b1") == "booking_own"  # nobody's second person
    assert (office.moved(), office.wallet()) == before
    assert office.approve("second", "b1") == "done"
    assert office.approve("admin", "b1") == "booking_decided"
    after = {"posting": (before[0] + 1, 1_800), "transfers": (before[0] + 1, 850), "limits": before}[kind]
    assert (office.moved(), office.wallet()) == after
    book = office.ask("finance", "GET", f"/v1/ledger/books/{WALLET}")[1]
    assert book["net_debit_max_minor"] == (700 if kind == "limits" else 0)
    shown = office.ask("finance", "GET", "/v1/ledger/bookings/b1")[1]
    assert (shown["status"], len(shown["transfers"])) == ("approved", int(kind != "limits"))
    with office.koban.database.read() as tx:
        assert verify(tx, ()).broken is None
        actions = tx.rows(
            "SELECT action FROM audit_entries WHERE object_id = 'b1' AND action IN ('ledger.booking_proposed', 'ledger.booking_approved') ORDER BY id"
        )
    assert [tuple(row) for row in actions] == [("ledger.booking_proposed",), ("ledger.booking_approved",)]


def test_what_the_ledger_would_not_take_is_neither_proposed_nor_approved(office: Office) -> None:
    assert office.propose("finance", "b1", by_hand(1)) == "booking_refused"  # no such books
    assert office.propose("finance", "b 1", cash_in(1)) == "booking_refused"
    adjusts = {
        "kind": "posting",
        "template": "adjust_bank_up",
        "parameters": {"exception": "e", "bank_line": "l", "amount": 3},
    }
    assert office.propose("finance", "b2", adjusts) == "booking_refused"
    assert office.propose("finance", "in", cash_in(1)) == "done"
    assert office.approve("second", "in") == "done"
    out = {
        "kind": "posting",
        "template": "cash_out_requested_free",
        "parameters": {"account": "a", "amount": 900},
        "level": "identity",
    }
    assert [office.propose("finance", each, out) for each in ("out1", "out2")] == ["done", "done"]
    assert office.approve("second", "out1") == "done"
    before = office.moved()
    assert office.approve("second", "out2") == "booking_refused"  # the money is reserved by now
    assert office.moved() == before
    waiting = office.ask("finance", "GET", "/v1/ledger/bookings")[1]["items"]
    assert [(each["id"], each["status"]) for each in waiting] == [("out2", "waiting")]
    decline = office.code("second", "POST", "/v1/ledger/bookings/out2/decline", {"reason": "spent already"})
    assert decline == "done"
    assert office.code("second", "POST", "/v1/ledger/bookings/none/decline", {}) == "booking_missing"
    every = office.ask("finance", "GET", "/v1/ledger/bookings?status=all&limit=2")[1]
    older = office.ask("finance", "GET", f"/v1/ledger/bookings?status=all&limit=2&cursor={every['next_cursor']}")[1]
    assert {each["id"] for each in [*every["items"], *older["items"]]} == {"in", "out1", "out2"}


def test_pages_let_one_propose_and_another_approve(office: Office) -> None:
    def read(who: str, path: str, form: dict[str, str] | None = None, language: str = "en") -> httpx.Response:
        async def run() -> httpx.Response:
            headers = {
                "authorization": f"Bearer {office.tokens[who]}",
                "accept": "text/html",
                "accept-language": language,
            }
            transport = httpx.ASGITransport(app=office.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://koban.test", headers=headers) as client:
                return await (client.post(path, data=form) if form is not None else client.get(path))

        return asyncio.run(run())

    assert read("lead", "/money/bookings/new").status_code == 403
    assert "手動の記帳" in read("lead", "/money/bookings", language="ja").text
    page = read("finance", "/money/bookings/new?template=cash_in").text
    assert 'name="p_bank_line"' in page
    form = {"id": "page1", "template": "cash_in", "p_account": "a", "p_bank_line": "l1", "p_amount": "1,500",
            "level": "identity", "reason": "a line that nobody booked"}  # fmt: skip
    assert read("finance", "/money/bookings/new", {**form, "p_amount": "many"}).status_code == 422
    assert read("finance", "/money/bookings/new", {**form, "reason": "so"}).status_code == 422
    long = read("finance", "/money/bookings/new", {**form, "reason": "長い" * 251})
    assert (long.status_code, "502 / 500" in long.text, "長い" * 251 in long.text) == (422, True, True)
    assert read("second", "/money/bookings/page1").status_code == 404, "nothing was kept, cut or whole"
    assert "parameter_invalid" in read("finance", "/money/bookings/new", {**form, "p_amount": "0"}).text
    assert (
        read("finance", "/money/bookings/new", form).headers["location"]
        == "/money/bookings/page1?done=booking_proposed"
    )
    assert "You proposed this" not in read("second", "/money/bookings/page1").text
    own = read("finance", "/money/bookings/page1/decide", {"do": "approve"})
    assert (own.status_code, "Somebody else must approve" in own.text) == (422, True)
    assert office.wallet() == 0
    assert "wallet.JPY:a" in read("second", "/money/bookings/page1").text
    wordy = read("second", "/money/bookings/page1/decide", {"do": "approve", "answer": "x" * 501}, language="ja")
    assert (wordy.status_code, "501 / 500" in wordy.text, "x" * 501 in wordy.text) == (422, True, True)
    assert office.wallet() == 0
    assert read("second", "/money/bookings/page1/decide", {"do": "approve"}).status_code == 303
    assert office.wallet() == 1_500
    assert "Booked" in read("lead", "/money/bookings?status=approved").text
    assert read("lead", "/money/bookings/none").status_code == 404
    bounds = {"id": "page2", "book": WALLET, "debit": "0", "credit": "5000", "reason": "a smaller wallet"}
    assert 'name="credit"' in read("finance", f"/money/bookings/new?book={WALLET}").text
    assert read("finance", "/money/bookings/new", bounds).status_code == 303
    assert "5,000" in read("second", "/money/bookings/page2").text
    assert read("second", "/money/bookings/page2/decide", {"do": "decline", "answer": "no"}).status_code == 303
