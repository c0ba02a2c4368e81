"""How the hold of an event ends: by its time, because its rules were wrong, or by a person's judgement; once, and told.

A decision stays as it was given. What became of its event is a row beside it (`hold_ends`), and an action to the
marketplace. A person's judgement outranks what rules said: taking a rule back does not undo it, only taking the
judgement back does.
"""

from collections.abc import Collection
from typing import Final

import koban.decisions.store as decision_store
import koban.events.store as event_store
from koban.base import Instant, from_rfc3339, sequence_id
from koban.cases.types import DecideCase
from koban.db import Timer, Tx
from koban.decisions import VERDICT_NAMES, DecisionRecord, HoldEnd, HoldEndWhy, VerdictName, remaining_verdict
from koban.enforcement import SubjectRef
from koban.pipeline.judgement import Occasion, facts_of, rules_behind
from koban.pipeline.memory import Memory, subject_of

HOLD_LAPSE: Final = "hold.lapse"  # the kind of timer


def hold(memory: Memory, seq: int, lifts_at: Instant) -> None:
    """Let an event wait until a moment, or until somebody judged it."""
    memory.set_timer(Timer(id=sequence_id("timer", seq), due_at=lifts_at, kind=HOLD_LAPSE, about=str(seq)))


def lapse(memory: Memory, held_seq: int, seq: int, at: Instant) -> None:
    """End a hold whose time is over, and tell what its event becomes by itself."""
    assert memory.tx is not None
    record = memory.tell_lapse(held_seq, seq, at)
    if record is not None and record.hold is not None:
        _end(memory, memory.tx, held_seq, HoldEnd(at=at, why="lapsed", verdict=_becomes(record), cause_seq=seq))


def withdraw_rules(
    memory: Memory, tx: Tx, decision: int, rules: Collection[str], *, seq: int, at: Instant, why: HoldEndWhy
) -> None:
    """Withdraw some rules' parts in a verdict. What nothing else stands behind is told to be a mistake; a hold lifts."""
    record = decision_store.read_bodies(tx, [decision]).get(decision)
    entry = event_store.read_entry(tx, decision)
    if record is None or entry is None or record.verdict not in {"block", "hold", "challenge"}:
        return
    before = decision_store.read_withdrawn(tx, decision)
    for rule in rules:
        decision_store.withdraw(tx, decision, rule, withdrawn_seq=seq, at=at)
    was, now = remaining_verdict(record, before), remaining_verdict(record, before | frozenset(rules))
    if was == now:
        return
    if record.verdict == "hold":
        end = decision_store.read_hold_ends(tx, [decision]).get(decision)
        if end is not None and (end.why == "judged" or not _milder(now, end.verdict)):
            return  # a person's judgement stands, or it became no worse by itself
        memory.drop_timer(sequence_id("timer", decision))
        _end(memory, tx, decision, HoldEnd(at=at, why=why, verdict=now, cause_seq=seq))
        was = record.verdict if end is None else end.verdict
    else:
        memory.on_verdict_ended(memory, tx, decision, now)
    _tell(memory, record, was=was, now=now, seq=seq, at=at)


def judge(memory: Memory, tx: Tx, occasion: Occasion, command: DecideCase, *, seq: int) -> None:
    """Do to the events of a case what a judgement says: what was held goes on for the honest, and is blocked otherwise.

    Blocks and challenges are told to have been mistakes where the judgement takes back what rules did. Unclear leaves a
    hold to its time.
    """
    at = memory.log_time.peek()
    if command.outcome == "upheld":
        for decision, record in decision_store.read_bodies(tx, occasion.held).items():
            memory.drop_timer(sequence_id("timer", decision))
            _end(memory, tx, decision, HoldEnd(at=at, why="judged", verdict="block", cause_seq=seq))
            detail = {
                "event_id": record.id,
                "decision": decision,
                "becomes": "block",
                "case_id": occasion.case.id,
                "policy": occasion.policy.name,
                "because": facts_of(occasion, command),
            }
            subject = _subject(memory, decision)
            if subject is not None:
                memory.tell_judged(subject, detail, seq=seq, at=at)
    elif command.outcome == "honest":
        for decision, record in decision_store.read_bodies(tx, occasion.decided).items():
            if command.take_back or record.verdict == "hold":
                withdraw_rules(memory, tx, decision, rules_behind(record, occasion), seq=seq, at=at, why="judged")


def take_back(memory: Memory, tx: Tx, closed_seq: int, *, seq: int, at: Instant, for_good: bool) -> None:
    """Take back that a judgement blocked held events.

    `for_good`: they go on (an appeal was right). Otherwise the case is judged again: an event whose time is not over
    waits on, another becomes what its hold had said.
    """
    blocked = {
        decision: end for decision, end in decision_store.hold_ends_of(tx, closed_seq).items() if end.verdict == "block"
    }
    for decision, record in decision_store.read_bodies(tx, tuple(blocked)).items():
        now: VerdictName = remaining_verdict(record, decision_store.read_withdrawn(tx, decision))
        lifts_at = None if record.hold is None else from_rfc3339(record.hold.lifts_at)
        if for_good:
            now = "allow"
        elif now == "hold" and lifts_at is not None and lifts_at > at:
            decision_store.resume_hold(tx, decision)
            hold(memory, decision, lifts_at)
            _tell(memory, record, was="block", now="hold", seq=seq, at=at)
            continue
        elif now == "hold":
            now = _becomes(record)
        why: HoldEndWhy = "judged" if for_good else "lapsed"
        _end(memory, tx, decision, HoldEnd(at=at, why=why, verdict=now, cause_seq=seq))
        if now != "block":
            _tell(memory, record, was="block", now=now, seq=seq, at=at)


def _end(memory: Memory, tx: Tx, decision: int, end: HoldEnd) -> None:
    """Note how a hold ended; a payment that waited for it goes on or is called off."""
    decision_store.end_hold(tx, decision, end)
    memory.on_verdict_ended(memory, tx, decision, end.verdict)


def _milder(verdict: VerdictName, than: VerdictName) -> bool:
    return VERDICT_NAMES.index(verdict) < VERDICT_NAMES.index(than)


def _becomes(record: DecisionRecord) -> VerdictName:
    return "block" if record.hold is not None and record.hold.becomes == "block" else "allow"


def _tell(
    memory: Memory, record: DecisionRecord, *, was: VerdictName, now: VerdictName, seq: int, at: Instant
) -> None:  # fmt: skip
    subject = _subject(memory, record.seq)
    if subject is not None:
        detail = {"event_id": record.id, "decision": record.seq, "was": was, "now": now}
        memory.tell_withdrawn(subject, detail, seq=seq, at=at)


def _subject(memory: Memory, decision: int) -> SubjectRef | None:
    """Return whom a decision's event is about; None where the event is gone and binds nobody."""
    assert memory.tx is not None
    entry = event_store.read_entry(memory.tx, decision)
    return None if entry is None else subject_of(memory.compiled, entry)
