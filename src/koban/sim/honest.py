"""What honest people do: sign in, list, ask, buy, ship, rate, get paid, complain. Each story is one such episode."""

import hashlib
import random
from collections.abc import Iterator
from typing import Final

import msgspec

from koban.base import DAY, HOUR, MINUTE, SECOND, Instant
from koban.sim.catalog import CARRIERS, GOODS, Good
from koban.sim.people import Person, honest_truth, newcomer, role
from koban.sim.randomness import between, chance, pick
from koban.sim.texts import say, tracking_number
from koban.sim.world import (
    Beat,
    Listing,
    World,
    account_data,
    bank_data,
    comment_data,
    dispute_data,
    listing_data,
    login_data,
    message_data,
    order_data,
    payment_data,
    payout_data,
    put_up,
    rating_data,
    report_data,
    return_data,
    scan_data,
    shipped_data,
    take_down,
)

_DECLINES: Final = ("insufficient_funds", "expired_card", "incorrect_cvc")
_COUPONS: Final = ("WELCOME300", "AUTUMN500", "SHIPFREE")
_REPORTS: Final = ("counterfeit", "off_platform", "rude", "spam", "prohibited")


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """An order between two honest people."""

    buyer: Person
    listing: Listing
    order: str
    paid_at: int


def visit(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Sign in, sometimes after a mistyped password, sometimes on a new phone."""
    person = pick(randomness, world.people)
    while chance(randomness, 12):
        data = {
            "account": {"id": person.id},
            "reason": pick(randomness, ("wrong_password", "wrong_password", "expired_code")),
            "country": "JP",
            "device": {"id": person.device},
            "ip": person.ip,
        }
        yield Beat(at, "login.failed", person.id, person.id, data)
        at += between(randomness, 4, 40) * SECOND
    new_device = chance(randomness, 2)
    if new_device:
        person = msgspec.structs.replace(person, device=f"dev-{randomness.getrandbits(48):012x}")
    country = pick(randomness, ("TW", "US", "KR", "FR")) if chance(randomness, 1) else "JP"
    yield Beat(at, "login.succeeded", person.id, person.id, login_data(person, new_device=new_device, country=country))


def arrive(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Open an account, try the welcome coupon, look around, perhaps empty a whole flat before moving house."""
    person = newcomer(randomness, world.new_id("u"), created_at=Instant(at), at=Instant(at))
    world.met.append(honest_truth(person))
    yield Beat(at, "account.created", person.id, person.id, account_data(person))
    at += between(randomness, 20, 120) * SECOND
    yield Beat(at, "login.succeeded", person.id, person.id, login_data(person, new_device=True))
    if chance(randomness, 50):
        at += between(randomness, 30, 300) * SECOND
        yield Beat(at, "code.redeemed", person.id, person.id, coupon_data(person, pick(randomness, _COUPONS), 300))
    if chance(randomness, 25):
        yield from _sell(world, randomness, at + MINUTE, person, between(randomness, 6, 18))
    elif chance(randomness, 40) and world.shelf:
        yield from _ask(world, randomness, at + 2 * MINUTE, person, pick(randomness, world.shelf))


def sell(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Put a few things up; one in forty sellers is moving house and lists everything at once."""
    seller = pick(randomness, world.sellers)
    count = between(randomness, 14, 30) if chance(randomness, 2.5) else pick(randomness, (1, 1, 1, 2, 2, 3))
    yield from _sell(world, randomness, at, seller, count)


def reprice(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Lower the price of something that did not sell."""
    if not world.shelf:
        return
    place = int(randomness.random() * len(world.shelf))
    listing = world.shelf[place]
    listing = msgspec.structs.replace(listing, price_minor=max(300, listing.price_minor * 92 // 100 // 10 * 10))
    world.shelf[place] = listing
    data = listing_data(randomness, listing, extra={"likes": between(randomness, 0, 40), "sold": False})
    yield Beat(at, "listing.updated", listing.id, listing.seller.id, data)


def ask(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Ask about a listing and get an answer."""
    if not world.shelf:
        return
    listing = pick(randomness, world.shelf)
    buyer = _somebody_else(world, randomness, listing.seller)
    yield from _ask(world, randomness, at, buyer, listing)


def buy(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Buy something: the whole way from payment to rating, over days; a gift buyer takes three at once."""
    if len(world.shelf) < 10:
        return
    listing = take_down(world, randomness)
    buyer = _somebody_else(world, randomness, listing.seller)
    for _ in range(2 if chance(randomness, 2) else 0):
        gift = Deal(buyer=buyer, listing=take_down(world, randomness), order=world.new_id("o"), paid_at=at)
        data = order_data(buyer, gift.listing, gift.order, address=f"adr-{randomness.getrandbits(48):012x}")
        yield Beat(at, "order.created", gift.order, buyer.id, data)
        at += between(randomness, 5, 30) * SECOND
        yield _paid(world, randomness, at, gift)
        at += between(randomness, 20, 90) * SECOND
    order = world.new_id("o")
    yield Beat(at, "order.created", order, buyer.id, order_data(buyer, listing, order))
    at += between(randomness, 3, 40) * SECOND
    if chance(randomness, 4):
        code = pick(randomness, _DECLINES)
        declined = payment_data(world, buyer, order, listing.price_minor, method="card", declined=code)
        yield Beat(at, "payment.attempted", _id(declined, "payment"), buyer.id, declined)
        at += between(randomness, 15, 90) * SECOND
    deal = Deal(buyer=buyer, listing=listing, order=order, paid_at=at)
    yield _paid(world, randomness, at, deal)
    at += between(randomness, 1, 25) * MINUTE
    yield from _talk(world, randomness, at, deal, "order_thanks")
    yield from ship(world, randomness, at + between(randomness, 40, 30 * 60) * MINUTE, deal)


def ship(world: World, randomness: random.Random, at: int, deal: Deal) -> Iterator[Beat]:
    """Ship an order that is paid, then go on to its delivery."""
    seller, buyer, order = deal.listing.seller, deal.buyer, deal.order
    carrier = pick(randomness, CARRIERS["ja"])
    weight = _weighed(randomness, deal)
    shipped = shipped_data(seller, buyer.id, order, carrier, tracking_number(randomness))
    yield Beat(at, "order.shipped", order, seller.id, shipped)
    if chance(randomness, 70):
        at += between(randomness, 1, 9) * MINUTE
        yield _line(world, randomness, at, deal, "shipped", state="shipped", by_seller=True)
    at += between(randomness, 3, 50) * MINUTE
    yield Beat(at, "parcel.scanned", order, seller.id, scan_data(seller.id, buyer.id, order, "accepted", weight))
    at += between(randomness, 5, 14) * HOUR
    yield Beat(at, "parcel.scanned", order, seller.id, scan_data(seller.id, buyer.id, order, "in_transit", weight))
    if chance(randomness, 10):
        at += between(randomness, 1, 3) * HOUR
        for beat in _talk(world, randomness, at, deal, "late", state="shipped"):
            at = beat.at
            yield beat
    yield from deliver(world, randomness, at + between(randomness, 10, 40) * HOUR, deal)


def deliver(world: World, randomness: random.Random, at: int, deal: Deal) -> Iterator[Beat]:
    """Bring a parcel; the two rate each other, and a few buyers complain."""
    seller, weight = deal.listing.seller, _weighed(randomness, deal)
    scan = scan_data(seller.id, deal.buyer.id, deal.order, "delivered", weight)
    yield Beat(at, "parcel.scanned", deal.order, seller.id, scan)
    at += between(randomness, 2, 90) * MINUTE
    if chance(randomness, 2.2):
        yield from _complain(world, randomness, at, deal)
        return
    if chance(randomness, 45):
        yield _line(world, randomness, at, deal, "arrived", state="delivered", by_seller=False)
        at += between(randomness, 1, 10) * MINUTE
    yield from rate(randomness, at, deal)


def rate(randomness: random.Random, at: int, deal: Deal) -> Iterator[Beat]:
    """Let the buyer rate the seller, then the seller the buyer."""
    buyer, seller = deal.buyer, deal.listing.seller
    good = chance(randomness, 95)
    for rater, rated in ((buyer, seller), (seller, buyer)):
        happy = good or rater is seller
        situation = "rating_good" if happy else "rating_poor"
        data = rating_data(
            rater,
            rated.id,
            deal.order,
            say(randomness, situation, language=rater.language, register=rater.register),
            stars=between(randomness, 4, 5) if happy else between(randomness, 2, 3),
            minutes_since_paid=max((at - deal.paid_at) // MINUTE, 1),
            scanned=True,
        )
        yield Beat(at, "order.rated", deal.order, rater.id, data)
        at += between(randomness, 2, 40) * MINUTE


def rate_earlier(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Rate over an order whose parcel came before the simulation."""
    yield from rate(randomness, at, rated_deal(world, randomness, at))


def rated_deal(world: World, randomness: random.Random, at: int) -> Deal:
    """Return the order from before the simulation that `rate_earlier` is about, when it is told by equal randomness."""
    return _old_deal(world, randomness, at - between(randomness, 30, 90) * HOUR)


def ship_earlier(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Ship an order that was paid before the simulation began."""
    yield from ship(world, randomness, at, _old_deal(world, randomness, at - between(randomness, 2, 40) * HOUR))


def pass_hub(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Scan a parcel on its way whose order is older than the simulation."""
    deal = _old_deal(world, randomness, at)
    seller = deal.listing.seller.id
    data = scan_data(seller, deal.buyer.id, deal.order, "in_transit", _weighed(randomness, deal))
    yield Beat(at, "parcel.scanned", deal.order, seller, data)


def deliver_earlier(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Deliver a parcel whose order is older than the simulation."""
    yield from deliver(world, randomness, at, _old_deal(world, randomness, at - between(randomness, 30, 90) * HOUR))


def cash_out(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Ask for one's money; a few have just changed their bank or their phone, and mean no harm."""
    person, amount = asks_for(world, randomness)
    bank = person.bank
    if chance(randomness, 3):
        bank = f"bank-{randomness.getrandbits(48):012x}"
        yield Beat(at, "payout_account.changed", person.id, person.id, bank_data(person, bank, new_device=False))
        at += between(randomness, 3, 40) * MINUTE
    yield Beat(at, "payout.requested", person.id, person.id, payout_data(person, amount, bank=bank, new_device=False))


def asks_for(world: World, randomness: random.Random) -> tuple[Person, int]:
    """Return who asks for their money in `cash_out`, and for how much, when it is told by equal randomness."""
    return pick(randomness, world.sellers), int(randomness.expovariate(1 / 9_000)) + 1_000


def tidy_profile(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Change a profile text or an address."""
    person = pick(randomness, world.people)
    profile = say(randomness, "profile", language=person.language, register=person.register)
    data = {
        "account": role(person) | {"name": person.name, "profile": profile},
        "changed": pick(randomness, ("profile", "profile", "address", "name")),
        "device": {"id": person.device},
        "ip": person.ip,
    }
    yield Beat(at, "account.updated", person.id, person.id, data)


def use_coupon(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Redeem a campaign coupon."""
    person = pick(randomness, world.people)
    yield Beat(at, "code.redeemed", person.id, person.id, coupon_data(person, pick(randomness, _COUPONS), 500))


def complain_about(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Report something that looked wrong, sometimes mistakenly."""
    if not world.shelf:
        return
    listing = pick(randomness, world.shelf)
    reporter = _somebody_else(world, randomness, listing.seller)
    text = say(randomness, "report", language=reporter.language, register=reporter.register)
    data = report_data(reporter, listing.seller.id, text, reason=pick(randomness, _REPORTS), listing=listing.id)
    yield Beat(at, "report.filed", listing.id, reporter.id, data)


def notice(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Let a security tool speak up about something harmless."""
    person = pick(randomness, world.people)
    kind = pick(randomness, ("password_breach_list", "unusual_hour", "vpn"))
    data = {
        "account": {"id": person.id},
        "alert": {"id": world.new_id("a")},
        "kind": kind,
        "level": "low",
        "text": f"{kind} seen once for this account",
    }
    yield Beat(at, "security.alerted", person.id, person.id, data)


def coupon_data(person: Person, code: str, amount_minor: int) -> dict[str, object]:
    """Write the fields of a redeemed code."""
    return {
        "account": role(person),
        "code": {"id": code},
        "amount_minor": amount_minor,
        "currency": "JPY",
        "device": {"id": person.device},
        "ip": person.ip,
    }


def _sell(world: World, randomness: random.Random, at: int, seller: Person, count: int) -> Iterator[Beat]:
    for _ in range(count):
        listing = put_up(world, randomness, seller)
        yield Beat(at, "listing.created", listing.id, seller.id, listing_data(randomness, listing))
        at += between(randomness, 50, 240) * SECOND


def _ask(world: World, randomness: random.Random, at: int, buyer: Person, listing: Listing) -> Iterator[Beat]:
    question = "hard" if chance(randomness, 9) else "question"
    yield _comment(world, randomness, at, listing, sender=buyer, to=listing.seller, situation=question)
    if chance(randomness, 82):
        at += between(randomness, 1, 30) * MINUTE
        answer = "no_thanks" if chance(randomness, 6) else "hard" if chance(randomness, 5) else "answer"
        yield _comment(world, randomness, at, listing, sender=listing.seller, to=buyer, situation=answer)


def _comment(
    world: World,
    randomness: random.Random,
    at: int,
    listing: Listing,
    *,
    sender: Person,
    to: Person,
    situation: str,
) -> Beat:
    text = say(randomness, situation, language=sender.language, register=sender.register, good=listing.good)
    data = comment_data(world, sender, listing, to.id, text)
    return Beat(at, "comment.posted", _id(data, "comment"), sender.id, data)


def _talk(
    world: World, randomness: random.Random, at: int, deal: Deal, situation: str, *, state: str = "paid"
) -> Iterator[Beat]:
    """Let one side of an order speak and, mostly, the other answer."""
    by_seller = chance(randomness, 50)
    said = "hard" if chance(randomness, 7) else situation
    yield _line(world, randomness, at, deal, said, state=state, by_seller=by_seller, first=state == "paid")
    if chance(randomness, 75):
        at += between(randomness, 1, 14) * MINUTE
        said = "hard" if chance(randomness, 7) else situation
        yield _line(world, randomness, at, deal, said, state=state, by_seller=not by_seller)


def _line(
    world: World,
    randomness: random.Random,
    at: int,
    deal: Deal,
    situation: str,
    *,
    state: str,
    by_seller: bool,
    first: bool = False,
) -> Beat:
    sender, to = (deal.listing.seller, deal.buyer) if by_seller else (deal.buyer, deal.listing.seller)
    good = deal.listing.good
    text = say(randomness, situation, language=sender.language, register=sender.register, good=good)
    data = message_data(
        world, sender, to.id, text, thread=f"t-{deal.order}", order=deal.order, state=state, first=first
    )
    return Beat(at, "message.sent", _id(data, "message"), sender.id, data)


def _paid(world: World, randomness: random.Random, at: int, deal: Deal) -> Beat:
    method = pick(randomness, ("card", "card", "card", "convenience_store", "wallet", "carrier"))
    data = payment_data(world, deal.buyer, deal.order, deal.listing.price_minor, method=method)
    return Beat(at, "payment.attempted", _id(data, "payment"), deal.buyer.id, data)


def _complain(world: World, randomness: random.Random, at: int, deal: Deal) -> Iterator[Beat]:
    buyer, listing = deal.buyer, deal.listing
    text = say(randomness, "dispute", language=buyer.language, register=buyer.register, good=listing.good)
    data = dispute_data(
        world,
        buyer,
        listing.seller.id,
        deal.order,
        text,
        reason=pick(randomness, ("not_as_described", "damaged", "missing_part")),
        amount_minor=listing.price_minor,
        refuses=False,
    )
    yield Beat(at, "dispute.opened", _id(data, "dispute"), buyer.id, data)
    yield _sent_back(world, randomness, at + between(randomness, 1, 3) * DAY, deal)


def return_earlier(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Check a returned parcel whose claim is older than the simulation."""
    yield _sent_back(world, randomness, at, _old_deal(world, randomness, at))


def _sent_back(world: World, randomness: random.Random, at: int, deal: Deal) -> Beat:
    weight = _weighed(randomness, deal)
    data = return_data(
        world,
        deal.buyer.id,
        deal.listing.seller.id,
        deal.order,
        out_g=weight,
        back_g=weight + between(randomness, -8, 8) * max(weight, 400) // 1_000,
        intact=not chance(randomness, 3),
        serial=True,
    )
    return Beat(at, "return.scanned", deal.order, deal.buyer.id, data)


def _old_deal(world: World, randomness: random.Random, paid_at: int) -> Deal:
    good: Good = pick(randomness, GOODS)
    seller = pick(randomness, world.sellers)
    price = max(300, good.median_minor * between(randomness, 60, 135) // 100)
    listing = Listing(id=world.new_id("l"), seller=seller, good=good, price_minor=price)
    buyer = _somebody_else(world, randomness, seller)
    # Named after what it is and not after what came before it: whoever sets the stage knows it without playing the rest.
    named = hashlib.sha256(f"{seller.id}/{buyer.id}/{price}/{paid_at}".encode()).hexdigest()[:8]
    return Deal(buyer=buyer, listing=listing, order=f"o-{world.tag}-e{named}", paid_at=paid_at)


def _weighed(randomness: random.Random, deal: Deal) -> int:
    return deal.listing.good.weight_g * between(randomness, 94, 110) // 100


def _somebody_else(world: World, randomness: random.Random, person: Person) -> Person:
    """Pick somebody outside the household, since families do not buy from each other here."""
    while True:
        other = pick(randomness, world.people)
        if other.device != person.device and other.address != person.address:
            return other


def _id(data: dict[str, object], kind: str) -> str:
    inner = data[kind]
    assert isinstance(inner, dict)
    return str(inner["id"])
