"""Tricks made of listings and parcels: fakes, codes, goods that do not exist, boxes with nothing in them."""

import random
from collections.abc import Iterator

from koban.base import MINUTE, SECOND
from koban.sim.catalog import Good
from koban.sim.disguise import disguise
from koban.sim.randomness import between, chance, pick
from koban.sim.scammers import Scammer, bought, deed, falls_for_it, message, pitch, scammer, world_id
from koban.sim.texts import say, tracking_number
from koban.sim.texts_adversary import ADVERSARY, HEDGED_BRANDS, HEDGED_ITEMS, NO_STOCK_ITEMS
from koban.sim.world import (
    Beat,
    Listing,
    World,
    dispute_data,
    listing_data,
    payout_data,
    report_data,
    return_data,
    scan_data,
    shipped_data,
)


def counterfeit_hedge(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """List fakes of a protected brand with words that leave a way out, far below the usual price."""
    crook = scammer(world, randomness, "counterfeit_hedge", at, days=(0, 90))
    brand = pick(randomness, HEDGED_BRANDS)
    for _ in range(between(randomness, 2, 6)):
        item = pick(randomness, HEDGED_ITEMS)
        good = Good(
            category="bags",
            brand=brand,
            ja=item,
            en=item,
            median_minor=between(randomness, 30, 90) * 1_000,
            weight_g=600,
        )
        price = good.median_minor * between(randomness, 6, 22) // 100
        yield _offer(
            world, randomness, at, crook, good, price_minor=price, planted_minor=falls_for_it(randomness, price, 30)
        )
        at += between(randomness, 1, 8) * MINUTE


def no_stock(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Flood the market with catalogue pictures of goods that the seller does not have."""
    crook = scammer(world, randomness, "no_stock", at, days=(0, 25))
    for _ in range(between(randomness, 18, 34)):
        item = pick(randomness, NO_STOCK_ITEMS)
        good = Good(
            category="home", brand="", ja=item, en=item, median_minor=between(randomness, 2, 6) * 1_000, weight_g=500
        )
        price = good.median_minor * between(randomness, 90, 140) // 100
        extra: dict[str, object] = {
            "stock_photo": chance(randomness, 92),
            "photos": between(randomness, 1, 3),
            "condition": "new",
        }
        yield _offer(
            world,
            randomness,
            at,
            crook,
            good,
            price_minor=price,
            planted_minor=falls_for_it(randomness, price, 8),
            extra=extra,
        )
        at += between(randomness, 15, 60) * SECOND


def gift_code(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Sell gift and game codes, which is how stolen cards become cash."""
    crook = scammer(world, randomness, "gift_code", at, days=(0, 30))
    for _ in range(between(randomness, 2, 5)):
        value = pick(randomness, (3_000, 5_000, 10_000, 30_000))
        good = Good(category="tickets", brand="", ja="ギフト", en="gift", median_minor=value, weight_g=0)
        yield _offer(
            world,
            randomness,
            at,
            crook,
            good,
            price_minor=value * 85 // 100,
            planted_minor=falls_for_it(randomness, value, 25),
        )
        at += between(randomness, 1, 5) * MINUTE


def medicine(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Sell prescription drugs."""
    crook = scammer(world, randomness, "medicine", at, days=(0, 200))
    for _ in range(between(randomness, 1, 3)):
        good = Good(category="beauty", brand="", ja="ペン", en="pen", median_minor=4_000, weight_g=120)
        yield _offer(
            world, randomness, at, crook, good, price_minor=between(randomness, 5, 25) * 1_000, planted_minor=0
        )
        at += between(randomness, 3, 12) * MINUTE


def empty_ship(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Press 'shipped' for several orders, send nothing or an empty box, and ask for the money."""
    crook = scammer(world, randomness, "empty_ship", at, days=(3, 50))
    seller, incident, total = crook.person, world.new_id("incident"), 0
    orders: list[tuple[str, str, Listing]] = []
    for _ in range(between(randomness, 3, 5)):
        good = Good(
            category="games", brand="任天堂", ja="ゲーム機 本体", en="console", median_minor=28_000, weight_g=1_900
        )
        price = between(randomness, 19, 26) * 1_000
        listing = Listing(id=world.new_id("l"), seller=seller, good=good, price_minor=price)
        buyer, order = pick(randomness, world.people), world.new_id("o")
        yield from bought(world, randomness, at, buyer=buyer, listing=listing, order=order, incident=incident)
        orders.append((order, buyer.id, listing))
        at += between(randomness, 90, 240) * SECOND
    for order, buyer_id, listing in orders:
        data = shipped_data(seller, buyer_id, order, "日本郵便", tracking_number(randomness))
        yield deed(crook, at, "order.shipped", order, data, harm=True, incident=incident)
        total += listing.price_minor
        at += between(randomness, 10, 60) * SECOND
        text = pitch(randomness, crook, listing.price_minor, situation="empty_box")
        yield message(world, crook, at, buyer_id, text, harm=False, incident=incident, order=order, state="shipped")
        if chance(randomness, 40):
            at += between(randomness, 2, 8) * MINUTE
            scan = scan_data(seller.id, buyer_id, order, "accepted", between(randomness, 60, 140))
            yield deed(crook, at, "parcel.scanned", order, scan, harm=True, incident=incident)
    at += between(randomness, 2, 9) * MINUTE
    payout = payout_data(seller, total, bank=seller.bank, new_device=False)
    yield deed(crook, at, "payout.requested", seller.id, payout, harm=True, incident=incident, planted_minor=total)


def triangulation(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Sell new goods, let a shop send them on a stolen card; labels and invoices name somebody else."""
    crook = scammer(world, randomness, "triangulation", at, days=(5, 60))
    for _ in range(between(randomness, 3, 5)):
        buyer, order, incident = pick(randomness, world.people), world.new_id("o"), world.new_id("incident")
        price = between(randomness, 15, 60) * 1_000
        scan = scan_data(crook.person.id, buyer.id, order, "delivered", 900, sender_matches=False)
        yield deed(crook, at, "parcel.scanned", order, scan, harm=True, incident=incident, planted_minor=price)
        at += between(randomness, 2, 9) * MINUTE
        if chance(randomness, 60):
            text = pick(randomness, ADVERSARY["triangulation_report"])
            data = report_data(buyer, crook.person.id, text, reason="other_sender", order=order)
            yield Beat(at, "report.filed", order, buyer.id, data, None, False, incident)
            at += between(randomness, 30, 200) * SECOND


def serial_claimant(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Claim order after order, and never send anything back."""
    crook = scammer(world, randomness, "serial_claimant", at, days=(30, 500))
    for _ in range(between(randomness, 3, 5)):
        listing = pick(randomness, world.shelf)
        order, incident = world.new_id("o"), world.new_id("incident")
        data = dispute_data(
            world,
            crook.person,
            listing.seller.id,
            order,
            pitch(randomness, crook, listing.price_minor),
            reason=pick(randomness, ("counterfeit", "not_received", "empty_box")),
            amount_minor=listing.price_minor,
            refuses=True,
        )
        yield deed(
            crook,
            at,
            "dispute.opened",
            world_id(data, "dispute"),
            data,
            harm=True,
            incident=incident,
            planted_minor=listing.price_minor,
        )
        at += between(randomness, 3, 12) * MINUTE


def item_switch(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Claim a defect and return something else: lighter, another serial number, or only a little off."""
    crook = scammer(world, randomness, "item_switch", at, days=(30, 500))
    listing = pick(randomness, world.shelf)
    order, incident = world.new_id("o"), world.new_id("incident")
    language, register = crook.person.language, crook.person.register
    text = say(randomness, "dispute", language=language, register=register, good=listing.good)
    claim = dispute_data(
        world,
        crook.person,
        listing.seller.id,
        order,
        text,
        reason="not_as_described",
        amount_minor=listing.price_minor,
        refuses=False,
    )
    yield deed(crook, at, "dispute.opened", world_id(claim, "dispute"), claim, incident=incident)
    at += between(randomness, 5, 14) * MINUTE
    weight = max(listing.good.weight_g, 300)
    subtle = chance(randomness, 30)
    back = weight - (
        between(randomness, 4, 9) * weight // 100 if subtle else weight * between(randomness, 25, 60) // 100
    )
    data = return_data(
        world,
        crook.person.id,
        listing.seller.id,
        order,
        out_g=weight,
        back_g=back,
        intact=subtle,
        serial=chance(randomness, 25),
    )
    yield deed(
        crook, at, "return.scanned", order, data, harm=True, incident=incident, planted_minor=listing.price_minor
    )


def _offer(
    world: World,
    randomness: random.Random,
    at: int,
    crook: Scammer,
    good: Good,
    *,
    price_minor: int,
    planted_minor: int,
    extra: dict[str, object] | None = None,
) -> Beat:
    """Put up one bad listing. Texts are written as title, a bar, and description."""
    raw = pick(randomness, ADVERSARY[crook.trick]).replace("{brand}", good.brand).replace("{item}", good.ja)
    title, _, description = disguise(randomness, raw, crook.habits).partition("|")
    listing = Listing(id=world.new_id("l"), seller=crook.person, good=good, price_minor=max(price_minor, 300))
    data = listing_data(randomness, listing, texts=(title, description), extra=extra)
    incident = world.new_id("incident")
    return deed(
        crook, at, "listing.created", listing.id, data, harm=True, incident=incident, planted_minor=planted_minor
    )
