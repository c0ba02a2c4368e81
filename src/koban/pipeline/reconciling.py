"""Adjustments by two people: proposed by one, tried at once and taken back, booked when another approves.

Why in the decider: the posting, the decision and the audit row stand in one transaction, and two who decide at once
cannot both do it.
"""

from collections.abc import Mapping

import msgspec

from koban import ledger
from koban.access import require_second
from koban.audit import record
from koban.base import random_id
from koban.db import Tx
from koban.ledger import Posting, PostingCode, PostingResult
from koban.pipeline.memory import Memory
from koban.pipeline.money import close_period, make_posting, tried
from koban.reconciliation import (
    AdjustmentMissing,
    AdjustmentOwn,
    AdjustmentRefused,
    PeriodUnreconciled,
    Proposal,
    find_live,
    store,
)


class Propose(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants done about an exception; `template` empty: an explanation, nothing is booked."""

    exception: str
    template: str
    currency: str
    parameters: Mapping[str, str | int]
    reason: str
    by: str


class Decide(msgspec.Struct, frozen=True, kw_only=True):
    """What the second person says; `reason` is why they decline."""

    exception: str
    proposal: str
    approves: bool
    reason: str
    by: str


def propose(memory: Memory, tx: Tx, wanted: Propose) -> Proposal:
    """Keep a proposal for a second person; the ledger is asked now whether it would take the posting.

    Refuses: ExceptionMissing, ExceptionDone, AdjustmentMissing, AdjustmentRefused.
    """
    at = memory.log_time.peek()
    exception = find_live(tx, wanted.exception)
    if exception.state == "proposed":
        raise AdjustmentMissing(f"{exception.id} has a proposal already: approve or decline it.")
    proposal = Proposal(
        id=random_id("adjustment", at, memory.randomness),
        exception=exception.id,
        template=wanted.template,
        currency=wanted.currency,
        parameters=wanted.parameters,
        reason=wanted.reason,
        by=wanted.by,
        at=at,
        status="waiting",
        decided_by=None,
        decided_at=None,
        answer="",
    )
    if wanted.template:
        definition = memory.compiled.pack.ledger
        _refuse_unless_posted(tried(tx, lambda: ledger.post(tx, at, definition, _posting(proposal), approved=True)))
    store.insert_proposal(tx, proposal)
    store.change_exception(tx, at, exception.id, state="proposed", note="")
    record(tx, at, wanted.by, "reconciliation.propose", exception.id, {"template": wanted.template or "none"})
    return proposal


def decide(memory: Memory, tx: Tx, said: Decide) -> Proposal:
    """Book what a colleague proposed, or decline it; nobody approves their own.

    Refuses: ExceptionMissing, ExceptionDone, AdjustmentMissing, AdjustmentOwn, AdjustmentRefused.
    """
    at = memory.log_time.peek()
    exception = find_live(tx, said.exception)
    proposal = next((each for each in store.proposals_of(tx, exception.id) if each.status == "waiting"), None)
    if proposal is None or proposal.id != said.proposal:
        raise AdjustmentMissing(f"{exception.id} has no such proposal waiting; read it again.")
    if said.approves:
        own = "Who proposed an adjustment cannot approve it."
        require_second(tx, proposal.by, said.by, refusal=AdjustmentOwn, own=own)
    status = "approved" if said.approves else "declined"
    store.decide_proposal(tx, at, proposal.id, by=said.by, status=status, answer=said.reason)
    if not said.approves:
        record(tx, at, said.by, "reconciliation.decline", exception.id)
        store.change_exception(tx, at, exception.id, state="open", note="")
        return _found(tx, proposal)
    record(tx, at, said.by, "reconciliation.approve", exception.id)
    if proposal.template:
        _refuse_unless_posted(make_posting(memory, tx, _posting(proposal), by=said.by, approved=True))
        # The rows stay open: the next run has to find that both sides agree now.
        store.change_exception(tx, at, exception.id, state="resolved", note=proposal.reason)
    else:
        store.settle_rows(tx, exception.id)
        store.change_exception(tx, at, exception.id, state="resolved", note=proposal.reason)
    return _found(tx, proposal)


def _found(tx: Tx, proposal: Proposal) -> Proposal:
    return next(each for each in store.proposals_of(tx, proposal.exception) if each.id == proposal.id)


def _posting(proposal: Proposal) -> Posting:
    return Posting(
        id=proposal.id, template=proposal.template, currency=proposal.currency, parameters=proposal.parameters
    )


def _refuse_unless_posted(result: PostingResult) -> None:
    if result.code is not PostingCode.POSTED:
        about = f" ({result.about})" if result.about else ""
        raise AdjustmentRefused(f"The ledger says {result.code.value}{about}.")


def close_reconciled(memory: Memory, tx: Tx, through: str, *, note: str, despite_open: bool, by: str) -> None:
    """Close a period whose exceptions are dealt with; despite open ones only with a note that says why.

    Refuses: PeriodStep, PeriodUnreconciled.
    """
    left = store.open_through(tx, through)
    if left and not (despite_open and note.strip()):
        raise PeriodUnreconciled(
            f"{left:,} exceptions of reconciliation are open on or before {through[:20]}. Deal with them, or close "
            "despite them and say why in the note."
        )
    close_period(memory, tx, through, note=note, by=by)
