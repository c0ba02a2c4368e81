"""Verbs of cases that are entries of the log: close, let the clock stand and run, move, open again, breach.

They run inside the decider, in its transaction; the caller enters the change and lets `LiveCases` follow.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from koban.audit import record
from koban.base import DAY, MINUTE, Instant
from koban.cases import store, work_store
from koban.cases.actions import check_impartial, end, find, held
from koban.cases.calendars import due_after, open_between
from koban.cases.likeness import Sketch
from koban.cases.live import LiveCases
from koban.cases.priority import Weighed, half_life_of, rank_at, weigh_in
from koban.cases.types import (
    Case,
    CaseAlreadyClosed,
    CaseAlreadyThere,
    CaseBreached,
    CaseClosed,
    CaseMember,
    CaseMoved,
    CaseNotClosed,
    CaseNotPaused,
    CaseOutcome,
    CasePaused,
    CasePausedAlready,
    CaseReopened,
    CaseResumed,
    ClaimLost,
    CloseCase,
    Closed,
    MoveCase,
    OpenCase,
    PauseCase,
    QueueMissing,
    ReopenCase,
    ResumeCase,
    Standing,
)
from koban.db import Tx
from koban.enforcement import SubjectRef
from koban.labels import TRUTH, LabelSet, LabelSource
from koban.packs import Hours, PackDef, QueueDef

DUE_TIMER: Final = "case.due"
PAUSE_TIMER: Final = "case.pause_end"
PAUSE_MIN: Final = MINUTE
PAUSE_MAX: Final = 30 * DAY
MEMBERS_READ_MAX: Final = 500
APPEAL: Final = "appeal"  # kind of subject of an appeal's case
SYSTEM: Final = "koban"
_TRUTHS: Final[Mapping[CaseOutcome, str]] = {"upheld": "fraud", "honest": "honest"}  # unclear says nothing


class Moved(NamedTuple):
    """A case in its new queue, and the queue."""

    change: CaseMoved
    queue: QueueDef


def hours_of(pack: PackDef, queue: str) -> Hours | None:
    """Return the hours in which the clock of a queue runs; None: around the clock, or a queue the pack has no more."""
    definition = pack.queues.get(queue)
    calendar = pack.calendars.get(definition.calendar) if definition is not None else None
    return None if calendar is None else calendar.hours


def close_case(tx: Tx, at: Instant, command: CloseCase, *, hours: Hours | None = None) -> Closed:
    """Close a case once, and ask for the labels that follow.

    A claim that has lapsed still closes as long as nobody else took the case: what somebody typed is not lost.
    Refuses: CaseMissing, CaseAlreadyClosed, ClaimLost, NotForYou.
    """
    case = held(tx, command.case_id, by=command.by, fence=command.fence)
    check_impartial(tx, case.id, command.by)
    if case.paused_at is not None:
        _run_again(tx, at, case, by=command.by, hours=hours)
    policy = command.policy or case.policy
    if not store.close(
        tx, case, at, outcome=command.outcome, note=command.note, by=command.by, policy=policy
    ):  # pragma: no cover - the decider is the only one that closes, and claims were looked at in this transaction
        raise ClaimLost(f"{case.id} changed hands a moment ago")
    end(tx, at, case, how="decided")
    rules = store.rules_of(tx, case.id)
    store.count_outcome(tx, rules, command.outcome)
    members = store.read_members(tx, case.id, limit=MEMBERS_READ_MAX)
    change = CaseClosed(
        case_id=case.id,
        queue=case.queue,
        subject=case.subject,
        policy=policy,
        outcome=command.outcome,
        by=command.by,
        proposed_by=command.proposed_by,
        rules=rules,
    )
    record(tx, at, command.by, "case.close", case.id, {"outcome": command.outcome})
    work_store.note(
        tx,
        case.id,
        at,
        "closed",
        command.by,
        outcome=command.outcome,
        note=command.note,
        proposed_by=command.proposed_by,
    )
    subjects = dict.fromkeys([case.subject, *(member.subject for member in members)])
    return Closed(change=change, labels=tuple(_labels(subjects, case, command)))


def pause_case(tx: Tx, at: Instant, command: PauseCase) -> CasePaused:
    """Let the clock of a case stand, because somebody else has to do something first. The case leaves one's hands.

    Refuses: CaseMissing, CaseAlreadyClosed, ClaimLost, CasePausedAlready.
    """
    case = held(tx, command.case_id, by=command.by, fence=command.fence)
    if case.paused_at is not None:
        raise CasePausedAlready(f"the clock of {case.id} stands already")
    until = Instant(at + max(PAUSE_MIN, min(command.for_us, PAUSE_MAX)))
    end(tx, at, case, how="paused")
    work_store.pause(tx, case, at, until=until, reason=command.reason, note=command.note, by=command.by)
    record(tx, at, command.by, "case.pause", case.id, {"reason": command.reason})
    work_store.note(tx, case.id, at, "paused", command.by, reason=command.reason, note=command.note, until=until)
    return CasePaused(case_id=case.id, reason=command.reason, note=command.note, by=command.by, until=until)


def resume_case(tx: Tx, at: Instant, command: ResumeCase, *, hours: Hours | None) -> CaseResumed:
    """Let the clock of a case run again.

    Refuses: CaseMissing, CaseNotPaused.
    """
    case = find(tx, command.case_id)
    if case.paused_at is None or case.status == "closed":
        raise CaseNotPaused(f"the clock of {case.id} runs")
    return _run_again(tx, at, case, by=command.by, hours=hours)


def end_pause(tx: Tx, at: Instant, case_id: str, *, hours_for: Mapping[str, Hours | None]) -> CaseResumed | None:
    """Let a clock run again whose pause is over; None where it runs already or stands for longer."""
    case = store.read_case(tx, case_id)
    if case is None or case.status == "closed" or case.pause_ends_at is None or case.pause_ends_at > at:
        return None
    return _run_again(tx, at, case, by=SYSTEM, hours=hours_for.get(case.queue))


def move_case(tx: Tx, at: Instant, command: MoveCase, pack: PackDef, live: LiveCases) -> Moved:
    """Send a case to another queue, where a clock of its own begins.

    Refuses: CaseMissing, CaseAlreadyClosed, ClaimLost, QueueMissing, CaseAlreadyThere, CasePausedAlready.
    """
    if command.fence is not None:
        case = held(tx, command.case_id, by=command.by, fence=command.fence)
        end(tx, at, case, how="moved")
    else:
        case = find(tx, command.case_id)
        if case.status == "closed":
            raise CaseAlreadyClosed(f"{case.id} was closed by {case.closed_by}")
    if case.paused_at is not None:
        raise CasePausedAlready(f"let the clock of {case.id} run again first")
    name = _escalation(pack, case) if command.escalates and not command.queue else command.queue
    queue = pack.queues.get(name)
    if queue is None or queue.name == case.queue:
        raise QueueMissing(f"{case.id} cannot go from {case.queue} to {name[:80]!r}")
    due_at = due_after(hours_of(pack, queue.name), at, queue.due_in_s * 1_000_000)
    found = live.standing_of(case.id)
    standing = found[0] if found is not None else Standing(weighed=Weighed(), half_life_us=0)
    standing = msgspec.structs.replace(standing, half_life_us=half_life_of(queue), alike=queue.alike)
    terms = weigh_in(standing.weighed, standing.half_life_us)
    if not work_store.move(
        tx,
        case,
        queue=queue.name,
        harm=queue.harm,
        due_at=due_at,
        boost_us=terms.boost_us,
        terms=msgspec.json.encode(terms).decode(),
        standing=msgspec.json.encode(standing).decode(),
        owner=command.owner,
        escalated=command.escalates,
    ):
        raise CaseAlreadyThere(f"{queue.name} already has an open case about {case.subject.id[:80]}")
    if command.escalates:
        record(tx, at, command.by, "case.escalate", case.id, {"queue": queue.name})
    else:
        record(tx, at, command.by, "case.move", case.id, {"queue": queue.name})
    work_store.note(
        tx, case.id, at, "escalated" if command.escalates else "moved", command.by,
        queue_before=case.queue, queue=queue.name, note=command.reason, to=command.owner,
    )  # fmt: skip
    change = CaseMoved(
        case_id=case.id,
        queue_before=case.queue,
        queue=queue.name,
        due_at=due_at,
        by=command.by,
        reason=command.reason,
        owner=command.owner,
        escalated=command.escalates,
    )
    return Moved(change=change, queue=queue)


def reopen_case(tx: Tx, at: Instant, command: ReopenCase, live: LiveCases) -> tuple[CaseReopened, OpenCase]:
    """Take a judgement back and let the case wait again, under the due time that it had.

    Refuses: CaseMissing, CaseNotClosed, CaseAlreadyThere when a new case about the same was opened meanwhile.
    """
    case = find(tx, command.case_id)
    if case.status == "open" or case.outcome is None:
        raise CaseNotClosed(f"{case.id} is open")
    kept = store.read_open(tx, case.id)[0]
    if any(live.get(case.queue, subject) is not None for subject in kept.subjects):
        raise CaseAlreadyThere(f"{case.queue} has a newer case about {case.subject.id[:80]}")
    store.count_outcome(tx, store.rules_of(tx, case.id), case.outcome, by=-1)
    work_store.reopen(tx, case.id)
    record(tx, at, command.by, "case.reopen", case.id)
    work_store.note(tx, case.id, at, "reopened", command.by, note=command.reason)
    change = CaseReopened(case_id=case.id, queue=case.queue, subject=case.subject, by=command.by, reason=command.reason)
    return change, kept


def breach_case(tx: Tx, at: Instant, case_id: str) -> CaseBreached | None:
    """Note that a case's time is over; None where it was decided, stands, or is due later by now."""
    case = store.read_case(tx, case_id)
    if case is None or case.status == "closed" or case.paused_at is not None:
        return None
    if case.due_at > at or case.breached_at is not None:
        return None
    work_store.breach(tx, case_id, at)
    work_store.note(tx, case_id, at, "breached", SYSTEM, queue=case.queue)
    return CaseBreached(case_id=case_id, queue=case.queue, due_at=case.due_at)


def appeal_case(
    tx: Tx, at: Instant, *, case_id: str, seq: int, appeal: str, account: SubjectRef | None, policy: str,
    market: str, severity: str, queue: QueueDef, hours: Hours | None,
) -> tuple[Case, OpenCase]:  # fmt: skip
    """Open the case of an appeal: somebody who did not decide it looks again."""
    sketch: Sketch = ()
    standing = Standing(weighed=Weighed(severity=severity, signals=1), half_life_us=half_life_of(queue), sketch=sketch)
    terms = weigh_in(standing.weighed, standing.half_life_us)
    due_at = due_after(hours, at, queue.due_in_s * 1_000_000)
    subject = SubjectRef(kind=APPEAL, id=appeal)
    case = Case(
        id=case_id,
        queue=queue.name,
        subject=subject,
        acting=account,
        policy=policy,
        market=market,
        opened_seq=seq,
        opened_at=at,
        due_at=due_at,
        signals=0,
        last_signal_at=at,
        rank_at=rank_at(due_at, terms),
        boost_us=terms.boost_us,
        terms=terms,
        harm=queue.harm,
        appeal=appeal,
    )
    member = CaseMember(subject=subject, acting=account, seq=seq, at=at, event_id="")
    store.write_opened(tx, case, standing, member)
    work_store.note(tx, case_id, at, "appealed", SYSTEM)
    kept = OpenCase(
        id=case_id, queue=queue.name, policy=policy, account=account, subjects=(subject,), standing=standing
    )
    return case, kept


def _run_again(tx: Tx, at: Instant, case: Case, *, by: str, hours: Hours | None) -> CaseResumed:
    """Move the due time by the open time that was left when the clock began to stand; a late case stays late."""
    stood_since = case.paused_at
    if stood_since is None:
        raise AssertionError(f"the clock of {case.id} does not stand")
    due_at = case.due_at
    if due_at > stood_since:
        due_at = due_after(hours, at, open_between(hours, stood_since, case.due_at))
    work_store.resume(tx, case, at, due_at=due_at, by=by)
    if by != SYSTEM:
        record(tx, at, by, "case.resume", case.id)
    work_store.note(tx, case.id, at, "resumed", by)
    return CaseResumed(case_id=case.id, by=by, due_at=due_at)


def _escalation(pack: PackDef, case: Case) -> str:
    queue = pack.queues.get(case.queue)
    if queue is None or not queue.escalates_to:
        raise QueueMissing(f"{case.queue} escalates nowhere")
    return queue.escalates_to


def _labels(subjects: Mapping[SubjectRef, None], case: Case, command: CloseCase) -> list[LabelSet]:
    truth = _TRUTHS.get(command.outcome)
    return [
        LabelSet(
            subject_kind=subject.kind,
            subject_id=subject.id,
            label=TRUTH,
            value=truth,
            source=LabelSource.PERSON,
            by=command.by,
            note=case.id,
        )
        for subject in subjects
        if truth is not None and subject.kind != APPEAL
    ]
