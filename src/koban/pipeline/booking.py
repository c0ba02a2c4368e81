"""What a person books: proposed by one, tried at once and taken back, booked when another approves.

Why in the decider: the booking, the decision and the audit row stand in one transaction, and two who decide at once
cannot both do it.
"""

from typing import assert_never

from koban import ledger
from koban.access import require_second
from koban.audit import record
from koban.db import Tx
from koban.ledger import booking_store
from koban.ledger.bookings import (
    Booking,
    BookingBody,
    BookingDecided,
    BookingDiffers,
    BookingMissing,
    BookingOwn,
    BookingRefused,
    BookingStatus,
    Wants,
    WantsLimits,
    WantsPosting,
    WantsTransfers,
    kind_of,
    posting_of,
)
from koban.ledger.logic import ID
from koban.pipeline.memory import Memory
from koban.pipeline.money import make_posting, make_transfers, set_limits, tried


def propose_booking(memory: Memory, tx: Tx, body: BookingBody, *, by: str) -> Booking:
    """Keep what a person wants booked for a second one; the ledger is asked now whether it would take it.

    Refuses: BookingDiffers, BookingRefused, BatchTooLarge.
    """
    at = memory.log_time.peek()
    earlier = booking_store.find(tx, body.id)
    if earlier is not None:
        if (earlier.wants, earlier.reason) != (body.wants, body.reason):
            field = "wants" if earlier.wants != body.wants else "reason"
            raise BookingDiffers(f"{body.id} was proposed before with another /{field}. Use a new id.")
        return earlier
    if not ID(body.id):
        raise BookingRefused("The ledger says id_invalid (/id).")
    _refuse_unless_taken(tried(tx, lambda: _try(memory, tx, body.id, body.wants)))
    booking = Booking(
        id=body.id,
        wants=body.wants,
        reason=body.reason,
        by=by,
        at=at,
        status="waiting",
        decided_by=None,
        decided_at=None,
        answer="",
    )
    booking_store.insert(tx, booking)
    record(tx, at, by, "ledger.booking_proposed", booking.id, {"kind": kind_of(body.wants)})
    return booking


def decide_booking(memory: Memory, tx: Tx, booking_id: str, *, approves: bool, reason: str, by: str) -> Booking:
    """Book what a colleague proposed, or decline it; nobody approves their own.

    Refuses: BookingMissing, BookingDecided, BookingOwn, BookingRefused.
    """
    at = memory.log_time.peek()
    booking = booking_store.find(tx, booking_id)
    if booking is None:
        raise BookingMissing(f"There is no booking {booking_id[:80]!r}.")
    if booking.status != "waiting":
        raise BookingDecided(f"{booking.id} is {booking.status}.")
    if approves:
        own = "Who proposed a booking cannot approve it."
        require_second(tx, booking.by, by, refusal=BookingOwn, own=own)
    status: BookingStatus = "approved" if approves else "declined"
    booking_store.decide(tx, at, booking.id, by=by, status=status, answer=reason)
    kind = {"kind": kind_of(booking.wants)}
    if approves:
        record(tx, at, by, "ledger.booking_approved", booking.id, kind)
        _refuse_unless_taken(_carry_out(memory, tx, booking, by=by))
    else:
        record(tx, at, by, "ledger.booking_declined", booking.id, kind)
    found = booking_store.find(tx, booking.id)
    assert found is not None, "it was there a moment ago"
    return found


def _try(memory: Memory, tx: Tx, booking_id: str, wants: Wants) -> str:
    """Let the ledger do it, without audit rows and facts; return what is wrong."""
    at, definition = memory.log_time.peek(), memory.compiled.pack.ledger
    match wants:
        case WantsPosting():
            return _posting_fault(ledger.post(tx, at, definition, posting_of(booking_id, wants)))
        case WantsTransfers():
            return _transfer_fault(ledger.create_transfers(tx, at, definition.chart, wants.transfers))
        case WantsLimits():
            debit, credit = wants.net_debit_max_minor, wants.net_credit_max_minor
            changed = ledger.change_limits(tx, at, wants.book, net_debit_max_minor=debit, net_credit_max_minor=credit)
            return "" if changed.code is ledger.LimitCode.CHANGED else changed.code.value
        case _:
            assert_never(wants)


def _carry_out(memory: Memory, tx: Tx, booking: Booking, *, by: str) -> str:
    """Book it; return what is wrong, and the caller takes everything back."""
    wants = booking.wants
    match wants:
        case WantsPosting():
            return _posting_fault(make_posting(memory, tx, posting_of(booking.id, wants), by=by))
        case WantsTransfers():
            return _transfer_fault(make_transfers(memory, tx, wants.transfers, by=by))
        case WantsLimits():
            debit, credit = wants.net_debit_max_minor, wants.net_credit_max_minor
            changed = set_limits(memory, tx, wants.book, net_debit_max_minor=debit, net_credit_max_minor=credit, by=by)
            return "" if changed.code is ledger.LimitCode.CHANGED else changed.code.value
        case _:
            assert_never(wants)


def _posting_fault(result: ledger.PostingResult) -> str:
    if result.code is ledger.PostingCode.POSTED:
        return ""
    return f"{result.code.value} ({result.about})" if result.about else result.code.value


def _transfer_fault(results: list[ledger.TransferResult]) -> str:
    wrong = [each for each in results if each.code is not ledger.TransferCode.CREATED]
    cause = next((each for each in wrong if each.code is not ledger.TransferCode.LINKED_EVENT_FAILED), None)
    cause = cause or next(iter(wrong), None)
    return f"{cause.code.value} ({cause.id})" if cause is not None else ""


def _refuse_unless_taken(fault: str) -> None:
    if fault:
        raise BookingRefused(f"The ledger says {fault}.")
