"""Payments of orders and payouts with a provider that behaves, declines, asks, is silent and is out."""

import datetime
import pathlib

import msgspec
import pytest
from tests.payments.world import BY, World, open_world, simulated

from koban.base import HOUR, SECOND, ManualClock
from koban.db import Database
from koban.ledger import Posting
from koban.payments import logic, store
from koban.payments.simulated import SimulatedProvider
from koban.payments.types import (
    NewPart,
    NewPayment,
    NewRefund,
    PaymentConflict,
    PaymentNotThere,
    PaymentUnfit,
    PaymentUnfunded,
    RefundTooLarge,
)
from koban.payments.worker import claim, find_due
from koban.pipeline import paying
from koban.pipeline.money import make_posting


def card(amount: int, token: str = "tok") -> NewPart:  # noqa: S107
    return NewPart(method="card", amount_minor=amount, token=token)


def refund(world: World, payment_id: str, amount: int, refund_id: str = "r1", part: int | None = None) -> None:
    new = NewRefund(id=refund_id, payment=payment_id, amount_minor=amount, part=part)
    world.run(lambda memory, tx: paying.refund(memory, tx, new, by=BY))


def test_a_mixed_payment_reserves_everywhere_and_then_takes_everything(world: World) -> None:
    world.give("buyer", "wallet", 5_000)
    world.give("buyer", "points", 300)
    begun = world.pay(
        "p1", card(1_000), NewPart(method="wallet", amount_minor=2_000), NewPart(method="points", amount_minor=200)
    )
    assert begun.status == "authorising"
    assert world.balance("wallet", "buyer") == (5_000, 2_000)
    assert world.balance("points", "buyer") == (300, 200)
    world.drive()
    assert world.status("p1") == "captured", world.show("p1")
    assert world.balance("escrow", "order-p1") == (3_200, 0)
    assert world.balance("wallet", "buyer") == (3_000, 0)
    assert world.balance("points", "buyer") == (100, 0)
    assert world.balance("provider_receivable", "sim") == (1_000, 0)
    assert world.pendings() == 0
    assert [(each.kind, each.status) for each in world.steps("p1") if each.provider] == [
        ("authorise", "done"),
        ("capture", "done"),
    ]
    [row] = world.sim.report(datetime.date(2026, 10, 21))
    assert (row.kind, row.amount_minor, row.fee_minor, row.payment) == ("capture", 1_000, 32, "p1")
    assert world.posting(logic.posting_of(row)) == "order_captured posted"
    world.prove()


def test_a_declined_card_gives_wallet_and_points_back(world: World) -> None:
    world.give("buyer", "wallet", 5_000)
    world.pay("p1", NewPart(method="wallet", amount_minor=2_000), card(1_000, "declined"))
    world.drive()
    payment = world.payment("p1")
    assert (payment.status, payment.ended_because) == ("failed", "do_not_honour")
    assert world.balance("wallet", "buyer") == (5_000, 0)
    assert world.balance("escrow", "order-p1") == (0, 0)
    assert world.pendings() == 0
    declined = world.station.rows("SELECT count(*) FROM decisions WHERE type = 'payment.attempted'")
    assert declined == [(2,)], "rules hear of the attempt and of its decline"


def test_who_is_short_of_wallet_money_is_never_sent_to_the_provider(world: World) -> None:
    world.give("buyer", "wallet", 100)
    payment = world.pay("p1", card(1_000), NewPart(method="wallet", amount_minor=2_000))
    assert (payment.status, payment.ended_because) == ("failed", "insufficient")
    assert world.drive() == 0
    assert world.sim.charges() == []


def test_a_short_capture_goes_back_whole(world: World) -> None:
    world.give("buyer", "wallet", 5_000)
    world.pay("p1", card(1_000, "short"), NewPart(method="wallet", amount_minor=2_000))
    world.drive()
    payment = world.payment("p1")
    assert (payment.status, payment.ended_because) == ("failed", "captured_short")
    [charge] = world.sim.charges()
    assert (charge.captured_minor, charge.refunded_minor) == (500, 500)
    assert world.balance("wallet", "buyer") == (5_000, 0)
    assert world.balance("escrow", "order-p1") == (0, 0)
    assert world.balance("provider_receivable", "sim") == (0, 0)


@pytest.mark.parametrize("token", ["silent_before", "silent_after"])
def test_an_unknown_outcome_is_asked_again_with_the_same_key_and_happens_once(world: World, token: str) -> None:
    world.pay("p1", card(1_000, token))
    world.drive()
    assert world.status("p1") == "authorising"
    assert world.steps("p1")[0].attempts == 1
    world.drive(for_s=10)
    assert world.status("p1") == "captured"
    [charge] = world.sim.charges()
    assert charge.captured_minor == 1_000
    assert world.balance("provider_receivable", "sim") == (1_000, 0)


def test_the_same_id_is_the_same_payment_and_another_content_is_refused(world: World) -> None:
    first = world.pay("p1", card(1_000))
    assert world.pay("p1", card(1_000)).id == first.id
    with pytest.raises(PaymentConflict):
        world.pay("p1", card(1_001))
    assert len(world.steps("p1")) == 1


def test_a_blocked_payment_is_never_tried(world: World) -> None:
    payment = world.pay("p1", card(666))
    assert (payment.status, payment.verdict) == ("refused", "block")
    assert world.drive() == 0
    assert world.steps("p1") == []


def test_a_held_payment_is_authorised_and_captured_when_the_hold_lapses_into_allow(world: World) -> None:
    world.pay("p1", card(777))
    world.drive()
    assert world.status("p1") == "held"
    assert world.balance("provider_receivable", "sim") == (0, 0)
    world.clock.advance(2 * HOUR + SECOND)
    world.station.send(world.station.event("tick"))
    world.drive()
    assert world.status("p1") == "captured"


def test_a_held_payment_is_called_off_when_the_hold_lapses_into_block(world: World) -> None:
    world.pay("p1", card(778))
    world.drive()
    world.clock.advance(2 * HOUR + SECOND)
    world.station.send(world.station.event("tick"))
    world.drive()
    payment = world.payment("p1")
    assert (payment.status, payment.ended_because) == ("voided", "hold_ended")
    assert world.sim.charges()[0].state == "voided"
    assert world.pendings() == 0


def test_a_person_lets_a_held_payment_go_on_or_refuses_it(world: World) -> None:
    world.pay("p1", card(777))
    world.pay("p2", card(777))
    world.drive()
    world.run(lambda memory, tx: paying.release(memory, tx, "p1", by=BY, because="judged"))
    world.run(lambda memory, tx: paying.refuse(memory, tx, "p2", by=BY))
    world.drive()
    assert (world.status("p1"), world.status("p2")) == ("captured", "voided")
    world.clock.advance(2 * HOUR + SECOND)
    world.station.send(world.station.event("tick"))
    assert (world.status("p1"), world.status("p2")) == ("captured", "voided")


def test_a_demanded_challenge_is_passed_with_its_evidence_sealed(world: World) -> None:
    world.pay("p1", card(555))
    world.drive()
    part = world.parts("p1")[0]
    assert (world.status("p1"), part.wait_why) == ("challenged", "challenge")
    assert part.wait_url.startswith("https://sim.example/challenges/")
    world.sim.buyer_answers("p1-1", "Y")
    assert world.deliver() == 1
    world.drive()
    assert world.status("p1") == "captured"
    part = world.parts("p1")[0]
    assert part.three_ds == "challenge/Y/05"
    with world.station.database.read() as tx:
        evidence = world.station.desk.memory.vault.open(tx, "buyer", "three_ds:0:p1", part.evidence)
    assert evidence is not None
    assert str(evidence["ds_trans_id"]).startswith("ds-")
    assert (evidence["flow"], evidence["trans_status"], evidence["version"]) == ("challenge", "Y", "2.2.0")
    for step in world.steps("p1"):
        assert "acs-" not in str(step.answer), "evidence stands nowhere in the clear"


def test_a_failed_challenge_fails_the_payment_and_keeps_its_evidence(world: World) -> None:
    world.pay("p1", card(555))
    world.drive()
    world.sim.buyer_answers("p1-1", "N")
    world.deliver()
    world.drive()
    payment = world.payment("p1")
    assert (payment.status, payment.ended_because) == ("failed", "authentication_failed")
    assert world.parts("p1")[0].three_ds == "challenge/N/07"


def test_three_d_secure_does_not_stand_for_a_check_of_identity(world: World) -> None:
    world.pay("p1", card(556))
    world.drive()
    payment = world.payment("p1")
    assert (payment.status, payment.held_why) == ("held", "ekyc")


def test_a_challenge_that_no_part_can_prove_holds_the_payment(world: World) -> None:
    world.give("buyer", "wallet", 5_000)
    payment = world.pay("p1", NewPart(method="wallet", amount_minor=555))
    assert (payment.status, payment.held_why) == ("held", "three_d_secure")
    world.run(lambda memory, tx: paying.release(memory, tx, "p1", by=BY, because="proved"))
    assert world.status("p1") == "captured"


def test_a_payment_that_waits_for_its_buyer_is_called_off_in_the_end(world: World) -> None:
    world.pay("p1", NewPart(method="konbini", amount_minor=900))
    world.drive()
    assert (world.status("p1"), world.parts("p1")[0].wait_why) == ("challenged", "slip")
    world.clock.advance(6 * 24 * HOUR + SECOND)
    world.station.send(world.station.event("tick"))
    world.drive(for_s=2)
    payment = world.payment("p1")
    assert (payment.status, payment.ended_because) == ("voided", "lapsed")
    assert world.sim.charges()[0].state == "voided"
    world.sim.buyer_answers("p1-1")
    assert world.sim.charges()[0].state == "voided", "who pays a slip that was called off is refused there"


def test_authorise_now_and_capture_later_or_call_off(world: World) -> None:
    world.pay("p1", card(1_000), capture=False)
    world.pay("p2", card(1_000), capture=False)
    world.drive()
    assert (world.status("p1"), world.status("p2")) == ("authorised", "authorised")
    world.run(lambda memory, tx: paying.capture(memory, tx, "p1", by=BY))
    world.run(lambda memory, tx: paying.void(memory, tx, "p2", by=BY))
    world.drive()
    assert (world.status("p1"), world.status("p2")) == ("captured", "voided")
    with pytest.raises(PaymentNotThere):
        world.run(lambda memory, tx: paying.void(memory, tx, "p1", by=BY))
    assert world.pendings() == 0


def test_a_capture_after_the_ledgers_reserve_ran_out_is_booked_as_it_came(world: World) -> None:
    world.pay("p1", card(1_000, "silent_before"), capture=False)
    world.drive(for_s=5)
    world.run(lambda memory, tx: paying.capture(memory, tx, "p1", by=BY))
    world.clock.advance(31 * 24 * HOUR)
    world.drive(for_s=5)
    assert world.status("p1") == "captured"
    assert world.posting(logic.posting_id("p1-2")) == "order_paid_card posted"
    assert world.balance("escrow", "order-p1") == (1_000, 0)


def test_refunds_are_set_aside_first_and_never_more_than_was_taken(world: World) -> None:
    world.give("buyer", "wallet", 5_000)
    world.pay("p1", card(1_000), NewPart(method="wallet", amount_minor=2_000))
    world.drive()
    refund(world, "p1", 400)
    assert world.balance("escrow", "order-p1") == (3_000, 400), "the provider was not asked yet"
    refund(world, "p1", 400)
    with pytest.raises(PaymentConflict):
        refund(world, "p1", 300)
    world.drive()
    assert world.status("p1") == "partly_refunded"
    assert world.balance("escrow", "order-p1") == (2_600, 0)
    with pytest.raises(RefundTooLarge):
        refund(world, "p1", 2_601, "r2")
    refund(world, "p1", 2_600, "r3")
    world.drive()
    assert world.status("p1") == "refunded"
    assert world.balance("wallet", "buyer") == (5_000, 0)
    assert world.balance("provider_receivable", "sim") == (0, 0)


def test_a_refund_that_the_order_no_longer_holds_is_refused_and_changes_nothing(world: World) -> None:
    world.pay("p1", card(1_000))
    world.drive()
    done = Posting(
        id="done", template="order_completed", currency="JPY",
        parameters={"order": "order-p1", "seller": "seller", "amount": 1_000, "fee": 100},
    )  # fmt: skip
    assert world.run(lambda memory, tx: make_posting(memory, tx, done, by=BY)).stands
    with pytest.raises(PaymentUnfunded):
        refund(world, "p1", 400)
    assert world.status("p1") == "captured"
    assert len(world.steps("p1")) == 2


def test_a_refused_refund_waits_for_a_person_who_tries_again_or_gives_it_up(world: World) -> None:
    world.pay("p1", card(1_000, "no_refund"))
    world.drive()
    refund(world, "p1", 400)
    world.drive()
    assert world.status("p1") == "stuck"
    assert world.balance("escrow", "order-p1") == (1_000, 0)
    assert "payment.stuck" in world.alerts()
    world.run(lambda memory, tx: paying.retry(memory, tx, "p1", "p1-3", by=BY))
    assert world.balance("escrow", "order-p1") == (1_000, 400)
    world.drive()
    world.run(lambda memory, tx: paying.dismiss(memory, tx, "p1", "p1-4", by=BY))
    assert world.status("p1") == "captured"
    with pytest.raises(PaymentNotThere):
        world.run(lambda memory, tx: paying.dismiss(memory, tx, "p1", "p1-4", by=BY))


def test_a_payout_is_set_aside_first_and_paid_or_given_back(world: World) -> None:
    world.give("buyer", "wallet", 5_000)
    world.pay_out("o1", 1_000)
    assert world.balance("wallet", "buyer") == (5_000, 1_000)
    world.drive()
    assert world.status("o1") == "paid_out"
    assert world.balance("wallet", "buyer") == (4_000, 0)
    assert world.balance("provider_receivable", "sim") == (-1_000, 0)
    world.pay_out("o2", 500, token="declined")
    world.drive()
    assert world.status("o2") == "failed"
    assert world.balance("wallet", "buyer") == (4_000, 0)
    with pytest.raises(PaymentUnfunded):
        world.pay_out("o3", 4_001)
    world.pay_out("o4", 666)
    assert world.status("o4") == "refused"
    assert world.balance("wallet", "buyer") == (4_000, 0)


def test_a_held_payout_is_set_aside_and_not_sent(world: World) -> None:
    world.give("buyer", "wallet", 5_000)
    world.pay_out("o1", 777)
    assert world.drive() == 0
    assert (world.status("o1"), world.balance("wallet", "buyer")) == ("held", (5_000, 777))
    world.clock.advance(2 * HOUR + SECOND)
    world.station.send(world.station.event("tick"))
    assert (world.status("o1"), world.balance("wallet", "buyer")) == ("voided", (5_000, 0))


def test_a_payout_that_comes_back_is_in_the_wallet_again(world: World) -> None:
    world.give("buyer", "wallet", 5_000)
    world.pay_out("o1", 1_000)
    world.drive()
    world.sim.return_payout("o1-1")
    world.deliver()
    assert (world.status("o1"), world.balance("wallet", "buyer")) == ("returned", (5_000, 0))
    assert world.balance("provider_receivable", "sim") == (0, 0)


def test_a_chargeback_is_booked_once_however_often_it_is_told(world: World) -> None:
    world.pay("p1", card(1_000))
    world.drive()
    reference = world.sim.charge_back("p1-2")
    [(message, notice)] = world.sim.due_notices(world.clock.now())
    for each in (message, message, "another-message-of-the-same"):
        world.run(lambda memory, tx, each=each: paying.receive(memory, tx, "sim", each, notice))  # type: ignore[misc]
    assert world.status("p1") == "charged_back"
    assert world.balance("escrow", "order-p1") == (0, 0)
    told = world.station.rows("SELECT count(*) FROM decisions WHERE type = 'payment.charged_back'")
    assert told == [(1,)]
    world.sim.win_chargeback("p1-2", reference)
    world.deliver()
    assert world.status("p1") == "captured"
    assert world.balance("escrow", "order-p1") == (1_000, 0)


def test_a_chargeback_won_that_comes_before_the_chargeback_waits_for_it(world: World) -> None:
    world.pay("p1", card(1_000))
    world.drive()
    reference = world.sim.charge_back("p1-2")
    world.sim.win_chargeback("p1-2", reference)
    first, second = world.sim.due_notices(world.clock.now())
    for message, notice in (second, first):
        world.run(lambda memory, tx, m=message, n=notice: paying.receive(memory, tx, "sim", m, n))  # type: ignore[misc]
    assert world.status("p1") == "captured"
    assert world.balance("escrow", "order-p1") == (1_000, 0)
    with world.station.database.read() as tx:
        assert {each.status for each in store.notices_of(tx, "p1")} == {"done"}


def test_a_chargeback_after_completion_is_borne_by_us(world: World) -> None:
    world.pay("p1", card(1_000))
    world.drive()
    done = Posting(
        id="done", template="order_completed", currency="JPY",
        parameters={"order": "order-p1", "seller": "seller", "amount": 1_000, "fee": 100},
    )  # fmt: skip
    assert world.run(lambda memory, tx: make_posting(memory, tx, done, by=BY)).stands
    world.sim.charge_back("p1-2")
    world.deliver()
    assert world.balance("chargeback_cost") == (1_000, 0)
    assert world.status("p1") == "charged_back"


def test_a_provider_that_is_out_is_left_alone_and_new_payments_wait_in_line(world: World) -> None:
    world.sim.is_out = True
    world.pay("p1", card(1_000))
    world.drive(for_s=70)
    with world.station.database.read() as tx:
        state = store.provider_states(tx)["sim"]
    assert logic.is_out(state)
    assert state.failures == 5
    assert world.alerts().count("payment.provider_out") == 1
    queued = world.pay("p2", card(2_000))
    assert queued.status == "queued"
    world.sim.is_out = False
    world.drive(for_s=90)
    assert (world.status("p1"), world.status("p2")) == ("captured", "captured")


def test_whatever_waits_for_a_provider_that_is_out_stands_in_nobody_elses_way(
    database: Database, clock: ManualClock, tmp_path: pathlib.Path
) -> None:
    sim, other = simulated(clock), SimulatedProvider("other", clock.now)
    with open_world(database, clock, tmp_path, sim, providers={"sim": sim, "other": other}) as world:
        sim.is_out = True
        first = world.pay("p1", card(1_000))
        world.drive(for_s=70)
        [step] = world.steps("p1")
        waiting = [(number, msgspec.structs.replace(step, id=f"p1-{number}")) for number in range(2, 302)]
        with world.station.database.write() as tx:
            store.save(tx, first, world.parts("p1"), waiting)
        world.begin(
            NewPayment(
                id="p2", order="order-p2", account="buyer", level="identity", capture=True,
                parts=(msgspec.structs.replace(card(2_000), provider="other"),),
            )
        )  # fmt: skip
        world.drive(for_s=1)
        assert world.status("p2") == "captured"


def test_what_is_called_off_between_the_look_and_the_sending_is_not_sent(world: World) -> None:
    world.pay("p1", card(1_000))
    world.pay("p2", card(2_000))
    world.clock.advance(1_000)
    found = find_due(world.kit, {})
    assert [each.payment.id for each in found] == ["p1", "p2"]
    world.run(lambda memory, tx: paying.void(memory, tx, "p1", by=BY))
    assert [each.payment.id for each in claim(world.kit, found)] == ["p2"]
    assert [each.attempts for each in (*world.steps("p1"), *world.steps("p2"))] == [0, 1]


def test_who_waits_in_line_too_long_is_called_off_without_a_call(world: World) -> None:
    world.sim.is_out = True
    world.pay("p1", card(1_000))
    world.drive(for_s=70)
    world.pay("p2", card(2_000))
    world.clock.advance(15 * 60 * SECOND + SECOND)
    world.station.send(world.station.event("tick"))
    payment = world.payment("p2")
    assert (payment.status, payment.ended_because) == ("voided", "lapsed")
    world.sim.is_out = False
    world.drive(for_s=90)
    assert [each.instruction.payment for each in world.sim.charges()] == ["p1"]


@pytest.mark.parametrize(
    "part",
    [
        NewPart(method="cheque", amount_minor=5),
        NewPart(method="card", amount_minor=0),
        NewPart(method="card", amount_minor=5, provider="nobody"),
        NewPart(method="wallet", amount_minor=5, token="t"),
    ],
)
def test_what_cannot_be_paid_is_refused_and_nothing_is_kept(world: World, part: NewPart) -> None:
    with pytest.raises(PaymentUnfit):
        world.pay("p1", part)
    assert world.station.rows("SELECT count(*) FROM payments") == [(0,)]
    assert world.station.rows("SELECT count(*) FROM decisions") == [(0,)]


def test_a_context_that_cannot_be_read_is_refused_because_nobody_could_judge_it(world: World) -> None:
    with pytest.raises(PaymentUnfit):
        world.pay("p1", card(1_000), context={"buyer": {"verified": "perhaps"}})
    assert world.station.rows("SELECT count(*) FROM payments") == [(0,)]
