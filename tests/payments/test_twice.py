"""An order that is paid more than once is told of when it happens: to people, and to the pack's rules."""

import json

import pytest
from tests.payments.test_paying import card
from tests.payments.world import BY, World

from koban.base import MINUTE
from koban.payments.types import NewPart, NewPayment, NewRefund
from koban.pipeline import paying


def pay(world: World, payment_id: str, part: NewPart, order: str = "o1", *, capture: bool = True) -> None:
    new = NewPayment(
        id=payment_id, order=order, account="buyer", parts=(part,), level="identity", capture=capture, seller="seller"
    )  # fmt: skip
    world.begin(new)
    world.drive()


def told(world: World) -> list[tuple[str, str]]:
    rows = world.station.rows("SELECT object, detail FROM alerts WHERE kind = 'order.paid_twice' ORDER BY object")
    return [(str(row[0]), str(row[1])) for row in rows]


def facts(world: World) -> list[str]:
    found = world.station.rows("SELECT event_id FROM log_entries WHERE type = 'order.paid_twice' ORDER BY seq")
    return [str(row[0]) for row in found]


def test_an_order_paid_twice_is_told_when_the_second_payment_is_booked(world: World) -> None:
    pay(world, "p1", card(1_000))
    assert (told(world), facts(world)) == ([], [])
    began = world.clock.now()
    pay(world, "p2", card(1_000))
    assert (world.status("p1"), world.status("p2")) == ("captured", "captured")
    assert world.balance("escrow", "o1") == (2_000, 0)
    said = "Paid by p1 (1,000 JPY), and again by p2 (1,000 JPY). All of it is held; give back what is too much."
    assert told(world) == [("order:o1", said)]
    assert facts(world) == ["p2.paid_twice"]
    [[at]] = world.station.rows("SELECT raised_at FROM alerts WHERE kind = 'order.paid_twice'")
    assert isinstance(at, int)
    assert at - began < MINUTE


def test_the_rules_see_who_paid_what_and_what_came_earlier(world: World) -> None:
    pay(world, "p1", card(1_000))
    pay(world, "p2", card(400))
    pay(world, "p3", card(70))
    assert world.station.rows("SELECT count(*) FROM decisions WHERE type = 'order.paid_twice'") == [(2,)]
    rows = world.station.rows("SELECT data FROM log_entries WHERE type = 'order.paid_twice' ORDER BY seq")
    assert [json.loads(str(row[0])) for row in rows][1] == {
        "payment": {"id": "p3"},
        "earlier_payment": {"id": "p1"},
        "order": {"id": "o1"},
        "amount_minor": 70,
        "earlier_minor": 1_400,
        "currency": "JPY",
        "buyer": {"id": "buyer"},
        "seller": {"id": "seller"},
    }
    assert told(world)[0][1].startswith("Paid by p1 (1,000 JPY), p2 (400 JPY), and again by p3 (70 JPY).")


@pytest.mark.parametrize("how", ["another order", "given back", "called off", "declined", "only authorised"])
def test_what_is_not_paid_twice_is_not_told(world: World, how: str) -> None:
    match how:
        case "another order":
            pay(world, "p1", card(1_000), "o2")
        case "given back":
            pay(world, "p1", card(1_000))
            refund = NewRefund(id="r1", payment="p1", amount_minor=1_000)
            world.run(lambda memory, tx: paying.refund(memory, tx, refund, by=BY))
        case "called off":
            pay(world, "p1", card(1_000), capture=False)
            world.run(lambda memory, tx: paying.void(memory, tx, "p1", by=BY))
        case "declined":
            pay(world, "p1", card(1_000, token="declined"))
        case _:
            pay(world, "p1", card(1_000), capture=False)
    pay(world, "p2", card(1_000))
    assert world.status("p2") == "captured"
    assert (told(world), facts(world)) == ([], [])


def test_what_is_captured_later_is_told_then(world: World) -> None:
    pay(world, "p1", card(1_000), capture=False)
    pay(world, "p2", card(1_000))
    world.run(lambda memory, tx: paying.capture(memory, tx, "p1", by=BY))
    world.drive()
    assert told(world)[0][1].startswith("Paid by p2 (1,000 JPY), and again by p1 (1,000 JPY).")


def test_a_payment_inside_the_ledger_counts_as_one(world: World) -> None:
    world.give("buyer", "wallet", 5_000)
    pay(world, "p1", card(1_000))
    pay(world, "p2", NewPart(method="wallet", amount_minor=1_000))
    assert facts(world) == ["p2.paid_twice"]
