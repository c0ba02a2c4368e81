"""The making of adversaries: their accounts, handles and links, and the marking of what they do."""

import random
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from koban.base import DAY, HOUR, SECOND, Instant
from koban.sim.disguise import disguise, habits_of
from koban.sim.people import Person, newcomer
from koban.sim.randomness import between, chance, pick
from koban.sim.texts import yen
from koban.sim.texts_adversary import ADVERSARY, COMPOSED, HANDLE_WORDS, LINK_ENDS, LINK_WORDS, MAIL_HOSTS, OPENERS
from koban.sim.types import AccountTruth
from koban.sim.world import Beat, Listing, World, comment_data, message_data, order_data, payment_data

_SPOKEN: Final = frozenset(
    {"off_platform_lure", "line_contact", "early_receipt_rating", "extra_charge", "prepayment", "account_rental"}
)
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz"


class Scammer(msgspec.Struct, frozen=True, kw_only=True):
    """An adversary: an account, a trick, and the habits by which its words are hidden."""

    person: Person
    trick: str
    habits: tuple[str, ...]
    handle: str
    phone: str
    domain: str


def scammer(
    world: World,
    randomness: random.Random,
    trick: str,
    at: int,
    *,
    days: tuple[int, int] = (0, 40),
    name: str = "",
    device: str = "",
    ip: str = "",
) -> Scammer:
    """Bring an adversary into the world and write down who it is. `days` bounds the age of its account."""
    age = between(randomness, days[0] * 24, max(days[1] * 24, 1)) * HOUR
    person = newcomer(randomness, world.new_id("u"), created_at=Instant(at - age), at=Instant(at))
    person = msgspec.structs.replace(
        person,
        persona="scammer",
        name=name or person.name,
        device=device or person.device,
        ip=ip or person.ip,
        trades=between(randomness, 0, 3) if age < 30 * DAY else person.trades,
    )
    world.met.append(
        AccountTruth(account=person.id, name=person.name, language=person.language, persona="scammer", trick=trick)
    )
    letters = "".join(pick(randomness, _LETTERS) for _ in range(6))
    link = f"{pick(randomness, LINK_WORDS)}-{letters}.{pick(randomness, LINK_ENDS)}"
    return Scammer(
        person=person,
        trick=trick,
        habits=habits_of(randomness),
        handle=f"{pick(randomness, HANDLE_WORDS)}{letters[:3]}{between(randomness, 10, 9_999)}",
        phone=_phone(randomness),
        domain=link,
    )


def pitch(randomness: random.Random, crook: Scammer, price_minor: int, *, situation: str = "") -> str:
    """Say a line of the trick, with the scammer's own contacts and disguises."""
    said = situation or crook.trick
    if said in COMPOSED and chance(randomness, 55):
        text = "".join(pick(randomness, part) for part in COMPOSED[said])
    else:
        text = pick(randomness, ADVERSARY[said])
    if said in _SPOKEN and chance(randomness, 30):
        text = pick(randomness, OPENERS) + text
    slots: dict[str, Callable[[], str]] = {
        "{price}": lambda: yen(randomness, price_minor * between(randomness, 75, 92) // 100, "ja"),
        "{handle}": lambda: crook.handle,
        "{phone}": lambda: crook.phone,
        "{domain}": lambda: crook.domain,
        "{mail}": lambda: pick(randomness, MAIL_HOSTS),
        "{n}": lambda: str(between(randomness, 100_000, 999_999)),
    }
    for slot, make in slots.items():
        if slot in text:
            text = text.replace(slot, make())
    return disguise(randomness, text, crook.habits)


def small_talk(randomness: random.Random) -> str:
    """Say something harmless, as scammers do first."""
    return pick(randomness, ADVERSARY["small_talk"])


def deed(
    crook: Scammer,
    at: int,
    kind: str,
    subject: str,
    data: dict[str, object],
    *,
    harm: bool = False,
    incident: str | None = None,
    planted_minor: int = 0,
) -> Beat:
    """Mark an event as the scammer's own; `harm` where the event itself is the wrong."""
    return Beat(at, kind, subject, crook.person.id, data, crook.trick, harm, incident, planted_minor)


def comment(
    world: World,
    crook: Scammer,
    at: int,
    listing: Listing,
    text: str,
    *,
    harm: bool,
    incident: str,
    planted_minor: int = 0,
) -> Beat:
    """Post a comment under somebody's listing."""
    data = comment_data(world, crook.person, listing, listing.seller.id, text)
    subject = world_id(data, "comment")
    return deed(crook, at, "comment.posted", subject, data, harm=harm, incident=incident, planted_minor=planted_minor)


def message(
    world: World,
    crook: Scammer,
    at: int,
    to: str,
    text: str,
    *,
    harm: bool,
    incident: str,
    planted_minor: int = 0,
    order: str | None = None,
    state: str = "none",
    first: bool = False,
) -> Beat:
    """Send a private message, before a purchase or within an order."""
    thread = f"t-{order}" if order else f"t-{crook.person.id}-{to}"
    data = message_data(world, crook.person, to, text, thread=thread, order=order, state=state, first=first)
    subject = world_id(data, "message")
    return deed(crook, at, "message.sent", subject, data, harm=harm, incident=incident, planted_minor=planted_minor)


def bought(
    world: World, randomness: random.Random, at: int, *, buyer: Person, listing: Listing, order: str, incident: str
) -> Iterator[Beat]:
    """Let an honest buyer walk into the trap: an order and its payment, which belong to the incident."""
    data = order_data(buyer, listing, order)
    yield Beat(at, "order.created", order, buyer.id, data, None, False, incident)
    at += between(randomness, 5, 60) * SECOND
    paid = payment_data(world, buyer, order, listing.price_minor, method="card")
    yield Beat(at, "payment.attempted", world_id(paid, "payment"), buyer.id, paid, None, False, incident)


def world_id(data: dict[str, object], kind: str) -> str:
    """Read the id of one of the things that an event names."""
    inner = data[kind]
    assert isinstance(inner, dict)
    return str(inner["id"])


def falls_for_it(randomness: random.Random, price_minor: int, percent: int = 35) -> int:
    """Return the money that this victim would lose: the price, or nothing where the victim sees through it."""
    return price_minor if chance(randomness, percent) else 0


def _phone(randomness: random.Random) -> str:
    """Make a mobile number of a block that is given to nobody (the fourth digit is a zero)."""
    start = pick(randomness, ("090", "080", "070"))
    middle, last = f"0{between(randomness, 100, 999)}", f"{between(randomness, 1_000, 9_999)}"
    return pick(randomness, (f"{start}-{middle}-{last}", f"{start}{middle}{last}", f"{start} {middle} {last}"))
