"""What people decide in cases: each judgement is one command, and all that follows from it one transaction.

A judgement becomes its entry in the log, sanctions with their statements of reasons, labels, and notices, or nothing of
it. Every function has the shape that `Desk.command` wants once its first arguments are bound.
"""

from typing import Final

import msgspec

import koban.cases.actions as case_actions
import koban.cases.store as case_store
import koban.enforcement.store as sanction_store
from koban import cases, enforcement
from koban.audit import record
from koban.base import Instant, sequence_id
from koban.cases import Case, hours_of, work_store
from koban.cases.types import (
    DecideCase,
    DeclineProposal,
    Judged,
    JudgementUnfit,
    Proposal,
    ProposalMissing,
)
from koban.db import Timer, Tx
from koban.enforcement import Notice, Sanction, SubjectRef, messages
from koban.packs import Texts
from koban.pipeline.commands import label, sanction
from koban.pipeline.facts import Fact, enter_fact
from koban.pipeline.following import enter_closing, find_sanction, notice_id, set_due_timer, truth, withdraw
from koban.pipeline.holds import judge, take_back
from koban.pipeline.judgement import (
    ACCOUNT,
    MEMBERS_MAX,
    ZONE,
    Occasion,
    check_judgement,
    done_to,
    facts_of,
    impositions,
    needs_second,
    read_occasion,
    story_of,
    wrongs,
)
from koban.pipeline.memory import Memory
from koban.vault import let_go

NOTICES_MAX: Final = 500


def decide(memory: Memory, tx: Tx, command: DecideCase) -> Judged:
    """Judge a case under a claim: close it, label, impose or take back, end what is held, tell everybody concerned.

    Where the policy or the queue wants a second person this only becomes a proposal.
    Refuses: CaseMissing, CaseAlreadyClosed, ClaimLost, NotForYou, JudgementUnfit, ProposalMissing, and what
    enforcement refuses.
    """
    at = memory.log_time.peek()
    case = case_actions.held(tx, command.case_id, by=command.by, fence=command.fence)
    case_actions.check_impartial(tx, case.id, command.by)
    if case.appeal is not None:
        raise JudgementUnfit("An appeal is upheld or overturned; decide it as one.")
    pack = memory.compiled.pack
    if command.proposal is not None:
        command = _approved(tx, at, case, command)
    occasion = read_occasion(tx, pack, case, command, at)
    check_judgement(occasion, command)
    if command.proposal is None and needs_second(pack, occasion, command):
        return _propose(memory, tx, at, case, command)
    closed = cases.close_case(
        tx,
        at,
        cases.CloseCase(
            case_id=case.id,
            outcome=command.outcome,
            by=command.by,
            fence=command.fence,
            note=command.note,
            proposed_by=command.proposed_by,
            policy=occasion.policy.name,
        ),
        hours=hours_of(pack, case.queue),
    )
    seq = enter_closing(memory, tx, closed)
    imposed = _impose(memory, tx, occasion, command)
    taken_back = _take_back(memory, tx, occasion, command)
    judge(memory, tx, occasion, command, seq=seq)
    if command.outcome == "honest":
        let_go(tx, at, case.id)
    work_store.link_sanctions(tx, case.id, imposed, what="imposed", seq=seq)
    work_store.link_sanctions(tx, case.id, taken_back, what="taken_back", seq=seq)
    wanted = {member.subject for member in occasion.members}
    for one in closed.labels:
        if SubjectRef(kind=one.subject_kind, id=one.subject_id) in wanted:
            label(memory, tx, one)
    told = _tell(memory, occasion, command, seq=seq, imposed=imposed, taken_back=taken_back)
    _tell_rules(memory, tx, closed.change, seq)
    return Judged(case_id=case.id, imposed=imposed, taken_back=taken_back, notices=told)


def close(memory: Memory, tx: Tx, command: cases.CloseCase) -> cases.CaseClosed:
    """Close a case with its judgement alone: set the labels that follow, end what is held.

    Refuses: CaseMissing, CaseAlreadyClosed, ClaimLost, NotForYou.
    """
    at = memory.log_time.peek()
    case = case_actions.find(tx, command.case_id)
    if case.appeal is not None:
        raise JudgementUnfit("An appeal is upheld or overturned; decide it as one.")
    queue = memory.compiled.pack.queues.get(case.queue)
    if queue is not None and queue.two_people:
        raise JudgementUnfit(f"{queue.name} wants two people: decide, and let a second person approve.")
    closed = cases.close_case(tx, at, command, hours=hours_of(memory.compiled.pack, case.queue))
    occasion: Occasion | None = None
    judgement = DecideCase(
        case_id=case.id, fence=command.fence, by=command.by, outcome=command.outcome, note=command.note, take_back=False
    )
    if case.policy in memory.compiled.pack.policies:
        occasion = read_occasion(tx, memory.compiled.pack, case, judgement, at)
        if needs_second(memory.compiled.pack, occasion, judgement):
            raise JudgementUnfit(
                "This would block what is held, which wants two people here: decide, and let one approve."
            )
    seq = enter_closing(memory, tx, closed)
    if occasion is not None:
        judge(memory, tx, occasion, judgement, seq=seq)
    if command.outcome == "honest":
        let_go(tx, at, case.id)
    for one in closed.labels:
        label(memory, tx, one)
    _tell_rules(memory, tx, closed.change, seq)
    return closed.change


def decline(memory: Memory, tx: Tx, command: DeclineProposal) -> Proposal:
    """Say no to a proposal; the case stays with the one who declined.

    Refuses: CaseMissing, CaseAlreadyClosed, ClaimLost, NotForYou, ProposalMissing.
    """
    at = memory.log_time.peek()
    case = case_actions.held(tx, command.case_id, by=command.by, fence=command.fence)
    proposal = _waiting(tx, case)
    case_actions.check_impartial(tx, case.id, command.by)
    work_store.decide_proposal(tx, proposal, at, by=command.by, status="declined", reason=command.reason)
    record(tx, at, command.by, "case.decline", case.id)
    work_store.note(tx, case.id, at, "declined", command.by, note=command.reason, proposed_by=proposal.by)
    return msgspec.structs.replace(proposal, status="declined", decided_by=command.by, reason=command.reason)


def pause(memory: Memory, tx: Tx, command: cases.PauseCase) -> cases.CasePaused:
    """Let the clock of a case stand; a stored timer lets it run again at the latest."""
    change = cases.pause_case(tx, memory.log_time.peek(), command)
    seq = memory.enter("case.paused", msgspec.json.encode(change), about=f"case:{command.case_id}", cause_seq=None)[0]
    memory.set_timer(
        Timer(id=sequence_id("timer", seq), due_at=change.until, kind=cases.PAUSE_TIMER, about=command.case_id)
    )
    return change


def resume(memory: Memory, tx: Tx, command: cases.ResumeCase) -> cases.CaseResumed:
    """Let the clock of a case run again, under a new timer."""
    case = case_actions.find(tx, command.case_id)
    change = cases.resume_case(tx, memory.log_time.peek(), command, hours=hours_of(memory.compiled.pack, case.queue))
    _enter_resuming(memory, change, cause_seq=None)
    return change


def move(memory: Memory, tx: Tx, command: cases.MoveCase) -> cases.CaseMoved:
    """Send a case to another queue, under a new timer."""
    moved = cases.move_case(tx, memory.log_time.peek(), command, memory.compiled.pack, memory.cases)
    seq = memory.enter(
        "case.moved", msgspec.json.encode(moved.change), about=f"case:{command.case_id}", cause_seq=None
    )[0]
    memory.undo.append(memory.cases.follow_move(command.case_id, moved.queue))
    set_due_timer(memory, seq, moved.change.due_at, command.case_id)
    return moved.change


def reopen(memory: Memory, tx: Tx, command: cases.ReopenCase) -> Judged:
    """Take a judgement back: what it imposed is overturned, its labels are withdrawn, the case waits again.

    What it gave back to people stays given back: taking it away again is a new judgement.
    Refuses: CaseMissing, CaseNotClosed, CaseAlreadyThere, JudgementUnfit for an appeal.
    """
    at = memory.log_time.peek()
    before = case_actions.find(tx, command.case_id)
    if before.appeal is not None:
        raise JudgementUnfit("The answer to an appeal is final.")
    change, kept = cases.reopen_case(tx, at, command, memory.cases)
    seq = memory.enter("case.reopened", msgspec.json.encode(change), about=f"case:{command.case_id}", cause_seq=None)[0]
    memory.undo.append(memory.cases.bring_back(kept))
    memory.undo.append(memory.cases.count(case_store.rules_of(tx, before.id), before.outcome or "unclear", by=-1))
    if before.due_at > at:
        set_due_timer(memory, seq, before.due_at, before.id)
    queue = memory.compiled.pack.queues.get(before.queue)
    if queue is not None and queue.preserve:
        members = case_store.read_members(tx, before.id, limit=MEMBERS_MAX)
        people = {one.id for each in members for one in (each.subject, each.acting) if one and one.kind == ACCOUNT}
        memory.preserve(sorted(people), before.id)
    if before.closed_seq is not None:
        take_back(memory, tx, before.closed_seq, seq=seq, at=at, for_good=False)
    imposed = tuple(work_store.sanctions_of(tx, before.id, what="imposed"))
    mine = [each for each in imposed if _stands_alone(memory, tx, each, before.id)]
    undone: tuple[str, ...] = ()
    if mine:
        undone = sanction(
            memory, tx, enforcement.OverturnSanctions(sanction_ids=tuple(mine), by=command.by, reason=command.reason)
        ).sanction_ids
    told = [one for one, is_withdrawn in sanction_store.read_notices_of_case(tx, before.id, limit=NOTICES_MAX)
            if not is_withdrawn]  # fmt: skip
    withdraw(memory, tx, told, seq=seq, at=at)
    if before.outcome != "unclear":
        for subject in kept.subjects:
            label(memory, tx, truth(subject, None, by=command.by, note=before.id))
    return Judged(case_id=before.id, taken_back=undone)


def breach(memory: Memory, case_id: str, cause_seq: int, at: Instant) -> None:
    """Enter that a case was not decided in its time, and let somebody know (law 6: the timer was the cause)."""
    assert memory.tx is not None
    change = cases.breach_case(memory.tx, at, case_id)
    if change is None:
        return
    memory.enter("case.breached", msgspec.json.encode(change), about=f"case:{case_id}", cause_seq=cause_seq)[0]
    queue = memory.compiled.pack.queues.get(change.queue)
    title = change.queue if queue is None else f"{queue.title['en']} / {queue.title['ja']}"
    memory.alert("case.breached", f"queue:{change.queue}", f"A case was not decided in its time: {title}, {case_id}.")


def end_pause(memory: Memory, case_id: str, cause_seq: int, at: Instant) -> None:
    """Let a clock run again whose pause is over."""
    assert memory.tx is not None
    pack = memory.compiled.pack
    change = cases.end_pause(memory.tx, at, case_id, hours_for={name: hours_of(pack, name) for name in pack.queues})
    if change is not None:
        _enter_resuming(memory, change, cause_seq=cause_seq)


def _approved(tx: Tx, at: Instant, case: Case, command: DecideCase) -> DecideCase:
    """Return the proposal as the second person approves it, under their claim."""
    proposal = _waiting(tx, case)
    if proposal.id != command.proposal:
        raise ProposalMissing(f"{case.id} has another proposal by now; read it again")
    work_store.decide_proposal(tx, proposal, at, by=command.by, status="approved", reason="")
    record(tx, at, command.by, "case.approve", case.id)
    work_store.note(tx, case.id, at, "approved", command.by, proposed_by=proposal.by)
    return msgspec.structs.replace(
        proposal.command,
        by=command.by,
        fence=command.fence,
        proposal=proposal.id,
        proposed_by=proposal.by,
        batch=None,
    )


def _propose(memory: Memory, tx: Tx, at: Instant, case: Case, command: DecideCase) -> Judged:
    if case.proposal is not None:
        raise ProposalMissing(f"{case.id} has a proposal: approve or decline it")
    proposal = Proposal(
        id=sequence_id("proposal", memory.last_seq, case.fence % 256) + f"{case.id[-6:]}",
        case_id=case.id,
        command=command,
        by=command.by,
        at=at,
        status="waiting",
    )
    case_actions.end(tx, at, case, how="proposed")
    work_store.insert_proposal(tx, proposal)
    record(tx, at, command.by, "case.propose", case.id, {"outcome": command.outcome})
    work_store.note(tx, case.id, at, "proposed", command.by, outcome=command.outcome, note=command.note)
    return Judged(case_id=case.id, proposal=proposal.id)


def _waiting(tx: Tx, case: Case) -> Proposal:
    proposal = None if case.proposal is None else work_store.read_proposal(tx, case.proposal)
    if proposal is None or proposal.status != "waiting":
        raise ProposalMissing(f"nothing was proposed for {case.id}")
    return proposal


def _impose(memory: Memory, tx: Tx, occasion: Occasion, command: DecideCase) -> tuple[str, ...]:
    imposed: dict[str, None] = {}
    for each in impositions(occasion, command):
        outcome = sanction(memory, tx, each)
        standing = [
            one.id
            for one in memory.sanctions.of_subject(each.subject)
            if one.kind == each.kind and one.policy == each.policy and one.stands_at(memory.log_time.peek())
        ]
        imposed.update(dict.fromkeys([*outcome.sanction_ids, *standing]))
    return tuple(imposed)


def _take_back(memory: Memory, tx: Tx, occasion: Occasion, command: DecideCase) -> tuple[str, ...]:
    if command.outcome != "honest" or not command.take_back:
        return ()
    subjects = dict.fromkeys([*(member.subject for member in occasion.members), *occasion.accounts])
    history = [each for subject in subjects for each in sanction_store.read_of_subject(tx, subject)]
    ids = wrongs(occasion, history)
    if not ids:
        return ()
    reason = command.note or facts_of(occasion, command)["en"] or "honest"
    sanction(memory, tx, enforcement.OverturnSanctions(sanction_ids=ids, by=command.by, reason=reason[:2_000]))
    return ids


def _tell(
    memory: Memory,
    occasion: Occasion,
    command: DecideCase,
    *,
    seq: int,
    imposed: tuple[str, ...],
    taken_back: tuple[str, ...],
) -> tuple[str, ...]:
    """Tell whom the judgement concerns: those it falls on or frees, those warned for nothing, those who reported."""
    at = memory.log_time.peek()
    tx = memory.tx
    assert tx is not None
    told: list[str] = []
    telling = _Telling(occasion=occasion, command=command, seq=seq, at=at)
    history = {account: memory.sanctions.of_subject(account) for account in occasion.accounts}
    appealed = next((found for each in reversed(imposed) if (found := memory.sanctions.get(each))), None)
    for account in occasion.accounts:
        done = done_to(account, occasion, command, history, at)
        if imposed and done:
            message = messages.decision_message(story_of(occasion, command, done, at), ZONE)
            told.append(_decision_notice(memory, telling, account, message, sanction_ids=imposed, appealed=appealed))
        elif taken_back:
            message = messages.restored_message(command.facts or messages.both(""))
            told.append(_decision_notice(memory, telling, account, message, sanction_ids=taken_back))
    if taken_back:
        warned = sanction_store.read_notices_about(tx, case_ids=(), event_ids=occasion.event_ids, limit=NOTICES_MAX)
        withdraw(memory, tx, warned, seq=seq, at=at)
    if command.outcome != "unclear":
        message = messages.reporter_message("acted" if command.outcome == "upheld" else "kept")
        for reporter in occasion.reporters:
            to = SubjectRef(kind=ACCOUNT, id=reporter)
            told.append(_decision_notice(memory, telling, to, message, sanction_ids=imposed, role="reporter"))
    return tuple(told)


class _Telling(msgspec.Struct, frozen=True, kw_only=True):
    """What every notice of one judgement shares."""

    occasion: Occasion
    command: DecideCase
    seq: int
    at: Instant


def _decision_notice(
    memory: Memory,
    telling: _Telling,
    to: SubjectRef,
    message: Texts,
    *,
    sanction_ids: tuple[str, ...],
    appealed: Sanction | None = None,
    role: enforcement.NoticeRole = "author",
) -> str:
    occasion, command, seq = telling.occasion, telling.command, telling.seq
    notice = Notice(
        id=notice_id(memory, seq),
        to=to,
        role=role,
        about=occasion.members[0].subject if occasion.members[0].subject != to else None,
        policy=occasion.policy.name,
        title=occasion.policy.title,
        text=occasion.policy.text,
        because=facts_of(occasion, command),
        rule=None,
        actor=command.by,
        cause_seq=seq,
        at=telling.at,
        market=occasion.case.market,
        purpose="decision",
        message=message,
        sanction_ids=sanction_ids,
        case_id=occasion.case.id,
        appeal_url="" if appealed is None else memory.appeal_link(appealed),
    )
    memory.tell_notice(notice)
    return notice.id


def _tell_rules(memory: Memory, tx: Tx, change: cases.CaseClosed, seq: int) -> None:
    """Enter a judgement as a fact that rules may see, where the pack declares `case.closed`."""
    data = {
        "case_id": change.case_id,
        "queue": change.queue,
        "policy": change.policy,
        "outcome": change.outcome,
        change.subject.kind: {"id": change.subject.id},
    }
    # A case may be reopened and closed again: each closing is a fact of its own.
    fact = Fact(room="cases", id=f"{change.case_id}.{seq}", type="case.closed", subject=change.subject.id, data=data)
    enter_fact(memory, tx, fact, cause_seq=seq)


def _enter_resuming(memory: Memory, change: cases.CaseResumed, *, cause_seq: int | None) -> None:
    seq = memory.enter(
        "case.resumed", msgspec.json.encode(change), about=f"case:{change.case_id}", cause_seq=cause_seq
    )[0]
    set_due_timer(memory, seq, change.due_at, change.case_id)


def _stands_alone(memory: Memory, tx: Tx, sanction_id: str, case_id: str) -> bool:
    """Return whether a sanction stands on nothing but one case, so that taking the case back takes it back."""
    found = find_sanction(memory, tx, sanction_id)
    return found.status != "overturned" and all(ground.case_id == case_id for ground in found.grounds)
