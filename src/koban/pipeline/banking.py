"""Banks: every step of a cash-out is one command, and all that follows from it one transaction.

Every function has the shape that `Desk.command` wants once its first arguments are bound. Why in small steps: no command
may hold the decider for long, and what a crash leaves half done is taken up again (`subscriptions`).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

import koban.ledger.store as ledger_store
from koban.access import require_second
from koban.audit import record
from koban.banking import calendar, directory, expected_store, matching, store, zengin
from koban.banking.lines import SEALED, Ruled, check_payee, context_of, open_payee, rule_line
from koban.banking.types import (
    BankAccount,
    BankAccountClosed,
    BankAccountMissing,
    BankLine,
    BankProposal,
    BankProposalMissing,
    Batch,
    BatchDecided,
    BatchMissing,
    CalendarMissing,
    CashOut,
    CashOutMissing,
    CashOutUnfit,
    FileNotThere,
    LeftOut,
    LineMissing,
    MatchUnfit,
    Payee,
    PayeeInvalid,
    ReadRow,
    SecondPersonNeeded,
    StatementFile,
    StatementRow,
)
from koban.base import HOUR, Instant
from koban.db import Tx
from koban.enforcement import SubjectRef
from koban.ledger import Posting, PostingResult
from koban.packs import Hours
from koban.payments.types import Kept
from koban.pipeline.bank_accounts import check_account, keep_account
from koban.pipeline.memory import Memory
from koban.pipeline.money import make_posting
from koban.pipeline.twice import tell_paid_twice

DRAFT_MAX: Final = 500  # cash-outs of one batch
# In one command, so that none holds the decider for more than some milliseconds.
DRAFTED_AT_ONCE: Final = 50
LAPSED_AT_ONCE: Final = 100
SENT_AT_ONCE: Final = 5
LINES_AT_ONCE: Final = 5
HOLD_MARGIN: Final = 12 * HOUR  # a reservation that ends sooner is not sent: it may be free before it is settled
REQUEST: Final = "cash_out_requested"


class RequestCashOut(msgspec.Struct, frozen=True, kw_only=True):
    """An account asks for its money. The id is the client's, and becomes the posting's."""

    id: str
    owner: str
    amount_minor: int  # what leaves the wallet, the fee included
    fee_minor: int
    currency: str
    level: str | None
    payee: Payee


def request_cash_out(
    memory: Memory, tx: Tx, command: RequestCashOut, *, by: str
) -> tuple[CashOut | None, PostingResult | None]:
    """Reserve the money and keep where it goes, sealed; the same id again gets the first answer.

    Returns no cash-out where the ledger refused: its result code says why, and burned the id.
    Refuses: PayeeInvalid, CashOutUnfit for an id that was something else.
    """
    at = memory.log_time.peek()
    earlier = store.find_cash_out(tx, command.id)
    if earlier is not None:
        _check_same(memory, tx, earlier, command)
        return earlier, None
    payee = check_payee(command.payee)
    free = command.fee_minor == 0
    template = f"{REQUEST}_free" if free else REQUEST
    given: dict[str, str | int] = {"account": command.owner, "amount": command.amount_minor}
    posting = Posting(
        id=command.id,
        template=template,
        currency=command.currency,
        parameters=given if free else {**given, "fee": command.fee_minor},
        level=command.level,
    )
    result = make_posting(memory, tx, posting, by=by)
    if not result.stands:
        return None, result
    held = ledger_store.find_transfer(tx, f"{command.id}.1")
    assert held is not None, "a posting that stands has its transfers"
    number = store.next_number(tx, "bank_cash_outs")
    made = CashOut(
        id=command.id,
        number=number,
        reference=f"KB{number:010d}",
        owner=command.owner,
        template=template,
        amount_minor=command.amount_minor - command.fee_minor,
        fee_minor=command.fee_minor,
        currency=command.currency,
        state="waiting",
        batch=None,
        left_out=None,
        requested_at=at,
        holds_until=held.expires_at or at,
        sent_at=None,
        paid_line=None,
        returned_line=None,
        settled_at=None,
        reason="",
    )
    memory.vault.prepare(tx, at, {command.owner})
    sealed = memory.vault.seal(command.owner, context_of(command.id), msgspec.structs.asdict(payee))
    store.insert_cash_out(tx, made, sealed)
    record(tx, at, by, "bank.cash_out", command.id, {"amount_minor": made.amount_minor})
    return made, result


def _check_same(memory: Memory, tx: Tx, earlier: CashOut, command: RequestCashOut) -> None:
    said = (earlier.owner, earlier.amount_minor + earlier.fee_minor, earlier.fee_minor, earlier.currency)
    if said != (command.owner, command.amount_minor, command.fee_minor, command.currency):
        raise CashOutUnfit(f"{earlier.id} was asked for before with another owner, amount or fee")
    payee = open_payee(memory.vault, tx, earlier)
    if payee is not None and payee != check_payee(command.payee):
        raise CashOutUnfit(f"{earlier.id} was asked for before to another account; cancel it and ask anew")


def cancel(memory: Memory, tx: Tx, cash_out_id: str, *, by: str) -> CashOut:
    """Take a cash-out back that did not leave: the money is free in the wallet.

    Refuses: CashOutMissing, CashOutUnfit.
    """
    at = memory.log_time.peek()
    one = _cash_out(tx, cash_out_id)
    if one.state == "cancelled":
        return one
    if one.state != "waiting":
        raise CashOutUnfit(f"{one.id} is {one.state}")
    template = "cash_out_failed" + one.template.removeprefix(REQUEST)
    posting = Posting(
        id=f"bank.{one.number}.cancelled", template=template, currency=one.currency, parameters={"request": one.id}
    )
    if not make_posting(memory, tx, posting, by=by).stands:
        raise CashOutUnfit(f"{one.id}: the reservation is gone")
    store.settle(tx, one.id, at, state="cancelled", reason="cancelled")
    record(tx, at, by, "bank.cash_out_cancelled", one.id)
    return _cash_out(tx, one.id)


def _cash_out(tx: Tx, cash_out_id: str) -> CashOut:
    found = store.find_cash_out(tx, cash_out_id)
    if found is None:
        raise CashOutMissing(f"there is no cash-out {cash_out_id[:96]!r}")
    return found


# Batches.


def hours_of(memory: Memory) -> Hours:
    """Return the pack's banking calendar. Refuses: CalendarMissing."""
    found = memory.compiled.pack.calendars.get(calendar.CALENDAR)
    if found is None:
        raise CalendarMissing("Declare a calendar 'banking' in the pack's calendars.yaml.")
    return found.hours


def open_batch(memory: Memory, tx: Tx, account_id: str, *, by: str) -> Batch | None:
    """Begin a draft; `draft_some` puts in what waits, some at a time, and `finish_draft` proposes it.

    None: nothing waits. Refuses: BankAccountMissing, BankAccountClosed, CalendarMissing, BankingCalendarEnds.
    """
    at = memory.log_time.peek()
    account = store.find_account(tx, account_id)
    if account is None:
        raise BankAccountMissing(f"there is no account {account_id[:96]!r}")
    if account.closed_at is not None:
        raise BankAccountClosed(f"{account.id} is closed")
    store.lapse(tx, at, limit=LAPSED_AT_ONCE)
    if not store.waiting(tx, account.currency, after=0, limit=1):
        return None
    number = store.next_number(tx, "bank_batches")
    batch = Batch(
        id=f"T{number:06d}",
        number=number,
        account=account.id,
        format=account.format,
        state="drafting",
        value_on=calendar.value_day(hours_of(memory), at, account.lead_days).isoformat(),
        count=0,
        total_minor=0,
        proposed_by=by,
        proposed_at=at,
        decided_by=None,
        decided_at=None,
        released_at=None,
        file_name=None,
        file_hash=None,
        reason="",
    )
    store.insert_batch(tx, batch)
    return batch


def draft_some(memory: Memory, tx: Tx, batch_id: str, after: int) -> int | None:
    """Put some more of what waits into a draft, oldest first; what could not leave now is left out and says why.

    Returns the number after which to go on; None: the draft is full, or nothing more waits. A crash in between is no
    harm: what is in the draft waits no more, and whoever goes on begins again with what still waits.
    """
    at = memory.log_time.peek()
    batch = _batch(tx, batch_id)
    account = store.find_account(tx, batch.account)
    assert account is not None, "a batch has its account"
    if batch.state != "drafting" or batch.count >= DRAFT_MAX:
        return None
    some = store.waiting(tx, account.currency, after=after, limit=min(DRAFTED_AT_ONCE, DRAFT_MAX - batch.count))
    fitting: list[int] = []
    total = batch.total_minor
    for one in some:
        why = _stopped(memory, one, at)
        if why is None and total + one.amount_minor <= zengin.TOTAL_MAX:
            fitting.append(one.number)
            total += one.amount_minor
        elif why is not None and why != one.left_out:
            store.leave_out(tx, one.id, why)
    store.draft(tx, batch.id, fitting)
    store.grow_batch(tx, batch.id, count=batch.count + len(fitting), total_minor=total)
    return some[-1].number if some else None


def finish_draft(memory: Memory, tx: Tx, batch_id: str) -> Batch | None:
    """Propose a draft to a second person; None: nothing could leave, and the draft is gone."""
    batch = _batch(tx, batch_id)
    if batch.state != "drafting":
        return batch
    if not batch.count:
        store.drop_batch(tx, batch.id)
        return None
    store.propose_batch(tx, batch.id)
    details = {"count": batch.count, "total_minor": batch.total_minor}
    record(tx, memory.log_time.peek(), batch.proposed_by, "bank.batch_proposed", batch.id, details)
    return _batch(tx, batch_id)


def lapse_due(memory: Memory, tx: Tx) -> int:
    """Note which waiting cash-outs have no reservation any more; return how many."""
    return store.lapse(tx, memory.log_time.peek(), limit=LAPSED_AT_ONCE)


def _stopped(memory: Memory, one: CashOut, at: Instant) -> LeftOut | None:
    """Say why money must not leave now: asked of what stands at this moment, at the draft and again at the release."""
    state = memory.sanctions.state(SubjectRef(kind="account", id=one.owner), at)
    if state.payout_frozen:
        return "payout_frozen"
    if state.suspended:
        return "suspended"
    if one.holds_until < at + HOLD_MARGIN:
        return "hold_ending"
    return None


def decline_batch(memory: Memory, tx: Tx, batch_id: str, *, by: str, reason: str) -> Batch:
    """Say no to a batch; its cash-outs wait again. Whoever proposed it may take it back so.

    Refuses: BatchMissing, BatchDecided.
    """
    at = memory.log_time.peek()
    batch = _proposed(tx, batch_id)
    store.decide_batch(tx, batch, at, by=by, state="declined", value_on=batch.value_on, reason=reason)
    store.give_back(tx, batch.id)
    record(tx, at, by, "bank.batch_declined", batch.id)
    return _batch(tx, batch_id)


def approve_batch(memory: Memory, tx: Tx, batch_id: str, *, by: str) -> Batch:
    """Let a batch leave, as a second person; its steps follow, and a day that can no longer be met moves on.

    Refuses: BatchMissing, BatchDecided, SecondPersonNeeded, BankingCalendarEnds.
    """
    at = memory.log_time.peek()
    batch = _proposed(tx, batch_id)
    _require_second(tx, batch.proposed_by, by)
    account = store.find_account(tx, batch.account)
    assert account is not None, "a batch has its account"
    earliest = calendar.value_day(hours_of(memory), at, account.lead_days).isoformat()
    value_on = max(batch.value_on, earliest)
    store.decide_batch(tx, batch, at, by=by, state="releasing", value_on=value_on, reason="")
    record(tx, at, by, "bank.batch_approved", batch.id, {"value_on": value_on})
    return _batch(tx, batch_id)


def _require_second(tx: Tx, first: str, by: str) -> None:
    require_second(tx, first, by, refusal=SecondPersonNeeded, own="You proposed it; somebody else must approve it.")


def _proposed(tx: Tx, batch_id: str) -> Batch:
    batch = _batch(tx, batch_id)
    if batch.state != "proposed":
        raise BatchDecided(f"{batch.id} is {batch.state}")
    return batch


def _batch(tx: Tx, batch_id: str) -> Batch:
    found = store.find_batch(tx, batch_id)
    if found is None:
        raise BatchMissing(f"there is no batch {batch_id[:96]!r}")
    return found


def send_some(memory: Memory, tx: Tx, batch_id: str) -> int:
    """Settle some more cash-outs of a batch that leaves into transit; return how many are left to look at.

    Each is asked about again: a freeze since the draft, the reservation, the payee's erasure, the branch.
    """
    at = memory.log_time.peek()
    batch = _batch(tx, batch_id)
    if batch.state != "releasing":
        return 0
    by = batch.decided_by or "koban"
    for one in store.of_batch(tx, batch.id, state="drafted", limit=SENT_AT_ONCE):
        why = _stopped(memory, one, at)
        payee = open_payee(memory.vault, tx, one) if why is None else None
        if why is None:
            why = "details_erased" if payee is None else _place_fault(payee)
        if why is None and payee is not None:
            why = _send(memory, tx, batch, one, payee)
        if why is not None:
            store.leave_out(tx, one.id, why)
            record(tx, at, by, "bank.cash_out_left_out", one.id, {"batch": batch.id, "why": why})
    return len(store.of_batch(tx, batch.id, state="drafted", limit=1))


def _place_fault(payee: Payee) -> LeftOut | None:
    try:
        directory.check_place(payee.bank, payee.branch)
    except PayeeInvalid:
        return "branch_gone"
    return None


def _send(memory: Memory, tx: Tx, batch: Batch, one: CashOut, payee: Payee) -> LeftOut | None:
    at, by = memory.log_time.peek(), batch.decided_by or "koban"
    posting = Posting(
        id=f"{batch.id}.{one.number}",
        template="cash_out_sent" + one.template.removeprefix(REQUEST),
        currency=one.currency,
        parameters={"request": one.id, "batch": batch.id},
    )
    if not make_posting(memory, tx, posting, by=by).stands:
        return "ledger_refused"
    # From here the file names the payee: a voucher, kept for its years under the key of the day, not of the person.
    store.send(tx, one.id, at, memory.vault.seal_dated(tx, at, SEALED, msgspec.json.encode(payee)))
    return None


def finish_batch(memory: Memory, tx: Tx, batch_id: str, *, name: str, digest: str, data: bytes) -> Batch:
    """Keep the file of a batch whose cash-outs are all in transit; the second of two who finish changes nothing."""
    at = memory.log_time.peek()
    batch = _batch(tx, batch_id)
    if batch.state != "releasing":
        return batch
    sent = store.sent_payees(tx, batch.id)
    by = batch.decided_by or "koban"
    if not sent:
        store.empty_batch(tx, batch.id, at)
        record(tx, at, by, "bank.batch_empty", batch.id)
        return _batch(tx, batch_id)
    total = sum(amount for _, amount, _ in sent)
    sealed = memory.vault.seal_dated(tx, at, SEALED, data)
    store.release_batch(tx, batch.id, at, name=name, digest=digest, sealed=sealed, count=len(sent), total_minor=total)
    record(tx, at, by, "bank.batch_released", batch.id, {"count": len(sent), "total_minor": total, "sha256": digest})
    return _batch(tx, batch_id)


def note_download(memory: Memory, tx: Tx, batch_id: str, *, by: str) -> Batch:
    """Write down that somebody takes the file of a batch. Refuses: BatchMissing, FileNotThere."""
    batch = _batch(tx, batch_id)
    if batch.state != "released" or batch.file_hash is None:
        raise FileNotThere(f"{batch.id} is {batch.state}")
    record(tx, memory.log_time.peek(), by, "bank.file_taken", batch.id, {"sha256": batch.file_hash})
    return batch


# Statements.


def take_in(memory: Memory, tx: Tx, parts: Sequence[StatementFile], data: bytes, *, by: str) -> list[StatementFile]:
    """Keep a file that a bank sent, once: the same bytes again are the file that came before."""
    at = memory.log_time.peek()
    earlier = store.files_of_hash(tx, parts[0].hash)
    if earlier:
        return earlier
    kept = []
    for part in parts:
        number = store.next_number(tx, "bank_files")
        file = msgspec.structs.replace(part, id=f"S{number:06d}", number=number, imported_by=by, imported_at=at)
        sealed = memory.vault.seal_dated(tx, at, SEALED, data) if part.part == 0 else None
        store.insert_file(tx, file, sealed)
        record(tx, at, by, "bank.statement", file.id, {"account": file.account, "lines": file.lines})
        kept.append(file)
    return kept


def follow_lines(memory: Memory, tx: Tx, file_id: str, done: int, rows: Sequence[tuple[ReadRow, str]]) -> int:
    """Follow the next lines of a file: keep each, match it, move the money; return how many lines are done.

    Each row comes with what a line that comes again has in common with it. `done` is where these rows begin: two who
    follow one file at once do each line once.
    """
    at = memory.log_time.peek()
    file = store.find_file(tx, file_id)
    assert file is not None, "a file that is followed was kept"
    if file.done != done:
        return file.done
    account = store.find_account(tx, file.account)
    assert account is not None, "a file has its account"
    for offset, (row, same) in enumerate(rows, start=done + 1):
        fields = {name: getattr(row, name) for name in ReadRow.__struct_fields__ if name != "line"}
        written = StatementRow(id=f"{file.id}.{offset:05d}", account=account.id, **fields)
        fresh = _fresh(file, written, row.line)
        kept = _rule(memory, tx, file, account, fresh, written, same=same)
        private = msgspec.json.encode({"counterparty": row.counterparty, "narrative": row.narrative})
        store.insert_line(tx, kept, same=same, sealed=memory.vault.seal_dated(tx, at, SEALED, private))
    store.advance(tx, file.id, done + len(rows))
    return done + len(rows)


def _fresh(file: StatementFile, row: StatementRow, number: int) -> BankLine:
    return BankLine(
        id=row.id,
        file=file.id,
        account=row.account,
        line=number,
        booked_on=row.booked_on,
        value_on=row.value_on,
        amount_minor=row.amount_minor,
        currency=row.currency,
        reference=row.reference,
        bank_id=row.bank_id,
        kind=row.kind,
        state="noticed",
        exception=None,
        detail="",
        matched=None,
        posting=None,
        attempt=0,
    )


def _rule(  # noqa: PLR0917 - a line with its file, account and words
    memory: Memory, tx: Tx, file: StatementFile, account: BankAccount, line: BankLine, row: StatementRow, *, same: str
) -> BankLine:
    moves = file.kind == account.moves_by
    if store.is_known(tx, account.id, same, not_of=file.id, moves=moves):
        return msgspec.structs.replace(line, state="known")
    found = rule_line(memory.vault, tx, account, row, at=memory.log_time.peek())
    if not moves:
        return _noticed(line, found)
    return _follow(memory, tx, account, line, found, by=file.imported_by)


def _noticed(line: BankLine, found: matching.Match) -> BankLine:
    match found:
        case matching.Pays(cash_out=target) | matching.Returns(cash_out=target):
            return msgspec.structs.replace(line, matched=target)
        case matching.PaysBatch(batch=target):
            return msgspec.structs.replace(line, matched=target)
        case matching.Receives(expected=target):
            return msgspec.structs.replace(line, matched=target)
        case matching.Fee():
            return msgspec.structs.replace(line, matched="fee")
        case matching.Unexplained(detail=detail):
            return msgspec.structs.replace(line, detail=detail)


def _follow(
    memory: Memory, tx: Tx, account: BankAccount, line: BankLine, found: matching.Match, *, by: str
) -> BankLine:
    """Move the money that a line tells of, and note it on cash-outs; what the ledger refuses waits for a person."""
    if isinstance(found, matching.Unexplained):
        return msgspec.structs.replace(line, state="exception", exception=found.kind, detail=found.detail)
    at = memory.log_time.peek()
    ruled = Ruled.of(tx, account, line, found)
    posting = Posting(
        id=f"{line.id}.{line.attempt}",
        template=ruled.template,
        currency=line.currency,
        parameters=ruled.parameters,
        level=ruled.level,
        effective_date=line.value_on,
    )
    result = make_posting(memory, tx, posting, by=by)
    if not result.stands:
        return msgspec.structs.replace(
            line,
            state="exception",
            exception="ledger_refused",
            detail=f"{result.code.value}: {result.about}",
            matched=ruled.target,
            attempt=line.attempt + 1,
        )
    match found:
        case matching.Pays(cash_out=target):
            one = _cash_out(tx, target)
            state = "paid" if one.state == "sent" else one.state
            store.settle(tx, target, at, state=state, paid_line=line.id, reason=one.reason)
        case matching.PaysBatch(batch=target):
            store.pay_batch(tx, target, at, line.id)
        case matching.Returns(cash_out=target):
            store.settle(tx, target, at, state="returned", returned_line=line.id, reason="returned by the bank")
        case matching.Receives(expected=target):
            expected_store.change(tx, target, state="met", line=line.id)
            if "order" in ruled.parameters:
                new = Kept(by=line.id, amount_minor=line.amount_minor, currency=line.currency)
                tell_paid_twice(memory, tx, str(ruled.parameters["order"]), new, seller=None, cause_seq=None)
        case matching.Fee():
            pass
    return msgspec.structs.replace(
        line, state="matched", exception=None, detail=ruled.detail, matched=ruled.target, posting=posting.id
    )


# What people do by hand, in twos.


def propose(memory: Memory, tx: Tx, proposal: BankProposal, *, by: str) -> BankProposal:
    """Say what a line is, that a cash-out that left was not carried out, or what an account of ours is to be.

    A second person approves it.
    Refuses: LineMissing, CashOutMissing, CashOutUnfit, MatchUnfit, and what `check_account` refuses.
    """
    at = memory.log_time.peek()
    if store.waiting_proposals(tx, about=proposal.about):
        raise MatchUnfit(f"somebody proposed something about {proposal.about} already")
    if proposal.kind in {"account", "close"}:
        check_account(tx, proposal)
    elif proposal.kind == "fail":
        _check_failed(_cash_out(tx, proposal.about))
    else:
        _hand_match(tx, _waiting_line(tx, proposal.about), proposal.target)
    number = store.count_proposals(tx) + 1
    kept = msgspec.structs.replace(proposal, id=f"P{number:06d}", state="waiting", proposed_by=by, proposed_at=at)
    store.insert_proposal(tx, kept)
    record(tx, at, by, "bank.proposed", kept.about, {"kind": kept.kind, "proposal": kept.id, "target": kept.target})
    return kept


def approve_proposal(memory: Memory, tx: Tx, proposal_id: str, *, by: str) -> BankProposal:
    """Do what was proposed, as a second person.

    Refuses: BankProposalMissing, SecondPersonNeeded, and what `propose` refuses, if things changed since.
    """
    at = memory.log_time.peek()
    proposal = _waiting_proposal(tx, proposal_id)
    _require_second(tx, proposal.proposed_by, by)
    if proposal.kind in {"account", "close"}:
        keep_account(tx, at, proposal, by=by)
    elif proposal.kind == "fail":
        _fail(memory, tx, at, proposal, by=by)
    else:
        _match_by_hand(memory, tx, proposal, by=by)
    store.decide_proposal(tx, proposal, at, by=by, state="approved")
    record(tx, at, by, "bank.proposal_approved", proposal.about, {"kind": proposal.kind, "proposal": proposal.id})
    return msgspec.structs.replace(proposal, state="approved", decided_by=by, decided_at=at)


def decline_proposal(memory: Memory, tx: Tx, proposal_id: str, *, by: str) -> BankProposal:
    """Say no to a proposal, or take one's own back. Refuses: BankProposalMissing."""
    at = memory.log_time.peek()
    proposal = _waiting_proposal(tx, proposal_id)
    store.decide_proposal(tx, proposal, at, by=by, state="declined")
    record(tx, at, by, "bank.proposal_declined", proposal.about, {"kind": proposal.kind, "proposal": proposal.id})
    return msgspec.structs.replace(proposal, state="declined", decided_by=by, decided_at=at)


def _waiting_proposal(tx: Tx, proposal_id: str) -> BankProposal:
    found = store.find_proposal(tx, proposal_id)
    if found is None or found.state != "waiting":
        raise BankProposalMissing(f"nothing waits under {proposal_id[:96]!r}")
    return found


def _waiting_line(tx: Tx, line_id: str) -> BankLine:
    found = store.find_line(tx, line_id)
    if found is None or found[0].state != "exception":
        raise LineMissing(f"no line {line_id[:96]!r} waits for somebody")
    return found[0]


def _check_failed(one: CashOut) -> None:
    if one.state != "sent" or one.paid_line is not None:
        raise CashOutUnfit(f"{one.id} is {one.state}: only what left and was not taken by the bank can have failed")


def _fail(memory: Memory, tx: Tx, at: Instant, proposal: BankProposal, *, by: str) -> None:
    one = _cash_out(tx, proposal.about)
    _check_failed(one)
    posting = Posting(
        id=f"bank.{one.number}.{proposal.id}",
        template="cash_out_returned",
        currency=one.currency,
        parameters={
            "account": one.owner,
            "cash_out": one.id,
            "amount": one.amount_minor,
            "fee_back": one.fee_minor if proposal.fee_back else 0,
        },
    )
    result = make_posting(memory, tx, posting, by=by)
    if not result.stands:
        raise CashOutUnfit(f"{one.id}: the ledger says {result.code.value} ({result.about})")
    store.settle(tx, one.id, at, state="failed", reason=proposal.reason)


def _hand_match(tx: Tx, line: BankLine, target: str) -> matching.Match | None:
    """Return what a line is by a person's word; None: it was settled elsewhere. Refuses: MatchUnfit."""
    if target == "elsewhere":
        return None
    if target == "fee":
        return matching.Fee()
    batch = next((each for each in store.open_batches(tx, line.account) if each[0] == target), None)
    if batch is not None:
        fee = -line.amount_minor - batch[3]
        if fee < 0:
            raise MatchUnfit(f"{target} is open with {batch[3]:,}, the line took {-line.amount_minor:,}")
        return matching.PaysBatch(batch=target, fee_minor=fee)
    awaited = expected_store.find(tx, target) if line.amount_minor > 0 else None
    if awaited is not None:
        if awaited.currency != line.currency or awaited.amount_minor not in {None, line.amount_minor}:
            raise MatchUnfit(f"{awaited.id} is {awaited.amount_minor or 0:,}, the line {line.amount_minor:,}")
        if awaited.state == "met" and not awaited.reusable:
            raise MatchUnfit(f"{awaited.id} came already, by {awaited.line}")
        return matching.Receives(expected=awaited.id)
    one = store.find_cash_out(tx, target)
    if one is None or one.sent_at is None or one.state == "failed":
        raise MatchUnfit(f"{target[:96]!r} is no cash-out that left, no batch that is open, nothing expected")
    comes_back_in_part = 0 < line.amount_minor < one.amount_minor
    if abs(line.amount_minor) != one.amount_minor and not comes_back_in_part:
        raise MatchUnfit(f"{one.id} is {one.amount_minor:,}, the line {line.amount_minor:,}")
    if line.amount_minor < 0 and one.paid_line is None:
        return matching.Pays(cash_out=one.id)
    if line.amount_minor > 0 and one.returned_line is None:
        return matching.Returns(cash_out=one.id)
    raise MatchUnfit(f"{one.id} has such a line already")


def _match_by_hand(memory: Memory, tx: Tx, proposal: BankProposal, *, by: str) -> None:
    line = _waiting_line(tx, proposal.about)
    found = _hand_match(tx, line, proposal.target)
    if found is None:
        store.update_line(
            tx, msgspec.structs.replace(line, state="resolved", matched="elsewhere", detail=proposal.reason)
        )
        return
    account = store.find_account(tx, line.account)
    assert account is not None, "a line has its account"
    after = _follow(memory, tx, account, line, found, by=by)
    if after.state != "matched":
        raise MatchUnfit(f"the ledger says {after.detail}")
    store.update_line(tx, msgspec.structs.replace(after, state="resolved"))
