"""A payment on its way: steps, postings and status, as far as it goes without a provider's answer.

The work is in `advance`. What a client or a provider says comes in through `pipeline.paying`.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Final

import msgspec

from koban import ledger
from koban.base import Instant
from koban.db import Timer, Tx
from koban.enforcement import SubjectRef
from koban.ledger import Posting, PostingCode, PostingResult, posting_store
from koban.packs.types import PaymentsDef
from koban.payments import logic, store
from koban.payments.types import (
    Answer,
    Approved,
    Declined,
    Kept,
    Part,
    Payment,
    PaymentMissing,
    PaymentStatus,
    PaymentUnfit,
    ProviderNotice,
    Step,
    StepKind,
    ThreeDS,
)
from koban.pipeline.facts import Fact, enter_fact
from koban.pipeline.memory import Memory
from koban.pipeline.money import make_posting, tried
from koban.pipeline.twice import tell_paid_twice

PAYMENT_LAPSE: Final = "payment.lapse"
ROOM: Final = "payments"
CHANGED: Final = "payment.changed"
ACTOR: Final = "system:payments"
PROOF_3DS: Final = "three_d_secure"
PARTS_MAX: Final = 8

_ROLES: Final[Mapping[StepKind, str]] = {
    "authorise": "reserve", "capture": "take", "void": "release", "refund": "give_back", "payout": "take",
}  # fmt: skip
_EXPIRED: Final = "pending_transfer_expired"
_SHORT_OF_MONEY: Final = frozenset({"exceeds_credits", "exceeds_debits"})


@dataclasses.dataclass(kw_only=True)
class Saga:
    """A payment that is being worked on, with its parts and steps; `save` writes what changed."""

    memory: Memory
    tx: Tx
    payment: Payment
    parts: list[Part]
    steps: list[Step]
    before: PaymentStatus | None  # None: it is new
    touched: set[str] = dataclasses.field(default_factory=set)

    def put(self, step: Step) -> None:
        """Replace a step, or append a new one."""
        self.touched.add(step.id)
        for index, each in enumerate(self.steps):
            if each.id == step.id:
                self.steps[index] = step
                return
        self.steps.append(step)


def load(memory: Memory, tx: Tx, payment_id: str) -> Saga:
    """Load a payment with everything that belongs to it. Refuses: PaymentMissing."""
    payment = store.find(tx, payment_id)
    if payment is None:
        raise PaymentMissing(f"There is no payment {payment_id[:80]!r}.")
    parts, steps = store.parts_of(tx, payment_id), store.steps_of(tx, payment_id)
    return Saga(memory=memory, tx=tx, payment=payment, parts=parts, steps=steps, before=payment.status)


def advance(saga: Saga) -> Payment:
    """Bring a payment as far as it goes without a provider's answer, and store it.

    What is paid inside the ledger goes first: a buyer who is short of points is not sent to a card's challenge.
    """
    while True:
        reason = logic.must_undo(saga.payment, saga.parts)
        if reason:
            saga.payment = msgspec.structs.replace(saga.payment, goal="undo", ended_because=reason)
            close_unsent(saga)
            _tell_decline(saga, reason)
        planned = logic.plan(saga.payment, saga.parts, saga.steps)
        inside = [each for each in planned if not saga.parts[each.part].provider]
        for each in inside or planned:
            begin_step(saga, each, "")
        if not inside:
            break
    take_notices(saga)
    _save(saga)
    return saga.payment


def close_unsent(saga: Saga) -> None:
    """Close the steps that no provider was asked for yet: what is called off need not be begun first.

    Why in their rows: whoever sends a step claims it there, so that one of the two sees that the other was first.
    """
    for each in saga.steps:
        if each.status == "open" and each.provider and store.close_unsent(saga.tx, each.id):
            saga.put(msgspec.structs.replace(each, status="closed", done_at=saga.memory.log_time.peek()))


def begin_step(saga: Saga, wanted: logic.Next, request: str) -> None:
    """Store a step; what is paid inside the ledger is done at once, what goes out is set aside at once."""
    at = saga.memory.log_time.peek()
    part = saga.parts[wanted.part]
    if wanted.kind == "void" and part.state == "waiting":
        for each in saga.steps:
            if each.part == part.no and each.status == "open":
                saga.put(msgspec.structs.replace(each, status="closed", done_at=at))
    step = Step(
        id=f"{saga.payment.id}-{len(saga.steps) + 1}",
        payment=saga.payment.id,
        part=part.no,
        kind=wanted.kind,
        amount_minor=wanted.amount_minor,
        provider=part.provider,
        request=request,
        next_at=at,
        created_at=at,
    )
    saga.put(step)
    if not part.provider:
        _inside(saga, step)
    elif step.kind == "refund":
        role = _postings(saga, part)["give_back"]
        made = post(saga, part, role, _reserve_id(step), amount=step.amount_minor)
        if not made.stands:
            saga.put(msgspec.structs.replace(step, status="unbooked", trouble=_said(made)))


def _inside(saga: Saga, step: Step) -> None:
    """Do a step of a part that is paid inside the ledger: its posting is all there is to it."""
    part = saga.parts[step.part]
    template = _postings(saga, part)[_ROLES[step.kind]]
    posting = logic.posting_id(step.id)
    held = logic.posting_id(part.authorise_key) if part.authorise_key else ""
    made = post(saga, part, template, posting, amount=step.amount_minor, held=held)
    answer: Answer
    if made.stands:
        answer = Approved(reference=posting, amount_minor=step.amount_minor)
    elif step.kind == "authorise":
        answer = Declined(code="insufficient" if made.about in _SHORT_OF_MONEY else made.code.value, detail=made.about)
    elif (step.kind == "void" and made.about == _EXPIRED) or (step.kind == "capture" and made.about == _EXPIRED):
        answer = Declined(code="authorisation_expired")
    else:
        saga.put(msgspec.structs.replace(step, status="unbooked", trouble=_said(made)))
        return
    _done(saga, step, answer, posting if made.stands else "")


def take(saga: Saga, step: Step, answer: Answer, *, evidence: ThreeDS | None) -> None:
    """Book a provider's final answer and take it into the part; what the ledger refuses waits for a person."""
    part = saga.parts[step.part]
    plain = msgspec.structs.replace(answer, evidence=None) if isinstance(answer, Approved | Declined) else answer
    if evidence is not None:
        part = saga.parts[step.part] = msgspec.structs.replace(
            part,
            three_ds=f"{evidence.flow}/{evidence.trans_status}/{evidence.eci}",
            evidence=seal(saga.memory, saga.tx, saga.payment, f"three_ds:{part.no}", msgspec.structs.asdict(evidence)),
        )
    made = _book(saga, part, step, answer)
    if made is not None and not made.stands:
        saga.put(msgspec.structs.replace(step, status="unbooked", answer=plain, trouble=_said(made)))
        return
    if evidence is not None and isinstance(answer, Approved):
        answer = msgspec.structs.replace(answer, evidence=evidence)
    elif isinstance(answer, Approved) and part.three_ds and answer.evidence is None:
        answer = msgspec.structs.replace(answer, evidence=_stored_evidence(part))
    posting = logic.posting_id(step.id) if made is not None and isinstance(answer, Approved) else ""
    _done(saga, step, answer, posting)


def _done(saga: Saga, step: Step, answer: Answer, posting: str) -> None:
    part = saga.parts[step.part]
    proves = _proves(saga.memory, part)
    demanded = saga.payment.three_ds if proves else None
    saga.parts[step.part] = logic.apply_answer(part, step, answer, demanded=demanded)
    refused = logic.is_refused(step, answer)
    plain = msgspec.structs.replace(answer, evidence=None) if isinstance(answer, Approved | Declined) else answer
    saga.put(
        msgspec.structs.replace(
            step,
            status="refused" if refused else "done",
            answer=plain,
            posting=posting,
            trouble=answer.code if refused and isinstance(answer, Declined) else "",
            done_at=saga.memory.log_time.peek(),
        )
    )


def _book(saga: Saga, part: Part, step: Step, answer: Answer) -> PostingResult | None:
    """Make the posting that a provider's final answer wants; None: it wants none."""
    if saga.payment.kind == "payout":
        role = "take" if isinstance(answer, Approved) else "release"
        posting = logic.posting_id(step.id) if role == "take" else f"{logic.posting_id(step.id)}.k"
        template = settings_of(saga.memory).payout[role]
        return post(saga, part, template, posting, amount=step.amount_minor, held=payout_reserve(saga.payment))
    postings, posting = _postings(saga, part), logic.posting_id(step.id)
    held = logic.posting_id(part.authorise_key) if part.authorise_key else ""
    if step.kind == "refund":
        role, suffix = ("given_back", "") if isinstance(answer, Approved) else ("kept", ".k")
        return post(saga, part, postings[role], posting + suffix, amount=step.amount_minor, held=_reserve_id(step))
    if step.kind == "void":
        is_gone = isinstance(answer, Approved) or (isinstance(answer, Declined) and answer.code in logic.VOIDED_ALREADY)
        if not held or not is_gone:
            return None
        made = post(saga, part, postings["release"], posting, held=held)
        return None if made.about == _EXPIRED else made
    if not isinstance(answer, Approved):
        return None
    if step.kind == "authorise":
        return post(saga, part, postings["reserve"], posting, amount=answer.amount_minor)
    made = post(saga, part, postings["take"], posting, amount=answer.amount_minor, held=held)
    if made.about == _EXPIRED:
        # The provider took it later than the ledger kept it reserved: it is booked as it came.
        made = post(saga, part, postings["take_late"], posting, amount=answer.amount_minor)
    return made


class _Refused(Exception):
    """Takes back a posting that was refused, so that its id is not burned."""


def post(
    saga: Saga,
    part: Part,
    template: str,
    posting_id: str,
    *,
    amount: int = 0,
    held: str = "",
) -> PostingResult:
    """Make a posting of a payment: what the template wants is filled from what the payment knows.

    Why a savepoint: a refusal must not burn the id, because a person may mend what refused it and try again.
    """
    posting = _posting(saga, part, template, posting_id, amount=amount, held=held)
    if posting is None:
        return PostingResult(id=posting_id, code=PostingCode.TEMPLATE_UNKNOWN, about=template)
    with contextlib.suppress(_Refused), saga.tx.savepoint():
        result = make_posting(saga.memory, saga.tx, posting, by=ACTOR, cause_seq=saga.payment.decision_seq)
        if not result.stands:
            raise _Refused
    return result


def would_not_reserve(saga: Saga) -> str:
    """Say what the ledger has against reserving what providers are asked for; empty: nothing, as things stand.

    Why before they are asked: what they take and the ledger cannot book would wait for a person, and the buyer with it.
    """
    definition = saga.memory.compiled.pack.ledger
    for part in saga.parts:
        if part.provider:
            template, posting_id = _postings(saga, part)["reserve"], logic.posting_id(f"{saga.payment.id}-0")
            posting = _posting(saga, part, template, posting_id, amount=part.amount_minor)
            if posting is None:
                return f"{PostingCode.TEMPLATE_UNKNOWN.value} {template}"
            asked: Posting = posting
            made = tried(saga.tx, lambda: ledger.post(saga.tx, saga.memory.log_time.peek(), definition, asked))  # noqa: B023 - run at once
            if not made.stands:
                return _said(made)
    return ""


def _posting(
    saga: Saga, part: Part, template: str, posting_id: str, *, amount: int = 0, held: str = ""
) -> Posting | None:
    payment = saga.payment
    definition = saga.memory.compiled.pack.ledger.templates.get(template)
    if definition is None:
        return None
    owners = {"order": payment.order or "", "provider": part.provider, "account": payment.account}
    parameters: dict[str, str | int] = {}
    for name, each in definition.parameters.items():
        match each.type:
            case "amount":
                parameters[name] = amount
            case "posting":
                parameters[name] = held
            case "owner":
                parameters[name] = owners.get(each.owner or "", "")
            case "reference":
                parameters[name] = payment.id
    return Posting(
        id=posting_id, template=template, currency=payment.currency, parameters=parameters, level=payment.level
    )


def take_notices(saga: Saga) -> None:
    """Book the chargebacks and returns in the inbox whose time has come, in an order that makes sense."""
    if saga.before is None:
        return
    order = {"chargeback": 0, "payout_returned": 0, "chargeback_won": 1}
    waiting = store.notices_of(saga.tx, saga.payment.id, waiting=True)
    for entry in sorted(waiting, key=lambda each: order.get(each.notice.kind, 2)):
        status, said = _reverse(saga, entry.provider, entry.notice)
        if status != "waiting":
            store.settle_notice(saga.tx, entry, saga.memory.log_time.peek(), status=status, said=said)
            if status == "unfit":
                about = f"payment:{saga.payment.id}"
                saga.memory.alert("payment.notice_unfit", about, f"{entry.provider}, {entry.notice.kind}: {said}")


def _reverse(saga: Saga, provider: str, notice: ProviderNotice) -> tuple[str, str]:
    """Book what a provider began itself; return what becomes of the notice, and why."""
    step = next((each for each in saga.steps if each.id == notice.key), None)
    if step is None or step.status != "done" or not isinstance(step.answer, Approved):
        is_early = step is not None and step.status in {"open", "unbooked"}
        return ("waiting", "") if is_early else ("unfit", "nothing was taken there")
    part, amount = saga.parts[step.part], notice.amount_minor
    posting = logic.reversal_id(notice.kind, provider, notice.provider_ref)
    settings = settings_of(saga.memory)
    if notice.currency != saga.payment.currency or amount <= 0:
        return "unfit", "another currency, or no amount"
    if any(each.notice == notice and each.status == "done" for each in store.notices_of(saga.tx, saga.payment.id)):
        return "done", "booked before"
    if notice.kind == "payout_returned":
        if part.returnable_minor != amount or saga.payment.kind != "payout":
            return "unfit", "not what was paid out"
        made = post(saga, part, settings.payout["came_back"], posting, amount=amount)
        change = {"refunded_minor": part.refunded_minor + amount}
    elif notice.kind == "chargeback":
        if amount > part.returnable_minor:
            return "unfit", "more than was captured and is not given back"
        made = post(saga, part, settings.chargeback["in_escrow"], posting, amount=amount)
        if not made.stands:
            # The order is completed and the seller has the money: the company bears it.
            made = post(saga, part, settings.chargeback["after"], posting, amount=amount)
        change = {"charged_back_minor": part.charged_back_minor + amount}
    else:
        lost = logic.reversal_id("chargeback", provider, notice.provider_ref)
        template = ledger_template(saga.tx, lost)
        if not template:
            return "waiting", ""
        role = "won_in_escrow" if template == settings.chargeback["in_escrow"] else "won"
        made = post(saga, part, settings.chargeback[role], posting, amount=amount)
        change = {"charged_back_minor": part.charged_back_minor - amount}
    if not made.stands:
        return "unfit", _said(made)
    saga.parts[step.part] = msgspec.structs.replace(part, **change)
    if notice.kind == "chargeback":
        _tell_chargeback(saga, posting, amount)
    return "done", posting


def ledger_template(tx: Tx, posting_id: str) -> str:
    """Return the template of a posting that stands; empty: there is none."""
    found = posting_store.find(tx, posting_id)
    return found.template if found is not None and found.code is PostingCode.POSTED else ""


def _save(saga: Saga) -> None:
    at = saga.memory.log_time.peek()
    is_out = _waits_for_provider(saga)
    status = logic.status_of(saga.payment, saga.parts, saga.steps, is_out=is_out)
    saga.payment = msgspec.structs.replace(saga.payment, status=status, changed_at=at)
    changed = [(number, each) for number, each in enumerate(saga.steps, start=1) if each.id in saga.touched]
    store.save(saga.tx, saga.payment, saga.parts, changed)
    if saga.before is None and status is not PaymentStatus.REFUSED:
        set_lapse(saga.memory, saga.payment.id, saga.payment.lapses_at)
    if status is saga.before:
        return
    if status is PaymentStatus.STUCK:
        trouble = next((each for each in saga.steps if each.status in {"refused", "unbooked"}), None)
        said = f"{trouble.kind} {trouble.id}: {trouble.trouble}" if trouble is not None else ""
        saga.memory.alert("payment.stuck", f"payment:{saga.payment.id}", f"A payment needs a person: {said}"[:300])
    body = {
        "payment": saga.payment.id,
        "kind": saga.payment.kind,
        "order": saga.payment.order,
        "status": status.value,
        "ended_because": saga.payment.ended_because,
        "buyer_goes_to": next((each.wait_url for each in saga.parts if each.wait_url), ""),
    }
    about = SubjectRef(kind="account", id=saga.payment.account)
    seq, entered_at = saga.memory.enter(
        CHANGED, msgspec.json.encode(body), about=f"account:{about.id}", cause_seq=saga.payment.decision_seq
    )
    saga.memory.tell_payment(about, body, seq=seq, at=entered_at)
    saga.before = status
    if status is PaymentStatus.CAPTURED and saga.payment.order:
        new = Kept(
            by=saga.payment.id,
            amount_minor=sum(each.returnable_minor for each in saga.parts),
            currency=saga.payment.currency,
            account=saga.payment.account,
        )
        tell_paid_twice(saga.memory, saga.tx, saga.payment.order, new, seller=saga.payment.seller, cause_seq=seq)


def _waits_for_provider(saga: Saga) -> bool:
    """Tell whether a provider that is out is all that a payment waits for, and nothing was begun there."""
    open_steps = [each for each in saga.steps if each.status == "open"]
    if not open_steps or any(each.attempts for each in open_steps):
        return False
    states = store.provider_states(saga.tx)
    return any(each.provider in states and logic.is_out(states[each.provider]) for each in open_steps)


# What rules hear of it.


def _tell_decline(saga: Saga, reason: str) -> None:
    """Tell that a provider declined, with the fields of the first event, so that features count it."""
    part = next((each for each in saga.parts if each.decline == reason), None)
    if part is None or not part.provider:
        return
    opened = saga.memory.vault.open(
        saga.tx, saga.payment.account, f"payment:{saga.payment.id}", store.sealed_of(saga.tx, saga.payment.id)
    )
    context = (opened or {}).get("context")
    data: dict[str, object] = {
        "buyer": {"id": saga.payment.account},
        "payment": {"id": saga.payment.id},
        "order": {"id": saga.payment.order},
        "method": part.method,
        "amount_minor": part.amount_minor,
        "currency": saga.payment.currency,
        "declined": True,
        "decline_code": reason,
        "three_d_secure": bool(part.three_ds),
    }
    fact = Fact(
        room=ROOM,
        id=f"{saga.payment.id}.declined",
        type=settings_of(saga.memory).decides,
        subject=None,
        data=merged(context if isinstance(context, dict) else {}, data),
    )
    enter_fact(saga.memory, saga.tx, fact, cause_seq=saga.payment.decision_seq)


def _tell_chargeback(saga: Saga, posting: str, amount: int) -> None:
    event = settings_of(saga.memory).tells_chargeback
    if not event:
        return
    opened = saga.memory.vault.open(
        saga.tx, saga.payment.account, f"payment:{saga.payment.id}", store.sealed_of(saga.tx, saga.payment.id)
    )
    context = (opened or {}).get("context")
    known = (
        {key: value for key, value in context.items() if key in {"card", "device"}} if isinstance(context, dict) else {}
    )
    data: dict[str, object] = {
        "buyer": {"id": saga.payment.account},
        "payment": {"id": saga.payment.id},
        "order": {"id": saga.payment.order},
        "amount_minor": amount,
        "currency": saga.payment.currency,
        **({"seller": {"id": saga.payment.seller}} if saga.payment.seller else {}),
    }
    fact = Fact(room=ROOM, id=posting, type=event, subject=None, data=merged(known, data))
    enter_fact(saga.memory, saga.tx, fact, cause_seq=saga.payment.decision_seq)


def merged(context: Mapping[str, object], data: Mapping[str, object]) -> dict[str, object]:
    """Return the client's fields with ours over them: it may add to the event, and never change what we say."""
    found: dict[str, object] = dict(context)
    for key, value in data.items():
        theirs = found.get(key)
        found[key] = merged(theirs, value) if isinstance(value, dict) and isinstance(theirs, dict) else value
    return found


# Small things.


def settings_of(memory: Memory) -> PaymentsDef:
    """Return what the pack in force says about payments. Refuses: PaymentUnfit, where it says nothing."""
    settings = memory.compiled.pack.payments
    if not settings.name:
        raise PaymentUnfit("The pack in force has no section 'payments'.")
    return settings


def seal(memory: Memory, tx: Tx, payment: Payment, what: str, fields: Mapping[str, object]) -> bytes:
    """Seal what belongs to a payment under its account's key."""
    memory.vault.prepare(tx, memory.log_time.peek(), [payment.account])
    return memory.vault.seal(payment.account, f"{what}:{payment.id}", fields)


def set_lapse(memory: Memory, payment_id: str, due_at: Instant) -> None:
    """Set when a payment is given up unless it got there."""
    memory.drop_timer(f"timer_payment_{payment_id}")
    memory.set_timer(Timer(id=f"timer_payment_{payment_id}", due_at=due_at, kind=PAYMENT_LAPSE, about=payment_id))


def _postings(saga: Saga, part: Part) -> Mapping[str, str]:
    method = settings_of(saga.memory).methods.get(part.method)
    if method is None:
        raise PaymentUnfit(f"The pack in force has no method {part.method!r}, which {saga.payment.id} was begun with.")
    return method.postings


def _proves(memory: Memory, part: Part) -> bool:
    method = memory.compiled.pack.payments.methods.get(part.method)
    return method is not None and method.proves == PROOF_3DS


def _reserve_id(step: Step) -> str:
    return f"{logic.posting_id(step.id)}.r"


def payout_reserve(payment: Payment) -> str:
    """Return the id of the posting that sets a payout's money aside."""
    return f"{logic.posting_id(payment.id)}.r"


def _said(made: PostingResult) -> str:
    return f"{made.code.value} {made.about}".strip()


def index_of(saga: Saga, step_id: str) -> int:
    """Return the place of a step."""
    return next(index for index, each in enumerate(saga.steps) if each.id == step_id)


def _stored_evidence(part: Part) -> ThreeDS:
    """Return what of stored evidence a later look needs: flow and status; the rest stays sealed."""
    flow, status, eci = part.three_ds.split("/")
    return msgspec.convert(
        {
            "flow": flow, "trans_status": status, "eci": eci, "version": "", "authentication_value": "",
            "ds_trans_id": "", "acs_trans_id": "", "server_trans_id": "",
        },
        ThreeDS,
    )  # fmt: skip
