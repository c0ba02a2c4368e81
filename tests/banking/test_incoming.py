"""Money that comes in: expected by a reference, a cash-out that comes back in part, and who hears of what became of it."""

from typing import Any

import msgspec
import pytest
from tests.banking.ground import TARO, House

from koban.app.banking import carry_on, tell
from koban.banking import expected_store
from koban.base import DAY, MINUTE, Instant, to_rfc3339
from koban.pipeline import banking


def expect(house: House, expected: str, reference: str, kind: str, owner: str, **more: Any) -> Any:  # Any: fields
    body = {"id": expected, "reference": reference, "kind": kind, "owner": owner, **more}
    return house.ask("POST", "/v1/bank/expected", body)


def lines(house: House) -> list[tuple[int, str, str | None, str | None, str]]:
    found = house.ask("GET", "/v1/bank/lines?limit=200")["items"]
    return [(each["amount_minor"], each["state"], each["exception"], each["matched"], each["detail"]) for each in found]


def state_of(house: House, expected: str) -> tuple[str, str | None]:
    items = house.ask("GET", "/v1/bank/expected?state=all")["items"]
    return next((each["state"], each["line"]) for each in items if each["id"] == expected)


def test_what_is_expected_finds_its_order_and_its_wallet_by_the_reference(house: House) -> None:
    assert expect(house, "e1", "ord-2041", "order", "o1", amount_minor=3_000)["reference"] == "ORD-2041"
    expect(house, "e2", "9930001", "wallet", "a", level="identity", reusable=True)
    house.take_in(
        [
            (3_000, "ORD-2041 ﾔﾏﾀﾞ ﾊﾅｺ", "", ""),
            (500, "ﾔﾏﾀﾞ ﾊﾅｺ", "", "0009930001"),
            (700, "ﾔﾏﾀﾞ ﾊﾅｺ", "", "9930001"),
            (3_000, "ORD-2041 ﾔﾏﾀﾞ ﾊﾅｺ", "", ""),
            (900, "ﾅﾆｶ", "", ""),
        ]
    )
    assert lines(house) == [
        (3_000, "matched", None, "e1", ""),
        (500, "matched", None, "e2", ""),
        (700, "matched", None, "e2", ""),
        (3_000, "exception", "already_received", None, "e1"),
        (900, "exception", "unmatched_credit", None, ""),
    ]
    assert (house.balance("escrow.JPY:o1"), house.balance("wallet.JPY:a")) == ((3_000, 0), (1_200, 0))
    assert (state_of(house, "e1"), state_of(house, "e2")[0]) == (("met", "S000001.00001"), "met")
    assert house.balance("bank.JPY") == (4_200, 0)
    expect(house, "e3", "SOON1", "order", "o3", amount_minor=800)
    expect(house, "e4", "SOON2", "wallet", "a")
    expect(house, "e5", "SOON3", "order", "o5", amount_minor=900, until=to_rfc3339(Instant(house.clock.now() + DAY)))
    with house.koban.database.read() as tx:
        now = house.clock.now()
        assert expected_store.sum_open(tx, now) == {"JPY": (3, 1_700, 1)}
        assert expected_store.sum_open(tx, Instant(now + 2 * DAY)) == {"JPY": (2, 800, 1)}
    with house.koban.database.write() as tx:
        tx.change("UPDATE bank_expected SET amount_minor = ? WHERE id IN ('e3', 'e5')", (2**62 + 1,))
        tx.change("UPDATE bank_expected SET amount_minor = ? WHERE id = 'e4'", (2**63 - 1,))
        assert expected_store.sum_open(tx, now) == {"JPY": (3, 2**64 + 1, 0)}


def test_an_order_that_is_paid_by_two_lines_is_told(house: House) -> None:
    expect(house, "e1", "ORDA1", "order", "o1", amount_minor=3_000)
    expect(house, "e2", "ORDB2", "order", "o1", amount_minor=3_000)
    expect(house, "e3", "ORDC3", "order", "o2", amount_minor=3_000)
    found = "SELECT object, detail FROM alerts WHERE kind = 'order.paid_twice'"
    house.take_in([(3_000, "ORDA1", "", ""), (3_000, "ORDC3", "", ""), (3_000, "ORDB2", "", "")])
    assert house.balance("escrow.JPY:o1") == (6_000, 0)
    with house.koban.database.read() as tx:
        [(about, said)] = tx.rows(found)
    assert about == "order:o1"
    assert said.startswith("Paid by S000001.00001 (3,000 JPY), and again by S000001.00003 (3,000 JPY).")


def test_another_amount_two_references_and_what_is_over_wait_for_a_person(small: House) -> None:
    soon = to_rfc3339(small.clock.now() + DAY)  # type: ignore[arg-type] # an instant
    expect(small, "e1", "AAAA1", "order", "o1", amount_minor=3_000)
    expect(small, "e2", "BBBB2", "wallet", "a", level="identity")
    expect(small, "e3", "CCCC3", "wallet", "a", level="identity")
    expect(small, "e4", "DDDD4", "wallet", "a", level="identity", until=soon)
    small.ask("POST", "/v1/bank/expected/e3/cancel")
    small.clock.advance(2 * DAY)
    small.take_in([(2_999, "AAAA1", "", ""), (10, "AAAA1 BBBB2", "", ""), (20, "CCCC3", "", ""), (30, "DDDD4", "", "")])
    assert [each[:4] for each in lines(small)] == [
        (2_999, "exception", "amount_differs", None),
        (10, "exception", "ambiguous", None),
        (20, "exception", "unmatched_credit", None),
        (30, "exception", "unmatched_credit", None),
    ]
    said = {"target": "e2", "reason": "the second reference is a typing mistake"}
    proposed = small.ask("POST", "/v1/bank/lines/S000001.00002/match", said)
    small.ask("POST", f"/v1/bank/proposals/{proposed['id']}/approve", by="ben")
    assert (small.balance("wallet.JPY:a"), state_of(small, "e2")) == ((10, 0), ("met", "S000001.00002"))
    wrong = {"target": "e1", "reason": "nearly"}
    assert small.refused("POST", "/v1/bank/lines/S000001.00001/match", wrong)["code"] == "bank_match_unfit"


@pytest.mark.parametrize(
    "change",
    [
        {"reference": "ab 1!"}, {"kind": "order"}, {"kind": "order", "amount_minor": 5, "reusable": True},
        {"level": "nobody"}, {"reference": "taken1"}, {"id": "there", "amount_minor": 7},
    ],
)  # fmt: skip
def test_what_cannot_be_expected_is_refused_and_nothing_is_kept(small: House, change: dict[str, Any]) -> None:
    expect(small, "there", "TAKEN1", "wallet", "a")
    assert expect(small, "there", "TAKEN1", "wallet", "a")["id"] == "there"
    body = {"id": "new", "reference": "NEW1", "kind": "wallet", "owner": "a", **change}
    if change.get("id") == "there":
        body["reference"] = "TAKEN1"
    assert small.refused("POST", "/v1/bank/expected", body)["code"] == "expected_unfit"
    assert len(small.ask("GET", "/v1/bank/expected?state=all")["items"]) == 1
    assert small.refused("POST", "/v1/bank/expected/none/cancel")["code"] == "expected_missing"
    assert small.refused("POST", "/v1/bank/expected", body, by="clerk")["code"] == "not_allowed"


def test_a_cash_out_that_comes_back_in_part_says_so_and_two_people_give_back_what_came(house: House) -> None:
    house.fund("b", 5_000)
    house.cash_out("out.b", "b", 5_000, payee=TARO)
    batch = house.batch()["id"]
    house.take_in([(-5_000, "", "", ""), (4_120, "ｽｽﾞｷ ﾀﾛｳ", "ｸﾐﾓﾄﾞｼ", "")], opening=5_000)
    assert lines(house) == [
        (-5_000, "matched", None, batch, ""),
        (4_120, "exception", "partial_return", None, "out.b: 5,000, 880 less"),
    ]
    proposed = house.ask("POST", "/v1/bank/lines/S000001.00002/match", {"target": "out.b", "reason": "their fee"})
    house.ask("POST", f"/v1/bank/proposals/{proposed['id']}/approve", by="ben")
    assert (house.state("out.b"), house.balance("wallet.JPY:b")) == ("returned", (4_120, 0))


def test_rules_and_the_marketplace_hear_of_each_state_once(house: House) -> None:
    for owner, amount in (("a", 700), ("b", 5_000)):
        house.fund(owner, amount)
        house.cash_out(f"out.{owner}", owner, amount, payee=TARO)
    house.batch()
    tell(house.koban.desk)
    house.take_in([(-5_700, "", "", ""), (5_000, "ｽｽﾞｷ ﾀﾛｳ", "ｸﾐﾓﾄﾞｼ", "")], opening=5_700)
    tell(house.koban.desk)
    tell(house.koban.desk)
    with house.koban.database.read() as tx:
        facts = tx.rows("SELECT event_id, type FROM log_entries WHERE source = 'koban:bank' ORDER BY seq")
        entries = tx.rows("SELECT data FROM log_entries WHERE type = 'cash_out.changed' ORDER BY seq")
    assert [tuple(row) for row in facts] == [("out.a.paid", "cash_out.paid"), ("out.b.returned", "cash_out.returned")]
    said = [msgspec.json.decode(row[0]) for row in entries]
    assert [(each["cash_out"], each["status"]) for each in said] == [
        ("out.a", "sent"), ("out.b", "sent"), ("out.a", "paid"), ("out.b", "returned"),
    ]  # fmt: skip


def test_a_draft_that_a_crash_left_is_proposed_by_whoever_goes_on(house: House) -> None:
    for number in range(3):
        house.fund(f"o{number}", 1_000)
        house.cash_out(f"out.{number}", f"o{number}", 1_000)
    house.sanction("o1", "freeze_payout")
    desk = house.koban.desk
    begun = desk.command(lambda memory, tx: banking.open_batch(memory, tx, "main", by="staff_anna"))
    assert begun is not None
    assert house.refused("POST", f"/v1/bank/batches/{begun.id}/approve", by="ben")["code"] == "bank_batch_decided"
    assert desk.command(lambda memory, tx: banking.draft_some(memory, tx, begun.id, 0)) == 3
    carry_on(desk, house.koban.vault)
    assert house.ask("GET", f"/v1/bank/batches/{begun.id}")["state"] == "drafting"  # somebody may be at it
    house.clock.advance(2 * MINUTE)
    carry_on(desk, house.koban.vault)
    batch = house.ask("GET", f"/v1/bank/batches/{begun.id}")
    assert (batch["state"], batch["count"], batch["total_minor"]) == ("proposed", 2, 2_000)
    assert house.ask("GET", "/v1/bank/cash-outs/out.1")["left_out"] == "payout_frozen"
    assert house.refused("POST", "/v1/bank/batches", {"account": "main"})["code"] == "bank_batch_empty"
    assert [each["id"] for each in house.ask("GET", "/v1/bank/batches")["items"]] == [begun.id]


def test_drafting_many_is_cut_into_commands_that_hold_nobody_up(small: House) -> None:
    desk = small.koban.desk
    many = banking.DRAFTED_AT_ONCE * 2 + 1
    for number in range(many):
        small.fund(f"o{number}", 1_000)
        small.cash_out(f"out.{number}", f"o{number}", 1_000)
    begun = desk.command(lambda memory, tx: banking.open_batch(memory, tx, "main", by="staff_anna"))
    assert begun is not None
    steps: list[int] = []
    after: int | None = 0
    while after is not None:
        behind = after
        after = desk.command(lambda memory, tx: banking.draft_some(memory, tx, begun.id, behind))  # noqa: B023 - run at once
        steps += [] if after is None else [after]
    assert steps == [50, 100, 101]
    batch = desk.command(lambda memory, tx: banking.finish_draft(memory, tx, begun.id))
    assert batch is not None
    assert (batch.state, batch.count, batch.total_minor) == ("proposed", many, many * 1_000)
