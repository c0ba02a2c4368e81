"""Emergency rules inside the decider: start, extend, end by hand, by their timer, or because a pack no longer fits.

What takes long, typing and compiling, happens on the caller's side (`Memory.overlay_of`); here the ready overlay is put
in place between two events.
"""

from typing import Final

import msgspec

from koban import enforcement
from koban.access import require_second
from koban.audit import record
from koban.base import Instant, Problem, sequence_id, to_rfc3339
from koban.db import Timer, Tx
from koban.emergency import (
    EMERGENCY_ENDED,
    EMERGENCY_EXTENDED,
    EMERGENCY_STARTED,
    EMERGENCY_TIMER,
    Emergency,
    EmergencyEnded,
    EmergencyExtended,
    EmergencyInvalid,
    EmergencyMissing,
    EmergencyNeedsSecond,
    EmergencyOver,
    EmergencyStarted,
    EndEmergency,
    ExtendEmergency,
    Overlay,
    check_started,
    end_of,
    rule_of,
)
from koban.emergency import store as emergency_store
from koban.emergency.logic import STANDING_MAX
from koban.emergency.types import EVENTS_OF, HowEnded
from koban.events import Entry
from koban.packs import PackInvalid
from koban.pipeline.memory import Memory
from koban.rules import PACK_ACTIVATED

REVIEW_QUEUE: Final = "emergency"  # takes the reviews where a pack declares it; else its default queue does
ALERT_STARTED: Final = "emergency.started"
ALERT_UNFIT: Final = "emergency.unfit"


class OverlayStale(Exception):
    """The pack or the rules in force changed while the overlay was compiled: compile it again."""


def prepare_overlay(memory: Memory, started: EmergencyStarted) -> Overlay:
    """Check a rule that is about to start and compile it with those that stand; outside the decider's thread.

    Refuses: EmergencyInvalid.
    """
    check_started(started, memory.compiled.pack)
    standing = [rule_of(each.started) for each in list(memory.emergency.standing.values())]
    try:
        return memory.overlay_of([*standing, rule_of(started)])
    except PackInvalid as invalid:
        raise EmergencyInvalid("The condition cannot be used.", problems=invalid.problems) from invalid


def start_emergency(memory: Memory, tx: Tx, started: EmergencyStarted, overlay: Overlay) -> Emergency:
    """Enter an emergency rule into the log: it decides from the next entry on.

    In one transaction: the entry, its end's timer, the case of its review, the alert that tells the lead.
    Refuses: EmergencyInvalid. Raises OverlayStale.
    """
    standing = memory.emergency.standing
    if overlay.pack != memory.compiled.pack.digest or not standing.keys() <= overlay.names:
        raise OverlayStale
    check_started(started, memory.compiled.pack)
    if emergency_store.read_one(tx, started.name) is not None or started.name in standing:
        detail = "A name is used once, so that what was done under it stays clear."
        raise EmergencyInvalid("Nothing was started.", problems=(Problem(path="/name", detail=detail),))
    if len(standing) >= STANDING_MAX:
        raise EmergencyInvalid(f"{STANDING_MAX} emergency rules stand already: end one, or switch all rules to review.")
    begins_at = memory.log_time.peek()
    started = msgspec.structs.replace(started, ends_at=end_of(begins_at, started.lasts_us))
    about = f"rule:{started.name}"
    seq, at = memory.enter(EMERGENCY_STARTED, msgspec.json.encode(started), about=about, cause_seq=None)
    case_id = _owe_review(memory, started, seq, at)
    memory.undo.append(memory.emergency.apply(started, seq, at, case_id=case_id))
    memory.install(overlay)
    one = standing[started.name]
    emergency_store.insert(tx, one)
    memory.set_timer(Timer(id=sequence_id("timer", seq), due_at=one.ends_at, kind=EMERGENCY_TIMER, about=one.name))
    memory.alert(
        ALERT_STARTED,
        about,
        f"{started.by} started {started.name} until {to_rfc3339(one.ends_at)}, at most {started.cap_per_hour} people an"
        f" hour: {started.reason}",
    )
    record(tx, at, started.by, EMERGENCY_STARTED, started.name, {"seq": seq, "case": case_id})
    return one


def _owe_review(memory: Memory, started: EmergencyStarted, seq: int, at: Instant) -> str:
    queues = memory.compiled.pack.queues
    review = enforcement.ReviewRequest(
        queue=REVIEW_QUEUE if REVIEW_QUEUE in queues else memory.compiled.default_queue,
        subject=enforcement.SubjectRef(kind="rule", id=started.name),
        acting=None,
        rule=started.name,
        policy=started.policy,
        because={
            "en": f"An emergency rule was used: {started.reason}",
            "ja": f"緊急ルールが使われました: {started.reason}",
        },
        event_id=f"change_{seq}",
        event_type=EMERGENCY_STARTED,
    )
    return memory.owe_case(review, due_at=started.review_due_at, seq=seq, at=at)


def extend_emergency(memory: Memory, tx: Tx, command: ExtendEmergency) -> Emergency:
    """Let a rule live longer, once, as a second person; from now on, for as long as a rule may live at most.

    Refuses: EmergencyMissing, EmergencyOver, EmergencyNeedsSecond.
    """
    one = _standing(memory, tx, command.name)
    if one.extended_by is not None:
        raise EmergencyOver(f"{one.name} was extended by {one.extended_by} before; once is all there is.")
    own = f"{command.by} started {one.name}; somebody else has to extend it."
    require_second(tx, one.started.by, command.by, refusal=EmergencyNeedsSecond, own=own)
    ends_at = end_of(memory.log_time.peek(), command.lasts_us)
    if ends_at <= one.ends_at:
        raise EmergencyOver(f"{one.name} ends later than that already.")
    change = EmergencyExtended(name=one.name, ends_at=ends_at, by=command.by, reason=command.reason)
    seq, at = memory.enter(EMERGENCY_EXTENDED, msgspec.json.encode(change), about=f"rule:{one.name}", cause_seq=None)
    memory.undo.append(memory.emergency.apply(change, seq, at))
    emergency_store.extend(tx, change, at)
    memory.set_timer(Timer(id=sequence_id("timer", seq), due_at=ends_at, kind=EMERGENCY_TIMER, about=one.name))
    record(tx, at, command.by, EMERGENCY_EXTENDED, one.name, {"seq": seq})
    return memory.emergency.standing[one.name]


def end_emergency(memory: Memory, tx: Tx, command: EndEmergency) -> Emergency:
    """End a rule now.

    Refuses: EmergencyMissing, EmergencyOver.
    """
    one = _standing(memory, tx, command.name)
    at = _end(memory, tx, one.name, how="ended", by=command.by, reason=command.reason, cause_seq=None)
    record(tx, at, command.by, EMERGENCY_ENDED, one.name, {"how": "ended"})
    return msgspec.structs.replace(one, ended_at=at, ended_by=command.by, ended_how="ended")


def expire_emergency(memory: Memory, name: str, cause_seq: int, fired_at: Instant) -> None:
    """End a rule whose timer fired; one that was extended or ended meanwhile is left alone."""
    one = memory.emergency.standing.get(name)
    if one is None or fired_at < one.ends_at:
        return
    assert memory.tx is not None
    _end(memory, memory.tx, name, how="expired", by="koban", reason="", cause_seq=cause_seq)


def refit(memory: Memory, tx: Tx, cause_seq: int) -> None:
    """After another pack came into force: run the emergency rules beside it, and end those that no longer fit."""
    if not memory.emergency.standing:
        memory.undo.append(memory.emergency.install(memory.overlay_of(())))
        return
    rules = tuple(rule_of(each.started) for each in memory.emergency.standing.values())
    for name in memory.lay_over(rules):
        reason = "the pack that came into force no longer has what its condition or policy names"
        _end(memory, tx, name, how="unfit", by="koban", reason=reason, cause_seq=cause_seq)
        memory.alert(ALERT_UNFIT, f"rule:{name}", f"{name} ended: {reason}.")


def follow_emergency(memory: Memory, entry: Entry) -> None:
    """Follow an entry of a log that is replayed, if it is about an emergency rule, or a pack beside which they run.

    Why law 2 holds: rules that a pack no longer fits are left out, and their end is the entry that comes next.
    """
    kind = EVENTS_OF.get(entry.type)
    if kind is not None:
        change = msgspec.json.decode(entry.data, type=kind)
        memory.undo.append(memory.emergency.apply(change, entry.seq, entry.log_at))
    elif entry.type != PACK_ACTIVATED or not memory.emergency.standing:
        return
    memory.lay_over(tuple(rule_of(each.started) for each in memory.emergency.standing.values()))


def _standing(memory: Memory, tx: Tx, name: str) -> Emergency:
    one = memory.emergency.standing.get(name)
    if one is not None and one.stands_at(memory.log_time.peek()):
        return one
    if emergency_store.read_one(tx, name) is None:
        raise EmergencyMissing(f"there is no emergency rule {name[:80]!r}")
    raise EmergencyOver(f"{name} is over")


def _end(memory: Memory, tx: Tx, name: str, *, how: HowEnded, by: str, reason: str, cause_seq: int | None) -> Instant:
    change = EmergencyEnded(name=name, how=how, by=by, reason=reason)
    seq, at = memory.enter(EMERGENCY_ENDED, msgspec.json.encode(change), about=f"rule:{name}", cause_seq=cause_seq)
    memory.undo.append(memory.emergency.apply(change, seq, at))
    emergency_store.end(tx, change, at)
    return at
