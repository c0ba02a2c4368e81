"""Payments: which there are, whether their providers answer, and what happened to one, call by call."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import Instant, keyset, keyset_of
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, done, page
from koban.console.typed import TextTooLong, typed_text
from koban.payments import store
from koban.payments.logic import is_left_to_people, unsent_of
from koban.payments.routes import Commands
from koban.payments.store import Notice
from koban.payments.types import (
    GOING_BACK,
    UNDER_WAY,
    Declined,
    Part,
    Payment,
    PaymentMissing,
    PaymentNotThere,
    PaymentStatus,
    PaymentUnfunded,
    ProviderCall,
    ProviderState,
    SaidOutcome,
    Saying,
    Step,
    Waiting,
)

NAME_CHARS_MAX: Final = 128
OF_ORDER_MAX: Final = 50
TEXT_CHARS_MAX: Final = 500
REASON_CHARS_MIN: Final = 3
TONES: Final = {
    "captured": "good", "paid_out": "good", "authorised": "good", "refunded": "", "voided": "", "returned": "hold",
    "held": "hold", "challenged": "hold", "queued": "hold", "partly_refunded": "good", "failed": "bad", "refused": "block",
    "charged_back": "bad", "stuck": "bad",
}  # fmt: skip
GIVES_BACK: Final = frozenset(
    {"captured", "partly_refunded", "refunding", "charged_back"}
)  # where something may be left
GROUPS: Final[Mapping[str, Sequence[str]]] = {"under_way": UNDER_WAY, "going_back": GOING_BACK}
_VERBS: Final = ("release", "refuse", "void", "capture")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a payment with its calls, in the story of the payment."""

    step: Step
    part: Part
    calls: tuple[ProviderCall, ...]
    answer: str  # approved, declined, waiting; empty: none yet
    code: str
    is_left: bool  # nobody but people can say how it ended
    said: Saying | None  # by one of them, and a second one has not said it yet


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    missing = (PaymentMissing, PaymentNotThere)
    return (
        endpoint("GET", "/money/payments", "payments.read", lambda call: _list(kit, call), summary="Payments", page=True),
        endpoint("GET", "/money/payments/{id}", "payments.read", lambda call: _one(kit, call), summary="A payment",
                 page=True, raises=(PaymentMissing,)),
        endpoint("POST", "/money/payments/{id}/release", "payments.decide", lambda call: _do(kit, call, "release"),
                 summary="Let a held payment go on", accepts="form", page=True, raises=missing),
        endpoint("POST", "/money/payments/{id}/refuse", "payments.decide", lambda call: _do(kit, call, "refuse"),
                 summary="Refuse a held payment", accepts="form", page=True, raises=missing),
        endpoint("POST", "/money/payments/{id}/void", "payments.make", lambda call: _do(kit, call, "void"),
                 summary="Call a payment off", accepts="form", page=True, raises=missing),
        endpoint("POST", "/money/payments/{id}/steps/{step}/retry", "payments.repair", lambda call: _mend(kit, call, "retry"),
                 summary="Try a refused step again", accepts="form", page=True, raises=(*missing, PaymentUnfunded)),
        endpoint("POST", "/money/payments/{id}/steps/{step}/dismiss", "payments.repair",
                 lambda call: _mend(kit, call, "dismiss"), summary="Give a refused refund up", accepts="form", page=True,
                 raises=missing),
        endpoint("POST", "/money/payments/{id}/steps/{step}/outcome", "payments.repair", lambda call: _say(kit, call),
                 summary="Say how a step ended whose person was erased", accepts="form", page=True, raises=missing),
    )  # fmt: skip


def of_order(kit: ConsoleKit, order: str) -> Sequence[Payment]:
    """Return the payments of an order, oldest first."""
    with kit.database.read() as tx:
        return store.list_payments(tx, order=order, limit=OF_ORDER_MAX)[::-1]


def _commands(kit: ConsoleKit) -> Commands:
    assert kit.payments is not None, "a server has payments"
    return kit.payments


def _list(kit: ConsoleKit, call: Call) -> Answer:
    wanted = {name: call.query.get(name, "").strip()[:NAME_CHARS_MAX] for name in ("order", "account", "status")}
    before = keyset_of(call.query.get("cursor"))
    with kit.database.read() as tx:
        found = store.list_payments(
            tx, order=wanted["order"] or None, account=wanted["account"] or None,
            status=None if wanted["status"] in GROUPS else wanted["status"] or None,
            statuses=GROUPS.get(wanted["status"], ()), before=before, limit=PAGE_ITEMS + 1,
        )  # fmt: skip
        counts = store.count_by_status(tx)
        states = store.provider_states(tx)
    shown = found[:PAGE_ITEMS]
    names = kit.payments.providers() if kit.payments is not None else ()
    return page(
        kit,
        call,
        "payments.html",
        payments=shown,
        wanted=wanted,
        counts=counts,
        statuses=[each.value for each in PaymentStatus],
        groups=tuple(GROUPS),
        tones=TONES,
        providers=[states.get(each) or ProviderState(name=each) for each in names],
        cursor=call.query.get("cursor", ""),
        next_cursor=keyset(shown[-1].created_at, shown[-1].id) if len(found) > PAGE_ITEMS else "",
    )


def _one(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    with kit.database.read() as tx:
        payment = store.find(tx, call.path["id"])
        if payment is None:
            raise PaymentMissing(f"There is no payment {call.path['id'][:80]!r}.")
        parts, steps = store.parts_of(tx, payment.id), store.steps_of(tx, payment.id)
        calls, notices = store.calls_of(tx, payment.id), store.notices_of(tx, payment.id)
        sayings = store.sayings_of(tx, payment.id)
    lines = _lines(parts, steps, calls, sayings)
    return page(
        kit,
        call,
        "payment.html",
        status=422 if problem else 200,
        problem=problem,
        detail=detail,
        said={name: call.form.get(name, "") for name in ("happened", "reference", "reason")},
        payment=payment,
        parts=parts,
        story=_story(lines, notices),
        methods=kit.pack().payments.methods,
        tones=TONES,
        gives_back=GIVES_BACK,
        may_reroute=any(unsent_of(payment, each, steps) is not None for each in parts)
        and len(_commands(kit).providers()) > 1,
        may_void=payment.status in {PaymentStatus.AUTHORISED, PaymentStatus.CHALLENGED, PaymentStatus.QUEUED},
        is_held=payment.held and payment.goal != "undo" and not payment.ended_because and payment.verdict != "block",
    )


def _lines(
    parts: Sequence[Part], steps: Sequence[Step], calls: Sequence[ProviderCall], sayings: Mapping[str, Saying]
) -> list[Line]:
    found = []
    for step in steps:
        answer = step.answer
        said = "" if answer is None else "declined" if isinstance(answer, Declined) else "approved"
        found.append(
            Line(
                step=step,
                part=parts[step.part],
                calls=tuple(each for each in calls if each.step == step.id),
                answer="waiting" if isinstance(answer, Waiting) else said,
                code=answer.code if isinstance(answer, Declined) else "",
                is_left=is_left_to_people(step, calls),
                said=sayings.get(step.id),
            )
        )
    return found


def _story(lines: Sequence[Line], notices: Sequence[Notice]) -> list[tuple[Instant, Line | None, Notice | None]]:
    """Order what happened by when it began: steps, and the provider's webhooks between them."""
    both: list[tuple[Instant, Line | None, Notice | None]] = [(each.step.created_at, each, None) for each in lines]
    both += [(each.received_at, None, each) for each in notices]
    return sorted(both, key=lambda each: each[0])


def _do(kit: ConsoleKit, call: Call, verb: str) -> Answer:
    commands, payment_id, by = _commands(kit), call.path["id"], call.principal.actor
    if verb == "release":
        commands.release(payment_id, "judged", by)
    elif verb == "refuse":
        commands.refuse(payment_id, by)
    else:
        commands.void(payment_id, by)
    return done(call, f"/money/payments/{payment_id}", f"payment_{verb}")


def _mend(kit: ConsoleKit, call: Call, verb: str) -> Answer:
    commands, payment_id, by = _commands(kit), call.path["id"], call.principal.actor
    (commands.retry if verb == "retry" else commands.dismiss)(payment_id, call.path["step"], by)
    return done(call, f"/money/payments/{payment_id}", f"payment_{verb}")


def _say(kit: ConsoleKit, call: Call) -> Answer:
    commands, payment_id, form = _commands(kit), call.path["id"], call.form
    try:
        reference, reason = (typed_text(form, name, TEXT_CHARS_MAX) for name in ("reference", "reason"))
    except TextTooLong as long:
        return _one(kit, call, problem="form.too_long", detail=long.detail)
    happened = {"yes": True, "no": False}.get(form.get("happened", ""))
    if happened is None or len(reason) < REASON_CHARS_MIN or (happened and not reference):
        return _one(kit, call, problem="payments.say_incomplete")
    said = SaidOutcome(
        payment=payment_id, step=call.path["step"], happened=happened, reference=reference, reason=reason
    )
    commands.say(said, call.principal.actor)
    with kit.database.read() as tx:
        waits = said.step in store.sayings_of(tx, payment_id)
    return done(call, f"/money/payments/{payment_id}", "payment_said_once" if waits else "payment_said")
