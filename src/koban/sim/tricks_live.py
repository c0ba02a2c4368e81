"""Tricks in live streams: a raid on the busiest stage, bids that drive up a price, contacts in the chat."""

import random
from collections.abc import Iterator
from typing import Final

from koban.base import MINUTE, SECOND
from koban.sim.catalog import GOODS
from koban.sim.randomness import between, chance, pick
from koban.sim.scammers import Scammer, deed, pitch, scammer
from koban.sim.types import AccountTruth, Raid
from koban.sim.world import Beat, Live, World, bid_data, chat_data

# What the honest viewer writes, by minutes since the raid began.
_CHEERS: Final = (
    (0, "こんばんは！今日も楽しみにしてました"),
    (2, "え、なにこれ荒らし？主さん負けないで"),
    (4, "さっきのカード綺麗でした、応援してます"),
    (5, "次の商品はなんですか？"),
    (6, "コメント流れちゃってますね"),
    (8, "主さんがんばって"),
    (10, "見てますよ〜"),
    (14, "あれ、書けない…？"),
    (20, "書き込めないんですが、何かしましたっけ"),
    (28, "自分のスマホから戻れました！ありがとうございます"),
    (32, "おめでとうございます🎉 発送楽しみにしてます"),
    (37, "今日もありがとうございました"),
)
_HOME_AFTER_MINUTES: Final = 25  # then the viewer writes from a phone of their own


def live_raid(world: World, randomness: random.Random, at: int, raid: Raid) -> Iterator[Beat]:
    """Flood the busiest stream from many accounts on few phones, with a handful of lines in many variations."""
    live = _busiest(world)
    if live is None:
        return
    devices = [f"dev-{randomness.getrandbits(48):012x}" for _ in range(raid.devices)]
    crowd = [
        scammer(world, randomness, "live_raid", at, days=(0, 4), device=pick(randomness, devices), ip="203.0.113.9")
        for _ in range(raid.accounts)
    ]
    incident = world.new_id("incident")
    seen: set[str] = set()
    ends_at = at + raid.lasts_s * SECOND
    fans = _fan(world, randomness, at, live, devices[0]) if raid.fan else iter(())
    cheer = next(fans, None)
    while True:
        at += max(int(randomness.expovariate(raid.per_minute) * MINUTE), 1)
        while cheer is not None and (cheer.at <= at or at >= ends_at):
            yield cheer
            cheer = next(fans, None)
        if at >= ends_at:
            return
        one = pick(randomness, crowd)
        text = pitch(randomness, one, 1_000, situation="raid")
        if chance(randomness, 40):
            text += pick(randomness, ("!", "!!", "www", "😡", "。", " " * between(randomness, 1, 4))) * between(
                randomness, 1, 3
            )
        data = chat_data(world, one.person, live, text, first=one.person.id not in seen)
        seen.add(one.person.id)
        yield deed(one, at, "stream.chat", live.id, data, harm=True, incident=incident)


def _fan(world: World, randomness: random.Random, at: int, live: Live, device: str) -> Iterator[Beat]:
    """Let an honest viewer cheer from the café's tablet that raiders use too: before them, amid them, and long after."""
    fan = pick(randomness, [each for each in world.people if each.language == "ja" and each.trades > 5])
    world.met.append(AccountTruth(account=fan.id, name=fan.name, language=fan.language, persona="fan"))
    begun = at
    for number, (minute, text) in enumerate(_CHEERS):
        there = begun + minute * MINUTE
        shared = minute < _HOME_AFTER_MINUTES
        data = chat_data(world, fan, live, text, first=number == 0) | {
            "device": {"id": device if shared else fan.device}
        }
        yield Beat(there, "stream.chat", live.id, fan.id, data)


def shill_bidding(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Drive up one seller's auctions with accounts that never win, and take bids back when nobody follows."""
    live = _any_live(world, randomness)
    host = live.host if live else pick(randomness, world.sellers)
    stream = live.id if live else world.new_id("s")
    shills: list[Scammer] = [
        scammer(
            world,
            randomness,
            "shill_bidding",
            at,
            days=(10, 120),
            device=host.device if chance(randomness, 40) else "",
        )
        for _ in range(between(randomness, 1, 2))
    ]
    for _ in range(between(randomness, 2, 3)):
        auction, incident = world.new_id("q"), world.new_id("incident")
        start = pick(randomness, GOODS).median_minor // 2
        price, bids = start, 0
        victim = pick(randomness, world.people)
        for turn in range(between(randomness, 4, 7)):
            shill = pick(randomness, shills)
            price, bids = price * between(randomness, 108, 125) // 100 + 100, bids + 1
            data = bid_data(world, shill.person, host.id, auction, live=stream, amount_minor=price)
            yield deed(shill, at, "stream.bid", auction, data, harm=turn > 1, incident=incident)
            at += between(randomness, 4, 20) * SECOND
            if chance(randomness, 75):
                price, bids = price + 300, bids + 1
                data = bid_data(world, victim, host.id, auction, live=stream, amount_minor=price)
                yield Beat(at, "stream.bid", auction, victim.id, data)
                at += between(randomness, 3, 12) * SECOND
        shill = pick(randomness, shills)
        price += 500
        if chance(randomness, 50):
            data = bid_data(world, shill.person, host.id, auction, live=stream, amount_minor=price, retracted=True)
            yield deed(shill, at, "stream.bid", auction, data, harm=True, incident=incident)
            at += between(randomness, 3, 10) * SECOND
        closed = {
            "seller": {"id": host.id},
            "auction": {"id": auction},
            "stream": {"id": stream},
            "winner": {"id": victim.id},
            "amount_minor": price,
            "currency": "JPY",
            "bids": bids,
        }
        excess = max(price - start, 0) * 6 // 10
        yield Beat(at, "auction.closed", auction, host.id, closed, "shill_bidding", True, incident, excess)
        at += between(randomness, 30, 150) * SECOND


def live_contact(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Drop a messenger handle into a stream's chat."""
    live = _any_live(world, randomness)
    if live is None:
        return
    crook = scammer(world, randomness, "live_contact", at, days=(0, 30))
    for number in range(between(randomness, 2, 5)):
        incident = world.new_id("incident")
        text = pitch(randomness, crook, 5_000, situation="line_contact")
        data = chat_data(world, crook.person, live, text, first=number == 0)
        yield deed(crook, at, "stream.chat", live.id, data, harm=True, incident=incident)
        at += between(randomness, 20, 120) * SECOND


def _busiest(world: World) -> Live | None:
    for number in sorted(world.lives):
        return world.lives[number]
    return None


def _any_live(world: World, randomness: random.Random) -> Live | None:
    return pick(randomness, [world.lives[number] for number in sorted(world.lives)]) if world.lives else None
