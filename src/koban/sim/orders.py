"""What an evening goes on with from the days before: orders that will be rated, wallets that will be emptied.

Pure, and worked out without playing the evening: each episode has a stream of randomness of its own.
"""

import itertools
from collections.abc import Mapping
from typing import Final

import msgspec

from koban.base import Instant
from koban.sim import evening
from koban.sim.honest import Deal, asks_for, rated_deal
from koban.sim.people import Person, role
from koban.sim.plan import HONEST, arrivals, local
from koban.sim.randomness import stream
from koban.sim.types import Settings
from koban.sim.world import open_world

RATED_MAX: Final = 40  # orders of the days before that are paid here; the others stay in the marketplace's older books
ASKS_MAX: Final = 14


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who will ask for their money, how much, and when."""

    person: Person
    amount_minor: int
    at: Instant


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """What the days before an evening leave to it. `people` are those of the town, for what else there is to tell."""

    town: str
    rated: tuple[Deal, ...]
    asks: tuple[Ask, ...]
    robbed: Person
    people: tuple[Person, ...]
    sellers: tuple[Person, ...]


def earlier_of(settings: Settings) -> Earlier:
    """Work out what an evening goes on with. Equal settings leave equal things."""
    world = open_world(settings)
    rates = {name: (per_minute, hours) for name, _, per_minute, hours in HONEST}
    rated = (
        rated_deal(world, stream(settings.seed, "rate_earlier", number), at)
        for at, number in arrivals(settings, "rate_earlier", *rates["rate_earlier"])
    )
    asks = (
        (at, *asks_for(world, stream(settings.seed, "cash_out", number)))
        for at, number in arrivals(settings, "cash_out", *rates["cash_out"])
    )
    return Earlier(
        town=world.town,
        rated=tuple(itertools.islice(rated, RATED_MAX)),
        asks=tuple(
            Ask(person=person, amount_minor=amount, at=Instant(at))
            for at, person, amount in itertools.islice(asks, ASKS_MAX)
        ),
        robbed=evening.robbed(world),
        people=world.people,
        sellers=world.sellers,
    )


def buyers_side(earlier: Earlier, buyer: Person) -> Mapping[str, object]:
    """Return what the decision on a payment is told beside the payment: who pays, on which device, with which card."""
    told = {
        "buyer": role(buyer),
        "device": {"id": buyer.device},
        "card": {"id": buyer.card},
        "ip": buyer.ip,
        "three_d_secure": True,
    }
    return local(told, earlier.town)
