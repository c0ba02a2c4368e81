"""Appeals: somebody who had no part in a decision looks again, and takes all of it back or lets it stand.

Every function has the shape that `Desk.command` wants once its first arguments are bound.
"""

from typing import Final

import msgspec

import koban.cases.actions as case_actions
import koban.decisions.store as decision_store
import koban.enforcement.store as sanction_store
from koban import cases, enforcement
from koban.audit import record
from koban.base import Instant, sequence_id
from koban.cases import hours_of, work_store
from koban.cases.types import (
    NotForYou,
)
from koban.db import Tx
from koban.enforcement import Notice, Sanction, SubjectRef, appeal_store, appeals, messages
from koban.enforcement.appeals import Appeal, AppealDecided, AppealMissing, AppealOpened, DecideAppeal, FileAppeal
from koban.packs import PackDef, QueueDef, Texts
from koban.pipeline.commands import label, sanction
from koban.pipeline.following import enter_closing, find_sanction, notice_id, set_due_timer, truth, withdraw
from koban.pipeline.holds import take_back, withdraw_rules
from koban.pipeline.judgement import ACCOUNT, ZONE
from koban.pipeline.memory import Memory

APPEALS_QUEUE: Final = "appeals"
NOTICES_MAX: Final = 500


def file_appeal(memory: Memory, tx: Tx, command: FileAppeal) -> Appeal:
    """Take in an appeal: seal what the person wrote, open a case for somebody who had no part in it, say that it came.

    Refuses: SanctionMissing, NothingToAppeal, AppealOpenAlready, AppealDecidedAlready, AppealTooLate, TooManyAppeals.
    """
    at = memory.log_time.peek()
    found = find_sanction(memory, tx, command.sanction_id)
    account = account_of(found)
    recent = 0
    if account is not None:
        recent = appeal_store.count_recent(tx, account.id, Instant(at - appeals.PER_SUBJECT_WITHIN))
    appeals.check_appealable(found, appeal_store.read_of_sanction(tx, found.id), recent, at)
    appeal_id = sequence_id("appeal", memory.last_seq + 1)
    opened = AppealOpened(appeal_id=appeal_id, sanction_id=found.id, subject=found.subject, channel=command.channel)
    seq, at = memory.enter(
        "appeal.opened", msgspec.json.encode(opened), about=f"{found.subject.kind}:{found.subject.id}", cause_seq=None
    )
    queue = _appeals_queue(memory.compiled.pack)
    policy = memory.compiled.pack.policies.get(found.policy)
    case, kept = cases.appeal_case(
        tx,
        at,
        case_id=sequence_id("case", seq),
        seq=seq,
        appeal=appeal_id,
        account=account,
        policy=found.policy,
        market=found.market,
        severity="medium" if policy is None else policy.severity,
        queue=queue,
        hours=hours_of(memory.compiled.pack, queue.name),
    )
    memory.undo.append(memory.cases.bring_back(kept))
    set_due_timer(memory, seq, case.due_at, case.id)
    for person in sorted(enforcement.deciders_of(found)):
        work_store.exclude(tx, case.id, person, at, why="decided")
    person = appeal_person(appeal_id, account)
    memory.vault.prepare(tx, at, [person])
    sealed = memory.vault.seal(person, appeal_id, {"text": command.text})
    appeal = Appeal(
        id=appeal_id,
        sanction_id=found.id,
        subject=found.subject,
        account=account,
        channel=command.channel,
        language=command.language,
        filed_by=command.by,
        filed_at=at,
        case_id=case.id,
    )
    appeal_store.insert(tx, appeal, sealed)
    record(tx, at, command.by, "appeal.filed", appeal_id, {"seq": seq})
    if account is not None:
        message = messages.appeal_received_message(case.due_at, ZONE)
        _notify(memory, found, account, message, seq=seq, at=at, by=None, case_id=case.id)
    return appeal


def decide_appeal(memory: Memory, tx: Tx, command: DecideAppeal) -> Appeal:
    """Answer an appeal. Overturning restores everything (law 4) and tells everybody who was told, by new rows.

    Refuses: CaseMissing, CaseAlreadyClosed, ClaimLost, NotForYou, AppealMissing.
    """
    at = memory.log_time.peek()
    case = case_actions.held(tx, command.case_id, by=command.by, fence=command.fence)
    appeal = None if case.appeal is None else appeal_store.read(tx, case.appeal)
    if appeal is None or appeal.status != "open":
        raise AppealMissing(f"{case.id} is no open appeal")
    found = find_sanction(memory, tx, appeal.sanction_id)
    if command.by in enforcement.deciders_of(found):
        raise NotForYou("You had a part in what this appeal is against; somebody else judges it.")
    overturns = command.verb == "overturn"
    closed = cases.close_case(
        tx,
        at,
        cases.CloseCase(
            case_id=case.id,
            outcome="honest" if overturns else "upheld",
            by=command.by,
            fence=command.fence,
            note=command.note,
        ),
        hours=hours_of(memory.compiled.pack, case.queue),
    )
    enter_closing(memory, tx, closed)
    status: appeals.AppealStatus = "overturned" if overturns else "upheld"
    decided = AppealDecided(
        appeal_id=appeal.id, sanction_id=found.id, subject=appeal.subject, status=status, by=command.by
    )
    seq, at = memory.enter(
        "appeal.decided",
        msgspec.json.encode(decided),
        about=f"{appeal.subject.kind}:{appeal.subject.id}",
        cause_seq=None,
    )
    appeal_store.decide(tx, appeal.id, at, status=status, by=command.by, answer=command.answer)
    record(tx, at, command.by, "appeal.decided", appeal.id, {"status": status, "seq": seq})
    if overturns:
        _restore(memory, tx, found, command, seq=seq, at=at, case_id=case.id)
        message = messages.appeal_overturned_message(command.answer)
    else:
        message = messages.appeal_upheld_message(command.answer)
    if appeal.account is not None:
        _notify(memory, found, appeal.account, message, seq=seq, at=at, by=command.by, case_id=case.id)
    return msgspec.structs.replace(appeal, status=status, decided_at=at, decided_by=command.by, answer=command.answer)


def account_of(found: Sanction) -> SubjectRef | None:
    """Return who is behind what a sanction fell on."""
    if found.subject.kind == ACCOUNT:
        return found.subject
    return found.about if found.about is not None and found.about.kind == ACCOUNT else None


def appeal_person(appeal_id: str, account: SubjectRef | None) -> str:
    """Return under whose key an appeal's text is sealed."""
    return account.id if account is not None else appeal_id


def related(tx: Tx, found: Sanction) -> tuple[str, ...]:
    """Return the sanctions that came with one: by the same judgement, or by rules over the same event."""
    ids: dict[str, None] = {found.id: None}
    for ground in (*found.grounds, *found.withdrawn):
        if ground.case_id is not None:
            ids.update(dict.fromkeys(work_store.sanctions_of(tx, ground.case_id, what="imposed")))
        elif ground.rule is not None:
            decision = decision_store.read_bodies(tx, [ground.cause_seq]).get(ground.cause_seq)
            ids.update(dict.fromkeys(() if decision is None else decision.sanctions))
    people = {account_of(found), found.subject, found.about} - {None}
    others = sanction_store.read(tx, tuple(ids))
    return tuple(
        each for each in ids
        if each in others and (account_of(others[each]) in people or others[each].subject in people)
    )  # fmt: skip


def _restore(
    memory: Memory, tx: Tx, found: Sanction, command: DecideAppeal, *, seq: int, at: Instant, case_id: str
) -> None:
    """Overturn a sanction with all that came with it, and tell everybody who was told about it."""
    ids = tuple(each for each in related(tx, found) if find_sanction(memory, tx, each).status != "overturned")
    events: dict[str, None] = {}
    of_cases: dict[str, None] = {}
    behind: dict[int, set[str]] = {}  # decisions on the same events, and the rules that the appeal was right about
    for each in ids:
        one = find_sanction(memory, tx, each)
        of_cases.update(dict.fromkeys(work_store.cases_of_sanction(tx, each)))
        for ground in one.grounds:
            if ground.rule is not None:
                behind.setdefault(ground.cause_seq, set()).add(ground.rule)
            events.update(dict.fromkeys([*ground.event_ids, *([ground.event_id] if ground.event_id else [])]))
    for each in of_cases:
        closed_seq = case_actions.find(tx, each).closed_seq
        if closed_seq is not None:
            take_back(memory, tx, closed_seq, seq=seq, at=at, for_good=True)
    for decision, rules in behind.items():
        withdraw_rules(memory, tx, decision, sorted(rules), seq=seq, at=at, why="judged")
    told = sanction_store.read_notices_about(tx, case_ids=tuple(of_cases), event_ids=tuple(events), limit=NOTICES_MAX)
    # What happened is told by name in the case that decided it, and each sanction's own change tells the marketplace.
    reason = command.note or command.answer.get("en", "") or "appeal"
    sanction(memory, tx, enforcement.OverturnSanctions(sanction_ids=ids, by=command.by, reason=reason[:2_000]))
    work_store.link_sanctions(tx, case_id, ids, what="taken_back", seq=seq)
    appellant = account_of(found)
    # The author is answered below in full; a second message that the first one was wrong would only confuse.
    withdraw(memory, tx, told, seq=seq, at=at, except_to=appellant)
    subject = found.about if found.subject.kind == ACCOUNT and found.about is not None else found.subject
    label(memory, tx, truth(subject, "honest", by=command.by, note=case_id))


def _notify(
    memory: Memory,
    found: Sanction,
    to: SubjectRef,
    message: Texts,
    *,
    seq: int,
    at: Instant,
    by: str | None,
    case_id: str,
) -> None:
    """Tell somebody how their appeal stands."""
    memory.tell_notice(
        Notice(
            id=notice_id(memory, seq),
            to=to,
            role="author",
            about=found.subject if found.subject != to else found.about,
            policy=found.policy,
            title=found.title,
            text=found.text,
            because=message,
            rule=None,
            actor=by,
            cause_seq=seq,
            at=at,
            market=found.market,
            purpose="appeal",
            message=message,
            sanction_ids=(found.id,),
            case_id=case_id,
        )
    )


def _appeals_queue(pack: PackDef) -> QueueDef:
    return pack.queues.get(APPEALS_QUEUE) or list(pack.queues.values())[-1]
