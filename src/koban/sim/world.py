"""What the stories of one plan share: people, the shelf of listings, running streams, and the making of events."""

import dataclasses
import hashlib
import random
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol

import msgspec

from koban.sim.catalog import GOODS, Good
from koban.sim.people import Person, role, settle
from koban.sim.randomness import between, pick, stream
from koban.sim.texts import listing_text
from koban.sim.types import AccountTruth, Settings

_SHELF_START: Final = 1_500
_SHELF_LIMIT: Final = 6_000


class Beat(NamedTuple):
    """One moment of a story: an event, and what is true about it."""

    at: int
    type: str
    subject: str
    actor: str
    data: Mapping[str, object]
    trick: str | None = None
    harm: bool = False
    incident: str | None = None
    planted_minor: int = 0


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Something for sale."""

    id: str
    seller: Person
    good: Good
    price_minor: int


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A running live stream."""

    id: str
    host: Person
    ends_at: int


@dataclasses.dataclass(kw_only=True)
class World:
    """The shared state of one plan; stories change it in the order of simulated time, which makes it repeatable."""

    settings: Settings
    town: str  # marks people, and what is theirs
    tag: str  # marks what happens
    people: tuple[Person, ...]
    sellers: tuple[Person, ...]
    shelf: list[Listing]
    lives: dict[int, Live]  # by stage: 0 is the busiest
    counters: dict[str, int]
    met: list[AccountTruth]  # accounts that appeared since the scheduler last looked

    def new_id(self, prefix: str) -> str:
        """Make the next id of a kind, such as `m-4f2c-000017`."""
        number = self.counters.get(prefix, 0)
        self.counters[prefix] = number + 1
        return f"{prefix}-{self.tag}-{number:06d}"


class Story(Protocol):
    """Something that happens over time: a generator of beats that never goes back in time."""

    def __call__(self, world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
        """Tell the story from the moment `at` on."""
        ...


def open_world(settings: Settings) -> World:
    """Build the town as it stands when the simulation begins."""
    town_at = settings.start_at if settings.town_at is None else settings.town_at
    town = hashlib.sha256(f"{settings.name}/{settings.seed}/{town_at}".encode()).hexdigest()[:5]
    people = settle(settings.seed, town, town_at, settings.size.people)
    world = World(
        settings=settings,
        town=town,
        tag=town + settings.part,
        people=people,
        sellers=tuple(person for person in people if person.persona != "buyer"),
        shelf=[],
        lives={},
        counters={"u": len(people)},
        met=[],
    )
    randomness = stream(settings.seed, "shelf")
    for _ in range(_SHELF_START):
        put_up(world, randomness, pick(randomness, world.sellers))
    return world


def price_of(randomness: random.Random, good: Good) -> int:
    """Set an honest price around the usual one, ending as prices do."""
    price = good.median_minor * between(randomness, 60, 135) // 100
    return max(300, price // 100 * 100 + pick(randomness, (0, 0, 50, 80, 99)))


def put_up(world: World, randomness: random.Random, seller: Person, good: Good | None = None) -> Listing:
    """Put something on the shelf; the oldest falls off a full one."""
    good = good or pick(randomness, GOODS)
    listing = Listing(id=world.new_id("l"), seller=seller, good=good, price_minor=price_of(randomness, good))
    if len(world.shelf) >= _SHELF_LIMIT:
        world.shelf[int(randomness.random() * _SHELF_LIMIT)] = listing
    else:
        world.shelf.append(listing)
    return listing


def take_down(world: World, randomness: random.Random) -> Listing:
    """Take some listing off the shelf because it is being bought."""
    place = int(randomness.random() * len(world.shelf))
    world.shelf[place], world.shelf[-1] = world.shelf[-1], world.shelf[place]
    return world.shelf.pop()


def listing_data(
    randomness: random.Random,
    listing: Listing,
    *,
    texts: tuple[str, str] | None = None,
    extra: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Write the fields of a listing event; `texts` and `extra` replace what an honest seller would have sent."""
    seller = listing.seller
    title, description = texts or listing_text(randomness, listing.good, seller.language)
    data: dict[str, object] = {
        "seller": role(seller),
        "listing": {"id": listing.id},
        "title": title,
        "description": description,
        "category": listing.good.category,
        "brand": listing.good.brand,
        "condition": pick(randomness, ("new", "like_new", "like_new", "good", "good", "good", "fair", "poor")),
        "price_minor": listing.price_minor,
        "currency": "JPY",
        "category_median_minor": listing.good.median_minor,
        "photos": between(randomness, 1, 10),
        "stock_photo": randomness.random() < 0.04,
        "image": {"hash": f"{randomness.getrandbits(64):016x}"},
        "device": {"id": seller.device},
        "ip": seller.ip,
    }
    if extra:
        data.update(extra)
    return data


def comment_data(world: World, sender: Person, listing: Listing, recipient: str, text: str) -> dict[str, object]:
    """Write the fields of a comment under a listing."""
    return {
        "sender": role(sender),
        "comment": {"id": world.new_id("c")},
        "listing": {"id": listing.id},
        "recipient": {"id": recipient},
        "text": text,
        "device": {"id": sender.device},
        "ip": sender.ip,
    }


def message_data(
    world: World,
    sender: Person,
    recipient: str,
    text: str,
    *,
    thread: str,
    order: str | None,
    state: str,
    first: bool,
) -> dict[str, object]:
    """Write the fields of a private message; without an order the thread is a question before buying."""
    data: dict[str, object] = {
        "sender": role(sender),
        "message": {"id": world.new_id("m")},
        "thread": {"id": thread},
        "recipient": {"id": recipient},
        "text": text,
        "order_state": state,
        "first_message": first,
        "device": {"id": sender.device},
        "ip": sender.ip,
    }
    if order is not None:
        data["order"] = {"id": order}
    return data


def login_data(person: Person, *, new_device: bool = False, country: str = "JP") -> dict[str, object]:
    """Write the fields of a successful sign-in."""
    return {
        "account": role(person),
        "method": "passkey" if person.verified else "password",
        "new_device": new_device,
        "country": country,
        "device": {"id": person.device},
        "ip": person.ip,
    }


def account_data(person: Person) -> dict[str, object]:
    """Write the fields of an account's creation."""
    return {
        "account": role(person)
        | {"name": person.name, "profile": person.profile, "email": person.email, "phone": person.phone},
        "device": {"id": person.device},
        "ip": person.ip,
    }


def payout_data(person: Person, amount_minor: int, *, bank: str, new_device: bool) -> dict[str, object]:
    """Write the fields of a payout request."""
    return {
        "account": role(person),
        "amount_minor": amount_minor,
        "currency": "JPY",
        "bank": {"id": bank},
        "new_device": new_device,
        "device": {"id": person.device},
        "ip": person.ip,
    }


def bank_data(person: Person, bank: str, *, new_device: bool) -> dict[str, object]:
    """Write the fields of a changed payout account."""
    return {
        "account": role(person),
        "bank": {"id": bank},
        "new_device": new_device,
        "device": {"id": person.device},
        "ip": person.ip,
    }


def order_data(
    buyer: Person, listing: Listing, order: str, *, linked: bool = False, address: str = ""
) -> dict[str, object]:
    """Write the fields of a purchase; `linked` says that the marketplace saw both sides on one device and address."""
    return {
        "buyer": role(buyer),
        "seller": {"id": listing.seller.id},
        "order": {"id": order},
        "listing": {"id": listing.id},
        "price_minor": listing.price_minor,
        "currency": "JPY",
        "address": {"id": address or buyer.address},
        "same_device_as_seller": linked or buyer.device == listing.seller.device,
        "same_address_as_seller": linked or (address or buyer.address) == listing.seller.address,
        "device": {"id": buyer.device},
        "ip": buyer.ip,
    }


def payment_data(
    world: World, buyer: Person, order: str, amount_minor: int, *, method: str, card: str = "", declined: str = ""
) -> dict[str, object]:
    """Write the fields of a payment attempt; `declined` is the bank's code where it said no."""
    data: dict[str, object] = {
        "buyer": role(buyer),
        "payment": {"id": world.new_id("p")},
        "order": {"id": order},
        "method": method,
        "amount_minor": amount_minor,
        "currency": "JPY",
        "declined": bool(declined),
        "three_d_secure": method == "card" and not declined,
        "device": {"id": buyer.device},
        "ip": buyer.ip,
    }
    if declined:
        data["decline_code"] = declined
    if method == "card":
        data["card"] = {"id": card or buyer.card}
    return data


def shipped_data(seller: Person, buyer: str, order: str, carrier: str, tracking: str) -> dict[str, object]:
    """Write the fields of a 'shipped' notice."""
    return {
        "seller": role(seller),
        "order": {"id": order},
        "buyer": {"id": buyer},
        "carrier": carrier,
        "tracking": {"id": tracking},
    }


def scan_data(
    seller: str, buyer: str, order: str, stage: str, weight_g: int, *, sender_matches: bool = True
) -> dict[str, object]:
    """Write the fields of a carrier's scan."""
    return {
        "seller": {"id": seller},
        "buyer": {"id": buyer},
        "order": {"id": order},
        "stage": stage,
        "weight_g": weight_g,
        "sender_matches": sender_matches,
    }


def rating_data(
    rater: Person, rated: str, order: str, text: str, *, stars: int, minutes_since_paid: int, scanned: bool
) -> dict[str, object]:
    """Write the fields of a rating."""
    return {
        "rater": role(rater),
        "order": {"id": order},
        "rated": {"id": rated},
        "stars": stars,
        "text": text,
        "minutes_since_paid": minutes_since_paid,
        "scanned": scanned,
        "device": {"id": rater.device},
        "ip": rater.ip,
    }


def dispute_data(
    world: World,
    claimant: Person,
    respondent: str,
    order: str,
    text: str,
    *,
    reason: str,
    amount_minor: int,
    refuses: bool,
) -> dict[str, object]:
    """Write the fields of a claim over an order."""
    return {
        "claimant": role(claimant),
        "respondent": {"id": respondent},
        "dispute": {"id": world.new_id("d")},
        "order": {"id": order},
        "reason": reason,
        "text": text,
        "amount_minor": amount_minor,
        "currency": "JPY",
        "refuses_return": refuses,
        "device": {"id": claimant.device},
        "ip": claimant.ip,
    }


def return_data(
    world: World, buyer: str, seller: str, order: str, *, out_g: int, back_g: int, intact: bool, serial: bool
) -> dict[str, object]:
    """Write the fields of a returned parcel's check at the centre."""
    return {
        "buyer": {"id": buyer},
        "seller": {"id": seller},
        "order": {"id": order},
        "return": {"id": world.new_id("r")},
        "weight_out_g": out_g,
        "weight_back_g": back_g,
        "seal_intact": intact,
        "serial_matches": serial,
    }


def report_data(
    reporter: Person, reported: str, text: str, *, reason: str, listing: str | None = None, order: str | None = None
) -> dict[str, object]:
    """Write the fields of a report by a member."""
    data: dict[str, object] = {"reporter": role(reporter), "reported": {"id": reported}, "reason": reason, "text": text}
    if listing is not None:
        data["listing"] = {"id": listing}
    if order is not None:
        data["order"] = {"id": order}
    return data


def chat_data(world: World, sender: Person, live: Live, text: str, *, first: bool) -> dict[str, object]:
    """Write the fields of a chat line in a stream."""
    return {
        "sender": role(sender),
        "chat": {"id": world.new_id("x")},
        "stream": {"id": live.id},
        "host": {"id": live.host.id},
        "text": text,
        "first_in_stream": first,
        "device": {"id": sender.device},
        "ip": sender.ip,
    }


def bid_data(
    world: World, bidder: Person, seller: str, auction: str, *, live: str, amount_minor: int, retracted: bool = False
) -> dict[str, object]:
    """Write the fields of a bid."""
    return {
        "bidder": role(bidder),
        "bid": {"id": world.new_id("b")},
        "auction": {"id": auction},
        "stream": {"id": live},
        "seller": {"id": seller},
        "amount_minor": amount_minor,
        "currency": "JPY",
        "retracted": retracted,
        "device": {"id": bidder.device},
        "ip": bidder.ip,
    }
