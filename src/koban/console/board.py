"""The board: what happens now, moving by itself, and the rows of the money that waits."""

import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import HOUR, MINUTE, SECOND, Instant, Unavailable
from koban.board import Activity, Now, RuleTally, Series, Waiting, choose, read_now, read_series
from koban.console import store
from koban.console.decisions import DecisionLine, with_facts
from koban.console.filters import read_filters, seq_of
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.live import Broadcast, Key, Parts
from koban.console.pages import PAGE_ITEMS, fragment, page
from koban.console.search import views_of
from koban.console.words import language_of
from koban.db import Tx
from koban.decisions import VERDICT_NAMES, DecisionRecord
from koban.decisions import store as decision_store
from koban.packs import PackDef, RuleDef
from koban.rules import store as rule_store

RULES_FIRING: Final = 12
LATEST: Final = 8
# How old a part may be: what counts events is new every second, what counts people can wait.
NOW_FOR: Final = SECOND
LATEST_FOR: Final = 2 * SECOND
FIRING_FOR: Final = 5 * SECOND
SERIES_FOR: Final = 20 * SECOND
T = TypeVar("T")

PARTS: Final = ("now", "firing", "latest")
# What parts of the board depend on: two readers who have the same of these see the same.
SHOWN_BY: Final = (
    "cases.read", "sanctions.read", "quarantine.read", "alerts.read", "webhooks.read", "decisions.read", "rules.read",
    "rules.emergency", "subjects.read",
)  # fmt: skip


class FiringLine(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that fired within the hour."""

    rule: RuleDef
    activity: Activity
    harmed: int
    honest: int
    spark: tuple[int, ...]
    tripped: bool


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the board shows."""

    at: Instant
    made_at: Mapping[str, Instant]  # when each part was worked out: what it says of ages holds for then
    now: Now
    series: Series
    firing: list[FiringLine]
    latest: list[DecisionLine]
    review_all: bool
    pack: PackDef


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    recent = _Recent(kit)
    broadcast = Broadcast(
        lambda: recent.moment(kit.clock.now()),
        lambda moment, key: _parts(kit, moment, key),
        stopping=kit.stopping,
        name=f"{kit.access.randomness.getrandbits(32):x}",
    )

    def board(call: Call) -> Answer:
        return page(kit, call, "board.html", _values(recent.moment(call.at)))

    def board_live(call: Call) -> Answer:
        return page(kit, call, "board_live.html", _values(recent.moment(call.at)))

    async def stream(call: Call) -> Answer:
        seen = call.headers.get("last-event-id", "")[:80]
        return Answer(
            parts=broadcast.follow(_key(call), seen),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    return (
        endpoint("GET", "/board", "board.read", board, summary="The board", page=True),
        endpoint("GET", "/board/live", "board.read", board_live, summary="The board's moving part", page=True),
        endpoint("GET", "/board/stream", "board.read", stream, summary="The board's moving part as it changes",
                 page=True, blocking=False),
        endpoint("GET", "/waiting", "decisions.read", lambda call: _money(kit, call), summary="Money that waits",
                 page=True),
    )  # fmt: skip


def _key(call: Call) -> Key:
    may = "".join("1" if name in call.principal.grants else "0" for name in SHOWN_BY)
    return call.language, may


def _values(moment: Moment) -> dict[str, object]:
    return {
        "moment": moment,
        "verdicts": VERDICT_NAMES,
        "minute": sum(moment.now.last_minute.values()),
        "since_minute": Instant(moment.at - MINUTE),
        "since_hour": Instant(moment.at - HOUR),
        "pack": moment.pack,
    }


def _parts(kit: ConsoleKit, moment: object, key: Key) -> Parts:
    assert isinstance(moment, Moment)  # this part computes nothing else
    language, may = key
    granted = {name for name, mark in zip(SHOWN_BY, may, strict=True) if mark == "1"}
    shared = _values(moment)
    return {
        part: fragment(kit, f"board_{part}.html", shared, language=language, granted=granted, at=moment.made_at[part])
        for part in PARTS
    }


class _Recent:
    """The board's values, each worked out as seldom as it may be, however many people look; only the words are theirs."""

    def __init__(self, kit: ConsoleKit) -> None:
        self._kit = kit
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Instant, object]] = {}

    def moment(self, at: Instant) -> Moment:
        """Return values that are as old as each may be.

        Raises Unavailable when somebody else has been working them out for too long.
        """
        if not self._lock.acquire(timeout=5):
            raise Unavailable("board", 2, "The board is being worked out; come back in a moment.")
        try:
            return self._moment(at)
        finally:
            self._lock.release()

    def _moment(self, at: Instant) -> Moment:
        kit, pack = self._kit, self._kit.pack()
        with kit.database.read() as tx:
            return Moment(
                at=at,
                now=self._keep("now", at, NOW_FOR, lambda: read_now(tx, at, kit.figures(), pack, kit.money)),
                series=self._keep("series", at, SERIES_FOR, lambda: read_series(tx, at)),
                firing=self._keep("firing", at, FIRING_FOR, lambda: _firing(tx, pack, at, kit.tally)),
                latest=self._keep("latest", at, LATEST_FOR, lambda: _latest(tx)),
                made_at={name: made_at for name, (made_at, _) in self._kept.items()},
                review_all=any(row.rule == rule_store.ALL and row.mode == "review" for row in rule_store.modes(tx)),
                pack=pack,
            )

    def _keep(self, name: str, at: Instant, lasts: int, make: Callable[[], T]) -> T:
        kept = self._kept.get(name)
        if kept is not None and 0 <= at - kept[0] < lasts:
            return kept[1]  # type: ignore[return-value]  # each name stands for one type, that of its `make`
        made = make()
        self._kept[name] = (at, made)
        return made


def _firing(tx: Tx, pack: PackDef, at: Instant, tally: RuleTally) -> list[FiringLine]:
    harmed, honest = store.harmed_lately(tx, after=Instant(at - HOUR)), tally.honest(tx, at)
    tripped = {row.rule for row in rule_store.modes(tx) if row.tripped_seq is not None}
    active = [(name, done) for name, done in tally.activity(tx, at, lasts=HOUR).items() if name in pack.rules]
    active.sort(key=lambda each: (-each[1].applied, -each[1].hits, each[0]))
    return [
        FiringLine(
            rule=pack.rules[name],
            activity=done,
            harmed=harmed.get(name, 0),
            honest=honest.get(name, 0),
            spark=tuple(hits for hits, _ in tally.buckets(tx, at, name, lasts=HOUR, bucket_us=HOUR // 30)),
            tripped=name in tripped,
        )
        for name, done in active[:RULES_FIRING]
    ]


def _latest(tx: Tx) -> list[DecisionLine]:
    """Return the newest decisions that were not `allow`, whatever their verdict."""
    found: list[DecisionRecord] = []
    for verdict in VERDICT_NAMES:
        if verdict != "allow":
            found.extend(decision_store.search(tx, before_seq=None, limit=LATEST, verdict=verdict))
    return with_facts(tx, sorted(found, key=lambda record: -record.seq)[:LATEST])


def _money(kit: ConsoleKit, call: Call) -> Answer:
    filters = read_filters(
        call.query, ("kind", "currency", "account"), Formats(language_of(call.language), kit.zone, call.at)
    )
    with kit.database.read() as tx:
        waiting = kit.money.look(tx, call.at, kit.pack())
        shelf = views_of(call, tx, "/waiting")
    chosen = [
        each
        for each in choose(waiting, kind=filters.get("kind"), currency=filters.get("currency"))
        if filters.get("account") in (None, each.account)
    ]
    before = seq_of(filters.cursor)
    items = [each for each in chosen if before is None or each.seq < before][: PAGE_ITEMS + 1]
    return page(
        kit,
        call,
        "waiting.html",
        shelf,
        filters=filters,
        items=items[:PAGE_ITEMS],
        next_cursor=str(items[PAGE_ITEMS - 1].seq) if len(items) > PAGE_ITEMS else "",
        totals=_totals(chosen),
        currencies=sorted({each.currency for each in waiting}),
        pack=kit.pack(),
    )


def _totals(chosen: list[Waiting]) -> list[tuple[str, int, int]]:
    """Return currency, amount and number of rows; nothing is added across currencies."""
    totals: dict[str, tuple[int, int]] = {}
    for each in chosen:
        amount, count = totals.get(each.currency, (0, 0))
        totals[each.currency] = (amount + each.amount_minor, count + 1)
    return [(currency, *totals[currency]) for currency in sorted(totals)]
