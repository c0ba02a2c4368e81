"""A payment that a person begins for an order, by a method that needs nothing of the buyer's device."""

from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import random_id
from koban.console.filters import TYPED_CHARS_MAX, read_amount
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page
from koban.console.refunds import ID_CHARS_MAX
from koban.console.refused import refusal_said
from koban.packs.types import MethodDef, PackDef
from koban.payments.types import NewPart, NewPayment, PaymentConflict, PaymentUnfit, PaymentUnfunded, ProviderOut

NAME_CHARS_MAX: Final = 128
FIELDS: Final = ("order", "account", "seller", "method", "level")
ROLES: Final = ("reserve", "take")  # of postings, in the order in which they are made


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/money/orders/pay", "payments.make", lambda call: _ask(kit, call),
                 summary="What a payment would do", page=True),
        endpoint("POST", "/money/orders/pay", "payments.make", lambda call: _begin(kit, call),
                 summary="Pay an order", accepts="form", page=True),
    )  # fmt: skip


def payable_methods(pack: PackDef) -> dict[str, MethodDef]:
    """Return the methods by which a person may pay: those that prove nothing by the buyer's card, and are not retired."""
    return {
        name: each for name, each in pack.payments.methods.items() if not each.proves and not each.retired
    }  # fmt: skip


def _ask(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    asked = {**call.query, **call.form}
    typed = {name: asked.get(name, "").strip()[:NAME_CHARS_MAX] for name in FIELDS}
    pack = kit.pack()
    methods = payable_methods(pack)
    amount_typed = asked.get("amount", "").strip()[:TYPED_CHARS_MAX]
    amount = read_amount(amount_typed)
    method = methods.get(typed["method"])
    is_whole = bool(typed["order"] and typed["account"] and method is not None and amount is not None)
    if amount_typed and not is_whole and not problem:
        problem = "pay_order.problem_form"
    postings = [(role, method.postings[role]) for role in ROLES if role in method.postings] if method else []
    return page(
        kit,
        call,
        "pay_order.html",
        status=422 if problem else 200,
        # Made here, so that a form that is sent twice is one payment.
        payment_id=asked.get("id", "")[:ID_CHARS_MAX] or random_id("payment", call.at, kit.access.randomness),
        typed=typed,
        amount=amount,
        amount_typed=amount_typed,
        methods=methods,
        method=method,
        levels=pack.ledger.levels,
        is_whole=is_whole,
        postings=[(role, name, pack.ledger.templates.get(name)) for role, name in postings],
        decides=pack.payments.decides,
        problem=problem,
        detail=detail,
    )


def _begin(kit: ConsoleKit, call: Call) -> Answer:
    assert kit.payments is not None, "a server has payments"
    form = call.form
    typed = {name: form.get(name, "").strip()[:NAME_CHARS_MAX] for name in FIELDS}
    amount, payment_id = read_amount(form.get("amount", "").strip()), form.get("id", "")[:ID_CHARS_MAX]
    is_known = typed["method"] in payable_methods(kit.pack())
    if amount is None or not is_known or not (payment_id and typed["order"] and typed["account"]):
        return _ask(kit, call, problem="pay_order.problem_form")
    new = NewPayment(
        id=payment_id, order=typed["order"], account=typed["account"], seller=typed["seller"] or None,
        parts=(NewPart(method=typed["method"], amount_minor=amount),), level=typed["level"] or None,
    )  # fmt: skip
    try:
        made = kit.payments.begin(new, call.principal.actor)
    except (PaymentConflict, PaymentUnfit, PaymentUnfunded, ProviderOut) as refusal:
        return _ask(kit, call, problem=f"pay_order.problem_{refusal.code}", detail=refusal_said(call.language, refusal))
    return done(call, f"/money/payments/{made.id}", "payment_begun")
