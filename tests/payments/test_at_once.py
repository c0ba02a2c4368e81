"""Attacks on payments: two at once on everything, amounts at the edge, currencies that nobody books, notices before answers."""

import threading
from collections.abc import Callable, Sequence

import pytest
from tests.payments.test_paying import card
from tests.payments.world import BY, World

from koban.base import Refusal, limits
from koban.payments.types import (
    NewPart,
    NewPayment,
    NewRefund,
    Payment,
    PaymentNotThere,
    PaymentUnfit,
    ProviderNotice,
    RefundTooLarge,
)
from koban.payments.worker import ask, claim, find_due, instruction_of
from koban.pipeline import paying

MOST = limits.BOOK_LIMIT_MINOR_MAX


def at_once(*runs: Callable[[], object]) -> list[str]:
    """Begin all of them at the same moment; return for each the refusal's code, or `done`."""
    gate, said = threading.Barrier(len(runs)), [""] * len(runs)

    def run(number: int) -> None:
        gate.wait()
        try:
            runs[number]()
        except Refusal as refusal:
            said[number] = refusal.code
        else:
            said[number] = "done"

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(runs))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return said


def refund(world: World, payment: str, refund_id: str, amount: int) -> Callable[[], Payment]:
    new = NewRefund(id=refund_id, payment=payment, amount_minor=amount)
    return lambda: world.run(lambda memory, tx: paying.refund(memory, tx, new, by=BY))


def command(world: World, payment: str, verb: str) -> Callable[[], Payment]:
    verbs: dict[str, Callable[[], Payment]] = {
        "capture": lambda: world.run(lambda memory, tx: paying.capture(memory, tx, payment, by=BY)),
        "void": lambda: world.run(lambda memory, tx: paying.void(memory, tx, payment, by=BY)),
        "refuse": lambda: world.run(lambda memory, tx: paying.refuse(memory, tx, payment, by="staff_ben")),
        "release": lambda: world.run(
            lambda memory, tx: paying.release(memory, tx, payment, by="staff_anna", because="judged")
        ),
    }
    return verbs[verb]


def paid(world: World, name: str, *parts: NewPart) -> None:
    world.pay(name, *parts)
    world.drive(for_s=1)
    assert world.status(name) == "captured"


def test_of_two_refunds_at_once_that_are_more_than_was_paid_one_stands(world: World) -> None:
    paid(world, "p1", card(1_000))
    said = at_once(refund(world, "p1", "r1", 600), refund(world, "p1", "r2", 600))
    assert sorted(said) == ["done", RefundTooLarge.code]
    world.drive(for_s=1)
    assert world.balance("escrow", "order-p1") == (400, 0)
    assert world.sim.charges()[0].refunded_minor == 600
    assert at_once(refund(world, "p1", "r3", 200), refund(world, "p1", "r4", 200)) == ["done", "done"]
    world.drive(for_s=1)
    assert world.status("p1") == "refunded"
    assert world.balance("escrow", "order-p1") == (0, 0)
    world.prove()


def test_the_same_refund_ten_times_at_once_is_one(world: World) -> None:
    paid(world, "p1", card(1_000))
    assert at_once(*[refund(world, "p1", "r1", 300)] * 10) == ["done"] * 10
    world.drive(for_s=1)
    assert world.balance("escrow", "order-p1") == (700, 0)
    assert world.sim.charges()[0].refunded_minor == 300


@pytest.mark.parametrize("verbs", [("release", "refuse"), ("release", "release"), ("refuse", "refuse")])
def test_of_two_who_judge_a_held_payment_at_once_one_is_first(world: World, verbs: Sequence[str]) -> None:
    world.pay("p1", card(777))
    world.drive()
    assert world.status("p1") == "held"
    said = at_once(*(command(world, "p1", verb) for verb in verbs))
    assert sorted(said) == ["done", PaymentNotThere.code]
    won = verbs[said.index("done")]
    world.drive(for_s=1)
    assert world.status("p1") == {"release": "captured", "refuse": "voided"}[won]
    assert world.balance("escrow", "order-p1") == ((777, 0) if won == "release" else (0, 0))
    judged = world.station.rows(
        "SELECT count(*) FROM audit_entries WHERE action IN ('payment.released', 'payment.voided')"
    )
    assert judged == [(1,)]
    world.prove()


def test_of_capture_and_void_at_once_one_is_first(world: World) -> None:
    world.pay("p1", card(1_000), capture=False)
    world.drive()
    assert world.status("p1") == "authorised"
    said = at_once(command(world, "p1", "capture"), command(world, "p1", "void"))
    world.drive(for_s=1)
    # Called off before the capture was sent, it is called off; nobody may call off what is being taken.
    taken = said == ["done", PaymentNotThere.code]
    assert taken or said == [PaymentNotThere.code, "done"]
    assert world.status("p1") == ("captured" if taken else "voided")
    assert world.balance("escrow", "order-p1") == ((1_000, 0) if taken else (0, 0))
    assert world.pendings() == 0
    world.prove()


def test_the_same_payment_ten_times_at_once_is_one(world: World) -> None:
    assert at_once(*[lambda: world.pay("p1", card(1_000))] * 10) == ["done"] * 10
    world.drive(for_s=1)
    assert world.balance("escrow", "order-p1") == (1_000, 0)
    assert len(world.sim.charges()) == 1


def test_an_order_that_is_paid_twice_holds_both_and_gives_back_each_to_its_payment(world: World) -> None:
    for name in ("p1", "p2"):
        world.begin(NewPayment(id=name, order="same", account="buyer", parts=(card(1_000),), level="identity"))
    world.drive(for_s=1)
    assert world.balance("escrow", "same") == (2_000, 0)
    refund(world, "p2", "r1", 1_000)()
    world.drive(for_s=1)
    assert (world.status("p1"), world.status("p2")) == ("captured", "refunded")
    assert world.balance("escrow", "same") == (1_000, 0)
    assert [each.refunded_minor for each in world.sim.charges()] == [0, 1_000]
    with pytest.raises(RefundTooLarge):
        refund(world, "p2", "r2", 1)()
    world.prove()


@pytest.mark.parametrize(
    ("parts", "currency"),
    [
        ((card(MOST),), "JPY"),
        ((card(2**63 - 1),), "JPY"),
        ((card(MOST - 1), card(1)), "JPY"),
        ((card(2**63 - 1),) * 8, "JPY"),
        ((card(5),), "QQQ"),
        ((card(5),), "jpy"),
        ((card(5), NewPart(method="wallet", amount_minor=5)), "USD"),
    ],
)
def test_what_the_ledger_cannot_book_is_refused_before_anybody_is_asked(
    world: World, parts: tuple[NewPart, ...], currency: str
) -> None:
    new = NewPayment(id="p1", order="o1", account="buyer", parts=parts, currency=currency, level="identity")
    with pytest.raises(PaymentUnfit):
        world.begin(new)
    for table in ("payments", "payment_steps", "decisions", "ledger_postings"):
        assert world.station.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    world.drive(for_s=1)
    assert world.sim.charges() == []


def test_the_largest_amount_is_paid_and_given_back_whole(world: World) -> None:
    paid(world, "p1", card(MOST - 1))
    refund(world, "p1", "r1", MOST - 1)()
    world.drive(for_s=1)
    assert world.status("p1") == "refunded"
    assert world.balance("escrow", "order-p1") == (0, 0)
    world.prove()


def test_a_notice_that_is_here_before_our_own_answer_is_booked_once_and_after_it(world: World) -> None:
    world.pay("p1", card(1_000))
    world.clock.advance(1_000)
    [authorise] = claim(world.kit, find_due(world.kit, {}))
    ask(world.kit, authorise)
    world.clock.advance(1_000)
    [capture] = claim(world.kit, find_due(world.kit, {}))
    # The provider has taken it and its bank takes it back, before we heard that it was taken.
    world.sim.perform(instruction_of(world.kit, capture, {}))
    world.sim.charge_back(capture.step.id, 400)
    assert world.deliver() == 1
    assert world.balance("escrow", "order-p1") == (0, 0)
    assert world.station.rows("SELECT status FROM payment_notices") == [("waiting",)]
    ask(world.kit, capture)
    assert world.station.rows("SELECT status FROM payment_notices") == [("done",)]
    assert world.status("p1") == "charged_back"
    assert world.balance("escrow", "order-p1") == (600, 0)
    with pytest.raises(RefundTooLarge):
        refund(world, "p1", "r1", 601)()
    world.prove()


def test_a_notice_about_nothing_of_ours_moves_nothing(world: World) -> None:
    paid(world, "p1", card(1_000))
    before = world.show("p1")
    forged = [
        ProviderNotice(kind="chargeback", key="p1-2", provider_ref="cb", amount_minor=1_001, currency="JPY"),
        ProviderNotice(kind="chargeback", key="p1-2", provider_ref="cb2", amount_minor=400, currency="USD"),
        ProviderNotice(kind="chargeback", key="p1-2", provider_ref="cb3", amount_minor=-400, currency="JPY"),
        ProviderNotice(kind="chargeback", key="p1-1", provider_ref="cb4", amount_minor=2**63 - 1, currency="JPY"),
        ProviderNotice(kind="payout_returned", key="p1-2", provider_ref="rt", amount_minor=1_000, currency="JPY"),
        ProviderNotice(kind="chargeback_won", key="p1-2", provider_ref="never", amount_minor=1_000, currency="JPY"),
    ]
    for number, notice in enumerate(forged):
        world.run(lambda memory, tx, n=number, one=notice: paying.receive(memory, tx, "sim", f"m{n}", one))  # type: ignore[misc]
    assert world.balance("escrow", "order-p1") == (1_000, 0)
    assert world.show("p1").split("changed_at")[0] == before.split("changed_at")[0]
    world.prove()
