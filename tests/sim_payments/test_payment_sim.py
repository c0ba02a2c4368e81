"""Payments under seeds: providers that time out, decline, take less, tell twice, late and never; a process that dies anywhere.

Safety is checked all along: no charge twice, nothing out of thin air. Then faults stop, and everything must come to its end.
`KOBAN_SIM_SEEDS` runs that many seeds instead of a few; a failure prints its seed.
"""

import dataclasses
import os
import pathlib
import random
from collections.abc import Callable

import pytest
from tests.payments.world import BY, World, open_world

from koban.base import HOUR, ManualClock, Refusal
from koban.db import Database, Tx
from koban.payments.logic import posting_of
from koban.payments.simulated import Faults, SimulatedProvider
from koban.payments.types import NewPart, NewPayment, NewPayout, NewRefund, PaymentStatus
from koban.pipeline import paying
from koban.pipeline.memory import Memory

SEEDS = int(os.environ.get("KOBAN_SIM_SEEDS", "2"))
FIRST = int(os.environ.get("KOBAN_SIM_FIRST", "1"))
ROUNDS = 40
PURSE = 30_000
ENDED = {
    PaymentStatus.REFUSED, PaymentStatus.CAPTURED, PaymentStatus.PARTLY_REFUNDED, PaymentStatus.REFUNDED,
    PaymentStatus.CHARGED_BACK, PaymentStatus.FAILED, PaymentStatus.VOIDED, PaymentStatus.PAID_OUT,
    PaymentStatus.RETURNED, PaymentStatus.AUTHORISED, PaymentStatus.HELD, PaymentStatus.CHALLENGED,
}  # fmt: skip


class Died(Exception):
    """The process died."""


@dataclasses.dataclass
class Town:
    """One seed: what was asked for, and the dice."""

    seed: int
    dice: random.Random
    asked: list[str] = dataclasses.field(default_factory=list)
    deaths: int = 0
    may_die: bool = True

    def maybe_die(self) -> None:
        if self.may_die and self.dice.random() < 0.03:
            self.deaths += 1
            raise Died

    def command(self, world: World, run: Callable[[Memory, Tx], object]) -> None:
        """Have a command done, or die before, inside or after it; what is refused is fine."""

        def inside(memory: Memory, tx: Tx) -> None:
            run(memory, tx)
            self.maybe_die()

        self.maybe_die()
        try:
            world.station.desk.command(inside)
        except Refusal:
            return
        self.maybe_die()


def _step(town: Town, world: World, number: int) -> None:
    """One thing that somebody does. Ids are drawn before, so that doing it again after a death is the same thing."""
    dice, name = random.Random(f"{town.seed}/{number}"), f"s{town.seed}p{number}"
    roll = dice.random()
    names = ("sim",)
    if roll < 0.55:
        methods = dice.sample(["card", "wallet", "points", "konbini"], dice.randint(1, 3))
        tokens = ("tok", "tok", "declined", "challenge", "short", "no_refund")
        parts = tuple(
            NewPart(
                method=each,
                amount_minor=dice.randint(1, 3_000),
                token=dice.choice(tokens) if each in {"card", "konbini"} else "",
            )
            for each in methods
        )
        new = NewPayment(
            id=name, order=f"o-{name}", account="buyer", parts=parts, level="identity", capture=dice.random() < 0.8
        )
        town.asked.append(name)
        town.command(world, lambda memory, tx: paying.begin(memory, tx, new, names, by=BY))
        return
    if roll < 0.65:
        out = NewPayout(
            id=name, account="buyer", amount_minor=dice.randint(1, 500), level="identity",
            token=dice.choice(("bank", "declined")),
        )  # fmt: skip
        town.asked.append(name)
        town.command(world, lambda memory, tx: paying.begin_payout(memory, tx, out, names, by=BY))
        return
    if not town.asked:
        return
    other = dice.choice(town.asked)
    match dice.randrange(6):
        case 0:
            town.command(world, lambda memory, tx: paying.capture(memory, tx, other, by=BY))
        case 1:
            town.command(world, lambda memory, tx: paying.void(memory, tx, other, by=BY))
        case 2 | 3:
            back = NewRefund(id=f"r{number}", payment=other, amount_minor=dice.randint(1, 2_000))
            town.command(world, lambda memory, tx: paying.refund(memory, tx, back, by=BY))
        case 4:
            for charge in world.sim.charges():
                world.sim.buyer_answers(charge.instruction.key, dice.choice("YYN"))
        case _:
            _bank_strikes(world, dice)


def _bank_strikes(world: World, dice: random.Random) -> None:
    """Have a card holder's bank take something back, or a payout return."""
    for row in world.sim.rows():
        if row.key is None or dice.random() > 0.2:
            continue
        charge = world.sim.charge(row.key)
        if row.kind == "capture" and world.sim.returnable(row.key) > 0:
            reference = world.sim.charge_back(row.key)
            if dice.random() < 0.4:
                world.sim.win_chargeback(row.key, reference)
            return
        if row.kind == "payout" and charge is not None and charge.state == "paid":
            world.sim.return_payout(row.key)
            return


def _live(town: Town, world: World, number: int) -> None:
    _step(town, world, number)
    for _ in range(town.dice.randint(0, 3)):
        world.drive(for_s=1)
        town.maybe_die()
    for message, notice in world.sim.due_notices(world.clock.now()):
        town.command(world, lambda memory, tx, m=message, n=notice: paying.receive(memory, tx, "sim", m, n))  # type: ignore[misc]
        world.sim.answered(message)  # where it died before, the provider sends it again
    if town.dice.random() < 0.1:
        world.clock.advance(town.dice.randint(1, 3) * HOUR)
    world.sim.is_out = town.may_die and town.dice.random() < 0.1


def _check_safety(world: World) -> None:
    """Hold what must hold at every moment: no charge gave or took more than it may; the ledger proves itself."""
    for charge in world.sim.charges():
        taken, given = charge.captured_minor, charge.refunded_minor + charge.charged_back_minor
        assert 0 <= given <= taken <= charge.instruction.amount_minor, charge
    world.prove()


def _check_end(town: Town, world: World) -> None:
    """Hold what must hold once everybody is well again: ledger, provider and payments say the same."""
    captured = returned = paid = 0
    for name in dict.fromkeys(town.asked):
        if not world.exists(name):
            continue  # refused, or the process died before it was durable
        payment = world.payment(name)
        stuck = [each for each in world.steps(name) if each.status in {"refused", "unbooked"}]
        assert payment.status in ENDED or stuck, world.show(name)
        for part in world.parts(name):
            if not part.provider:
                continue
            charge = world.sim.charge_named(part.reference) if part.reference else None
            if payment.kind == "payout":
                paid += part.captured_minor - part.refunded_minor
                continue
            if charge is None:
                assert part.captured_minor == 0, world.show(name)
                continue
            assert charge.captured_minor == part.captured_minor, world.show(name)
            assert charge.refunded_minor == part.refunded_minor, world.show(name)
            assert charge.charged_back_minor == part.charged_back_minor, world.show(name)
            captured += part.captured_minor
            returned += part.refunded_minor + part.charged_back_minor
            if part.state == "released":
                assert charge.state in {"voided", "declined"}, world.show(name)
        if payment.status in {PaymentStatus.FAILED, PaymentStatus.VOIDED, PaymentStatus.REFUSED}:
            assert sum(each.returnable_minor for each in world.parts(name)) == 0, world.show(name)
            if payment.order:
                assert world.balance("escrow", payment.order) == (0, 0), world.show(name)
        elif payment.order and not stuck and payment.status in {PaymentStatus.CAPTURED, PaymentStatus.PARTLY_REFUNDED}:
            left = sum(each.returnable_minor for each in world.parts(name))
            assert world.balance("escrow", payment.order)[0] == left, world.show(name)
    assert world.balance("provider_receivable", "sim")[0] == captured - returned - paid
    rows = world.sim.rows()
    raised = {"capture", "payout_returned", "chargeback_won"}
    owed = sum(row.amount_minor if row.kind in raised else -row.amount_minor for row in rows)
    assert owed == captured - returned - paid, "the provider's own report says the same"
    for row in rows:
        assert world.posting(posting_of(row)).endswith(" posted"), row


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_payments_hold_under_faults_and_come_to_their_end(
    seed: int, database: Database, clock: ManualClock, tmp_path: pathlib.Path
) -> None:
    faults = Faults(
        silent_before=80, silent_after=80, declined=60, challenged=100, short=40, notice_doubled=300, notice_lost=100,
        notice_late_us=20_000_000,
    )  # fmt: skip
    sim = SimulatedProvider("sim", clock.now, seed=seed, faults=faults)
    town = Town(seed=seed, dice=random.Random(seed))
    number, first = 0, True
    while number < ROUNDS:
        try:
            with open_world(database, clock, tmp_path, sim, first=first) as world:
                if first:
                    world.give("buyer", "wallet", PURSE)
                    world.give("buyer", "points", PURSE)
                first = False
                while number < ROUNDS:
                    _live(town, world, number)
                    number += 1
                _check_safety(world)
        except Died:
            number += town.dice.random() < 0.5  # the client sends it again, or never hears of it
    # Everybody is well from here on.
    town.may_die, sim.is_out = False, False
    sim.faults = Faults()
    with open_world(database, clock, tmp_path, sim, first=False) as world:
        for _ in range(4):
            world.drive(for_s=75)
            world.deliver()
        sim.tell_lost()  # what was lost is told when somebody asks for it
        world.deliver()
        world.drive(for_s=5)
        _check_safety(world)
        _check_end(town, world)
    assert town.asked, f"seed {seed} asked for nothing"
