"""The plan of a simulation: which stories begin when, woven into one stream of events in time order.

Everything follows from the settings. Nothing here reads a clock, a file or a global generator.
"""

import functools
import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from koban.base import HOUR, MINUTE, Instant, to_rfc3339
from koban.sim import evening, honest, tricks_goods, tricks_live, tricks_money, tricks_talk
from koban.sim.live import stage
from koban.sim.people import honest_truth
from koban.sim.randomness import chance, stream
from koban.sim.types import EventTruth, Settings, SimEvent, TruthRow
from koban.sim.world import Beat, Story, World, open_world

_OWNED: Final = ("device", "bank", "card", "address")

Note = Callable[[TruthRow], None]

# Episodes a minute at normal size (1,800 events a minute), and for how many hours orders from before still run in.
HONEST: Final[tuple[tuple[str, Story, int, int], ...]] = (
    ("visit", honest.visit, 160, 0),
    ("arrive", honest.arrive, 5, 0),
    ("sell", honest.sell, 70, 0),
    ("reprice", honest.reprice, 66, 0),
    ("ask", honest.ask, 104, 0),
    ("buy", honest.buy, 80, 0),
    ("ship_earlier", honest.ship_earlier, 80, 30),
    ("pass_hub", honest.pass_hub, 78, 45),
    ("deliver_earlier", honest.deliver_earlier, 78, 90),
    ("rate_earlier", honest.rate_earlier, 48, 3),
    ("return_earlier", honest.return_earlier, 2, 160),
    ("cash_out", honest.cash_out, 24, 0),
    ("tidy_profile", honest.tidy_profile, 8, 0),
    ("use_coupon", honest.use_coupon, 12, 0),
    ("complain_about", honest.complain_about, 4, 0),
    ("notice", honest.notice, 1, 0),
)

# Scammers an hour at normal size.
_TRICKS: Final[Mapping[str, tuple[Story, int]]] = {
    "off_platform_lure": (tricks_talk.off_platform_lure, 22),
    "line_contact": (tricks_talk.line_contact, 22),
    "phishing_link": (tricks_talk.phishing_link, 12),
    "staff_impersonation": (tricks_talk.staff_impersonation, 7),
    "account_rental": (tricks_talk.account_rental, 7),
    "early_receipt_rating": (tricks_talk.early_receipt_rating, 14),
    "extra_charge": (tricks_talk.extra_charge, 7),
    "prepayment": (tricks_talk.prepayment, 6),
    "rating_extortion": (tricks_talk.rating_extortion, 6),
    "counterfeit_hedge": (tricks_goods.counterfeit_hedge, 16),
    "no_stock": (tricks_goods.no_stock, 4),
    "gift_code": (tricks_goods.gift_code, 9),
    "medicine": (tricks_goods.medicine, 5),
    "empty_ship": (tricks_goods.empty_ship, 5),
    "triangulation": (tricks_goods.triangulation, 3),
    "serial_claimant": (tricks_goods.serial_claimant, 4),
    "item_switch": (tricks_goods.item_switch, 6),
    "account_takeover": (tricks_money.account_takeover, 8),
    "card_testing": (tricks_money.card_testing, 5),
    "self_dealing": (tricks_money.self_dealing, 6),
    "code_farming": (tricks_money.code_farming, 4),
    "chargeback": (tricks_money.chargeback, 4),
    "shill_bidding": (tricks_live.shill_bidding, 8),
    "live_contact": (tricks_live.live_contact, 7),
}

TRICKS: Final = (*_TRICKS, "live_raid")
"""The names of all tricks; `Settings.tricks` chooses among them."""


def plan(settings: Settings, note: Note | None = None) -> Iterator[SimEvent]:
    """Yield the events of a simulation in time order; `note` is told the truth of each account and event before it.

    Invariant: equal settings give equal events and equal truth, in every process.
    """
    world = open_world(settings)
    write = note or _forget
    for person in world.people:
        write(honest_truth(person))
    source = source_of(settings)
    ends_at = settings.start_at + settings.duration
    tricks: dict[str, str] = {}
    for number, beat in enumerate(_weave(world, ends_at)):
        for met in world.met:
            write(met)
            if met.trick is not None:
                tricks[met.account] = met.trick
        world.met.clear()
        event_id = f"e-{world.tag}-{number:07d}"
        write(
            EventTruth(
                event_id=event_id,
                account=beat.actor,
                trick=beat.trick or tricks.get(beat.actor),  # scammers also answer questions about their goods
                harm=beat.harm,
                incident=beat.incident,
                planted_minor=beat.planted_minor,
            )
        )
        yield SimEvent(
            id=event_id,
            source=source,
            type=beat.type,
            at=Instant(beat.at),
            subject=beat.subject,
            actor=beat.actor,
            data=local(beat.data, world.town),
        )


def source_of(settings: Settings) -> str:
    """Return the source that the events of a run carry."""
    return f"sim://{settings.name}/{settings.seed}" + (f"/{settings.part}" if settings.part else "")


def wire(event: SimEvent, at: Instant | None = None) -> dict[str, object]:
    """Write an event as a CloudEvent, marked as simulated; `at` replaces its time when a run is sped up."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": to_rfc3339(event.at if at is None else at),
        "subject": event.subject,
        "datacontenttype": "application/json",
        "simulated": True,
        "data": event.data,
    }


def local(data: Mapping[str, object], town: str) -> Mapping[str, object]:
    """Give devices, banks, cards and addresses to one town: equal seeds make equal ones, and two runs share a log."""
    owned = {name: thing for name in _OWNED if isinstance(thing := data.get(name), dict) and thing.get("id")}
    if not owned:
        return data
    return {**data, **{name: thing | {"id": f"{thing['id']}-{town}"} for name, thing in owned.items()}}


def arrivals(settings: Settings, name: str, per_minute: int, run_in_hours: int) -> Iterator[tuple[int, int]]:
    """Yield when each episode of a kind begins, with its number: its own stream of randomness has both names."""
    clock = stream(settings.seed, "arrivals", name)
    gap = MINUTE * 1_800 / (per_minute * settings.size.events_per_minute)
    at: int = settings.start_at
    ends_at = at + settings.duration
    for number in itertools.count():
        at += max(int(clock.expovariate(1.0) * gap), 1)
        if at >= ends_at:
            return
        if run_in_hours and chance(clock, 100 * (at - settings.start_at) / (run_in_hours * HOUR)):
            continue
        yield at, number


def _weave(world: World, ends_at: int) -> Iterator[Beat]:
    """Run all stories at once, always continuing the one whose next moment comes first."""
    order = itertools.count()
    waiting: list[tuple[int, int, Beat, Iterator[Beat]]] = []
    beginnings = _beginnings(world)
    pending = next(beginnings, None)
    while True:
        while pending is not None and (not waiting or pending[0] <= waiting[0][0]):
            begun = pending[1]
            first = next(begun, None)
            if first is not None and first.at < ends_at:
                heapq.heappush(waiting, (first.at, next(order), first, begun))
            pending = next(beginnings, None)
        if not waiting:
            return
        _, _, beat, story = heapq.heappop(waiting)
        yield beat
        following = next(story, None)
        if following is not None and following.at < ends_at:  # what lies beyond the end is forgotten at once
            heapq.heappush(waiting, (following.at, next(order), following, story))


def _beginnings(world: World) -> Iterator[tuple[int, Iterator[Beat]]]:
    """Yield all stories in the order in which they begin."""
    sources: list[Iterator[tuple[int, str, int, Iterator[Beat]]]] = [
        _arrivals(world, name, story, rate, hours) for name, story, rate, hours in HONEST
    ]
    sources.append(iter(_stages(world)))
    sources.append(iter(_planted(world)))
    for at, _, _, story in heapq.merge(*sources, key=lambda begun: begun[:3]):
        yield at, story


def _arrivals(
    world: World, name: str, story: Story, per_minute: int, run_in_hours: int
) -> Iterator[tuple[int, str, int, Iterator[Beat]]]:
    """Begin a kind of honest episode at random moments; what runs in from before thins out with time."""
    for at, number in arrivals(world.settings, name, per_minute, run_in_hours):
        yield at, name, number, story(world, stream(world.settings.seed, name, number), at)


def _stages(world: World) -> list[tuple[int, str, int, Iterator[Beat]]]:
    start_at, seed = world.settings.start_at, world.settings.seed
    return [
        (int(start_at), "stage", number, stage(world, stream(seed, "stage", number), start_at, number))
        for number in range(world.settings.size.streams)
    ]


def _planted(world: World) -> list[tuple[int, str, int, Iterator[Beat]]]:
    """Spread the scammers over the first part of the run, so that their stories have time to happen."""
    settings = world.settings
    share = settings.duration / HOUR * settings.size.events_per_minute / 1_800 * settings.trick_percent / 100
    least = 1 if settings.trick_percent and (settings.tricks is not None or settings.duration >= HOUR // 3) else 0
    begun: list[tuple[int, str, int, Iterator[Beat]]] = []
    for name, (story, per_hour) in _TRICKS.items():
        if settings.tricks is not None and name not in settings.tricks:
            continue
        clock = stream(settings.seed, "planted", name)
        for number in range(max(int(per_hour * share + clock.random()), least)):
            at = settings.start_at + int(clock.random() * 0.85 * settings.duration)
            begun.append((at, name, number, story(world, stream(settings.seed, name, number), at)))
    begun.extend(_scenario(world))
    return sorted(begun, key=lambda story: story[:3])


def _scenario(world: World) -> Iterator[tuple[int, str, int, Iterator[Beat]]]:
    settings = world.settings
    raid = settings.scenario.raid
    if raid is not None and settings.trick_percent and (settings.tricks is None or "live_raid" in settings.tricks):
        at = settings.start_at + raid.minute * MINUTE
        yield at, "live_raid", 0, tricks_live.live_raid(world, stream(settings.seed, "live_raid"), at, raid)
    if settings.scenario.evening:
        yield from evening.chapters_of(world)
    for number, takeover in enumerate(settings.scenario.takeovers):
        at = settings.start_at + takeover.minute * MINUTE
        told = functools.partial(tricks_money.account_takeover, amount_minor=takeover.amount_minor)
        yield at, "takeover", number, told(world, stream(settings.seed, "takeover", number), at)


def _forget(_row: TruthRow) -> None:
    """Take a truth that nobody asked for."""
