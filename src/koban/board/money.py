"""Money that waits, followed along the log: held orders, payments and payouts, and payouts of frozen accounts."""

import threading
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from koban.base import DAY, Instant, from_rfc3339
from koban.board import store
from koban.board.types import Waiting
from koban.db import Tx
from koban.decisions import DecisionRecord
from koban.events import store as event_store
from koban.packs import PackDef

PAYOUTS_REMEMBERED_FOR: Final = 30 * DAY  # as long as events stay in the database

_DATA: Final = msgspec.json.Decoder(dict[str, object])
_RECORD: Final = msgspec.json.Decoder(DecisionRecord)


class HeldMoney:
    """What waits, kept from one look to the next, so that each look reads only what is new in the log.

    That a person ended a hold, or set it going again, is asked at each look.

    Invariant: equal to reading the whole log anew. Safe to use from several threads; one of them reads at a time.
    """

    def __init__(self) -> None:
        """Begin before the first entry."""
        self._lock = threading.Lock()
        self._pack = ""
        self._seq = -1
        self._held: dict[int, Waiting] = {}
        self._payouts: dict[str, dict[int, Waiting]] = {}

    def look(self, tx: Tx, at: Instant, pack: PackDef) -> tuple[Waiting, ...]:
        """Return what waits at a moment, newest first."""
        with self._lock:
            if pack.digest != self._pack:  # another pack may call other events money
                self._pack, self._seq = pack.digest, -1
                self._held.clear()
                self._payouts.clear()
            self._follow(tx, at, pack)
            ended = store.ended_holds(tx, since_seq=min(self._held, default=0))
            held = {seq: each for seq, each in self._held.items() if seq not in ended}
            frozen = [
                msgspec.structs.replace(payout, why="frozen", until_at=until_at)
                for account, (since_at, until_at) in store.freezes(tx, at).items()
                for payout in self._payouts.get(account, {}).values()
                if payout.at >= since_at and payout.seq not in held
            ]
            return tuple(sorted((*held.values(), *frozen), key=lambda each: -each.seq))

    def _follow(self, tx: Tx, at: Instant, pack: PackDef) -> None:
        last = event_store.last_seq(tx)
        for seq, log_at, type_, account, body, data in store.holds_since(tx, after_seq=self._seq):
            hold = _RECORD.decode(body).hold
            lifts_at = from_rfc3339(hold.lifts_at) if hold is not None else None
            found = _waiting(pack, seq=seq, at=log_at, type_=type_, account=account, data=data)
            if found is not None and lifts_at is not None:
                self._held[seq] = msgspec.structs.replace(found, until_at=lifts_at)
        for name, declared in pack.events.items():
            if declared.money is None or declared.money.kind != "payout":
                continue
            for seq, log_at, account, data in store.events_since(tx, name, after_seq=self._seq):
                found = _waiting(pack, seq=seq, at=log_at, type_=name, account=account, data=data)
                if found is not None and account is not None:
                    self._payouts.setdefault(account, {})[seq] = found
        self._seq = last
        self._held = {seq: each for seq, each in self._held.items() if each.until_at is None or each.until_at > at}
        for account in list(self._payouts):
            kept = {seq: each for seq, each in self._payouts[account].items() if each.at > at - PAYOUTS_REMEMBERED_FOR}
            if kept:
                self._payouts[account] = kept
            else:
                del self._payouts[account]


def sums_of(waiting: Iterable[Waiting]) -> Mapping[str, Mapping[str, int]]:
    """Return what waits in minor units: currency -> kind (order, payment, payout, frozen) -> amount."""
    sums: dict[str, dict[str, int]] = {}
    for each in waiting:
        kind = "frozen" if each.why == "frozen" else each.kind
        of_currency = sums.setdefault(each.currency, {})
        of_currency[kind] = of_currency.get(kind, 0) + each.amount_minor
    return {currency: sums[currency] for currency in sorted(sums)}


def _waiting(
    pack: PackDef, *, seq: int, at: int, type_: str, account: str | None, data: str
) -> Waiting | None:  # fmt: skip
    declared = pack.events.get(type_)
    if declared is None or declared.money is None:
        return None
    sent = _DATA.decode(data)
    amount, currency = _at(sent, declared.money.path), _at(sent, "currency")
    if not isinstance(amount, int) or isinstance(amount, bool) or not isinstance(currency, str):
        return None
    return Waiting(
        seq=int(seq),
        at=Instant(int(at)),
        type=type_,
        kind=declared.money.kind,
        why="held",
        amount_minor=amount,
        currency=currency,
        account=account,
        until_at=None,
    )


def _at(sent: Mapping[str, object], path: str) -> object:
    value: object = sent
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value
