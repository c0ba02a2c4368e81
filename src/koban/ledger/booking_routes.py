"""The border of bookings that need two people: propose, look, approve, decline."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint
from koban.base import keyset, keyset_of, to_rfc3339
from koban.db import Database
from koban.ledger import booking_store
from koban.ledger.actions import BatchTooLarge
from koban.ledger.bookings import (
    Booking,
    BookingBody,
    BookingDecided,
    BookingDiffers,
    BookingMissing,
    BookingOwn,
    BookingRefused,
    Wants,
    moves_of,
)
from koban.ledger.templates import Template
from koban.ledger.types import Transfer


class DecideBookingBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the second person says."""

    reason: Annotated[str, msgspec.Meta(max_length=500, description="Why it is declined")] = ""


class BookingQuery(PageQuery, frozen=True, kw_only=True):
    """Which bookings."""

    status: Literal["waiting", "approved", "declined", "all"] = "waiting"


class BookingView(msgspec.Struct, frozen=True, kw_only=True):
    """A booking that somebody proposed, with the transfers that it would make."""

    id: str
    wants: Wants
    reason: str
    by: str
    at: str
    status: str
    decided_by: str | None
    decided_at: str | None
    answer: str
    transfers: list[Transfer]


class BookingCommands(msgspec.Struct, frozen=True, kw_only=True):
    """What the application has the decider do; each returns once it is durable."""

    propose: Callable[[BookingBody, str], Booking]
    decide: Callable[[str, bool, str, str], Booking]  # booking, approves, reason, by
    templates: Callable[[], Mapping[str, Template]]


def booking_endpoints(database: Database, commands: BookingCommands) -> list[Endpoint]:
    """Describe the routes."""

    def view(booking: Booking) -> BookingView:
        return booking_view(booking, commands.templates())

    def propose(call: Call) -> BookingView:
        return view(commands.propose(call.body_as(BookingBody), call.principal.actor))

    def decide(call: Call, approves: bool) -> BookingView:  # noqa: FBT001 - the two routes differ in nothing else
        reason = call.body_as(DecideBookingBody).reason
        return view(commands.decide(call.path["id"], approves, reason, call.principal.actor))

    def listed(call: Call) -> Page[BookingView]:
        asked = call.params_as(BookingQuery)
        with database.read() as tx:
            found = booking_store.list_bookings(
                tx,
                status="" if asked.status == "all" else asked.status,
                before=keyset_of(asked.cursor),
                limit=asked.limit + 1,
            )
        shown = found[: asked.limit]
        return Page(
            items=[view(each) for each in shown],
            next_cursor=keyset(shown[-1].at, shown[-1].id) if len(found) > asked.limit else None,
        )

    def one(call: Call) -> BookingView:
        with database.read() as tx:
            found = booking_store.find(tx, call.path["id"])
        if found is None:
            raise BookingMissing(f"There is no booking {call.path['id'][:80]!r}.")
        return view(found)

    decided = (BookingMissing, BookingDecided, BookingRefused)
    return [
        endpoint(
            "POST", "/v1/ledger/bookings", "ledger.propose", propose,
            summary="Propose a posting, transfers or limits of a book to a colleague", body=BookingBody, returns=BookingView,
            raises=(BookingDiffers, BookingRefused, BatchTooLarge),
            description="The ledger is asked at once whether it would take it; nothing is booked until somebody else "
            "approves. The same id with the same content is the same booking.",
        ),
        endpoint(
            "GET", "/v1/ledger/bookings", "ledger.read", listed, summary="List what people want booked, newest first",
            query=BookingQuery, returns=Page[BookingView],
        ),
        endpoint(
            "GET", "/v1/ledger/bookings/{id}", "ledger.read", one, summary="Look up a booking with what it would move",
            returns=BookingView, raises=(BookingMissing,),
        ),
        endpoint(
            "POST", "/v1/ledger/bookings/{id}/approve", "ledger.approve", lambda call: decide(call, True),
            summary="Approve a colleague's booking: it is booked", body=DecideBookingBody, returns=BookingView,
            raises=(*decided, BookingOwn),
        ),
        endpoint(
            "POST", "/v1/ledger/bookings/{id}/decline", "ledger.approve", lambda call: decide(call, False),
            summary="Decline a booking, or take one's own back", body=DecideBookingBody, returns=BookingView,
            raises=decided[:2],
        ),
    ]  # fmt: skip


def booking_view(booking: Booking, templates: Mapping[str, Template]) -> BookingView:
    """Return a booking in the form that leaves Koban."""
    return BookingView(
        id=booking.id,
        wants=booking.wants,
        reason=booking.reason,
        by=booking.by,
        at=to_rfc3339(booking.at),
        status=booking.status,
        decided_by=booking.decided_by,
        decided_at=None if booking.decided_at is None else to_rfc3339(booking.decided_at),
        answer=booking.answer,
        transfers=moves_of(booking, templates),
    )
