"""Verbs of cases: claim, give back, close."""

from typing import Final

from koban.audit import record
from koban.base import MINUTE, Instant
from koban.cases import store
from koban.cases.types import (
    Case,
    CaseAlreadyClosed,
    CaseClaimed,
    CaseClosed,
    CaseMissing,
    CaseOutcome,
    ClaimLost,
    CloseCase,
    Closed,
    QueueEmpty,
)
from koban.db import Tx
from koban.labels import TRUTH, LabelSet, LabelSource

CLAIM_FOR: Final = 20 * MINUTE
_RACES_MAX: Final = 8
_TRUTHS: Final[dict[CaseOutcome, str]] = {"upheld": "fraud", "honest": "honest"}  # unclear says nothing


def claim(tx: Tx, at: Instant, case_id: str, *, by: str) -> Case:
    """Take a case for twenty minutes; claiming one's own again prolongs it under a new fence.

    Refuses: CaseMissing, CaseAlreadyClosed, CaseClaimed.
    """
    case = _find(tx, case_id)
    if case.status == "closed":
        raise CaseAlreadyClosed(f"{case_id} was closed by {case.closed_by}")
    is_held = case.claimed_until is not None and case.claimed_until > at
    if (is_held and case.claimed_by != by) or not store.take(tx, case, by=by, until=Instant(at + CLAIM_FOR)):
        raise CaseClaimed(f"{case_id} is held by {case.claimed_by}" if is_held else f"{case_id} was just claimed")
    record(tx, at, by, "case.claim", case_id)
    return _find(tx, case_id)


def claim_next(tx: Tx, at: Instant, queue: str, *, by: str) -> Case:
    """Take the case of a queue that is due first and that nobody holds.

    Refuses: QueueEmpty, CaseClaimed when others were faster several times in a row.
    """
    for _ in range(_RACES_MAX):
        case = store.first_free(tx, queue, at)
        if case is None:
            raise QueueEmpty(f"nothing waits in {queue}")
        # On PostgreSQL two people may read the same row; the fence lets one of them have it.
        if store.take(tx, case, by=by, until=Instant(at + CLAIM_FOR)):
            record(tx, at, by, "case.claim", case.id)
            return _find(tx, case.id)
    raise CaseClaimed(f"others are claiming from {queue}; try again")


def release(tx: Tx, at: Instant, case_id: str, *, by: str, fence: int) -> Case:
    """Give a case back to its queue.

    Refuses: CaseMissing, ClaimLost.
    """
    case = _find(tx, case_id)
    _check_claim(case, by=by, fence=fence)
    store.give_back(tx, case)
    record(tx, at, by, "case.release", case_id)
    return _find(tx, case_id)


def close_case(tx: Tx, at: Instant, command: CloseCase) -> Closed:
    """Close a case once, inside the decider, and ask for the label that follows.

    A claim that has lapsed still closes as long as nobody else took the case: what somebody typed is not lost.
    Refuses: CaseMissing, CaseAlreadyClosed, ClaimLost.
    """
    case = _find(tx, command.case_id)
    if case.status == "closed":
        raise CaseAlreadyClosed(f"{case.id} was closed by {case.closed_by}")
    _check_claim(case, by=command.by, fence=command.fence)
    if not store.close(tx, case, at, outcome=command.outcome, note=command.note, by=command.by):
        raise ClaimLost(f"{case.id} changed hands a moment ago")
    change = CaseClosed(
        case_id=case.id,
        queue=case.queue,
        subject=case.subject,
        policy=case.policy,
        outcome=command.outcome,
        by=command.by,
    )
    record(tx, at, command.by, "case.close", case.id, {"outcome": command.outcome})
    return Closed(change=change, labels=_labels(case, command))


def _labels(case: Case, command: CloseCase) -> tuple[LabelSet, ...]:
    truth = _TRUTHS.get(command.outcome)
    if truth is None:
        return ()
    return (
        LabelSet(
            subject_kind=case.subject.kind,
            subject_id=case.subject.id,
            label=TRUTH,
            value=truth,
            source=LabelSource.PERSON,
            by=command.by,
            note=case.id,
        ),
    )


def _check_claim(case: Case, *, by: str, fence: int) -> None:
    if case.claimed_by != by or case.fence != fence:
        raise ClaimLost(f"{case.id} is held by {case.claimed_by or 'nobody'}; claim it again")


def _find(tx: Tx, case_id: str) -> Case:
    case = store.read_case(tx, case_id)
    if case is None:
        raise CaseMissing(f"there is no case {case_id}")
    return case
