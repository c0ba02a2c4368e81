"""Two people at once on adjustments, bookings and the close of a period: one is first, and the ledger moves once."""

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.ledger.test_border import Shop, shop
from tests.reconciliation.test_border import Second, live, open_shop

from koban.ledger import verify

assert shop is not None  # the fixtures of the border's tests
assert open_shop is not None
Ask = Callable[[str, str, object], tuple[int, Any]]


def at_once(*runs: Callable[[], tuple[int, Any]]) -> list[int]:
    """Begin all of them at the same moment and return their statuses."""
    gate, said = threading.Barrier(len(runs)), [0] * len(runs)

    def run(number: int) -> None:
        gate.wait()
        said[number] = runs[number]()[0]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(runs))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return said


def person(shop: Shop, name: str) -> Ask:
    """Return how somebody asks, from any thread."""
    mine = copy.copy(shop)
    mine.token = Second(shop, name).token
    return mine.ask


@pytest.fixture
def proposed(open_shop: Shop) -> tuple[str, dict[str, str]]:
    """An adjustment of 320 yen that waits for a second person: its path and what a decision says."""
    one = live(open_shop)["bank missing_in_ledger"]["id"]
    path = f"/v1/reconciliation/exceptions/{one}"
    wanted = {
        "reason": "interest that nobody booked",
        "template": "adjust_bank_up",
        "parameters": {"exception": one, "bank_line": "l2", "amount": 320},
    }
    status, proposal = open_shop.ask("POST", f"{path}/propose", wanted)
    assert status == 200
    return path, {"proposal": proposal["id"], "reason": "seen"}


def suspense(shop: Shop) -> int:
    found = shop.ask("GET", "/v1/ledger/books/suspense.JPY")
    return int(found[1].get("balance_minor", 0))


def prove(shop: Shop) -> None:
    with shop.koban.database.read() as tx:
        assert verify(tx, []).broken is None


def test_an_adjustment_that_three_approve_at_once_is_booked_once(
    open_shop: Shop, proposed: tuple[str, dict[str, str]]
) -> None:
    path, say = proposed
    people = [person(open_shop, name) for name in ("staff_ben", "staff_anna", "staff_chris")]
    said = at_once(*[lambda ask=ask: ask("POST", f"{path}/approve", say) for ask in people])
    assert sorted(said) == [200, 409, 409]
    assert suspense(open_shop) == 320
    prove(open_shop)


def test_of_approving_and_declining_at_once_one_is_first(open_shop: Shop, proposed: tuple[str, dict[str, str]]) -> None:
    path, say = proposed
    anna, ben = person(open_shop, "staff_anna"), person(open_shop, "staff_ben")
    said = at_once(lambda: anna("POST", f"{path}/approve", say), lambda: ben("POST", f"{path}/decline", say))
    assert sorted(said) == [200, 409]
    assert suspense(open_shop) == (320 if said[0] == 200 else 0)
    prove(open_shop)


def test_a_close_and_an_approval_at_once_book_into_no_closed_period(
    open_shop: Shop, proposed: tuple[str, dict[str, str]]
) -> None:
    path, say = proposed
    anna, ben = person(open_shop, "staff_anna"), person(open_shop, "staff_ben")
    close = {"through": "2026-10-25", "despite_open": True, "note": "they answer in November"}
    said = at_once(lambda: anna("POST", f"{path}/approve", say), lambda: ben("POST", "/v1/ledger/periods/close", close))
    assert said == [200, 200]
    rows = open_shop.rows("SELECT booking_date FROM ledger_transfers ORDER BY position DESC LIMIT 1")
    assert rows == [("2026-10-31",)]
    assert suspense(open_shop) == 320
    prove(open_shop)


def test_a_period_that_two_close_at_once_is_closed_once(open_shop: Shop) -> None:
    anna, ben = person(open_shop, "staff_anna"), person(open_shop, "staff_ben")
    close = {"through": "2026-10-25", "despite_open": True, "note": "they answer in November"}
    said = at_once(*[lambda ask=ask: ask("POST", "/v1/ledger/periods/close", close) for ask in (anna, ben)])
    assert sorted(said) == [200, 409]
    assert open_shop.rows("SELECT count(*) FROM audit_entries WHERE action = 'ledger.period_closed'") == [(1,)]


def test_of_approving_and_declining_a_booking_at_once_one_is_first(open_shop: Shop) -> None:
    wants = {
        "id": "book1", "reason": "a line that was typed wrong",
        "wants": {"kind": "posting", "template": "cash_in", "currency": "JPY", "level": "identity",
                  "parameters": {"account": "b7", "bank_line": "l77", "amount": 900}},
    }  # fmt: skip
    status, _ = open_shop.ask("POST", "/v1/ledger/bookings", wants)
    assert status == 200
    anna, ben, chris = (person(open_shop, f"staff_{name}") for name in ("anna", "ben", "chris"))
    there = "/v1/ledger/bookings/book1"
    said = at_once(
        lambda: anna("POST", f"{there}/approve", {"reason": "seen"}),
        lambda: ben("POST", f"{there}/approve", {"reason": "seen"}),
        lambda: chris("POST", f"{there}/decline", {"reason": "no"}),
    )
    assert sorted(said) == [200, 409, 409]
    found = open_shop.ask("GET", "/v1/ledger/books/wallet.JPY:b7")
    assert (found[0] == 200 and found[1]["balance_minor"] == 900) is (said[2] != 200)
    prove(open_shop)
