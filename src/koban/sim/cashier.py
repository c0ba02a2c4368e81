"""The cashier of the simulated marketplace: it pays its orders through Koban's money API, with a machine's token of its own.

It knows what any marketplace knows of its orders: who bought what of whom and for how much, and what Koban answered. The
decision on a payment is made when it is begun, so the same `payment.attempted` is not sent as an event as well. What the
cashier does not take (a card without 3-D Secure, a wallet of which no money is here, an attempt that was declined before)
goes on as an event. Koban's answer to each command is final: a refusal is counted, never argued with.
"""

import threading
import zlib
from collections.abc import Iterable, Mapping
from typing import Final

import httpx
import msgspec

from koban.base import MINUTE
from koban.sim.types import SimEvent

CASHIER: Final = "simulated marketplace: cashier"
SCOPES: Final = (
    "ledger.post", "ledger.read", "payments.make", "payments.read", "payments.refund", "bank.request", "bank.read",
)  # fmt: skip
PAID_BY: Final = "koban:payments"  # of the events that payments are decided by; their ids are those of the payments
PAYMENT: Final = "payment.attempted"  # the event that a payment begun here stands for
FEE_PERCENT: Final = 10
CAMPAIGN: Final = "autumn"
PAYEES: Final = (
    ("0005", "001", "ﾔﾏﾀﾞ ﾊﾅｺ"), ("0009", "015", "ｽｽﾞｷ ﾀﾛｳ"), ("0001", "001", "ｻﾄｳ ﾐｻｷ"), ("0033", "001", "ﾀﾅｶ ｹﾝｼﾞ"),
    ("9900", "018", "ｲﾄｳ ｻｵﾘ"), ("0036", "201", "ﾜﾀﾅﾍﾞ ﾕｳﾀ"), ("0310", "101", "ｺﾊﾞﾔｼ ｱｵｲ"), ("0010", "101", "ｶﾄｳ ﾘｸ"),
    ("0038", "101", "ﾖｼﾀﾞ ﾏﾅ"),
)  # fmt: skip
"""Where people want their money: bank, branch and name in kana."""

_METHODS: Final[Mapping[str, str]] = {
    "card": "card",
    "convenience_store": "konbini",
    "carrier": "carrier",
    "wallet": "wallet",
}
_CANCELLED_OF_100: Final = 6
_CANCELLED_AFTER: Final = 5 * MINUTE  # of the story
_CAPTURED_LATER_OF_100: Final = 8  # taken only when the parcel goes out
_BACK_PERCENT: Final = 20  # of the price, where the buyer was not content
_FREE_FROM_MINOR: Final = 10_000
_CASH_OUT_FEE_MINOR: Final = 200
_ATTEMPTS_MAX: Final = 4
_AGAIN_AFTER_S: Final = 0.4
_TIMEOUT_S: Final = 30.0


class Order(msgspec.Struct, kw_only=True):
    """An order as the cashier keeps it. Not frozen: it is its own book-keeping."""

    id: str
    buyer: str
    seller: str
    price_minor: int
    payment: str = ""  # id of the payment; empty: not paid here
    later: bool = False  # authorised, and captured when it is shipped
    over: bool = False


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a cashier takes over from the days before: orders in escrow, and what is free in wallets."""

    orders: tuple[Order, ...] = ()
    wallets: Mapping[str, int] = {}


class CashierCounts(msgspec.Struct, kw_only=True):
    """What a cashier has done; counts only grow."""

    paid: int = 0
    completed: int = 0
    cancelled: int = 0
    reduced: int = 0
    cashed_out: int = 0
    granted: int = 0
    refused: int = 0  # Koban said no
    lost: int = 0  # Koban did not answer


class Cashier:
    """Pays, completes, gives back and pays out over HTTP; used by one thread, the runner's."""

    def __init__(
        self, base_url: str, token: str, kept: Kept | None = None, *, stop: threading.Event | None = None
    ) -> None:
        """Take over what is in escrow. `stop`: set when nobody should wait for an answer any more."""
        self.counts = CashierCounts()
        self._client = httpx.Client(
            base_url=base_url, headers={"authorization": f"Bearer {token}"}, timeout=_TIMEOUT_S, trust_env=False
        )
        self._stop = stop or threading.Event()
        kept = kept or Kept()
        self._orders = {each.id: msgspec.structs.replace(each) for each in kept.orders}
        self._wallets = dict(kept.wallets)
        self._coupons: dict[str, int] = {}
        self._cancels: list[tuple[int, Order]] = []

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def open_orders(self) -> Mapping[str, int]:
        """Return what should be in escrow for each order that was paid here and is not over: its price."""
        return {
            each.id: each.price_minor
            for each in self._orders.values()
            if each.payment and not (each.over or each.later)
        }

    def takes(self, event: SimEvent) -> bool:
        """Tell whether an event is a payment that goes through Koban instead of being told to it."""
        data = event.data
        if event.type != PAYMENT or data.get("declined") or named(event, "order") not in self._orders:
            return False
        if self._orders[named(event, "order")].payment:
            return False
        match data.get("method"):
            case "card":
                return bool(data.get("three_d_secure"))
            case "wallet":
                return self._wallets.get(event.actor, 0) >= _amount(event)
            case method:
                return method in _METHODS

    def pay(self, event: SimEvent, position: int) -> str | None:
        """Pay an order; return the verdict on the payment, or None where there is none.

        The payment has the event's id, so that whoever knows the event finds the decision on it.
        """
        order = self._orders[named(event, "order")]
        parts = self._parts(event)
        later = _share(event.id) < _CAPTURED_LATER_OF_100 and len(parts) == 1
        body = {
            "id": event.id,
            "order": order.id,
            "account": event.actor,
            "seller": order.seller,
            "parts": parts,
            "level": _level(event),
            "capture": not later,
            "context": {
                name: event.data[name]
                for name in ("buyer", "card", "device", "ip", "three_d_secure")
                if name in event.data
            },
        }
        answer = self._ask("/v1/payments", body)
        if answer is None:
            return None
        order.payment, order.later = event.id, later
        self.counts.paid += 1
        for part in parts:
            held = self._coupons if part["method"] == "coupon" else self._wallets if part["method"] == "wallet" else {}
            if event.actor in held:
                held[event.actor] -= int(part["amount_minor"])
        if not later and _share(f"{event.id}/cancelled") < _CANCELLED_OF_100:
            self._cancels.append((position + _CANCELLED_AFTER, order))
        return str(answer.get("verdict", ""))

    def hear(self, events: Iterable[tuple[SimEvent, str | None]], position: int) -> None:
        """Do what follows from events that Koban answered, each with its verdict, and what is due by now."""
        for event, verdict in events:
            match event.type:
                case "order.created":
                    self._note(event, verdict)
                case "order.shipped":
                    self._ship(event)
                case "order.rated":
                    self._complete(event)
                case "code.redeemed" if verdict in {"allow", "warn"}:
                    self._grant(event)
                case "payout.requested" if verdict in {"allow", "warn"}:
                    self._cash_out(event)
        while self._cancels and self._cancels[0][0] <= position:
            self._cancel(self._cancels.pop(0)[1])

    def _note(self, event: SimEvent, verdict: str | None) -> None:
        if verdict in {"allow", "warn"}:
            order = Order(
                id=named(event, "order"), buyer=event.actor, seller=named(event, "seller"),
                price_minor=int(str(event.data["price_minor"])),
            )  # fmt: skip
            self._orders[order.id] = order

    def _parts(self, event: SimEvent) -> list[dict[str, str | int]]:
        """Split a payment over what the buyer has: a coupon first, the rest by the method of the event."""
        method, amount = _METHODS[str(event.data["method"])], _amount(event)
        coupon = min(self._coupons.get(event.actor, 0), amount - 1)
        parts: list[dict[str, str | int]] = [{"method": "coupon", "amount_minor": coupon}] if coupon > 0 else []
        part: dict[str, str | int] = {"method": method, "amount_minor": amount - max(coupon, 0)}
        if method != "wallet":
            part["token"] = f"tok_{named(event, 'card') or event.actor}"
        return [*parts, part]

    def _ship(self, event: SimEvent) -> None:
        order = self._orders.get(named(event, "order"))
        if order is not None and order.later and not order.over:
            order.later = self._ask(f"/v1/payments/{order.payment}/capture", None) is None

    def _complete(self, event: SimEvent) -> None:
        """Give the seller what is in escrow when the buyer has rated; a buyer who is not content gets a part back first."""
        order = self._orders.get(named(event, "order"))
        if order is None or order.over or not order.payment or event.actor != order.buyer:
            return
        left = order.price_minor
        if int(str(event.data.get("stars", 5))) <= 3:
            back = max(1, left * _BACK_PERCENT // 100)
            body = {"id": f"r-{order.id}", "amount_minor": back}
            if self._ask(f"/v1/payments/{order.payment}/refunds", body) is not None:
                left -= back
                self.counts.reduced += 1
        fee = left * FEE_PERCENT // 100
        parameters: dict[str, str | int] = {"order": order.id, "seller": order.seller, "amount": left, "fee": fee}
        if self._post(f"done.{order.id}", "order_completed", parameters):
            order.over = True
            self._wallets[order.seller] = self._wallets.get(order.seller, 0) + left - fee
            self.counts.completed += 1

    def _cancel(self, order: Order) -> None:
        if order.over:
            return
        back = {"id": f"r-{order.id}", "amount_minor": order.price_minor}
        if self._ask(f"/v1/payments/{order.payment}/refunds", back) is not None:
            order.over = True
            self.counts.cancelled += 1

    def _grant(self, event: SimEvent) -> None:
        amount = _amount(event)
        parameters: dict[str, str | int] = {"campaign": CAMPAIGN, "account": event.actor, "amount": amount}
        if self._post(f"coupon.{event.id}", "coupon_granted", parameters):
            self._coupons[event.actor] = self._coupons.get(event.actor, 0) + amount
            self.counts.granted += 1

    def _cash_out(self, event: SimEvent) -> None:
        """Have a payout that was allowed leave through the bank, as far as the wallet is here."""
        amount = _amount(event)
        if self._wallets.get(event.actor, 0) < amount:
            return
        bank, branch, name = PAYEES[_share(event.actor) % len(PAYEES)]
        payee = {
            "bank": bank,
            "branch": branch,
            "type": "ordinary",
            "number": f"{2_000_000 + _share(event.id):07d}",
            "name": name,
        }
        body = {
            "id": f"out.{event.id}", "account": event.actor, "amount_minor": amount, "payee": payee, "level": _level(event),
            "fee_minor": 0 if amount >= _FREE_FROM_MINOR else _CASH_OUT_FEE_MINOR,
        }  # fmt: skip
        if self._ask("/v1/bank/cash-outs", body) is not None:
            self._wallets[event.actor] -= amount
            self.counts.cashed_out += 1

    def _post(self, posting: str, template: str, parameters: Mapping[str, str | int]) -> bool:
        body = {"id": posting, "template": template, "parameters": parameters}
        answer = self._ask("/v1/ledger/postings", body)
        if answer is not None and answer.get("code") in {"posted", "exists"}:
            return True
        self.counts.refused += answer is not None
        return False

    def _ask(self, path: str, body: Mapping[str, object] | None) -> dict[str, object] | None:
        """Send a command until it is answered; ids make that safe. None: refused, or nobody answered."""
        for _ in range(_ATTEMPTS_MAX):
            try:
                answer = self._client.post(path, json=body)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code not in {429, 502, 503, 504}:
                if answer.is_success:
                    return dict(answer.json())
                self.counts.refused += 1
                return None
            if self._stop.wait(_AGAIN_AFTER_S):
                break
        self.counts.lost += 1
        return None


def named(event: SimEvent, kind: str) -> str:
    """Return the id of something that an event is about; empty: it names none."""
    inner = event.data.get(kind)
    return str(inner["id"]) if isinstance(inner, dict) and "id" in inner else ""


def _amount(event: SimEvent) -> int:
    return int(str(event.data["amount_minor"]))


def _level(event: SimEvent) -> str:
    acting = event.data.get("buyer", event.data.get("account"))
    return "identity" if isinstance(acting, dict) and acting.get("verified") else "phone"


def _share(name: str) -> int:
    """Return a number from 0 to 99 that belongs to a name: the same in every process."""
    return zlib.crc32(name.encode()) % 100
