"""What ends a payment's wait from outside: a judged case, a rule taken back, a person forgotten, a method dropped."""

import msgspec
import pytest
from tests.conftest import hire
from tests.payments.test_paying import card
from tests.payments.world import World, paying_pack

from koban import enforcement
from koban.app.people import forget_person
from koban.base import DAY, HOUR, SECOND, Instant
from koban.cases import claim, search_cases
from koban.cases.types import DecideCase
from koban.packs import PackDef
from koban.packs.load import parse_files
from koban.payments.types import (
    MethodInUse,
    OutcomeOwn,
    Payment,
    PaymentMissing,
    PaymentNotThere,
    PaymentUnfit,
    SaidOutcome,
)
from koban.pipeline import casework, commands, paying

AMOUNT = 779


def judge(world: World, outcome: str) -> None:
    """Claim the one open case and judge it."""
    with world.station.database.write() as tx:
        (case,) = search_cases(tx, status="open", limit=10)
        mine = claim(tx, world.clock.now(), case.id, by="staff_1")
    command = msgspec.convert(
        {"case_id": mine.id, "fence": mine.fence, "by": "staff_1", "outcome": outcome}, DecideCase
    )
    world.run(lambda memory, tx: casework.decide(memory, tx, command))


def tick(world: World) -> None:
    """Let the hold's time pass, and whatever it would do happen."""
    world.clock.advance(2 * HOUR + SECOND)
    world.station.send(world.station.event("tick"))
    world.drive()


@pytest.mark.parametrize(
    ("outcome", "status", "because"), [("honest", "captured", ""), ("upheld", "voided", "hold_ended")]
)
def test_a_judged_case_lets_the_payment_go_on_or_calls_it_off_once(
    world: World, outcome: str, status: str, because: str
) -> None:
    world.pay("p1", card(AMOUNT))
    world.drive()
    assert world.status("p1") == "held"
    judge(world, outcome)
    world.drive()
    payment = world.payment("p1")
    assert (payment.status, payment.held, payment.ended_because) == (status, False, because)
    tick(world)
    assert world.status("p1") == status
    assert world.pendings() == 0
    assert world.balance("escrow", "order-p1") == ((AMOUNT, 0) if status == "captured" else (0, 0))
    world.prove()


@pytest.mark.parametrize(("outcome", "status", "left"), [("honest", "paid_out", 221), ("upheld", "voided", 1_000)])
def test_a_judged_case_lets_the_payout_go_or_gives_the_money_back(
    world: World, outcome: str, status: str, left: int
) -> None:
    world.give("buyer", "wallet", 1_000)
    world.pay_out("o1", AMOUNT)
    world.drive()
    assert (world.status("o1"), world.balance("wallet", "buyer")) == ("held", (1_000, AMOUNT))
    judge(world, outcome)
    world.drive()
    assert (world.status("o1"), world.balance("wallet", "buyer")) == (status, (left, 0))
    world.prove()


def test_a_rule_that_is_taken_back_lets_its_payments_go_on(world: World) -> None:
    world.pay("p1", card(778))
    world.pay("p2", card(AMOUNT))
    world.drive()
    assert (world.status("p1"), world.status("p2")) == ("held", "held")
    undo = enforcement.UndoRule(rule="held_to_block", since_at=Instant(0), by="lead", reason="hit honest people")
    while True:
        done = world.run(lambda memory, tx, each=undo: commands.sanction(memory, tx, each))  # type: ignore[misc]
        if done.next_after is None:
            break
        undo = msgspec.structs.replace(undo, after=done.next_after)
    world.drive()
    assert (world.status("p1"), world.status("p2")) == ("captured", "held")
    tick(world)
    assert (world.status("p1"), world.status("p2")) == ("captured", "voided")
    world.prove()


def test_a_step_whose_person_was_erased_before_the_answer_stays_open_and_raises_an_alert(world: World) -> None:
    world.pay("p1", card(900, "silent_before"))
    world.drive()
    (step,) = world.steps("p1")
    assert (step.status, step.attempts) == ("open", 1)
    world.station.desk.command(lambda memory, tx: forget_person(memory, tx, "buyer", by="staff_1"), alone=True)
    before = world.station.rows("SELECT failures FROM payment_providers")
    world.drive(for_s=120)
    (step,) = world.steps("p1")
    assert (step.status, step.answer, "payment.outcome_unknown" in world.alerts()) == ("open", None, True)
    assert world.station.rows("SELECT failures FROM payment_providers") == before  # the provider is not to blame
    attempts = step.attempts
    world.drive(for_s=600)
    assert world.steps("p1")[0].attempts == attempts  # once a day is enough
    world.clock.advance(DAY)
    world.drive()
    assert world.steps("p1")[0].status == "open"


def said(step: str, *, happened: bool, reference: str = "", reason: str = "their page of the day") -> SaidOutcome:
    payment = step.rpartition("-")[0]
    return SaidOutcome(payment=payment, step=step, happened=happened, reference=reference, reason=reason)


def tell(world: World, what: SaidOutcome, by: str = "staff_1") -> Payment:
    return world.run(lambda memory, tx: paying.say(memory, tx, what, by=by))


def tell_both(world: World, what: SaidOutcome) -> Payment:
    hire(world.station.database, "staff_2")
    before = world.status(what.payment)
    assert tell(world, what).status == before
    return tell(world, what, by="staff_2")


def told(world: World) -> list[tuple[object, ...]]:
    return world.station.rows("SELECT actor, object_id FROM audit_entries WHERE action = 'payment.outcome_said'")


@pytest.mark.parametrize(("reference", "status", "left"), [("po_9", "paid_out", 779), ("", "failed", 1_000)])
def test_a_person_says_how_a_payout_ended_whose_person_was_erased(
    world: World, reference: str, status: str, left: int
) -> None:
    world.give("buyer", "wallet", 1_000)
    world.pay_out("o1", 221, token="silent_before")
    world.drive()
    (step,) = world.steps("o1")
    ended = said(step.id, happened=bool(reference), reference=reference)
    with pytest.raises(PaymentNotThere):  # the provider can still be asked
        tell(world, ended)
    world.station.desk.command(lambda memory, tx: forget_person(memory, tx, "buyer", by="staff_1"), alone=True)
    world.drive(for_s=120)
    assert (world.status("o1"), world.balance("wallet", "buyer")) == ("paying_out", (1_000, 221))
    for wrong, refusal in (
        (said(step.id, happened=True), PaymentUnfit),
        (said("o1-9", happened=False), PaymentNotThere),
        (said("none-1", happened=False), PaymentMissing),
    ):
        with pytest.raises(refusal):
            tell(world, wrong)
    assert (world.steps("o1")[0].status, told(world)) == ("open", [])
    assert tell_both(world, ended).status == status
    assert tell(world, ended).status == status  # the same again is the same
    with pytest.raises(PaymentNotThere):
        tell(world, said(step.id, happened=not ended.happened, reference="other"))
    world.clock.advance(2 * DAY)
    world.drive()
    assert (world.status("o1"), world.balance("wallet", "buyer")) == (status, (left, 0))
    assert told(world) == [("staff_1", "o1"), ("staff_2", "o1")]
    world.prove()


def test_two_people_must_say_the_same_of_how_it_ended(world: World) -> None:
    world.give("buyer", "wallet", 1_000)
    world.pay_out("o1", 221, token="silent_before")
    world.drive()
    world.station.desk.command(lambda memory, tx: forget_person(memory, tx, "buyer", by="staff_1"), alone=True)
    world.drive(for_s=120)
    database = world.station.database
    hire(database, "staff_1")
    hire(database, "staff_2")
    paid = said("o1-1", happened=True, reference="po_9")

    def waiting() -> list[tuple[object, ...]]:
        return world.station.rows("SELECT said_by, happened, reference FROM payment_sayings")

    for _ in range(2):  # twice is once
        assert tell(world, paid).status == "paying_out"
    assert (waiting(), told(world)) == ([("staff_1", 1, "po_9")], [("staff_1", "o1")])
    assert tell(world, said("o1-1", happened=True, reference="po_8"), by="staff_2").status == "paying_out"
    assert waiting() == [("staff_2", 1, "po_8")]  # they do not agree: what was said last waits
    with pytest.raises(OutcomeOwn, match="member of the staff"):
        tell(world, said("o1-1", happened=True, reference="po_8"), by="owner")
    assert tell(world, paid, by="staff_2").status == "paying_out"
    assert tell(world, paid).status == "paid_out"
    assert (waiting(), world.balance("wallet", "buyer")) == ([], (779, 0))
    world.prove()


def test_a_person_says_that_an_authorisation_did_not_come_about_and_nothing_is_held(world: World) -> None:
    world.pay("p1", card(900, "silent_before"))
    world.drive()
    (step,) = world.steps("p1")
    world.station.desk.command(lambda memory, tx: forget_person(memory, tx, "buyer", by="staff_1"), alone=True)
    world.drive(for_s=120)
    assert tell_both(world, said(step.id, happened=False)).status == "failed"
    assert (world.payment("p1").ended_because, world.balance("escrow", "order-p1")) == ("said_by_person", (0, 0))
    world.prove()


def changed(method: str, block: str = "") -> PackDef:
    """Return the pack with another text for a method; an empty one drops it."""
    files = dict(paying_pack().files)
    head, *blocks = files["payments.yaml"].split("\n- ")
    kept = [each for each in blocks if not each.startswith(f"method: {method}\n")]
    files["payments.yaml"] = "\n- ".join([head, *kept, *([block] if block else [])])
    return parse_files(files)


def retired(method: str) -> str:
    blocks = paying_pack().files["payments.yaml"].split("\n- ")
    (text,) = [each for each in blocks if each.startswith(f"method: {method}\n")]
    return text.rstrip() + "\n  retired: true\n"


INSIDE = (
    'method: card\n  title: {en: "Card", ja: "カード"}\n  postings: {reserve: order_wallet_reserved, take: order_wallet_used, '
    "release: order_wallet_released, give_back: order_partly_refunded_wallet}\n"
)


def switch(world: World, pack: PackDef) -> None:
    compiled = world.station.desk.memory.compile(pack)
    world.station.desk.command(
        lambda memory, tx: commands.activate(memory, tx, compiled, by="staff_1", reason="test"), alone=True
    )


def test_a_version_that_drops_a_method_is_refused_while_a_payment_needs_it(world: World) -> None:
    switch(world, changed("konbini"))  # nobody paid by it
    world.pay("p1", card(100))
    world.drive()
    assert world.status("p1") == "captured"
    digest = world.station.desk.memory.compiled.pack.digest
    with pytest.raises(MethodInUse, match="p1 was begun with card"):
        switch(world, changed("card"))
    with pytest.raises(MethodInUse):
        switch(world, changed("card", INSIDE))
    assert world.station.desk.memory.compiled.pack.digest == digest
    world.pay("p2", card(200), capture=False)
    switch(world, changed("card", retired("card")))
    with pytest.raises(PaymentUnfit, match="retired"):
        world.pay("p3", card(300))
    world.drive()
    assert world.status("p2") == "authorised"  # what was begun goes on


def test_a_method_whose_payments_all_came_back_may_go(world: World) -> None:
    world.pay("p1", card(100, "declined"))
    world.drive()
    assert world.status("p1") == "failed"
    switch(world, changed("card"))
    with pytest.raises(PaymentUnfit, match="no payment method"):
        world.pay("p2", card(100))
