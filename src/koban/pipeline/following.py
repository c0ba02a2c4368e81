"""What judgements of cases and of appeals share: entering them, their timers, telling people that they were told wrong."""

from collections.abc import Sequence

import msgspec

import koban.enforcement.store as sanction_store
from koban import cases, enforcement
from koban.base import Instant, sequence_id
from koban.cases import work_store
from koban.db import Timer, Tx
from koban.enforcement import Notice, Sanction, SubjectRef, messages
from koban.labels import TRUTH, LabelSet, LabelSource
from koban.pipeline.memory import DUE_TIMERS_FROM, Memory


def withdraw(
    memory: Memory, tx: Tx, told: Sequence[Notice], *, seq: int, at: Instant, except_to: SubjectRef | None = None
) -> None:
    """Tell people that what they were told was wrong, once each, and note it by their notices."""
    heard: set[tuple[SubjectRef, str]] = set()
    for notice in told:
        if notice.to == except_to or notice.purpose == "appeal" or (notice.to, notice.role) in heard:
            continue
        heard.add((notice.to, notice.role))
        message = messages.corrected_message(notice.role)
        memory.tell_withdrawal(
            msgspec.structs.replace(notice, purpose="correction", message=message, appeal_url=""), seq, at
        )
    sanction_store.withdraw_notices(tx, [notice.id for notice in told], at)


def truth(subject: SubjectRef, value: str | None, *, by: str, note: str) -> LabelSet:
    """Return the label of the truth about a subject; `value` None takes it back."""
    return LabelSet(
        subject_kind=subject.kind,
        subject_id=subject.id,
        label=TRUTH,
        value=value,
        source=LabelSource.PERSON,
        by=by,
        note=note,
    )


def notice_id(memory: Memory, seq: int) -> str:
    """Return the next notice's id of an entry."""
    same = sum(1 for notice in memory.rows.notices if notice.cause_seq == seq)
    return sequence_id("notice", seq, same)


def enter_closing(memory: Memory, tx: Tx, closed: cases.Closed) -> int:
    """Enter that a case was closed, and let memory follow."""
    seq = memory.enter(
        "case.closed", msgspec.json.encode(closed.change), about=f"case:{closed.change.case_id}", cause_seq=None
    )[0]
    work_store.set_closed_seq(tx, closed.change.case_id, seq)
    memory.undo.append(memory.cases.apply(closed.change))
    return seq


def set_due_timer(memory: Memory, seq: int, due_at: Instant, case_id: str) -> None:
    """Set the timer that notes a breach; one of an earlier due time finds nothing to do."""
    timer = Timer(id=sequence_id("timer", seq, DUE_TIMERS_FROM), due_at=due_at, kind=cases.DUE_TIMER, about=case_id)
    memory.set_timer(timer)


def find_sanction(memory: Memory, tx: Tx, sanction_id: str) -> Sanction:
    """Return a sanction as it stands now.

    Refuses: SanctionMissing.
    """
    found = memory.sanctions.get(sanction_id) or sanction_store.read(tx, (sanction_id,)).get(sanction_id)
    if found is None:
        raise enforcement.SanctionMissing(f"there is no sanction {sanction_id[:80]}")
    return found
