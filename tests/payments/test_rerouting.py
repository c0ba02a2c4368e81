"""What waits for a provider that is out goes through another one, and never through both."""

import json
import pathlib
import random
import time
from collections.abc import Callable, Iterator

import pytest
from tests.ledger.test_border import START, STARTER, Shop
from tests.payments.test_pages import read
from tests.payments.test_paying import card
from tests.payments.world import BY, World, open_world, simulated

from koban.app import open_koban
from koban.audit import SeededSecrets
from koban.base import ManualClock, Refusal
from koban.base.settings import read_settings
from koban.db import Database
from koban.payments import store
from koban.payments.simulated import SimulatedProvider
from koban.payments.types import NewPart, Payment, PaymentNotThere, PaymentUnfit, ProviderOut
from koban.payments.worker import claim, find_due
from koban.pipeline import rerouting

OUT_S = 70  # of silence, after which a provider counts as out


@pytest.fixture
def two(database: Database, clock: ManualClock, tmp_path: pathlib.Path) -> Iterator[World]:
    """A marketplace with two providers, `sim` and `other`."""
    sim, other = simulated(clock), SimulatedProvider("other", clock.now)
    with open_world(database, clock, tmp_path, sim, providers={"sim": sim, "other": other}) as opened:
        yield opened


def other(world: World) -> SimulatedProvider:
    found = world.kit.providers["other"]
    assert isinstance(found, SimulatedProvider)
    return found


def reroute(world: World, payment_id: str, to: str, away_from: str = "") -> Payment:
    names = tuple(world.kit.providers)
    return world.run(
        lambda memory, tx: rerouting.reroute(memory, tx, payment_id, to, names, away_from=away_from, by=BY)
    )


def go_out(world: World) -> None:
    world.sim.is_out = True
    world.pay("first", card(100))
    world.drive(for_s=OUT_S)


def test_what_waits_in_line_is_paid_through_the_other_and_the_first_never_hears_of_it(two: World) -> None:
    two.give("buyer", "wallet", 5_000)
    go_out(two)
    queued = two.pay("p1", card(1_000), NewPart(method="wallet", amount_minor=500))
    assert queued.status == "queued"
    assert reroute(two, "p1", "other").status == "authorising"
    two.drive(for_s=1)
    assert two.status("p1") == "captured"
    assert [each.provider for each in two.parts("p1")] == ["other", ""]
    assert two.balance("provider_receivable", "other") == (1_000, 0)
    two.sim.is_out = False
    two.drive(for_s=120)
    assert [each.instruction.payment for each in two.sim.charges()] == ["first"]
    assert [each.instruction.payment for each in other(two).charges()] == ["p1"]
    assert two.station.rows("SELECT actor, details FROM audit_entries WHERE action = 'payment.rerouted'") == [
        (BY, '{"from":"sim","to":"other"}')
    ]
    two.prove()


def test_what_was_sent_stays_for_it_may_have_been_done(two: World) -> None:
    go_out(two)
    before = two.show("first")
    with pytest.raises(PaymentNotThere):
        reroute(two, "first", "other")
    assert two.show("first") == before
    two.sim.is_out = False
    two.drive(for_s=120)
    assert two.status("first") == "captured"
    assert other(two).charges() == []


def test_of_who_sends_and_who_moves_exactly_one_is_first(two: World) -> None:
    two.pay("p1", card(1_000))
    two.pay("p2", card(2_000))
    two.clock.advance(1_000)
    found = find_due(two.kit, {})
    sent = claim(two.kit, [each for each in found if each.payment.id == "p1"])
    assert [each.payment.id for each in sent] == ["p1"]
    with pytest.raises(PaymentNotThere):
        reroute(two, "p1", "other")
    reroute(two, "p2", "other")
    assert claim(two.kit, [each for each in found if each.payment.id == "p2"]) == []
    two.drive(for_s=5)
    assert (two.status("p1"), two.status("p2")) == ("captured", "captured")
    assert [each.instruction.payment for each in two.sim.charges()] == ["p1"]
    assert [each.instruction.payment for each in other(two).charges()] == ["p2"]


@pytest.mark.parametrize(
    ("to", "away_from", "refusal"),
    [("nobody", "", PaymentUnfit), ("sim", "", PaymentNotThere), ("other", "other", PaymentNotThere)],
)
def test_where_it_cannot_go_it_is_refused_and_nothing_changes(
    two: World, to: str, away_from: str, refusal: type[Refusal]
) -> None:
    two.pay("p1", card(1_000))
    before = two.show("p1")
    with pytest.raises(refusal):
        reroute(two, "p1", to, away_from)
    assert two.show("p1") == before


def test_a_provider_that_is_out_too_is_refused(two: World) -> None:
    go_out(two)
    other(two).is_out = True
    for number in range(3):
        two.pay(f"o{number}", NewPart(method="card", amount_minor=100, token="tok", provider="other"))
    two.drive(for_s=OUT_S)
    two.pay("p1", card(1_000))
    with pytest.raises(ProviderOut):
        reroute(two, "p1", "other")
    assert [each.provider for each in two.parts("p1")] == ["sim"]


def test_it_goes_back_as_long_as_it_is_not_sent(two: World) -> None:
    two.pay("p1", card(1_000))
    reroute(two, "p1", "other")
    reroute(two, "p1", "sim")
    two.drive(for_s=5)
    assert two.status("p1") == "captured"
    assert other(two).charges() == []
    assert [each.status for each in two.steps("p1")] == ["closed", "closed", "done", "done"]


def test_a_payout_stays_with_whom_its_money_is_set_aside_for(two: World) -> None:
    two.give("buyer", "wallet", 5_000)
    go_out(two)
    two.pay_out("out", 1_000)
    with pytest.raises(PaymentNotThere):
        reroute(two, "out", "other")
    with two.station.database.read() as tx:
        assert store.unsent(tx, "sim", limit=5) == []
        assert [(each.kind, each.sent, each.count) for each in store.staying(tx, "sim")] == [
            ("authorise", True, 1),
            ("payout", False, 1),
        ]


# The border and the pages.


@pytest.fixture
def shop(tmp_path: pathlib.Path, migrated_data: pathlib.Path) -> Iterator[Shop]:
    """A Koban with the starter pack and two simulated providers, of which the first is out."""
    clock = ManualClock(START)
    there = tmp_path / "providers.json"
    there.write_text(json.dumps([{"name": "alpha", "kind": "simulated"}, {"name": "beta", "kind": "simulated"}]))
    settings = read_settings(
        {"KOBAN_DATA": str(migrated_data), "KOBAN_PACK": str(STARTER), "KOBAN_PAYMENT_PROVIDERS": str(there)}
    )
    with open_koban(settings, clock, random.Random(3), SeededSecrets(3), durable=False) as opened:
        alpha = opened.providers.by_name["alpha"]
        assert isinstance(alpha, SimulatedProvider)
        alpha.is_out = True
        yield Shop(opened, clock)


def pay(shop: Shop, name: str) -> None:
    body = {
        "id": name, "order": f"o-{name}", "account": "b1", "level": "identity",
        "parts": [{"method": "card", "amount_minor": 3_000, "token": "t"}],
    }  # fmt: skip
    assert shop.ask("POST", "/v1/payments", body)[0] == 200


def until(shop: Shop, holds: Callable[[], bool]) -> None:
    for number in range(400):
        if holds():
            return
        shop.clock.advance(1_000_000)
        time.sleep(0.02 + number / 1_000)  # a minute and a half in all
    raise AssertionError("it did not come about")


def status(shop: Shop, name: str) -> str:
    return str(shop.ask("GET", f"/v1/payments/{name}")[1]["payment"]["status"])


def test_in_an_outage_people_see_what_moving_means_and_move_one_or_all(shop: Shop) -> None:
    pay(shop, "sent")
    until(shop, lambda: bool(shop.ask("GET", "/v1/payment-providers")[1][0]["is_out"]))
    for name in ("p1", "p2", "p3"):
        pay(shop, name)
    assert "alpha gives no answer" in read(shop, "/money/payments")[1]
    assert "See what waits for it" in read(shop, "/money/payments")[1]
    assert "Send through another provider …" in read(shop, "/money/payments/p1")[1]
    assert "Send through another provider …" not in read(shop, "/money/payments/sent")[1]
    assert "Nothing of it can go elsewhere" in read(shop, "/money/payments/sent/reroute")[1]
    assert "exactly one of the two is ever asked" not in read(shop, "/money/payments/p1/reroute")[1]
    _, one = read(shop, "/money/payments/p1/reroute?to=beta")
    assert "exactly one of the two is ever asked" in one
    assert "the buyer has to pay anew" in one
    assert "Send it through beta" in one
    assert "beta に切り替える" in read(shop, "/money/payments/p1/reroute?to=beta", "ja")[1], (
        "the name has a tag of its own"
    )
    assert "Send it through" not in read(shop, "/money/payments/p1/reroute?to=alpha")[1]
    moved = read(shop, "/money/payments/p1/reroute", form={"to": "beta"})
    assert moved == (303, "/money/payments/p1?done=payment_rerouted")
    again = read(shop, "/money/payments/p1/reroute", form={"to": "beta"})
    assert (again[0], "nothing was changed" in again[1]) == (422, True)
    until(shop, lambda: status(shop, "p1") == "captured")
    _, page = read(shop, "/money/providers/alpha?to=beta")
    assert "2 payments, ¥6,000" in page
    assert "Authorise · sent, no answer yet · 1" in page
    assert "Send 2 payments through beta" in page
    assert "2件を beta に切り替える" in read(shop, "/money/providers/alpha?to=beta", "ja")[1]
    assert read(shop, "/money/providers/alpha/reroute", form={"to": "alpha"})[0] == 422
    assert read(shop, "/money/providers/nobody")[0] == 404
    all_moved = read(shop, "/money/providers/alpha/reroute", form={"to": "beta"})
    assert all_moved == (303, "/money/providers/alpha?done=payments_rerouted")
    until(shop, lambda: {status(shop, "p2"), status(shop, "p3")} == {"captured"})
    assert shop.ask("POST", "/v1/payment-providers/alpha/reroute", {"to": "beta"})[1] == {"moved": 0, "left": 0}
    assert shop.ask("GET", "/v1/payment-providers/alpha/waiting")[1] == {
        "unsent": [], "stays": [{"kind": "authorise", "sent": True, "count": 1}]
    }  # fmt: skip
    assert shop.ask("POST", "/v1/payments/p2/reroute", {"to": "alpha"})[0] == 503
    assert shop.ask("POST", "/v1/payments/p2/reroute", {"to": "gamma"})[0] == 422
