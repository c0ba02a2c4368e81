"""The cast: who lives in the simulated town, with their devices, addresses and habits."""

import functools
import random
from typing import Final

import msgspec

from koban.base import DAY, HOUR, Instant, to_rfc3339
from koban.sim.catalog import NICKNAMES
from koban.sim.randomness import between, chance, pick, stream
from koban.sim.texts import say
from koban.sim.types import AccountTruth, Language, Register

_REGISTERS: Final[tuple[Register, ...]] = ("polite", "polite", "polite", "curt", "young", "young", "old")
_PERSONAS: Final = ("buyer", "buyer", "buyer", "seller", "seller", "both", "both", "both", "collector", "maker")


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with an account. Devices, addresses and networks may be shared within a household."""

    id: str
    name: str
    language: Language
    register: Register
    persona: str
    created_at: Instant
    verified: bool
    trades: int
    device: str
    ip: str
    address: str
    card: str
    bank: str
    phone: str
    email: str
    profile: str


@functools.lru_cache(maxsize=2)  # a day before and its evening have the same town
def settle(seed: int, tag: str, start_at: Instant, count: int) -> tuple[Person, ...]:
    """Make the honest people of a town. One in twelve shares a phone with the person before, as families do."""
    randomness = stream(seed, "people")
    people: list[Person] = []
    for number in range(count):
        person = newcomer(randomness, f"u-{tag}-{number:06d}", created_at=_joined(randomness, start_at), at=start_at)
        if people and chance(randomness, 8):
            kin = people[-1]
            person = msgspec.structs.replace(
                person, device=kin.device, ip=kin.ip, address=kin.address, language=kin.language, persona="family"
            )
        people.append(person)
    return tuple(people)


def newcomer(randomness: random.Random, account: str, *, created_at: Instant, at: Instant) -> Person:
    """Make one person whose habits fit the age of the account."""
    language: Language = "ja" if chance(randomness, 88) else "en"
    register = pick(randomness, _REGISTERS)
    age_days = max((at - created_at) // DAY, 0)
    trades = int(randomness.expovariate(1 / (1 + age_days / 12))) if age_days else 0
    mark = randomness.getrandbits(48)
    first, last = NICKNAMES[language]
    return Person(
        id=account,
        name=pick(randomness, first) + pick(randomness, last),
        language=language,
        register=register,
        persona="fresh" if age_days < 7 else pick(randomness, _PERSONAS),
        created_at=created_at,
        verified=chance(randomness, 25 if age_days < 7 else 78),
        trades=trades,
        device=f"dev-{mark:012x}",
        ip=home_address(randomness),
        address=f"adr-{mark ^ 0x5A5A5A5A5A5A:012x}",
        card=f"card-{mark ^ 0x0F0F0F0F0F0F:012x}",
        bank=f"bank-{mark ^ 0x333333333333:012x}",
        phone=f"+8190{between(randomness, 10_000_000, 99_999_999)}",
        email=f"{mark:x}@mail.example",
        profile=say(randomness, "profile", language=language, register=register),
    )


def home_address(randomness: random.Random) -> str:
    """Make an address from the ranges reserved for documentation and private use (RFC 5737, RFC 1918)."""
    return f"10.{between(randomness, 0, 255)}.{between(randomness, 0, 255)}.{between(randomness, 1, 254)}"


def role(person: Person) -> dict[str, object]:
    """Write the fields that every event carries about the account that acts."""
    return {
        "id": person.id,
        "created_at": to_rfc3339(person.created_at),
        "verified": person.verified,
        "trades": person.trades,
    }


def honest_truth(person: Person) -> AccountTruth:
    """State for the record that this person is honest."""
    return AccountTruth(account=person.id, name=person.name, language=person.language, persona=person.persona)


def _joined(randomness: random.Random, start_at: Instant) -> Instant:
    if chance(randomness, 5):
        return Instant(start_at - between(randomness, 1, 7 * 24) * HOUR)
    return Instant(start_at - int(randomness.expovariate(1 / 500)) * DAY - between(randomness, 7 * 24, 30 * 24) * HOUR)
