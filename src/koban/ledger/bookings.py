"""What a person wants the ledger to do, until another person says yes: frozen data and refusals."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias, assert_never

import msgspec

from koban.base import Instant, Refusal, limits
from koban.ledger.logic import ID
from koban.ledger.posting import Posting, compile_posting
from koban.ledger.templates import Template
from koban.ledger.types import Transfer

BookingStatus = Literal["waiting", "approved", "declined"]
TRANSFERS_MAX: Final = 100  # a colleague has to read them all
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Day = Annotated[str, msgspec.Meta(max_length=10)]
Bound = Annotated[int, msgspec.Meta(ge=-limits.BOOK_LIMIT_MINOR_MAX, le=limits.BOOK_LIMIT_MINOR_MAX)]


class WantsPosting(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="posting"
):
    """A posting from a template; the booking's id is the posting's."""

    template: Name
    parameters: Mapping[str, int | Text]
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)] = "JPY"
    level: Name | None = None
    booking_date: Day | None = None
    effective_date: Day | None = None


class WantsTransfers(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="transfers"
):
    """Transfers by hand, in order; all of them are made or none."""

    transfers: Annotated[list[Transfer], msgspec.Meta(min_length=1, max_length=TRANSFERS_MAX)]


class WantsLimits(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="limits"
):
    """What a book may reach from now on; null: no bound."""

    book: Text
    net_debit_max_minor: Bound | None
    net_credit_max_minor: Bound | None


Wants: TypeAlias = WantsPosting | WantsTransfers | WantsLimits


def kind_of(wants: Wants) -> str:
    """Name what is wanted: the template of a posting, `transfers`, or `limits`."""
    match wants:
        case WantsPosting():
            return wants.template
        case WantsTransfers():
            return "transfers"
        case WantsLimits():
            return "limits"
        case _:
            assert_never(wants)


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person wants booked, and what another one said to it."""

    id: str
    wants: Wants
    reason: str
    by: str
    at: Instant
    status: BookingStatus
    decided_by: str | None
    decided_at: Instant | None
    answer: str  # why it was declined


class BookingBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something to be booked once another person agrees. Make and store the id before it is sent."""

    id: Name
    reason: Annotated[str, msgspec.Meta(min_length=5, max_length=500)]
    wants: Wants


class BookingMissing(Refusal):
    """No such booking."""

    code = "booking_missing"
    status = 404
    title = "Nobody proposed such a booking."


class BookingDecided(Refusal):
    """It waits for nobody any more."""

    code = "booking_decided"
    status = 409
    title = "This booking was decided already."


class BookingDiffers(Refusal):
    """The id is another booking's."""

    code = "booking_differs"
    status = 409
    title = "A booking with this id was proposed with other content."


class BookingOwn(Refusal):
    """Nobody approves their own."""

    code = "booking_own"
    status = 403
    title = "Somebody else must approve this booking."


class BookingRefused(Refusal):
    """The ledger would not take it."""

    code = "booking_refused"
    status = 422
    title = "The ledger does not take this booking."


class LimitsByHand(Refusal):
    """Books are opened with the chart's limits; others need a second person."""

    code = "limits_by_hand"
    status = 403
    title = "A book is opened with the chart's limits; propose others for it."


def moves_of(booking: Booking, templates: Mapping[str, Template]) -> list[Transfer]:
    """Return the transfers that a booking makes; none of one whose template the pack has no more."""
    wants = booking.wants
    if not isinstance(wants, WantsPosting):
        return list(getattr(wants, "transfers", ()))
    template = templates.get(wants.template)
    posting = posting_of(booking.id, wants)
    fits = template is not None and ID(posting.id) and set(template.parameters) == set(posting.parameters)
    return compile_posting(template, posting)[1] if template is not None and fits else []


def posting_of(booking_id: str, wants: WantsPosting) -> Posting:
    """Return the posting that a booking wants."""
    return Posting(
        id=booking_id,
        template=wants.template,
        currency=wants.currency,
        parameters=dict(wants.parameters),
        level=wants.level,
        booking_date=wants.booking_date,
        effective_date=wants.effective_date,
    )
