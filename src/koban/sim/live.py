"""Honest live streams: chat that swells at the end of an auction, bids, gifts, winners."""

import random
from collections.abc import Iterator
from typing import Final

from koban.base import MINUTE, SECOND
from koban.sim.catalog import GOODS, STREAM_TITLES
from koban.sim.people import Person, role
from koban.sim.randomness import between, chance, pick
from koban.sim.texts import say
from koban.sim.world import Beat, Live, World, bid_data, chat_data

# Chat lines a minute at normal size, by stage from the second on; the first is the evening's big show.
_CHAT_PER_MINUTE: Final = (60, 40, 28, 20, 14)


def stage(world: World, randomness: random.Random, at: int, number: int) -> Iterator[Beat]:
    """Keep one stage busy: stream after stream, with short breaks between."""
    at += between(randomness, 0, 20) * SECOND
    while True:
        host = pick(randomness, world.sellers)
        minutes = between(randomness, 55, 90) if number == 0 else between(randomness, 20, 60)
        live = Live(id=world.new_id("s"), host=host, ends_at=at + minutes * MINUTE)
        world.lives[number] = live
        title = pick(randomness, STREAM_TITLES[host.language])
        data: dict[str, object] = {
            "host": role(host),
            "stream": {"id": live.id},
            "title": title,
            "minor_host": False,
            "device": {"id": host.device},
            "ip": host.ip,
        }
        yield Beat(at, "stream.started", live.id, host.id, data)
        yield from _show(world, randomness, at, live, number)
        world.lives.pop(number, None)
        at = live.ends_at + between(randomness, 2, 9) * MINUTE


def _show(world: World, randomness: random.Random, at: int, live: Live, number: int) -> Iterator[Beat]:
    size = world.settings.size
    usual = _CHAT_PER_MINUTE[min(number, len(_CHAT_PER_MINUTE)) - 1] if number else size.main_chat
    rate = usual * size.events_per_minute / 1_800
    audience = _audience(world, randomness, live.host, max(int(rate * 2), 12))
    seen: set[str] = set()
    auction_ends = at + between(randomness, 90, 200) * SECOND
    auction, price, bids, leader = world.new_id("q"), pick(randomness, GOODS).median_minor * 4 // 10, 0, live.host
    while True:
        closing = auction_ends - at < 25 * SECOND
        at += max(int(randomness.expovariate(rate * (2.2 if closing else 0.9)) * MINUTE), 1)
        if at >= live.ends_at:
            return
        if at >= auction_ends:
            if bids:
                yield _closed(at, live, auction, winner=leader, price=price, bids=bids)
            auction_ends = at + between(randomness, 90, 200) * SECOND
            auction, price, bids, leader = (
                world.new_id("q"),
                pick(randomness, GOODS).median_minor * 4 // 10,
                0,
                live.host,
            )
        draw = randomness.random() * 100
        person = pick(randomness, audience)
        if draw < (34 if closing else 14) and person is not leader:
            price, bids, leader = max(price * between(randomness, 102, 112) // 100, price + 100), bids + 1, person
            bid = bid_data(world, person, live.host.id, auction, live=live.id, amount_minor=price)
            yield Beat(at, "stream.bid", auction, person.id, bid)
        elif draw > 98:
            yield Beat(at, "stream.gift", live.id, person.id, _gift(randomness, live, person))
        else:
            situation = "hype" if closing and chance(randomness, 60) else "hard" if chance(randomness, 1.5) else "chat"
            text = say(randomness, situation, language=person.language, register=person.register)
            chat = chat_data(world, person, live, text, first=person.id not in seen)
            seen.add(person.id)
            yield Beat(at, "stream.chat", live.id, person.id, chat)


def _audience(world: World, randomness: random.Random, host: Person, count: int) -> tuple[Person, ...]:
    """Gather viewers; nobody of the host's household bids in the show."""
    drawn = (pick(randomness, world.people) for _ in range(count))
    return tuple(person for person in drawn if person.device != host.device and person.address != host.address)


def _closed(at: int, live: Live, auction: str, *, winner: Person, price: int, bids: int) -> Beat:
    data = {
        "seller": {"id": live.host.id},
        "auction": {"id": auction},
        "stream": {"id": live.id},
        "winner": {"id": winner.id},
        "amount_minor": price,
        "currency": "JPY",
        "bids": bids,
    }
    return Beat(at, "auction.closed", auction, live.host.id, data)


def _gift(randomness: random.Random, live: Live, person: Person) -> dict[str, object]:
    return {
        "sender": role(person),
        "stream": {"id": live.id},
        "host": {"id": live.host.id},
        "amount_minor": pick(randomness, (100, 100, 300, 500, 1_000)),
        "currency": "JPY",
        "device": {"id": person.device},
        "ip": person.ip,
    }
