"""Payments without I/O: what follows from a goal and the parts, and what is to be done next."""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from koban.base import HOUR, SECOND, Instant
from koban.payments.types import (
    ERASED_UNKNOWN,
    Answer,
    Approved,
    Declined,
    Flow,
    Part,
    Payment,
    PaymentStatus,
    ProviderCall,
    ProviderReportRow,
    ProviderState,
    Step,
    StepKind,
    ThreeDS,
    Waiting,
)

UNSETTLED: Final = frozenset({"open", "refused", "unbooked"})
VOIDED_ALREADY: Final = frozenset({"authorisation_expired", "already_voided"})
ASK_AGAIN: Final = 2 * SECOND  # after the first call without an answer, and while a buyer is waited for
ASK_AGAIN_MAX: Final = 60 * SECOND
GIVEN_UP: Final = frozenset(
    {"voided", "lapsed", "refused_by_person", "hold_ended"}
)  # nothing failed: it was called off

assert ASK_AGAIN_MAX < HOUR

GONE: Final = frozenset({"planned", "declined", "released"})  # nothing of the buyer's is held by such a part


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """A step to be planned."""

    part: int
    kind: StepKind
    amount_minor: int


def plan(payment: Payment, parts: Sequence[Part], steps: Sequence[Step]) -> list[Next]:
    """Say what is to be done now to bring the parts to the payment's goal. Nothing while a part's step is unfinished."""
    if payment.verdict == "block":
        return []
    undoing = payment.goal == "undo"
    # A buyer who is waited for may never answer: the charge is called off beside the step that waits for it.
    busy = {
        step.part
        for step in steps
        if step.status in UNSETTLED and not (undoing and step.kind == "authorise" and _waits(parts, step.part))
    }
    found = (_next(payment, part, parts) for part in parts if part.no not in busy)
    return [each for each in found if each is not None]


def _waits(parts: Sequence[Part], no: int) -> bool:
    return any(part.no == no and part.state == "waiting" for part in parts)


def _next(payment: Payment, part: Part, parts: Sequence[Part]) -> Next | None:
    if payment.goal == "undo":
        if part.state == "authorised":
            return Next(part=part.no, kind="void", amount_minor=part.authorised_minor)
        if part.state == "waiting":
            return Next(part=part.no, kind="void", amount_minor=part.amount_minor)
        if part.state == "captured" and part.returnable_minor > 0:
            return Next(part=part.no, kind="refund", amount_minor=part.returnable_minor)
        return None
    if payment.goal == "payout":
        wanted = part.state == "planned" and not payment.held
        return Next(part=part.no, kind="payout", amount_minor=part.amount_minor) if wanted else None
    if part.state == "planned":
        return Next(part=part.no, kind="authorise", amount_minor=part.amount_minor)
    is_whole = all(each.state in {"authorised", "captured"} for each in parts)
    if payment.goal == "capture" and part.state == "authorised" and is_whole and not payment.held:
        return Next(part=part.no, kind="capture", amount_minor=part.authorised_minor)
    return None


def must_undo(payment: Payment, parts: Sequence[Part]) -> str:
    """Say why a payment can no longer reach its goal; empty: it can."""
    if payment.goal in {"undo", "payout"}:
        return ""
    return next((each.decline for each in parts if each.decline), "")


def apply_answer(part: Part, step: Step, answer: Answer, *, demanded: Flow | None) -> Part:
    """Return a part after an answer to its step. `demanded`: what the decision wants proved; None: nothing can be."""
    change = msgspec.structs.replace
    if isinstance(answer, Waiting):
        assert step.kind == "authorise", "only an authorisation waits for a buyer"
        return change(part, state="waiting", reference=answer.reference, wait_why=answer.why, wait_url=answer.url)
    clear = change(part, wait_why="", wait_url="")
    if isinstance(answer, Declined):
        return _declined(clear, step, answer)
    amount = answer.amount_minor
    match step.kind:
        case "authorise":
            lacking = lacks(answer.evidence, demanded)
            return change(
                clear,
                state="authorised",
                reference=answer.reference,
                authorised_minor=amount,
                decline=lacking,
                authorise_key=step.id,
            )
        case "capture":
            # All or nothing: an order that is short of money must not go on, so what was captured goes back.
            short = "captured_short" if amount < step.amount_minor else ""
            return change(clear, state="captured", captured_minor=amount, decline=short)
        case "void":
            return change(clear, state="released", authorised_minor=0)
        case "refund":
            return change(clear, refunded_minor=clear.refunded_minor + amount)
        case "payout":
            return change(clear, state="paid", reference=answer.reference, captured_minor=amount)


def _declined(part: Part, step: Step, answer: Declined) -> Part:
    change = msgspec.structs.replace
    if step.kind in {"authorise", "payout"}:
        return change(part, state="declined", decline=answer.code)
    if step.kind == "capture":
        # The authorisation still stands at the provider, or is gone: the void that follows finds out.
        return change(part, decline=answer.code)
    if step.kind == "void" and answer.code in VOIDED_ALREADY:
        return change(part, state="released", authorised_minor=0)
    return part


def lacks(evidence: ThreeDS | None, demanded: Flow | None) -> str:
    """Say what an authorisation lacks of what the decision demands; empty: nothing.

    Source: EMVCo 3-D Secure 2: only transStatus Y is a cardholder who was authenticated; A (attempted) is not.
    """
    if demanded != "challenge":
        return ""
    if evidence is None or evidence.flow != "challenge":
        return "challenge_skipped"
    return "" if evidence.trans_status == "Y" else "authentication_failed"


def is_refused(step: Step, answer: Answer) -> bool:
    """Tell whether an answer leaves something undone that must be done, so that a person is needed."""
    if not isinstance(answer, Declined):
        return False
    return step.kind == "refund" or (step.kind == "void" and answer.code not in VOIDED_ALREADY)


def amount_fits(step: Step, answer: Answer) -> bool:
    """Tell whether an answer's amount can be: only a capture may be smaller than what was asked, none may be larger."""
    if not isinstance(answer, Approved) or step.kind == "void":
        return True
    if step.kind == "capture":
        return 0 < answer.amount_minor <= step.amount_minor
    return answer.amount_minor == step.amount_minor


def status_of(payment: Payment, parts: Sequence[Part], steps: Sequence[Step], *, is_out: bool = False) -> PaymentStatus:
    """Derive where a payment is. `is_out`: a provider that it needs does not answer and nothing was begun."""
    if payment.verdict == "block":
        return PaymentStatus.REFUSED
    if any(step.status in {"refused", "unbooked"} for step in steps):
        return PaymentStatus.STUCK
    if payment.goal == "payout":
        return _payout_status(payment, parts)
    is_open = any(step.status == "open" for step in steps)
    if payment.goal == "undo":
        is_gone = all(each.state in GONE or (each.state == "captured" and not each.returnable_minor) for each in parts)
        if is_open or not is_gone:
            return PaymentStatus.UNDOING
        return PaymentStatus.VOIDED if payment.ended_because in GIVEN_UP else PaymentStatus.FAILED
    if any(each.state == "waiting" for each in parts):
        return PaymentStatus.CHALLENGED
    if any(each.state == "planned" for each in parts):
        return PaymentStatus.QUEUED if is_out else PaymentStatus.AUTHORISING
    if all(each.state == "captured" for each in parts):
        return _captured_status(parts, is_open=is_open)
    if payment.held:
        return PaymentStatus.HELD
    return PaymentStatus.CAPTURING if payment.goal == "capture" else PaymentStatus.AUTHORISED


def _payout_status(payment: Payment, parts: Sequence[Part]) -> PaymentStatus:
    if all(each.state == "paid" for each in parts):
        is_back = any(each.refunded_minor for each in parts)
        return PaymentStatus.RETURNED if is_back else PaymentStatus.PAID_OUT
    if any(each.state in {"declined", "released"} for each in parts):
        return PaymentStatus.VOIDED if payment.ended_because in GIVEN_UP else PaymentStatus.FAILED
    return PaymentStatus.HELD if payment.held else PaymentStatus.PAYING_OUT


def _captured_status(parts: Sequence[Part], *, is_open: bool) -> PaymentStatus:
    if is_open:
        return PaymentStatus.REFUNDING
    if any(each.charged_back_minor for each in parts):
        return PaymentStatus.CHARGED_BACK
    if not any(each.refunded_minor for each in parts):
        return PaymentStatus.CAPTURED
    left = sum(each.returnable_minor for each in parts)
    return PaymentStatus.PARTLY_REFUNDED if left else PaymentStatus.REFUNDED


def is_left_to_people(step: Step, calls: Sequence[ProviderCall]) -> bool:
    """Tell whether a step was sent, and its person erased before the answer: nobody can ask how it ended any more."""
    last = max((each for each in calls if each.step == step.id), key=lambda each: each.attempt, default=None)
    return step.status == "open" and last is not None and last.detail == ERASED_UNKNOWN


def unsent_of(payment: Payment, part: Part, steps: Sequence[Step]) -> Step | None:
    """Return the step of a part that waits for its provider, where nothing of the part was ever sent.

    Why no payout: its money is set aside in the ledger for the provider that was asked for.
    """
    its = [each for each in steps if each.part == part.no]
    if payment.kind == "payout" or part.state != "planned" or not part.provider or any(each.attempts for each in its):
        return None
    return next((each for each in its if each.status == "open" and each.kind == "authorise"), None)


def refundable_minor(part: Part, steps: Sequence[Step]) -> int:
    """Return what a refund may still take from a part: what is captured, less what is gone or on its way back."""
    under_way = sum(
        each.amount_minor
        for each in steps
        if each.part == part.no and each.kind == "refund" and each.status in {"open", "unbooked"}
    )
    return part.returnable_minor - under_way


def split_refund(
    parts: Sequence[Part], steps: Sequence[Step], amount_minor: int, *, part: int | None
) -> tuple[list[tuple[int, int]], int]:
    """Return which part gives back how much, in the parts' order, and how much of the amount finds none."""
    shares, left = list[tuple[int, int]](), amount_minor
    for each in parts:
        share = min(left, refundable_minor(each, steps)) if part in {None, each.no} else 0
        if share > 0:
            shares.append((each.no, share))
            left -= share
    return shares, left


def posting_id(key: str) -> str:
    """Return the id of the posting that books what the provider did for a key."""
    return f"pay:{key}"


def reversal_id(kind: str, provider: str, provider_ref: str) -> str:
    """Return the id of the posting that books what a provider began itself: a chargeback, a return.

    Why hashed: a provider's reference may have any characters and any length, and an id may not.
    """
    named = hashlib.sha256(f"{kind}\0{provider}\0{provider_ref}".encode()).hexdigest()[:32]
    return f"pay:{kind}:{named}"


def posting_of(row: ProviderReportRow) -> str:
    """Return the id of the posting that books a row of a provider's report.

    A row that we asked for is booked under its key; one that the provider began itself under the provider's name of it.
    """
    if row.key is not None:
        return posting_id(row.key)
    return reversal_id(row.kind, row.provider, row.provider_ref)


def next_ask(attempts: int, at: Instant) -> Instant:
    """Return when a step is sent again that had no answer, or only that a buyer is waited for."""
    return Instant(at + min(ASK_AGAIN << min(attempts, 10), ASK_AGAIN_MAX))


def after_failure(state: ProviderState, at: Instant, error: str, *, most: int, rest_us: int) -> ProviderState:
    """Count a call without an answer; after `most` in a row the provider is left alone for a while."""
    failures = state.failures + 1
    return msgspec.structs.replace(
        state,
        failures=failures,
        open_until=Instant(at + rest_us) if failures >= most else Instant(0),
        last_error=error[:300],
        failed_at=at,
    )


def after_answer(state: ProviderState, at: Instant) -> ProviderState:
    """Note that a provider answers."""
    return msgspec.structs.replace(state, failures=0, open_until=Instant(0), answered_at=at)


def is_out(state: ProviderState) -> bool:
    """Tell whether a provider counts as out: also while the one call that tries it again is under way."""
    return state.open_until > 0


def may_call(state: ProviderState | None, at: Instant, *, under_way: int, most: int) -> int:
    """Return how many calls may be begun now: none while it rests, one that tries it afterwards, else as many as fit."""
    if state is None or not is_out(state):
        return max(0, most - under_way)
    return 1 if state.open_until <= at and under_way == 0 else 0
