"""The marketplace's own memory of what it was told: who is suspended or restricted, what is hidden or blocked.

It is what makes a simulated account stop: an event that a sanction forbids is never sent.
"""

import threading
from collections.abc import Mapping
from typing import Final

import msgspec

from koban.base import Clock
from koban.sim.types import SimEvent

_SCOPES: Final[Mapping[str, frozenset[str]]] = {
    "messaging": frozenset({"message.sent"}),
    "commenting": frozenset({"comment.posted"}),
    "listing": frozenset({"listing.created", "listing.updated"}),
    "buying": frozenset({"order.created", "payment.attempted", "stream.bid"}),
    "live": frozenset({"stream.started", "stream.chat", "stream.bid", "stream.gift"}),
}
"""What each scope of a restriction takes away."""

# What others do to an account or the platform does by itself, whatever the account's state.
_NOT_OWN: Final = frozenset({"security.alerted", "payment.charged_back", "parcel.scanned", "return.scanned"})
_STOPPED: Final = frozenset({"block", "hold"})


class Restriction(msgspec.Struct, frozen=True, kw_only=True):
    """One ability taken away."""

    scope: str


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What Koban says about a subject, as far as the marketplace acts on it. Unknown fields are skipped."""

    hidden: bool = False
    suspended: bool = False
    payout_frozen: bool = False
    restrictions: tuple[Restriction, ...] = ()


class Market:
    """States by subject, learnt from webhooks and answers; safe to use from several threads."""

    def __init__(self, clock: Clock | None = None, *, live_lag: int = 0) -> None:
        """Start with nobody restricted; chat servers follow a mute `live_lag` microseconds after it was learnt."""
        self._lock = threading.Lock()
        self._clock = clock
        self._live_lag = live_lag
        self._states: dict[tuple[str, str], tuple[int, State]] = {}
        self._muted_at: dict[str, int] = {}
        self._stopped_orders: dict[str, str] = {}

    def learn(self, kind: str, subject: str, version: int, state: State) -> bool:
        """Take over a subject's state unless a newer one is known; return whether it was taken."""
        with self._lock:
            known = self._states.get((kind, subject))
            if known is not None and known[0] >= version:
                return False
            self._states[kind, subject] = (version, state)
            if self._clock is not None and kind == "account":
                if any(each.scope == "live" for each in state.restrictions):
                    self._muted_at.setdefault(subject, self._clock.monotonic())
                else:
                    self._muted_at.pop(subject, None)
            return True

    def judge(self, event: SimEvent, verdict: str) -> None:
        """Hear the verdict on an event that was sent: a blocked or held purchase goes no further."""
        if verdict in _STOPPED and event.type in {"order.created", "payment.attempted"}:
            order = _named(event, "order")
            if order:
                with self._lock:
                    self._stopped_orders[order] = f"order_{verdict}"
        elif verdict == "block" and event.type in {"listing.created", "listing.updated"}:
            self.learn("listing", _named(event, "listing"), 0, State(hidden=True))

    def in_the_way(self, event: SimEvent) -> str | None:
        """Return why this event cannot happen, or None where nothing forbids it."""
        with self._lock:
            state = self._states.get(("account", event.actor))
            if state is not None and event.type not in _NOT_OWN:
                if state[1].suspended:
                    return "suspended"
                if state[1].payout_frozen and event.type == "payout.requested":
                    return "payout_frozen"
                for restriction in state[1].restrictions:
                    if event.type in _SCOPES.get(restriction.scope, ()) and self._follows(restriction.scope, event):
                        return f"restricted_{restriction.scope}"
            order = _named(event, "order")
            if order and order in self._stopped_orders and event.type != "report.filed":
                return self._stopped_orders[order]
            listing = _named(event, "listing")
            if listing and event.type in {"order.created", "comment.posted"}:
                hidden = self._states.get(("listing", listing))
                if hidden is not None and hidden[1].hidden:
                    return "listing_hidden"
            stream = _named(event, "stream")
            if stream:
                ended = self._states.get(("stream", stream))
                if ended is not None and ended[1].hidden:
                    return "stream_hidden"
            return None

    def _follows(self, scope: str, event: SimEvent) -> bool:
        """Tell whether the servers behind this event have heard of the restriction."""
        if scope != "live" or self._clock is None:
            return True
        return self._clock.monotonic() - self._muted_at.get(event.actor, 0) >= self._live_lag

    def known(self) -> Mapping[tuple[str, str], State]:
        """Return a copy of all states, for comparison with what Koban says."""
        with self._lock:
            return {subject: state for subject, (_, state) in self._states.items()}


def _named(event: SimEvent, kind: str) -> str:
    inner = event.data.get(kind)
    return str(inner["id"]) if isinstance(inner, dict) and "id" in inner else ""
