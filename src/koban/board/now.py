"""The figures of a moment, from the decider's memory and one snapshot of the database."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from koban.base import MINUTE, Instant
from koban.board import store
from koban.board.money import HeldMoney, sums_of
from koban.board.types import ActionFigures, CaseFigures, Numbers, Waiting
from koban.db import Database, Tx
from koban.events import store as event_store
from koban.packs import PackDef

SERIES_MINUTES: Final = 60
MINUTES_KEPT: Final = 7 * 24 * 60


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """What the board shows, apart from rules."""

    at: Instant
    rate: float
    per_second: Sequence[int]
    last_minute: Mapping[str, int]
    p50_us: int
    p99_us: int
    queued: int
    cases: CaseFigures
    actions: ActionFigures
    sanctions: Mapping[str, int]
    quarantined: int
    alerts: int
    money: Mapping[str, Mapping[str, int]]
    waiting: tuple[Waiting, ...]


Series = Mapping[str, Sequence[int]]


def read_now(tx: Tx, at: Instant, numbers: Numbers, pack: PackDef, money: HeldMoney) -> Now:
    """Return the figures of a moment."""
    waiting = money.look(tx, at, pack)
    return Now(
        at=at,
        rate=sum(numbers.per_second[-10:]) / 10 if numbers.per_second else 0.0,
        per_second=numbers.per_second,
        last_minute=numbers.last_minute,
        p50_us=numbers.p50_us,
        p99_us=numbers.p99_us,
        queued=event_store.inbox_bounds(tx)[0],
        cases=store.count_cases(tx, at),
        actions=store.count_actions(tx),
        sanctions=store.count_sanctions(tx),
        quarantined=event_store.count_quarantined(tx),
        alerts=store.count_alerts(tx),
        money=sums_of(waiting),
        waiting=waiting,
    )


def read_series(tx: Tx, at: Instant) -> Series:
    """Return the last hour by the minute, oldest first, from the first minute on that was counted.

    A minute that nobody counted is as the one before; a figure that a minute does not name was nothing.
    """
    last = at // MINUTE
    found = store.read_minutes(tx, since=last - SERIES_MINUTES + 1)
    if not found:
        return {}
    series: dict[str, list[int]] = {name: [] for figures in found.values() for name in figures}
    present: Mapping[str, int] = {}
    for minute in range(min(found), last + 1):
        present = found.get(minute, present)
        for name, values in series.items():
            values.append(present.get(name, 0))
    return series


def figures_of(now: Now) -> dict[str, int]:
    """Return what a minute keeps."""
    minute = sum(now.last_minute.values())
    return {
        "decided": minute,
        "stopped": minute - now.last_minute.get("allow", 0),
        "p99_us": now.p99_us,
        "open_cases": now.cases.open,
        "unconfirmed": now.actions.unconfirmed,
        "sanctions": now.sanctions.get("in_force", 0),
        "quarantined": now.quarantined,
        "alerts": now.alerts,
        **{f"held_{currency}": sum(kinds.values()) for currency, kinds in now.money.items()},
    }


_SAMPLING: Final = threading.Lock()


def sample(database: Database, now: Callable[[Tx], Now]) -> None:
    """Keep the figures of this minute: a job, once a minute."""
    with _SAMPLING:
        with database.read() as tx:
            found = now(tx)
        with database.write() as tx:
            store.write_minute(tx, found.at // MINUTE, figures_of(found))
            store.forget_minutes(tx, before=found.at // MINUTE - MINUTES_KEPT)
