"""Tricks made of words: contacts, payment elsewhere, links, false staff, threats."""

import random
from collections.abc import Iterator

from koban.base import MINUTE, SECOND
from koban.sim.randomness import between, chance, pick
from koban.sim.scammers import Scammer, bought, comment, deed, falls_for_it, message, pitch, scammer, small_talk
from koban.sim.texts_adversary import ADVERSARY
from koban.sim.world import (
    Beat,
    World,
    account_data,
    login_data,
    put_up,
    shipped_data,
)


def off_platform_lure(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Talk buyers and sellers into paying outside the marketplace."""
    crook = scammer(world, randomness, "off_platform_lure", at)
    yield from _work_the_shelf(world, randomness, at, crook, victims=between(randomness, 3, 7))


def line_contact(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Move the talk to a messenger where nobody watches."""
    crook = scammer(world, randomness, "line_contact", at)
    yield from _work_the_shelf(world, randomness, at, crook, victims=between(randomness, 3, 7))


def phishing_link(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Send a link to a false payment or delivery page, often as the very first message."""
    crook = scammer(world, randomness, "phishing_link", at, days=(0, 3))
    yield deed(crook, at, "login.succeeded", crook.person.id, login_data(crook.person, new_device=True))
    for _ in range(between(randomness, 4, 9)):
        at += between(randomness, 20, 150) * SECOND
        victim = pick(randomness, world.shelf)
        incident = world.new_id("incident")
        text = pitch(randomness, crook, victim.price_minor)
        planted = falls_for_it(randomness, between(randomness, 20, 150) * 1_000, 12)
        yield message(
            world, crook, at, victim.seller.id, text, harm=True, incident=incident, planted_minor=planted, first=True
        )


def staff_impersonation(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Open an account named like the marketplace's staff and frighten people into a link."""
    name = pick(randomness, ADVERSARY["staff_name"])
    crook = scammer(world, randomness, "staff_impersonation", at, days=(0, 0), name=name)
    yield deed(crook, at, "account.created", crook.person.id, account_data(crook.person), harm=True)
    for _ in range(between(randomness, 4, 8)):
        at += between(randomness, 20, 120) * SECOND
        victim = pick(randomness, world.shelf)
        incident = world.new_id("incident")
        text = pitch(randomness, crook, victim.price_minor)
        planted = falls_for_it(randomness, between(randomness, 10, 80) * 1_000, 15)
        if chance(randomness, 55):
            yield comment(world, crook, at, victim, text, harm=True, incident=incident, planted_minor=planted)
        else:
            yield message(
                world,
                crook,
                at,
                victim.seller.id,
                text,
                harm=True,
                incident=incident,
                planted_minor=planted,
                first=True,
            )


def account_rental(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Hire strangers' accounts and bank books."""
    crook = scammer(world, randomness, "account_rental", at, days=(0, 20))
    for _ in range(between(randomness, 3, 7)):
        at += between(randomness, 30, 200) * SECOND
        victim = pick(randomness, world.shelf)
        incident = world.new_id("incident")
        yield comment(world, crook, at, victim, pitch(randomness, crook, 20_000), harm=True, incident=incident)


def early_receipt_rating(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Sell something, then ask for the receipt rating before anything has been sent."""
    yield from _after_payment(world, randomness, at, "early_receipt_rating", percent=55)


def extra_charge(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Sell something, then ask for money on top."""
    yield from _after_payment(world, randomness, at, "extra_charge", percent=40, amount_minor=2_400)


def prepayment(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Ask interested people for a deposit."""
    crook = scammer(world, randomness, "prepayment", at, days=(0, 60))
    listing = put_up(world, randomness, crook.person)
    for _ in range(between(randomness, 2, 4)):
        victim = pick(randomness, world.people)
        incident = world.new_id("incident")
        planted = falls_for_it(randomness, listing.price_minor * 3 // 10)
        text = pitch(randomness, crook, listing.price_minor)
        yield message(
            world, crook, at, victim.id, text, harm=True, incident=incident, planted_minor=planted, first=True
        )
        at += between(randomness, 2, 12) * MINUTE


def rating_extortion(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Buy something and threaten with a bad rating until money comes back."""
    crook = scammer(world, randomness, "rating_extortion", at, days=(20, 400))
    for _ in range(between(randomness, 1, 3)):
        listing = pick(randomness, world.shelf)
        order, incident = world.new_id("o"), world.new_id("incident")
        planted = falls_for_it(randomness, min(listing.price_minor, 3_000), 50)
        yield message(
            world,
            crook,
            at,
            listing.seller.id,
            pitch(randomness, crook, listing.price_minor),
            harm=True,
            incident=incident,
            planted_minor=planted,
            order=order,
            state="delivered",
        )
        at += between(randomness, 4, 20) * MINUTE


def _work_the_shelf(
    world: World, randomness: random.Random, at: int, crook: Scammer, *, victims: int
) -> Iterator[Beat]:
    """Go from listing to listing: a friendly word sometimes, then the pitch."""
    for _ in range(victims):
        listing = pick(randomness, world.shelf)
        incident = world.new_id("incident")
        first = True
        public = chance(randomness, 40)
        if chance(randomness, 45):
            text = small_talk(randomness)
            if public:
                yield comment(world, crook, at, listing, text, harm=False, incident=incident)
            else:
                yield message(world, crook, at, listing.seller.id, text, harm=False, incident=incident, first=True)
            first = False
            at += between(randomness, 30, 240) * SECOND
        text = pitch(randomness, crook, listing.price_minor)
        planted = falls_for_it(randomness, listing.price_minor)
        if public:
            yield comment(world, crook, at, listing, text, harm=True, incident=incident, planted_minor=planted)
        else:
            yield message(
                world,
                crook,
                at,
                listing.seller.id,
                text,
                harm=True,
                incident=incident,
                planted_minor=planted,
                first=first,
            )
        at += between(randomness, 20, 300) * SECOND


def _after_payment(
    world: World, randomness: random.Random, at: int, trick: str, *, percent: int, amount_minor: int = 0
) -> Iterator[Beat]:
    """Sell to an honest buyer and begin the trick once the money is held. `amount_minor` 0: the whole price."""
    crook = scammer(world, randomness, trick, at, days=(0, 60))
    for _ in range(between(randomness, 1, 3)):
        listing = put_up(world, randomness, crook.person)
        buyer = pick(randomness, world.people)
        order, incident = world.new_id("o"), world.new_id("incident")
        yield from bought(world, randomness, at, buyer=buyer, listing=listing, order=order, incident=incident)
        at += between(randomness, 2, 7) * MINUTE
        if chance(randomness, 35):
            shipped = shipped_data(
                crook.person, buyer.id, order, "ヤマト運輸", f"{randomness.getrandbits(36):012d}"[:12]
            )
            yield deed(crook, at, "order.shipped", order, shipped, incident=incident)
            at += between(randomness, 10, 90) * SECOND
            state = "shipped"
        else:
            state = "paid"
        planted = falls_for_it(randomness, amount_minor or listing.price_minor, percent)
        text = pitch(randomness, crook, listing.price_minor)
        yield message(
            world,
            crook,
            at,
            buyer.id,
            text,
            harm=True,
            incident=incident,
            planted_minor=planted,
            order=order,
            state=state,
        )
        at += between(randomness, 1, 10) * MINUTE
