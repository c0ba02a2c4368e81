"""The tables of payments and all SQL on them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, Table, Text

from koban import db
from koban.base import Instant
from koban.db import Tx, metadata, sum_halves, upsert, whole_sum
from koban.payments.types import (
    Answer,
    Kept,
    Part,
    Payment,
    PaymentStatus,
    ProviderCall,
    ProviderNotice,
    ProviderState,
    Saying,
    Stays,
    Step,
)

CALLS_KEPT_MAX: Final = 50  # of one step: the last of them stands for all that follow

payments: Final = Table(
    "payments",
    metadata,
    Column("id", Text, primary_key=True, comment="The client's id."),
    Column("kind", Text, nullable=False, comment="order or payout."),
    Column("goal", Text, nullable=False, comment="authorise, capture, undo or payout."),
    Column("order_ref", Text, comment="Id of the order; null: a payout."),
    Column("account", Text, nullable=False, comment="Id of who pays, or who is paid."),
    Column("seller", Text, comment="Id of the seller, where the client said."),
    Column("currency", Text, nullable=False, comment="ISO 4217."),
    Column("level", Text, comment="Level of verification, for limits of the ledger."),
    Column("amount_minor", BigInteger, nullable=False, comment="Of all parts, minor units."),
    Column("verdict", Text, nullable=False, comment="Of the decision on the payment's event."),
    Column("three_ds", Text, nullable=False, comment="frictionless or challenge: what the decision demands."),
    Column("held", SmallInteger, nullable=False, comment="1 while nothing may be captured or paid out."),
    Column("held_why", Text, nullable=False, comment="hold, or the challenges that nothing here can prove."),
    Column("ended_because", Text, nullable=False, comment="Why it was undone; empty: it was not."),
    Column("status", Text, nullable=False, comment="Derived from goal, parts and steps; kept to be found by."),
    Column("digest", Text, nullable=False, comment="Keyed digest of the request, to know a retry."),
    Column("decision_seq", BigInteger, comment="Place in the log of the event that was decided."),
    Column("created_at", BigInteger, nullable=False, comment="Microseconds."),
    Column("changed_at", BigInteger, nullable=False, comment="Microseconds."),
    Column("lapses_at", BigInteger, nullable=False, comment="When it is given up unless it got there."),
    Column("sealed", LargeBinary, nullable=False, comment="Tokens and context, sealed under the account's key."),
    Index("payments_created", "created_at", "id"),
    Index("payments_order", "order_ref"),
    Index("payments_account", "account"),
    Index("payments_status", "status"),
    Index("payments_decision", "decision_seq"),
    comment="Payments of orders and payouts.",
)

parts: Final = Table(
    "payment_parts",
    metadata,
    Column("payment", Text, primary_key=True, comment="Id of the payment."),
    Column("no", SmallInteger, primary_key=True, autoincrement=False, comment="From 0."),
    Column("method", Text, nullable=False, comment="Method of the pack."),
    Column("provider", Text, nullable=False, comment="Name of the provider; empty: inside the ledger."),
    Column("amount_minor", BigInteger, nullable=False, comment="Minor units."),
    Column("state", Text, nullable=False, comment="planned, waiting, authorised, declined, captured, released, paid."),
    Column("reference", Text, nullable=False, comment="The provider's id of the charge."),
    Column("wait_why", Text, nullable=False, comment="challenge or slip, while the buyer is waited for."),
    Column("wait_url", Text, nullable=False, comment="Where the buyer is sent."),
    Column("decline", Text, nullable=False, comment="Why it did not come about."),
    Column("authorised_minor", BigInteger, nullable=False, comment="Minor units."),
    Column("captured_minor", BigInteger, nullable=False, comment="Minor units; of a payout: what was sent."),
    Column("refunded_minor", BigInteger, nullable=False, comment="Minor units; of a payout: what came back."),
    Column("charged_back_minor", BigInteger, nullable=False, comment="Minor units."),
    Column("three_ds", Text, nullable=False, comment="Flow, transStatus and ECI of the evidence."),
    Column("authorise_key", Text, nullable=False, comment="The step whose posting reserves in the ledger."),
    Column("evidence", LargeBinary, nullable=False, comment="3-D Secure evidence, sealed under the account's key."),
    comment="The methods that share a payment.",
)

steps: Final = Table(
    "payment_steps",
    metadata,
    Column("id", Text, primary_key=True, comment="Also the idempotency key that the provider gets."),
    Column("payment", Text, nullable=False, comment="Id of the payment."),
    Column("nth", BigInteger, nullable=False, comment="From 1, within the payment."),
    Column("part", SmallInteger, nullable=False, comment="Number of the part."),
    Column("kind", Text, nullable=False, comment="authorise, capture, void, refund or payout."),
    Column("provider", Text, nullable=False, comment="Name of the provider; empty: inside the ledger."),
    Column("amount_minor", BigInteger, nullable=False, comment="Minor units that are asked for."),
    Column("status", Text, nullable=False, comment="open, done, refused, unbooked or closed."),
    Column("request", Text, nullable=False, comment="The client's id of the refund; empty: it follows from the goal."),
    Column("attempts", BigInteger, nullable=False, comment="Calls so far."),
    Column("next_at", BigInteger, nullable=False, comment="When it is sent (again), microseconds."),
    Column("answer", Text, comment="JSON, without evidence; null: none yet."),
    Column("posting", Text, nullable=False, comment="Id of the posting that booked it."),
    Column("trouble", Text, nullable=False, comment="What ledger or provider said when a person is needed."),
    Column("created_at", BigInteger, nullable=False, comment="Microseconds."),
    Column("done_at", BigInteger, comment="Microseconds."),
    Index("payment_steps_payment", "payment", "nth"),
    Index(
        "payment_steps_due",
        "provider",
        "next_at",
        "id",
        sqlite_where=sqlalchemy.text("status = 'open'"),
        postgresql_where=sqlalchemy.text("status = 'open'"),
    ),
    comment="Each call to a provider or posting of a payment: stored before it is made.",
)

calls: Final = Table(
    "payment_calls",
    metadata,
    Column("step", Text, primary_key=True, comment="Id of the step."),
    Column("attempt", BigInteger, primary_key=True, autoincrement=False, comment="From 1."),
    Column("at", BigInteger, nullable=False, comment="When it was made, microseconds."),
    Column("took_us", BigInteger, nullable=False, comment="How long the answer took, microseconds."),
    Column("outcome", Text, nullable=False, comment="approved, declined, waiting or unavailable."),
    Column("detail", Text, nullable=False, comment="Code of a decline, or why there is no answer."),
    comment="Every call to a provider.",
)

sayings: Final = Table(
    "payment_sayings",
    metadata,
    Column("step", Text, primary_key=True, comment="Id of the step."),
    Column("said_by", Text, nullable=False, comment="Who said it."),
    Column("at", BigInteger, nullable=False, comment="When, microseconds."),
    Column("happened", SmallInteger, nullable=False, comment="1: it came about."),
    Column("reference", Text, nullable=False, comment="The provider's own id of it, where it happened."),
    Column("reason", Text, nullable=False, comment="Who said so at the provider, and where it is seen."),
    comment="What one person said of how a step ended whose person was erased; gone once a second one said the same.",
)

notices: Final = Table(
    "payment_notices",
    metadata,
    Column("provider", Text, primary_key=True, comment="Name of the provider."),
    Column("message", Text, primary_key=True, comment="The provider's id of the message."),
    Column("kind", Text, nullable=False, comment="changed, chargeback, chargeback_won or payout_returned."),
    Column("payment", Text, comment="Id of the payment that it is about, once that is known."),
    Column("body", Text, nullable=False, comment="JSON, as it was understood."),
    Column("status", Text, nullable=False, comment="waiting, done or unfit."),
    Column("said", Text, nullable=False, comment="What became of it."),
    Column("received_at", BigInteger, nullable=False, comment="Microseconds."),
    Column("handled_at", BigInteger, comment="Microseconds."),
    Index("payment_notices_payment", "payment", "status"),
    comment="The inbox for webhooks of providers; a message that came before is there already.",
)

providers: Final = Table(
    "payment_providers",
    metadata,
    Column("name", Text, primary_key=True, comment="Name of the provider."),
    Column("failures", BigInteger, nullable=False, comment="Calls without an answer in a row."),
    Column("open_until", BigInteger, nullable=False, comment="Until when it is left alone; 0: it answers."),
    Column("last_error", Text, nullable=False, comment="Why there was no answer last."),
    Column("failed_at", BigInteger, comment="When there was none last, microseconds."),
    Column("answered_at", BigInteger, comment="When it answered last, microseconds."),
    comment="Whether each provider answers.",
)

_PAYMENT: Final = tuple(each.name for each in payments.columns if each.name != "sealed")
_PARTS: Final = tuple(each.name for each in parts.columns if each.name != "payment")
_STEPS: Final = tuple(each.name for each in steps.columns if each.name != "nth")
_STEP_ENDS: Final = len(_STEPS)
_PAYMENT_ENDS: Final = _STEP_ENDS + len(_PAYMENT)
_CHANGING: Final = tuple(name for name in _PAYMENT if name != "id")
_SAVE_PAYMENT: Final = f"UPDATE payments SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE id = ?"


def _of(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


DUE: Final = (
    f"SELECT {_of('s', _STEPS)}, {_of('p', _PAYMENT)}, {_of('a', _PARTS)}, p.sealed FROM payment_steps s "
    "JOIN payments p ON p.id = s.payment JOIN payment_parts a ON a.payment = s.payment AND a.no = s.part "
    "WHERE s.status = 'open' AND s.provider = ? AND s.next_at <= ? ORDER BY s.next_at, s.id LIMIT ?"
)


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook of a provider in the inbox."""

    provider: str
    message: str
    notice: ProviderNotice
    payment: str | None
    status: str
    said: str
    received_at: Instant
    handled_at: Instant | None = None


class DueStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that a provider is to be asked for, with what the call needs."""

    step: Step
    payment: Payment
    part: Part
    sealed: bytes


def insert(tx: Tx, payment: Payment, sealed: bytes) -> None:
    """Store a new payment."""
    db.insert(tx, payments, [{**_payment_row(payment), "sealed": sealed}])


def save(tx: Tx, payment: Payment, its_parts: Sequence[Part], its_steps: Sequence[tuple[int, Step]]) -> None:
    """Store a payment with its parts, and those of its steps that are new or changed, each with its number."""
    row = _payment_row(payment)
    tx.change(_SAVE_PAYMENT, (*(row[name] for name in _CHANGING), payment.id))
    part_rows = [{"payment": payment.id, **{name: getattr(each, name) for name in _PARTS}} for each in its_parts]
    upsert(tx, parts, part_rows, keys=("payment", "no"), update=tuple(each for each in _PARTS if each != "no"))
    step_rows = [_step_row(number, each) for number, each in its_steps]
    # Attempts are counted by whoever sends, between the reading of a step and this writing.
    upsert(tx, steps, step_rows, keys=("id",), update=tuple(each for each in _STEPS if each not in {"id", "attempts"}))


def find(tx: Tx, payment_id: str) -> Payment | None:
    """Return a payment."""
    found = read(tx, "id = ?", (payment_id,), limit=1)
    return found[0] if found else None


def read(tx: Tx, where: str, parameters: Sequence[object], *, limit: int) -> list[Payment]:
    """Return payments, newest first."""
    rows = tx.rows(
        f"SELECT {', '.join(_PAYMENT)} FROM payments WHERE {where} ORDER BY created_at DESC, id DESC LIMIT ?",
        (*parameters, limit),
    )
    return [_payment(row) for row in rows]


def list_payments(
    tx: Tx,
    *,
    order: str | None = None,
    account: str | None = None,
    status: str | None = None,
    statuses: Sequence[str] = (),
    before: tuple[int, str] | None = None,
    limit: int,
) -> list[Payment]:
    """List payments, newest first; `statuses` names several of which one holds."""
    where, parameters = ["1 = 1"], list[object]()
    for column, value in (("order_ref", order), ("account", account), ("status", status)):
        if value is not None:
            where.append(f"{column} = ?")
            parameters.append(value)
    if statuses:
        where.append(f"status IN ({', '.join('?' * len(statuses))})")
        parameters.extend(statuses)
    if before is not None:
        where.append("(created_at < ? OR (created_at = ? AND id < ?))")
        parameters.extend((before[0], before[0], before[1]))
    return read(tx, " AND ".join(where), parameters, limit=limit)


def count_by_status(tx: Tx) -> dict[str, int]:
    """Count payments in each status."""
    return {row[0]: int(row[1]) for row in tx.rows("SELECT status, count(*) FROM payments GROUP BY status")}


def sum_by_status(tx: Tx, statuses: Sequence[str]) -> list[tuple[str, str, int, int]]:
    """Return (status, currency, how many, their sum) of payments in some statuses."""
    rows = tx.rows(
        f"SELECT status, currency, count(*), {sum_halves('amount_minor')} FROM payments WHERE status IN "
        f"({', '.join('?' * len(statuses))}) GROUP BY status, currency ORDER BY status, currency",
        tuple(statuses),
    )
    return [(row[0], row[1], int(row[2]), whole_sum(row[3], row[4])) for row in rows]


def sum_going_back(tx: Tx) -> list[tuple[str, int, int]]:
    """Return (currency, how many, their sum) of refunds that a provider is still asked for."""
    rows = tx.rows(
        f"SELECT payments.currency, count(*), {sum_halves('payment_steps.amount_minor')} FROM payment_steps "
        "JOIN payments ON payments.id = payment_steps.payment "
        "WHERE payment_steps.status = 'open' AND payment_steps.kind = 'refund' GROUP BY payments.currency ORDER BY 1"
    )
    return [(row[0], int(row[1]), whole_sum(row[2], row[3])) for row in rows]


def sealed_of(tx: Tx, payment_id: str) -> bytes:
    """Return the sealed tokens and context of a payment."""
    return bytes(tx.rows("SELECT sealed FROM payments WHERE id = ?", (payment_id,))[0][0])


def decided_by(tx: Tx, seq: int) -> list[Payment]:
    """Return the payments whose event was decided at a place of the log: one, or none."""
    return read(tx, "decision_seq = ?", (seq,), limit=1)


def parts_of(tx: Tx, payment_id: str) -> list[Part]:
    """Return the parts of a payment, in their order."""
    rows = tx.rows(f"SELECT {', '.join(_PARTS)} FROM payment_parts WHERE payment = ? ORDER BY no", (payment_id,))
    return [_part(row) for row in rows]


def kept_of_order(tx: Tx, order: str) -> list[Kept]:
    """Return what each payment of an order took and keeps: not what goes back or is asked to go back."""
    rows = tx.rows(
        "SELECT p.id, p.account, p.currency, a.captured_minor - a.refunded_minor - a.charged_back_minor "
        "- coalesce((SELECT sum(s.amount_minor) FROM payment_steps s WHERE s.payment = p.id AND s.part = a.no "
        "AND s.kind = 'refund' AND s.status = 'open'), 0) FROM payments p JOIN payment_parts a ON a.payment = p.id "
        "WHERE p.order_ref = ? AND p.goal <> 'undo'",
        (order,),
    )
    kept: dict[str, Kept] = {}
    for payment, account, currency, amount in rows:
        before = kept[payment].amount_minor if payment in kept else 0
        kept[payment] = Kept(by=payment, account=account, currency=currency, amount_minor=before + int(amount))
    return [each for each in kept.values() if each.amount_minor > 0]


def needs_method(tx: Tx, method: str) -> str | None:
    """Return a payment by a method that may still move: it is under way, or what was taken may be given back."""
    found = tx.rows(
        "SELECT p.id FROM payment_parts a JOIN payments p ON p.id = a.payment WHERE a.method = ? "
        "AND p.status NOT IN ('refused', 'failed', 'voided', 'refunded', 'returned') LIMIT 1",
        (method,),
    )
    return str(found[0][0]) if found else None


def steps_of(tx: Tx, payment_id: str) -> list[Step]:
    """Return the steps of a payment, in the order in which they were begun."""
    rows = tx.rows(f"SELECT {', '.join(_STEPS)} FROM payment_steps WHERE payment = ? ORDER BY nth", (payment_id,))
    return [_step(row) for row in rows]


def find_step(tx: Tx, step_id: str) -> Step | None:
    """Return a step."""
    rows = tx.rows(f"SELECT {', '.join(_STEPS)} FROM payment_steps WHERE id = ?", (step_id,))
    return _step(rows[0]) if rows else None


def due(tx: Tx, provider: str, at: Instant, *, limit: int) -> list[DueStep]:
    """Return the open steps of a provider whose time has come, the longest waiting first."""
    return [
        DueStep(
            step=_step(row[:_STEP_ENDS]),
            payment=_payment(row[_STEP_ENDS:_PAYMENT_ENDS]),
            part=_part(row[_PAYMENT_ENDS:-1]),
            sealed=bytes(row[-1]),
        )
        for row in tx.rows(DUE, (provider, at, limit))
    ]


_UNSENT: Final = (
    "FROM payment_steps s JOIN payments p ON p.id = s.payment WHERE s.status = 'open' AND s.provider = ? "
    "AND s.kind = 'authorise' AND s.attempts = 0"
)


def unsent(tx: Tx, provider: str, *, limit: int) -> list[Payment]:
    """Return payments of which something waits for a provider that it was never sent, the longest waiting first."""
    rows = tx.rows(
        f"SELECT DISTINCT {_of('p', _PAYMENT)} {_UNSENT} ORDER BY p.created_at, p.id LIMIT ?", (provider, limit)
    )
    return [_payment(row) for row in rows]


def count_unsent(tx: Tx, provider: str) -> list[tuple[str, int, int]]:
    """Return by currency how many payments wait unsent for a provider, and how much of them it would take."""
    rows = tx.rows(
        f"SELECT p.currency, count(DISTINCT p.id), {sum_halves('s.amount_minor')} {_UNSENT} GROUP BY p.currency ORDER BY p.currency",
        (provider,),
    )
    return [(row[0], int(row[1]), whole_sum(row[2], row[3])) for row in rows]


def staying(tx: Tx, provider: str) -> list[Stays]:
    """Count what waits for a provider and cannot go elsewhere: it was sent, or it is about a charge that is there."""
    rows = tx.rows(
        "SELECT kind, CASE WHEN attempts > 0 THEN 1 ELSE 0 END, count(*) FROM payment_steps "
        "WHERE status = 'open' AND provider = ? AND NOT (kind = 'authorise' AND attempts = 0) GROUP BY 1, 2 ORDER BY 1, 2",
        (provider,),
    )
    return [Stays(kind=row[0], sent=bool(row[1]), count=int(row[2])) for row in rows]


def claim_all(tx: Tx, step_ids: Sequence[str]) -> frozenset[str]:
    """Note, before steps are sent, that they are; return which. The others were called off meanwhile and must not be."""
    sql = "UPDATE payment_steps SET attempts = attempts + 1 WHERE id = ? AND status = 'open'"
    return frozenset(each for each in step_ids if tx.change(sql, (each,)) > 0)


def close_unsent(tx: Tx, step_id: str) -> bool:
    """Close an open step that was never sent; False: it was, or is being sent now."""
    return (
        tx.change(
            "UPDATE payment_steps SET status = 'closed' WHERE id = ? AND status = 'open' AND attempts = 0", (step_id,)
        )
        > 0
    )


def hasten(tx: Tx, step_id: str, at: Instant) -> bool:
    """Have an open step asked now; tell whether there is one."""
    return tx.change("UPDATE payment_steps SET next_at = ? WHERE id = ? AND status = 'open'", (at, step_id)) > 0


def insert_call(tx: Tx, call: ProviderCall) -> None:
    """Note a call to a provider; of a step that is asked very often the newest stands for all after the first ones."""
    row = {**msgspec.structs.asdict(call), "attempt": min(call.attempt, CALLS_KEPT_MAX)}
    upsert(tx, calls, [row], keys=("step", "attempt"), update=("at", "took_us", "outcome", "detail"))


def calls_of(tx: Tx, payment_id: str) -> list[ProviderCall]:
    """Return the calls of a payment, oldest first."""
    rows = tx.rows(
        "SELECT c.step, c.attempt, c.at, c.took_us, c.outcome, c.detail FROM payment_calls c "
        "JOIN payment_steps s ON s.id = c.step WHERE s.payment = ? ORDER BY c.at, c.step, c.attempt",
        (payment_id,),
    )
    names = ("step", "attempt", "at", "took_us", "outcome", "detail")
    return [msgspec.convert(dict(zip(names, row, strict=True)), ProviderCall) for row in rows]


def put_saying(tx: Tx, said: Saying) -> None:
    """Keep what a person said of how a step ended, in place of what was said before."""
    row = {
        "step": said.step, "said_by": said.by, "at": said.at, "happened": int(said.happened),
        "reference": said.reference, "reason": said.reason,
    }  # fmt: skip
    upsert(tx, sayings, [row], keys=("step",), update=("said_by", "at", "happened", "reference", "reason"))


def sayings_of(tx: Tx, payment_id: str) -> dict[str, Saying]:
    """Return what was said of a payment's steps and waits for a second person, by step."""
    rows = tx.rows(
        "SELECT y.step, y.said_by, y.at, y.happened, y.reference, y.reason FROM payment_sayings y "
        "JOIN payment_steps s ON s.id = y.step WHERE s.payment = ? AND s.status = 'open'",
        (payment_id,),
    )
    return {
        step: Saying(step=step, by=by, at=Instant(at), happened=bool(happened), reference=reference, reason=reason)
        for step, by, at, happened, reference, reason in rows
    }


def delete_saying(tx: Tx, step_id: str) -> None:
    """Forget what was said of a step: it is known how it ended."""
    tx.change("DELETE FROM payment_sayings WHERE step = ?", (step_id,))


def insert_notice(tx: Tx, notice: Notice) -> bool:
    """Put a webhook into the inbox; tell whether it is new."""
    row = {
        "provider": notice.provider,
        "message": notice.message,
        "kind": notice.notice.kind,
        "payment": notice.payment,
        "body": msgspec.json.encode(notice.notice).decode(),
        "status": notice.status,
        "said": notice.said,
        "received_at": notice.received_at,
        "handled_at": notice.handled_at,
    }
    if tx.rows("SELECT 1 FROM payment_notices WHERE provider = ? AND message = ?", (notice.provider, notice.message)):
        return False
    db.insert(tx, notices, [row])
    return True


def settle_notice(tx: Tx, notice: Notice, at: Instant, *, status: str, said: str) -> None:
    """Note what became of a webhook."""
    tx.change(
        "UPDATE payment_notices SET status = ?, said = ?, handled_at = ?, payment = ? WHERE provider = ? AND message = ?",
        (status, said, at, notice.payment, notice.provider, notice.message),
    )


def notices_of(tx: Tx, payment_id: str, *, waiting: bool = False) -> list[Notice]:
    """Return the webhooks about a payment, oldest first."""
    rows = tx.rows(
        "SELECT provider, message, body, payment, status, said, received_at, handled_at FROM payment_notices "
        f"WHERE payment = ?{' AND status = ' + chr(39) + 'waiting' + chr(39) if waiting else ''} ORDER BY received_at, message",
        (payment_id,),
    )
    return [
        Notice(
            provider=row[0],
            message=row[1],
            notice=msgspec.json.decode(row[2], type=ProviderNotice),
            payment=row[3],
            status=row[4],
            said=row[5],
            received_at=Instant(row[6]),
            handled_at=None if row[7] is None else Instant(row[7]),
        )
        for row in rows
    ]


def provider_states(tx: Tx) -> dict[str, ProviderState]:
    """Return what is known of each provider that was ever called."""
    rows = tx.rows("SELECT name, failures, open_until, last_error, failed_at, answered_at FROM payment_providers")
    names = ("name", "failures", "open_until", "last_error", "failed_at", "answered_at")
    return {row[0]: msgspec.convert(dict(zip(names, row, strict=True)), ProviderState) for row in rows}


def save_provider(tx: Tx, state: ProviderState) -> None:
    """Store what is known of a provider."""
    row = msgspec.structs.asdict(state)
    upsert(tx, providers, [row], keys=("name",), update=tuple(each for each in row if each != "name"))


def _payment_row(payment: Payment) -> dict[str, object]:
    row = msgspec.structs.asdict(payment)
    order = row.pop("order")
    return {**row, "order_ref": order, "held": int(payment.held), "status": payment.status.value}


def _payment(row: Sequence[Any]) -> Payment:
    values: dict[str, Any] = dict(zip(_PAYMENT, row, strict=True))  # Any: rows of the driver
    values["order"] = values.pop("order_ref")
    values["held"] = bool(values["held"])
    values["status"] = PaymentStatus(values["status"])
    return Payment(**values)


def _part(row: Sequence[Any]) -> Part:
    values: Mapping[str, Any] = dict(zip(_PARTS, row, strict=True))  # Any: rows of the driver
    return Part(**{**values, "evidence": bytes(values["evidence"])})


def _step_row(number: int, step: Step) -> dict[str, object]:
    row = {name: getattr(step, name) for name in _STEPS}
    answer = None if step.answer is None else msgspec.json.encode(step.answer).decode()
    return {**row, "nth": number, "answer": answer}


def _step(row: Sequence[Any]) -> Step:
    values: dict[str, Any] = dict(zip(_STEPS, row, strict=True))  # Any: rows of the driver
    written = values["answer"]
    values["answer"] = None if written is None else msgspec.json.decode(written, type=Answer)
    return Step(**values)
