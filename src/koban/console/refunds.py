"""A refund that a person begins: from which parts it goes where, before it is asked for."""

from collections.abc import Mapping
from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import random_id
from koban.console.filters import TYPED_CHARS_MAX, read_amount
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page
from koban.console.refused import refusal_said
from koban.packs.types import PackDef, Texts
from koban.payments import logic, store
from koban.payments.types import (
    NewRefund,
    Part,
    Payment,
    PaymentConflict,
    PaymentMissing,
    PaymentNotThere,
    PaymentUnfunded,
    RefundTooLarge,
    Step,
)

ID_CHARS_MAX: Final = 48


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one part would give back, by which posting, and what would be left of it."""

    part: Part
    amount_minor: int
    left_minor: int
    posting: str
    about: Texts | None


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/money/payments/{id}/refund", "payments.refund", lambda call: _ask(kit, call),
                 summary="What a refund would give back", page=True, raises=(PaymentMissing,)),
        endpoint("POST", "/money/payments/{id}/refund", "payments.refund", lambda call: _refund(kit, call),
                 summary="Give an amount back", accepts="form", page=True, raises=(PaymentMissing,)),
    )  # fmt: skip


def _ask(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    asked = {**call.query, **call.form}
    with kit.database.read() as tx:
        payment = store.find(tx, call.path["id"])
        if payment is None:
            raise PaymentMissing(f"There is no payment {call.path['id'][:80]!r}.")
        parts, steps = store.parts_of(tx, payment.id), store.steps_of(tx, payment.id)
    free = {each.no: logic.refundable_minor(each, steps) for each in parts} if _is_taken(payment) else {}
    part = _part(asked.get("part", ""), parts)
    most = sum(amount for number, amount in free.items() if part in {None, number})
    typed = asked.get("amount", "").strip()[:TYPED_CHARS_MAX]
    amount = read_amount(typed, payment.currency)
    if typed and not problem:
        problem = (
            "refunds.problem_amount" if amount is None else "refunds.problem_refund_too_large" if amount > most else ""
        )
    shares = _shares(kit.pack(), parts, steps, amount, part) if amount is not None and amount <= most else ()
    return page(
        kit,
        call,
        "refund.html",
        status=422 if problem else 200,
        # Made here, so that a form that is sent twice is one refund.
        refund_id=asked.get("id", "")[:ID_CHARS_MAX] or random_id("refund", call.at, kit.access.randomness),
        payment=payment,
        parts=[each for each in parts if free.get(each.no)],
        free=free,
        part=part,
        most=most,
        amount=amount,
        typed=typed or (str(most) if most else ""),
        shares=shares,
        methods=kit.pack().payments.methods,
        problem=problem,
        detail=detail,
    )


def _is_taken(payment: Payment) -> bool:
    return payment.kind == "order" and payment.goal == "capture"


def _shares(
    pack: PackDef, parts: list[Part], steps: list[Step], amount_minor: int, part: int | None
) -> tuple[Share, ...]:
    found = []
    for number, share in logic.split_refund(parts, steps, amount_minor, part=part)[0]:
        one = next(each for each in parts if each.no == number)
        method = pack.payments.methods.get(one.method)
        posting = method.postings.get("give_back", "") if method is not None else ""
        template = pack.ledger.templates.get(posting)
        left = logic.refundable_minor(one, steps) - share
        about = template.about if template is not None else None
        found.append(Share(part=one, amount_minor=share, left_minor=left, posting=posting, about=about))
    return tuple(found)


def _part(text: str, parts: list[Part]) -> int | None:
    return next((each.no for each in parts if str(each.no) == text), None)


def _refund(kit: ConsoleKit, call: Call) -> Answer:
    assert kit.payments is not None, "a server has payments"
    new = _new(call.path["id"], call.form)
    if new is None:
        return _ask(kit, call, problem="refunds.problem_amount")
    try:
        kit.payments.refund(new, call.principal.actor)
    except (PaymentConflict, PaymentNotThere, PaymentUnfunded, RefundTooLarge) as refusal:
        return _ask(kit, call, problem=f"refunds.problem_{refusal.code}", detail=refusal_said(call.language, refusal))
    return done(call, f"/money/payments/{new.payment}", "payment_refund")


def _new(payment_id: str, form: Mapping[str, str]) -> NewRefund | None:
    amount, part, refund_id = read_amount(form.get("amount", "").strip()), form.get("part", ""), form.get("id", "")
    is_part = part.isascii() and part.isdigit() and len(part) < 3
    if amount is None or (part and not is_part) or not refund_id or len(refund_id) > ID_CHARS_MAX:
        return None
    return NewRefund(id=refund_id, payment=payment_id, amount_minor=amount, part=int(part) if is_part else None)
