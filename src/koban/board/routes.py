"""Routes of the board: its figures, and the rows of the money that waits."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint
from koban.base import Instant, to_rfc3339
from koban.board import now as board_now
from koban.board.money import HeldMoney
from koban.board.types import Numbers, Waiting
from koban.db import Database, Tx
from koban.packs import PackDef

SEQ_DIGITS: Final = "^[0-9]{1,18}$"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoardDesk:
    """What the board reads from; made once by the application."""

    database: Database
    numbers: Callable[[], Numbers]
    pack: Callable[[], PackDef]
    money: HeldMoney

    def now(self, tx: Tx, at: Instant) -> board_now.Now:
        """Return the figures of a moment."""
        return board_now.read_now(tx, at, self.numbers(), self.pack(), self.money)


class BoardBody(msgspec.Struct, frozen=True, kw_only=True):
    """The board, as the API shows it. Money is in minor units, by currency and kind."""

    at: str
    events_per_second: float
    decisions_last_minute: Mapping[str, int]
    p50_us: int
    p99_us: int
    events_waiting: int
    cases_open: int
    cases_overdue: int
    oldest_case_at: str | None
    next_due_at: str | None
    actions: Mapping[str, int]
    actions_unconfirmed: int
    oldest_unconfirmed_at: str | None
    sanctions: Mapping[str, int]
    quarantined: int
    alerts: int
    money_minor: Mapping[str, Mapping[str, int]]


class WaitingBody(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one event that waits."""

    seq: int
    at: str
    type: str
    kind: str
    why: str
    amount_minor: int
    currency: str
    account: str | None
    until: str | None


class MoneyQuery(PageQuery, frozen=True, kw_only=True):
    """Which rows to list."""

    cursor: Annotated[str, msgspec.Meta(pattern=SEQ_DIGITS)] | None = None
    kind: Annotated[str, msgspec.Meta(max_length=20, description="order, payment, payout or frozen")] | None = None
    currency: Annotated[str, msgspec.Meta(max_length=8)] | None = None


def endpoints(desk: BoardDesk) -> tuple[Endpoint, ...]:
    """Return the endpoint table of this room."""

    def get_board(call: Call) -> BoardBody:
        with desk.database.read() as tx:
            return _board_body(desk.now(tx, call.at))

    def get_money(call: Call) -> Page[WaitingBody]:
        asked = call.params_as(MoneyQuery)
        with desk.database.read() as tx:
            waiting = desk.money.look(tx, call.at, desk.pack())
        before = int(asked.cursor) if asked.cursor is not None else None
        found = [each for each in choose(waiting, kind=asked.kind, currency=asked.currency) if _before(each, before)]
        items = [_waiting_body(each) for each in found[: asked.limit]]
        return Page(items=items, next_cursor=str(items[-1].seq) if len(found) > asked.limit else None)

    return (
        endpoint("GET", "/v1/board", "board.read", get_board, summary="The figures of this moment", returns=BoardBody),
        endpoint("GET", "/v1/waiting", "decisions.read", get_money, summary="List money that waits, newest first",
                 query=MoneyQuery, returns=Page[WaitingBody],
                 description="Events with an amount that are held, and payouts that were asked for during a freeze."),
    )  # fmt: skip


def choose(waiting: tuple[Waiting, ...], *, kind: str | None, currency: str | None) -> list[Waiting]:
    """Return the rows of a kind (`frozen` is one) and a currency."""
    return [
        each
        for each in waiting
        if (kind is None or kind == ("frozen" if each.why == "frozen" else each.kind))
        and (currency is None or currency == each.currency)
    ]


def _before(each: Waiting, seq: int | None) -> bool:
    return seq is None or each.seq < seq


def _waiting_body(each: Waiting) -> WaitingBody:
    return WaitingBody(
        seq=each.seq,
        at=to_rfc3339(each.at),
        type=each.type,
        kind=each.kind,
        why=each.why,
        amount_minor=each.amount_minor,
        currency=each.currency,
        account=each.account,
        until=_time(each.until_at),
    )


def _board_body(now: board_now.Now) -> BoardBody:
    return BoardBody(
        at=to_rfc3339(now.at),
        events_per_second=now.rate,
        decisions_last_minute=now.last_minute,
        p50_us=now.p50_us,
        p99_us=now.p99_us,
        events_waiting=now.queued,
        cases_open=now.cases.open,
        cases_overdue=now.cases.overdue,
        oldest_case_at=_time(now.cases.oldest_at),
        next_due_at=_time(now.cases.next_due_at),
        actions=now.actions.by_status,
        actions_unconfirmed=now.actions.unconfirmed,
        oldest_unconfirmed_at=_time(now.actions.oldest_unconfirmed_at),
        sanctions=now.sanctions,
        quarantined=now.quarantined,
        alerts=now.alerts,
        money_minor=now.money,
    )


def _time(at: Instant | None) -> str | None:
    return None if at is None else to_rfc3339(at)
