"""Tricks made of accounts, cards, codes and payouts."""

import random
from collections.abc import Iterator, Mapping

import msgspec

from koban.base import MINUTE, SECOND, Instant
from koban.sim.honest import coupon_data
from koban.sim.people import Person, role
from koban.sim.randomness import between, chance, pick
from koban.sim.scammers import deed, scammer, world_id
from koban.sim.types import AccountTruth
from koban.sim.world import (
    Beat,
    World,
    account_data,
    bank_data,
    listing_data,
    login_data,
    order_data,
    payment_data,
    payout_data,
    put_up,
    rating_data,
    shipped_data,
)


def account_takeover(world: World, randomness: random.Random, at: int, amount_minor: int = 0) -> Iterator[Beat]:
    """Break into an honest account, change its phone and bank, take the balance, and sell what does not exist."""
    owner = pick(randomness, world.sellers)
    thief = msgspec.structs.replace(
        owner,
        device=f"dev-{randomness.getrandbits(48):012x}",
        ip=f"198.51.100.{between(randomness, 1, 254)}",
        phone=f"+8180{between(randomness, 10_000_000, 99_999_999)}",
    )
    world.met.append(
        AccountTruth(account=owner.id, name=owner.name, language=owner.language, persona=owner.persona, stolen=True)
    )
    incident = world.new_id("incident")
    amount = amount_minor or between(randomness, 30, 240) * 1_000
    country = pick(randomness, ("JP", "JP", "VN", "US", "CN"))

    def act(kind: str, data: Mapping[str, object], *, harm: bool = False, planted: int = 0, subject: str = "") -> Beat:
        return Beat(at, kind, subject or owner.id, owner.id, data, "account_takeover", harm, incident, planted)

    for _ in range(between(randomness, 0, 4)):
        failed = {
            "account": {"id": owner.id},
            "reason": "wrong_password",
            "country": country,
            "device": {"id": thief.device},
            "ip": thief.ip,
        }
        yield act("login.failed", failed)
        at += between(randomness, 3, 20) * SECOND
    yield act("login.succeeded", login_data(thief, new_device=True, country=country))
    at += between(randomness, 20, 200) * SECOND
    if chance(randomness, 70):
        changed = {
            "account": role(owner) | {"phone": thief.phone},
            "changed": "phone",
            "device": {"id": thief.device},
            "ip": thief.ip,
        }
        yield act("account.updated", changed)
        at += between(randomness, 20, 200) * SECOND
    bank = f"bank-{randomness.getrandbits(48):012x}"
    yield act("payout_account.changed", bank_data(thief, bank, new_device=True), harm=True)
    at += between(randomness, 1, 18) * MINUTE
    payout = payout_data(thief, amount, bank=bank, new_device=True)
    yield act("payout.requested", payout, harm=True, planted=amount)
    for _ in range(between(randomness, 5, 8) if chance(randomness, 40) else 0):
        at += between(randomness, 20, 90) * SECOND
        listing = put_up(world, randomness, thief)
        world.shelf.remove(listing)
        data = listing_data(randomness, listing, extra={"stock_photo": True, "photos": 1})
        yield act("listing.created", data, harm=True, subject=listing.id)


def card_testing(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Try stolen cards one after the other with small amounts, then spend on one that works."""
    crook = scammer(world, randomness, "card_testing", at, days=(0, 2))
    incident = world.new_id("incident")
    for _ in range(between(randomness, 8, 20)):
        card = f"card-{randomness.getrandbits(48):012x}"
        code = (
            ""
            if chance(randomness, 12)
            else pick(randomness, ("do_not_honor", "stolen_card", "incorrect_cvc", "lost_card"))
        )
        data = payment_data(
            world,
            crook.person,
            world.new_id("o"),
            between(randomness, 300, 900),
            method="card",
            card=card,
            declined=code,
        )
        data["three_d_secure"] = False
        yield deed(crook, at, "payment.attempted", world_id(data, "payment"), data, harm=True, incident=incident)
        at += between(randomness, 4, 35) * SECOND
    listing = pick(randomness, world.shelf)
    order = world.new_id("o")
    card = f"card-{randomness.getrandbits(48):012x}"
    yield deed(crook, at, "order.created", order, order_data(crook.person, listing, order), incident=incident)
    at += between(randomness, 5, 30) * SECOND
    data = payment_data(world, crook.person, order, listing.price_minor, method="card", card=card)
    data["three_d_secure"] = False
    yield deed(
        crook,
        at,
        "payment.attempted",
        world_id(data, "payment"),
        data,
        harm=True,
        incident=incident,
        planted_minor=listing.price_minor,
    )


def self_dealing(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Sell to oneself on the same phone: paid, 'shipped' and rated within minutes, then paid out."""
    seller = scammer(world, randomness, "self_dealing", at, days=(5, 200))
    home = seller.person
    buyer = scammer(world, randomness, "self_dealing", at, days=(0, 90), device=home.device, ip=home.ip)
    total = 0
    incident = world.new_id("incident")
    for _ in range(between(randomness, 2, 4)):
        listing = put_up(world, randomness, home)
        world.shelf.remove(listing)
        order = world.new_id("o")
        yield deed(
            buyer,
            at,
            "order.created",
            order,
            order_data(buyer.person, listing, order, linked=True),
            harm=True,
            incident=incident,
        )
        at += between(randomness, 5, 30) * SECOND
        paid = payment_data(world, buyer.person, order, listing.price_minor, method="card")
        yield deed(buyer, at, "payment.attempted", world_id(paid, "payment"), paid, incident=incident)
        at += between(randomness, 20, 100) * SECOND
        shipped = shipped_data(home, buyer.person.id, order, "日本郵便", f"{randomness.getrandbits(39):012d}"[:12])
        yield deed(seller, at, "order.shipped", order, shipped, incident=incident)
        minutes = between(randomness, 1, 6)
        at += minutes * MINUTE
        for one, other in ((buyer, seller), (seller, buyer)):
            data = rating_data(
                one.person,
                other.person.id,
                order,
                "ありがとうございました",
                stars=5,
                minutes_since_paid=minutes,
                scanned=False,
            )
            yield deed(one, at, "order.rated", order, data, harm=one is buyer, incident=incident)
            at += between(randomness, 5, 30) * SECOND
        total += listing.price_minor
    at += between(randomness, 1, 4) * MINUTE
    payout = payout_data(home, total, bank=home.bank, new_device=False)
    yield deed(seller, at, "payout.requested", home.id, payout, harm=True, incident=incident, planted_minor=total)


def code_farming(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Open account after account on one phone, each for the welcome coupon."""
    first = scammer(world, randomness, "code_farming", at, days=(0, 0))
    incident = world.new_id("incident")
    for number in range(between(randomness, 8, 18)):
        crook = (
            first
            if number == 0
            else scammer(
                world, randomness, "code_farming", at, days=(0, 0), device=first.person.device, ip=first.person.ip
            )
        )
        person = msgspec.structs.replace(crook.person, created_at=Instant(at))
        yield deed(crook, at, "account.created", person.id, account_data(person), incident=incident)
        at += between(randomness, 10, 50) * SECOND
        value = pick(randomness, (300, 500, 1_000))
        data = coupon_data(person, "WELCOME300", value)
        yield deed(crook, at, "code.redeemed", person.id, data, harm=number > 1, incident=incident, planted_minor=value)
        at += between(randomness, 10, 60) * SECOND


def chargeback(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Buy with stolen cards from a phone that comes back again and again; the banks take the money back."""
    crook = scammer(world, randomness, "chargeback", at, days=(0, 40))
    person: Person = crook.person
    for _ in range(between(randomness, 2, 4)):
        listing = pick(randomness, world.shelf)
        order, incident = world.new_id("o"), world.new_id("incident")
        card = f"card-{randomness.getrandbits(48):012x}"
        yield deed(crook, at, "order.created", order, order_data(person, listing, order), incident=incident)
        at += between(randomness, 5, 30) * SECOND
        data = payment_data(world, person, order, listing.price_minor, method="card", card=card)
        data["three_d_secure"] = False
        yield deed(
            crook,
            at,
            "payment.attempted",
            world_id(data, "payment"),
            data,
            harm=True,
            incident=incident,
            planted_minor=listing.price_minor,
        )
        at += between(randomness, 3, 9) * MINUTE
        back = {
            "buyer": {"id": person.id},
            "seller": {"id": listing.seller.id},
            "payment": data["payment"],
            "order": {"id": order},
            "card": {"id": card},
            "device": {"id": person.device},
            "amount_minor": listing.price_minor,
            "currency": "JPY",
        }
        yield deed(crook, at, "payment.charged_back", order, back, harm=True, incident=incident)
        at += between(randomness, 1, 5) * MINUTE
