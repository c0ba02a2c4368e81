"""Payments in the decider: what clients ask for, what providers say, what happens by itself; one transaction each.

Whoever asks the providers is outside (`payments.PaymentWorker`); here nothing waits for anybody.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

import koban.decisions.store as decision_store
from koban.access import require_second
from koban.audit import record
from koban.base import DAY, SECOND, Instant, Refusal, limits, sequence_id
from koban.db import Tx
from koban.decisions import DecisionRecord, HoldEnd, VerdictName
from koban.packs.types import PaymentsDef
from koban.payments import logic, store
from koban.payments.types import (
    Answer,
    Approved,
    CallOutcome,
    Declined,
    MethodInUse,
    NewPart,
    NewPayment,
    NewPayout,
    NewRefund,
    OutcomeOwn,
    Part,
    Payment,
    PaymentConflict,
    PaymentNotThere,
    PaymentStatus,
    PaymentUnfit,
    PaymentUnfunded,
    ProviderCall,
    ProviderNotice,
    ProviderOut,
    ProviderState,
    RefundTooLarge,
    ReleaseReason,
    SaidOutcome,
    Saying,
    Step,
    Told,
    Verdict,
    Waiting,
)
from koban.pipeline.facts import Fact, enter_fact
from koban.pipeline.memory import Memory
from koban.pipeline.saga import (
    ACTOR,
    PROOF_3DS,
    ROOM,
    Saga,
    advance,
    begin_step,
    close_unsent,
    index_of,
    load,
    merged,
    payout_reserve,
    post,
    seal,
    set_lapse,
    settings_of,
    take,
    take_notices,
    would_not_reserve,
)

PARTS_MAX: Final = 8
UNANSWERED_MAX: Final = 5  # calls in a row, where the pack says nothing about an outage
REST: Final = 30 * SECOND
SAID_BY_PERSON: Final = "said_by_person"  # a decline's code
NOTED_EVERY: Final = 60 * SECOND  # that a provider answers


# What clients ask for.


def begin(memory: Memory, tx: Tx, new: NewPayment, providers: Sequence[str], *, by: str) -> Payment:
    """Have the payment's event decided, and begin what the decision leaves.

    Refuses: PaymentConflict, PaymentUnfit, ProviderOut.
    """
    at = memory.log_time.peek()
    digest = memory.vault.digest(msgspec.json.encode(new, order="deterministic")).hex()
    again = _again(tx, new.id, digest)
    if again is not None:
        return again
    settings = settings_of(memory)
    parts = tuple(_new_part(settings, no, each, providers) for no, each in enumerate(new.parts))
    if not 1 <= len(parts) <= PARTS_MAX:
        raise PaymentUnfit(f"A payment has 1 to {PARTS_MAX} parts.")
    _check_level(memory, new.level, [settings.methods[each.method].postings["reserve"] for each in parts])
    lapses_at = Instant(at + _patience(tx, settings, parts))
    amount = sum(each.amount_minor for each in parts)
    if amount >= limits.BOOK_LIMIT_MINOR_MAX:
        raise PaymentUnfit(
            f"A payment is of less than {limits.BOOK_LIMIT_MINOR_MAX:,} minor units, its parts together."
        )
    proving = any(settings.methods[each.method].proves == PROOF_3DS for each in parts)
    data: dict[str, object] = {
        "buyer": {"id": new.account},
        "payment": {"id": new.id},
        "order": {"id": new.order},
        "method": next((each.method for each in parts if each.provider), parts[0].method),
        "amount_minor": amount,
        "currency": new.currency,
        "declined": False,
    }
    decision = _decide(memory, tx, settings.decides, new.id, merged(new.context, data))
    verdict, why = _what_follows(decision, proving=proving)
    payment = Payment(
        id=new.id,
        kind="order",
        goal="capture" if new.capture else "authorise",
        order=new.order,
        account=new.account,
        seller=new.seller,
        currency=new.currency,
        level=new.level,
        amount_minor=amount,
        verdict=verdict,
        three_ds="challenge"
        if proving and decision is not None and PROOF_3DS in decision.challenge
        else "frictionless",
        held=bool(why),
        held_why=why,
        digest=digest,
        decision_seq=None if decision is None else decision.seq,
        created_at=at,
        changed_at=at,
        lapses_at=lapses_at,
    )
    tokens = {str(no): each.token for no, each in enumerate(new.parts) if each.token}
    saga = Saga(memory=memory, tx=tx, payment=payment, parts=list(parts), steps=[], before=None)
    if verdict != "block" and (why_not := would_not_reserve(saga)):
        raise PaymentUnfit(f"The ledger could not book it: {why_not}. Nobody was asked.")
    _insert(memory, tx, payment, tokens, new.context)
    record(tx, at, by, "payment.begun", new.id, {"amount_minor": amount, "verdict": verdict, "parts": len(parts)})
    return advance(saga)


def begin_payout(memory: Memory, tx: Tx, new: NewPayout, providers: Sequence[str], *, by: str) -> Payment:
    """Have a payout decided, set its money aside in the ledger, and begin what the decision leaves.

    Refuses: PaymentConflict, PaymentUnfit, PaymentUnfunded, ProviderOut.
    """
    at = memory.log_time.peek()
    digest = memory.vault.digest(msgspec.json.encode(new, order="deterministic")).hex()
    again = _again(tx, new.id, digest)
    if again is not None:
        return again
    settings = settings_of(memory)
    if not settings.payout or not settings.decides_payout:
        raise PaymentUnfit("The pack says not how payouts are decided and booked.")
    provider = _provider(new.provider, providers)
    part = Part(no=0, method="payout", provider=provider, amount_minor=new.amount_minor)
    _check_level(memory, new.level, [settings.payout["reserve"]])
    lapses_at = Instant(at + _patience(tx, settings, (part,)))
    data: dict[str, object] = {
        "account": {"id": new.account},
        "amount_minor": new.amount_minor,
        "currency": new.currency,
    }
    decision = _decide(memory, tx, settings.decides_payout, new.id, merged(new.context, data))
    verdict, why = _what_follows(decision, proving=False)
    payment = Payment(
        id=new.id,
        kind="payout",
        goal="payout",
        account=new.account,
        currency=new.currency,
        level=new.level,
        amount_minor=new.amount_minor,
        verdict=verdict,
        held=bool(why),
        held_why=why,
        digest=digest,
        decision_seq=None if decision is None else decision.seq,
        created_at=at,
        changed_at=at,
        lapses_at=lapses_at,
    )
    _insert(memory, tx, payment, {"0": new.token} if new.token else {}, new.context)
    saga = Saga(memory=memory, tx=tx, payment=payment, parts=[part], steps=[], before=None)
    if verdict != "block":
        made = post(saga, part, settings.payout["reserve"], payout_reserve(payment), amount=part.amount_minor)
        if not made.stands:
            raise PaymentUnfunded(
                f"The ledger refuses to set the payout aside: {made.code.value} {made.about}".rstrip()
            )
    record(tx, at, by, "payout.begun", new.id, {"amount_minor": new.amount_minor, "verdict": verdict})
    return advance(saga)


def capture(memory: Memory, tx: Tx, payment_id: str, *, by: str) -> Payment:
    """Take what was authorised. Refuses: PaymentMissing, PaymentNotThere."""
    saga = load(memory, tx, payment_id)
    if saga.payment.goal == "capture":
        return saga.payment
    if saga.payment.goal != "authorise" or saga.payment.verdict == "block":
        raise PaymentNotThere(f"It is {saga.payment.status.value}, and only what is authorised can be captured.")
    record(tx, memory.log_time.peek(), by, "payment.captured", payment_id)
    saga.payment = msgspec.structs.replace(saga.payment, goal="capture")
    return advance(saga)


def void(memory: Memory, tx: Tx, payment_id: str, *, by: str, because: str = "voided") -> Payment:
    """Call a payment off that is not captured yet, or a payout that was not sent: everything goes back.

    Refuses: PaymentMissing, PaymentNotThere.
    """
    saga = load(memory, tx, payment_id)
    if saga.payment.ended_because == because:
        return saga.payment
    if not _may_end(saga):
        raise PaymentNotThere(f"It is {saga.payment.status.value}; what was taken is given back by a refund.")
    record(tx, memory.log_time.peek(), by, "payment.voided", payment_id, {"because": because})
    _call_off(saga, because)
    return advance(saga)


def refund(memory: Memory, tx: Tx, new: NewRefund, *, by: str) -> Payment:
    """Give an amount back: set aside in the ledger first, then the providers are asked.

    Refuses: PaymentMissing, PaymentConflict, PaymentNotThere, RefundTooLarge, PaymentUnfunded.
    """
    saga = load(memory, tx, new.payment)
    earlier = [each for each in saga.steps if each.request == new.id]
    if earlier:
        live = [each for each in earlier if each.status != "closed"] or earlier
        if sum(each.amount_minor for each in live) != new.amount_minor:
            raise PaymentConflict(f"The refund {new.id!r} was asked for with another amount.")
        return saga.payment
    if saga.payment.goal != "capture" or saga.payment.kind != "order":
        raise PaymentNotThere(f"It is {saga.payment.status.value}; only what was captured is given back.")
    shares, left = logic.split_refund(saga.parts, saga.steps, new.amount_minor, part=new.part)
    for number, amount in shares:
        begin_step(saga, logic.Next(part=number, kind="refund", amount_minor=amount), new.id)
    if left:
        raise RefundTooLarge(f"{new.amount_minor} is {left} more than can still be given back.")
    unfunded = next((each for each in saga.steps if each.request == new.id and each.status == "unbooked"), None)
    if unfunded is not None:
        raise PaymentUnfunded(f"The ledger refuses to set the refund aside: {unfunded.trouble}")
    record(
        tx, memory.log_time.peek(), by, "payment.refunded", new.payment, {"amount_minor": new.amount_minor, "refund": new.id}
    )  # fmt: skip
    return advance(saga)


def release(memory: Memory, tx: Tx, payment_id: str, *, by: str, because: ReleaseReason) -> Payment:
    """Let a held payment go on. Refuses: PaymentMissing, PaymentNotThere."""
    saga = load(memory, tx, payment_id)
    if not saga.payment.held or saga.payment.goal == "undo" or saga.payment.ended_because:
        raise PaymentNotThere(f"It is {saga.payment.status.value}, and held by nothing.")
    record(tx, memory.log_time.peek(), by, "payment.released", payment_id, {"because": because})
    if because != "verdict_ended":
        _judged(memory, tx, saga.payment, "allow", by=by)
    saga.payment = msgspec.structs.replace(saga.payment, held=False)
    return advance(saga)


def refuse(memory: Memory, tx: Tx, payment_id: str, *, by: str) -> Payment:
    """Call a held payment off for good. Refuses: PaymentMissing, PaymentNotThere."""
    saga = load(memory, tx, payment_id)
    if not saga.payment.held:
        raise PaymentNotThere(f"It is {saga.payment.status.value}, and held by nothing.")
    payment = void(memory, tx, payment_id, by=by, because="refused_by_person")
    _judged(memory, tx, saga.payment, "block", by=by)
    return payment


def _judged(memory: Memory, tx: Tx, payment: Payment, verdict: VerdictName, *, by: str) -> None:
    """Note that a person ended the hold on a payment's event, so that nothing else does."""
    if payment.decision_seq is None or payment.verdict != "hold":
        return
    body = msgspec.json.encode({"payment": payment.id, "becomes": verdict, "by": by})
    about = f"account:{payment.account}"
    seq, at = memory.enter("payment.judged", body, about=about, cause_seq=payment.decision_seq)
    memory.drop_timer(sequence_id("timer", payment.decision_seq))
    decision_store.end_hold(tx, payment.decision_seq, HoldEnd(at=at, why="judged", verdict=verdict, cause_seq=seq))


def retry(memory: Memory, tx: Tx, payment_id: str, step_id: str, *, by: str) -> Payment:
    """Try again what a provider or the ledger refused, after a person looked. Refuses: PaymentMissing, PaymentNotThere."""
    saga = load(memory, tx, payment_id)
    step = _stuck(saga, step_id)
    record(tx, memory.log_time.peek(), by, "payment.retried", payment_id, {"step": step_id})
    if step.status == "unbooked" and step.answer is not None:
        saga.put(msgspec.structs.replace(step, status="open", trouble=""))
        take(saga, saga.steps[index_of(saga, step_id)], step.answer, evidence=None)
        return advance(saga)
    saga.put(msgspec.structs.replace(step, status="closed"))
    if step.request:
        again = logic.Next(part=step.part, kind="refund", amount_minor=step.amount_minor)
        begin_step(saga, again, step.request)
        if saga.steps[-1].status == "unbooked":
            raise PaymentUnfunded(f"The ledger refuses to set the refund aside: {saga.steps[-1].trouble}")
    return advance(saga)


def dismiss(memory: Memory, tx: Tx, payment_id: str, step_id: str, *, by: str) -> Payment:
    """Give a refused refund up that somebody asked for. Refuses: PaymentMissing, PaymentNotThere."""
    saga = load(memory, tx, payment_id)
    step = _stuck(saga, step_id)
    if step.status != "refused" or not step.request or saga.payment.goal == "undo":
        raise PaymentNotThere("Only a refused refund that somebody asked for can be given up.")
    record(tx, memory.log_time.peek(), by, "payment.dismissed", payment_id, {"step": step_id})
    saga.put(msgspec.structs.replace(step, status="closed"))
    return advance(saga)


def say(memory: Memory, tx: Tx, said: SaidOutcome, *, by: str) -> Payment:
    """Say how a step ended that was sent and whose person was erased before the answer. The same again is the same.

    It is booked once a second person says the same; whoever says otherwise stands in place of the first.
    Refuses: PaymentMissing, PaymentNotThere, PaymentUnfit, OutcomeOwn.
    Why only such a step: about every other the provider can be asked, and it knows better.
    """
    saga = load(memory, tx, said.payment)
    step = next((each for each in saga.steps if each.id == said.step), None)
    if step is None:
        raise PaymentNotThere(f"There is no step {said.step[:80]!r} of {saga.payment.id}.")
    if said.happened and not said.reference:
        raise PaymentUnfit("What happened has a reference at the provider.")
    answer: Answer = Declined(code=SAID_BY_PERSON)
    if said.happened:
        answer = Approved(reference=said.reference, amount_minor=step.amount_minor)
    if step.status == "done" and step.answer == answer:
        return saga.payment
    if not logic.is_left_to_people(step, store.calls_of(tx, said.payment)):
        raise PaymentNotThere(f"The step {step.id} is {step.status}; only one whose person was erased waits for this.")
    at = memory.log_time.peek()
    first = store.sayings_of(tx, said.payment).get(step.id)
    if first is not None and first.by == by and _says(first) == _says(said):
        return saga.payment
    record(tx, at, by, "payment.outcome_said", said.payment, {"step": step.id, "happened": said.happened})
    if first is None or _says(first) != _says(said):
        saying = Saying(
            step=step.id, by=by, at=at, happened=said.happened, reference=said.reference, reason=said.reason
        )
        store.put_saying(tx, saying)
        return saga.payment
    require_second(tx, first.by, by, refusal=OutcomeOwn, own="You said it first; somebody else must say the same.")
    store.delete_saying(tx, step.id)
    # Beside the calls, for that is where one looks for how it is known; the trail takes no words that people wrote.
    call = ProviderCall(step=step.id, attempt=step.attempts + 1, at=at, took_us=0,
                        outcome="approved" if said.happened else "declined",
                        detail=f"{first.by}, {by}: {first.reason} · {said.reason}"[:300])  # fmt: skip
    store.insert_call(tx, call)
    take(saga, step, answer, evidence=None)
    return advance(saga)


def _says(what: SaidOutcome | Saying) -> tuple[bool, str]:
    return what.happened, what.reference


# What providers say.


def settle(memory: Memory, tx: Tx, told: Told) -> None:
    """Take in how a call to a provider went; a step that was settled meanwhile stays as it is."""
    step = store.find_step(tx, told.step)
    if step is None or step.status != "open" or not step.provider:
        return
    saga = load(memory, tx, step.payment)
    step = saga.steps[index_of(saga, step.id)]
    answer, error = told.answer, told.error
    if answer is not None and not logic.amount_fits(step, answer):
        answer, error = None, f"it answered with an amount that cannot be: {answer}"[:300]
        memory.alert("payment.answer_unfit", f"payment:{step.payment}", f"{step.provider} on {step.id}: {error}")
    _note_call(tx, step, told, answer, error)
    if told.is_erased:
        # The provider is not to blame and was not asked; only a person, or its report, can say how it ended.
        saga.put(msgspec.structs.replace(step, next_at=Instant(memory.log_time.peek() + DAY)))
        detail = f"{step.kind} {step.id} was sent to {step.provider}, and its person erased before the answer came"
        memory.alert("payment.outcome_unknown", f"payment:{step.payment}", detail)
        advance(saga)
        return
    _note_provider(memory, tx, step.provider, told.at, error=error if answer is None else None)
    at = memory.log_time.peek()
    if answer is None or isinstance(answer, Waiting):
        step = msgspec.structs.replace(step, next_at=logic.next_ask(step.attempts, at))
        saga.put(step)
        if isinstance(answer, Waiting):
            saga.parts[step.part] = logic.apply_answer(saga.parts[step.part], step, answer, demanded=None)
        advance(saga)
        return
    evidence = answer.evidence if isinstance(answer, Approved | Declined) else None
    take(saga, step, answer, evidence=evidence)
    advance(saga)


def receive(memory: Memory, tx: Tx, provider: str, message: str, notice: ProviderNotice) -> bool:
    """Put a provider's webhook into the inbox and do what can be done about it; tell whether it is new."""
    at = memory.log_time.peek()
    step = store.find_step(tx, notice.key) if notice.key else None
    if step is not None and step.provider != provider:
        step = None
    entry = store.Notice(
        provider=provider,
        message=message,
        notice=notice,
        payment=None if step is None else step.payment,
        status="waiting",
        said="",
        received_at=at,
    )
    if not store.insert_notice(tx, entry):
        return False
    if step is None:
        store.settle_notice(tx, entry, at, status="unfit", said="no step has this key")
        memory.alert(
            "payment.notice_unfit", f"provider:{provider}", f"{provider}: {message[:80]} is about nothing of ours"
        )
    elif notice.kind == "changed":
        is_open = store.hasten(tx, step.id, at)
        store.settle_notice(tx, entry, at, status="done", said="asked again" if is_open else "settled before")
    else:
        saga = load(memory, tx, step.payment)
        take_notices(saga)
        advance(saga)
    return True


def _note_call(tx: Tx, step: Step, told: Told, answer: Answer | None, error: str) -> None:
    outcome: CallOutcome = "unavailable"
    detail = error[:300]
    match answer:
        case Approved():
            outcome, detail = "approved", answer.reference
        case Declined():
            outcome, detail = "declined", f"{answer.code} {answer.detail}".strip()[:300]
        case Waiting():
            outcome, detail = "waiting", answer.why
    call = ProviderCall(
        step=step.id, attempt=step.attempts, at=told.at, took_us=told.took_us, outcome=outcome, detail=detail
    )
    store.insert_call(tx, call)


def _note_provider(memory: Memory, tx: Tx, name: str, at: Instant, *, error: str | None) -> None:
    """Count calls without an answer; an outage that begins or ends is told once."""
    state = store.provider_states(tx).get(name) or ProviderState(name=name)
    if error is None:
        if state.failures or state.answered_at is None or at - state.answered_at > NOTED_EVERY:
            store.save_provider(tx, logic.after_answer(state, at))
        return
    rules = memory.compiled.pack.payments.outages
    rule = rules.get(name) or rules.get("any")
    most, rest_us = (rule.after, rule.rest_us) if rule is not None else (UNANSWERED_MAX, REST)
    after = logic.after_failure(state, at, error, most=most, rest_us=rest_us)
    store.save_provider(tx, after)
    if logic.is_out(after) and not logic.is_out(state):
        memory.alert(
            "payment.provider_out", f"provider:{name}", f"{name} gave no answer {after.failures} times: {error}"[:300]
        )


# What happens by itself.


def lapse(memory: Memory, payment_id: str) -> None:
    """Call a payment off that did not get there in its time. A timer's work: what is refused becomes an alert."""
    tx = memory.tx
    assert tx is not None, "timers fire in a batch"
    _by_itself(memory, tx, payment_id, lambda: _lapse(memory, tx, payment_id))


def _by_itself(memory: Memory, tx: Tx, payment_id: str, run: Callable[[], object]) -> None:
    mark = memory.mark()
    try:
        with tx.savepoint():
            run()
    except Refusal as refusal:
        memory.back(mark)
        memory.alert("payment.stuck", f"payment:{payment_id}", f"A payment needs a person: {refusal.detail}"[:300])


def _lapse(memory: Memory, tx: Tx, payment_id: str) -> None:
    saga = load(memory, tx, payment_id)
    if not _may_end(saga) or saga.payment.goal == "undo":
        return
    queued = saga.payment.status is PaymentStatus.QUEUED
    late = saga.payment.created_at + settings_of(memory).lapses_after_us
    if not queued and memory.log_time.peek() < late:
        set_lapse(memory, saga.payment.id, Instant(late))
        return
    record(tx, memory.log_time.peek(), ACTOR, "payment.lapsed", payment_id)
    _call_off(saga, "lapsed")
    advance(saga)


def verdict_ended(memory: Memory, tx: Tx, decision_seq: int, now: str) -> None:
    """Follow what became of a verdict: what it held goes on, or is called off.

    What it blocked was never tried, and is asked anew.
    """
    for payment in store.decided_by(tx, decision_seq):
        if not payment.held or payment.ended_because:
            continue

        def end(held: str = payment.id) -> None:
            if now in {"allow", "warn"}:
                release(memory, tx, held, by=ACTOR, because="verdict_ended")
            elif now == "block" and _may_end(load(memory, tx, held)):
                void(memory, tx, held, by=ACTOR, because="hold_ended")

        _by_itself(memory, tx, payment.id, end)


# What a new payment needs.


def _again(tx: Tx, payment_id: str, digest: str) -> Payment | None:
    earlier = store.find(tx, payment_id)
    if earlier is not None and earlier.digest != digest:
        raise PaymentConflict(f"{payment_id[:80]!r} was used for another payment.")
    return earlier


def _check_level(memory: Memory, level: str | None, reserves: Sequence[str]) -> None:
    ledger = memory.compiled.pack.ledger
    if level is not None and level not in ledger.levels:
        raise PaymentUnfit(f"There is no level {level[:40]!r}; the pack has {', '.join(ledger.levels)}.")
    limited = next((each.name for each in ledger.limits.values() if set(each.on) & set(reserves)), None)
    if level is None and limited is not None:
        raise PaymentUnfit(f"The limit {limited} asks for the account's level of verification: 'level'.")


def _new_part(settings: PaymentsDef, no: int, new: NewPart, providers: Sequence[str]) -> Part:
    method = settings.methods.get(new.method)
    if method is None:
        known = ", ".join(settings.methods)
        raise PaymentUnfit(f"There is no payment method {new.method[:40]!r}; the pack has {known}.")
    if method.retired:
        raise PaymentUnfit(f"Nothing new is paid by {method.name}: the pack has retired it.")
    if new.amount_minor <= 0:
        raise PaymentUnfit("Each part has an amount above zero.")
    if not method.provider and (new.provider or new.token):
        raise PaymentUnfit(f"{method.name} is paid inside the ledger and takes no provider and no token.")
    provider = _provider(new.provider, providers) if method.provider else ""
    return Part(no=no, method=method.name, provider=provider, amount_minor=new.amount_minor)


def _provider(wanted: str, providers: Sequence[str]) -> str:
    if not providers:
        raise PaymentUnfit("This installation has no payment provider; set KOBAN_PAYMENT_PROVIDERS.")
    if wanted and wanted not in providers:
        raise PaymentUnfit(
            f"There is no payment provider {wanted[:40]!r}; this installation has {', '.join(providers)}."
        )
    return wanted or providers[0]


def _patience(tx: Tx, settings: PaymentsDef, parts: Sequence[Part]) -> int:
    """Return for how long a new payment may wait; while a provider is out the pack's rule holds.

    Refuses: ProviderOut.
    """
    states = store.provider_states(tx)
    patience = settings.lapses_after_us
    for part in parts:
        state = states.get(part.provider) if part.provider else None
        if state is None or not logic.is_out(state):
            continue
        rule = settings.outages.get(part.provider) or settings.outages.get("any")
        if rule is None or rule.then == "refuse":
            raise ProviderOut(f"{part.provider} gives no answer; nothing was begun. Ask again later.")
        patience = min(patience, rule.queue_for_us)
    return patience


def _decide(memory: Memory, tx: Tx, event: str, payment_id: str, data: Mapping[str, object]) -> DecisionRecord | None:
    """Enter the payment's event and read the decision on it. Refuses: PaymentUnfit, where it cannot be read."""
    seq = enter_fact(memory, tx, Fact(room=ROOM, id=payment_id, type=event, subject=None, data=data), cause_seq=None)
    if seq is None:
        # Fails closed: what nobody could judge is not paid.
        raise PaymentUnfit(
            f"The event {event} cannot be read: a field of 'context' has another type than the pack says."
        )
    body = next(row[6] for row in reversed(memory.rows.decisions) if row[0] == seq)
    return msgspec.json.decode(str(body), type=DecisionRecord)


def _what_follows(decision: DecisionRecord | None, *, proving: bool) -> tuple[Verdict, str]:
    """Return the verdict, and what the payment is held for: a hold, or challenges that 3-D Secure cannot prove."""
    if decision is None:
        return "allow", ""
    if decision.verdict == "hold":
        return "hold", "hold"
    if decision.verdict == "challenge":
        unproved = [each for each in decision.challenge if each != PROOF_3DS or not proving]
        return "challenge", ",".join(unproved) or ("" if decision.challenge else "challenge")
    return decision.verdict, ""


def _insert(memory: Memory, tx: Tx, payment: Payment, tokens: Mapping[str, str], context: Mapping[str, object]) -> None:
    sealed = seal(memory, tx, payment, "payment", {"tokens": dict(tokens), "context": dict(context)})
    store.insert(tx, payment, sealed)


def keep_methods(tx: Tx, before: PaymentsDef, after: PaymentsDef) -> None:
    """Make sure that a version of the pack knows every method that payments still need. Refuses: MethodInUse.

    Why a refusal: without its postings a payment could neither go on nor be given back, and would wait for a person.
    """
    gone = [name for name in before.methods if name not in after.methods]
    moved = [
        name
        for name, each in before.methods.items()
        if name in after.methods and each.provider != after.methods[name].provider
    ]
    if before.payout and not after.payout:
        gone.append("payout")
    for name in (*gone, *moved):
        payment = store.needs_method(tx, name)
        if payment is not None:
            raise MethodInUse(
                f"{payment} was begun with {name}, and may still go on or be given back. Keep {name} in the pack with "
                "'retired: true': nothing new is paid by it then."
            )


# Small things.


def _call_off(saga: Saga, because: str) -> None:
    """Turn a payment to its end: an order's parts are given back, a payout's money is free again."""
    payment = msgspec.structs.replace(saga.payment, ended_because=because, held=False)
    close_unsent(saga)
    if payment.kind == "payout" and any(each.status != "closed" for each in saga.steps):
        raise PaymentNotThere("The payout is on its way.")
    if payment.kind == "payout":
        part = saga.parts[0]
        released = settings_of(saga.memory).payout["release"]
        post(saga, part, released, f"{payout_reserve(payment)}.k", held=payout_reserve(payment))
        saga.parts[0] = msgspec.structs.replace(part, state="released")
        saga.payment = payment
        return
    saga.payment = msgspec.structs.replace(payment, goal="undo")


def _may_end(saga: Saga) -> bool:
    """Tell whether a payment can be called off: nothing was captured, or sent to whom it is paid out."""
    if saga.payment.verdict == "block" or saga.payment.ended_because or saga.payment.goal == "undo":
        return False
    if saga.payment.kind == "payout":
        unsent = all(each.status == "closed" or (each.status == "open" and not each.attempts) for each in saga.steps)
        return saga.parts[0].state == "planned" and unsent
    taking = any(each.kind == "capture" and each.provider for each in saga.steps)
    return not taking and not any(each.state == "captured" for each in saga.parts)


def _stuck(saga: Saga, step_id: str) -> Step:
    step = next((each for each in saga.steps if each.id == step_id), None)
    if step is None or step.status not in {"refused", "unbooked"}:
        raise PaymentNotThere(f"No step {step_id[:80]!r} of {saga.payment.id} waits for a person.")
    return step


def decision_of(tx: Tx, payment: Payment) -> DecisionRecord | None:
    """Return the decision on a payment's event, while it is in the database."""
    if payment.decision_seq is None:
        return None
    return decision_store.read_bodies(tx, [payment.decision_seq]).get(payment.decision_seq)
