"""The evening of the demo: its chapters, what happens in each, and the settings that make it the same every time.

The story's hour is 20:30 to 21:30; played twelve times faster it takes five minutes. The marketplace is small enough
that the *played* evening has the pace of a busy one: about 30 events a second reach Koban, because rates, windows and
due times are always those of arrival. See docs/decisions on the story's time.
"""

import random
from collections.abc import Iterator
from typing import Final

import msgspec

from koban.base import DAY, HOUR, MINUTE, SECOND, Instant
from koban.sim.people import Person
from koban.sim.randomness import pick, stream
from koban.sim.scammers import deed, message, scammer, world_id
from koban.sim.types import AccountTruth, Outage, Raid, Scenario, Settings, Size
from koban.sim.world import (
    Beat,
    Story,
    World,
    bank_data,
    dispute_data,
    login_data,
    payout_data,
    return_data,
)

OPENS_AT: Final = 20 * HOUR + 30 * MINUTE  # the story's clock when it begins
LASTS_MINUTES: Final = 60
SPEED: Final = 12.0
OUTAGES: Final = (
    Outage(minute=4, lasts_minutes=4, kind="down"),
    Outage(minute=8, lasts_minutes=4, kind="silent"),
)
LIVE_LAG: Final = 15 * SECOND  # until the chat servers of the marketplace follow a mute
PAST_LASTS: Final = DAY
PAST_EVENTS_PER_MINUTE: Final = 2
ROBBED_MINOR: Final = 184_000  # what the thief of the chapter asks for
FAN: Final = "fan"  # the persona of the viewer who is muted by mistake
_MARK: Final = "chapter"  # incidents of chapters carry their key: `chapter-takeover-4f2c`


class Chapter(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the reader is told about at a minute of the story; `look` is the page that shows it."""

    key: str
    minute: int
    look: str
    about: str = ""  # the chapter whose account the page shows; empty: the page is no account's


CHAPTERS: Final = (
    Chapter(key="opening", minute=0, look="/board"),
    Chapter(key="lure", minute=3, look="/decisions?rule=off_platform_payment"),
    Chapter(key="outage", minute=4, look="/actions"),
    Chapter(key="takeover", minute=7, look="/subjects/account/{}", about="takeover"),
    Chapter(key="recovered", minute=12, look="/actions?status=confirmed"),
    Chapter(key="parcel", minute=14, look="/decisions?rule=return_mismatch"),
    Chapter(key="raid", minute=18, look="/decisions?rule=live_devices"),
    Chapter(key="fan", minute=22, look="/subjects/account/{}", about="fan"),
    Chapter(key="calm", minute=31, look="/cases"),
    Chapter(key="appeal", minute=36, look="/subjects/account/{}", about="fan"),
    Chapter(key="restored", minute=44, look="/subjects/account/{}", about="fan"),
    Chapter(key="truth", minute=52, look="/truth"),
    Chapter(key="over", minute=LASTS_MINUTES, look="/truth"),
)

assert [each.minute for each in CHAPTERS] == sorted(each.minute for each in CHAPTERS), "chapters are in order"


def evening_of(seed: int, at: Instant, *, minutes: int = LASTS_MINUTES, speed: float = SPEED) -> Settings:
    """Return the settings of an evening whose first event is due at a moment; equal seeds tell equal stories."""
    per_wall_minute = 1_800
    return Settings(
        seed=seed,
        start_at=at,
        name=f"evening-{at // SECOND}",
        duration=minutes * MINUTE,
        size=Size(people=6_000, events_per_minute=int(per_wall_minute / speed), main_chat=420),
        scenario=Scenario(
            raid=Raid(
                minute=18, lasts_s=int(60 * speed), per_minute=int(2_200 / speed), accounts=61, devices=4, fan=True
            ),
            evening=True,
        ),
        trick_percent=int(60 * speed),
    )


def past_of(evening: Settings) -> Settings:
    """Return the settings of the day before an evening: the same people, all of them honest, trading quietly."""
    return msgspec.structs.replace(
        evening,
        start_at=Instant(evening.start_at - PAST_LASTS),
        duration=PAST_LASTS - 5 * MINUTE,
        size=msgspec.structs.replace(evening.size, events_per_minute=PAST_EVENTS_PER_MINUTE, main_chat=60),
        scenario=Scenario(raid=None),
        trick_percent=0,
        town_at=evening.start_at,
        part="past",
    )


def chapter_at(position: int) -> tuple[Chapter, Chapter | None]:
    """Return the chapter that runs at a place in the story, and the one that follows."""
    begun = [each for each in CHAPTERS if each.minute * MINUTE <= position] or [CHAPTERS[0]]
    following = CHAPTERS[len(begun)] if len(begun) < len(CHAPTERS) else None
    return begun[-1], following


def chapter_of(incident: str | None, persona: str = "") -> str:
    """Return the chapter that an incident or a person of the truth belongs to; empty: none."""
    if persona == FAN:
        return FAN
    return incident.split("-")[1] if incident is not None and incident.startswith(f"{_MARK}-") else ""


def chapters_of(world: World) -> Iterator[tuple[int, str, int, Iterator[Beat]]]:
    """Yield the stories of the chapters that the plan itself does not tell."""
    told: tuple[tuple[str, int, Story], ...] = (("lure", 3, _lure), ("takeover", 6, _takeover), ("parcel", 9, _parcel))
    for number, (key, minute, story) in enumerate(told):
        at = world.settings.start_at + minute * MINUTE
        yield at, f"chapter-{key}", number, story(world, stream(world.settings.seed, _MARK, key), at)


def robbed(world: World, randomness: random.Random | None = None) -> Person:
    """Return whose account is taken over in the chapter of that name; without randomness in hand, from the seed."""
    return _settled(world, randomness or stream(world.settings.seed, _MARK, "takeover"))


def _lure(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Ask a buyer to pay outside: twice, because the first who was asked did not answer."""
    crook = scammer(world, randomness, "off_platform_lure", at, days=(1, 3), name="かなこ")
    incident = world.new_id(f"{_MARK}-lure")
    lines = (
        "手数料がもったいないので、サイトを通さず直接振り込みでお願いできませんか？3,000円お安くします",
        "取引画面ではなく、直接振込でしたら送料もこちらで持ちます",
    )
    for text in lines:
        victim = pick(randomness, world.people)
        yield message(world, crook, at, victim.id, text, harm=True, incident=incident, planted_minor=18_000, first=True)
        at += 40 * SECOND


def _takeover(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Steal an account while the marketplace does not hear Koban: only the answer to the call can hold the cash-out."""
    owner = robbed(world, randomness)
    thief = msgspec.structs.replace(owner, device=f"dev-{randomness.getrandbits(48):012x}", ip="198.51.100.77")
    world.met.append(
        AccountTruth(account=owner.id, name=owner.name, language=owner.language, persona=owner.persona, stolen=True)
    )
    incident = world.new_id(f"{_MARK}-takeover")
    amount, bank = ROBBED_MINOR, f"bank-{randomness.getrandbits(48):012x}"

    def act(kind: str, data: dict[str, object], *, harm: bool = False, planted: int = 0) -> Beat:
        return Beat(at, kind, owner.id, owner.id, data, "account_takeover", harm, incident, planted)

    yield act("login.succeeded", login_data(thief, new_device=True, country="VN"))
    at += 45 * SECOND
    yield act("payout_account.changed", bank_data(thief, bank, new_device=True), harm=True)
    at += 45 * SECOND
    yield act("payout.requested", payout_data(thief, amount, bank=bank, new_device=True), harm=True, planted=amount)


def _parcel(world: World, randomness: random.Random, at: int) -> Iterator[Beat]:
    """Send back something else: 612 g went out, 388 g come back, and the serial number is another one."""
    crook = scammer(world, randomness, "item_switch", at, days=(60, 300), name="りょう")
    seller, order = _settled(world, randomness), world.new_id("o")
    incident, price = world.new_id(f"{_MARK}-parcel"), 48_000
    claim = dispute_data(
        world,
        crook.person,
        seller.id,
        order,
        "届いた商品の電源が入りません。返品したいです。",
        reason="not_as_described",
        amount_minor=price,
        refuses=False,
    )
    yield deed(crook, at, "dispute.opened", world_id(claim, "dispute"), claim, incident=incident)
    at += 5 * MINUTE
    back = return_data(world, crook.person.id, seller.id, order, out_g=612, back_g=388, intact=False, serial=False)
    yield deed(crook, at, "return.scanned", order, back, harm=True, incident=incident, planted_minor=price)


def _settled(world: World, randomness: random.Random) -> Person:
    """Choose somebody who sells, is verified and has been there for a year."""
    while True:
        person = pick(randomness, world.sellers)
        if person.verified and world.settings.start_at - person.created_at > 365 * DAY:
            return person
