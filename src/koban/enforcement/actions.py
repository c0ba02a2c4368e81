"""What happens when people command: inside the decider, in its transaction, at a log time and entry of its own."""

from collections.abc import Iterable, Mapping
from typing import Final, assert_never

from koban.base import Instant, sequence_id
from koban.db import Timer, Tx
from koban.enforcement import logic, store
from koban.enforcement.live import LiveSanctions
from koban.enforcement.types import (
    Change,
    Command,
    Ground,
    ImposeSanction,
    LiftSanction,
    Outcome,
    OverturnSanctions,
    Plan,
    Sanction,
    SanctionMissing,
    SanctionNotInForce,
    Step,
    SubjectRef,
    UndoItems,
    UndoRule,
)
from koban.packs import PolicyDef

UNDO_CHUNK: Final = 20  # sanctions in one command, so that none holds the decider for long
TIMER_KIND: Final = "sanction.end"


def carry_out(
    live: LiveSanctions, tx: Tx, command: Command, policies: Mapping[str, PolicyDef], *, at: Instant, seq: int
) -> Outcome:
    """Return what a command brings; nothing has changed yet, the decider enters and applies the plan's changes.

    Sanctions that are no longer in memory are brought back into `live`, so that the changes can be applied.
    Overturning what is overturned already, or undoing what is undone, brings nothing and is no error.
    Refuses: SanctionMissing, SanctionNotInForce, PolicyUnknown, SanctionUnfit.
    """
    match command:
        case ImposeSanction():
            plan = logic.plan_by_hand(command, policies, live.of_subject, at=at, seq=seq)
            return Outcome(sanction_ids=_touched(plan.changes), plan=plan)
        case LiftSanction():
            sanction = _find(live, tx, (command.sanction_id,))[command.sanction_id]
            if not sanction.stands_at(at) or sanction.status != "in_force":
                raise SanctionNotInForce(f"{sanction.id} is {sanction.status}")
            live.restore(sanction)
            changes: tuple[Change, ...] = (logic.lift(sanction, at=at, by=command.by, reason=command.reason),)
            return Outcome(sanction_ids=(sanction.id,), plan=Plan(changes=changes))
        case OverturnSanctions():
            ids = frozenset(command.sanction_ids)
            found = _find(live, tx, tuple(sorted(ids)))
            changes = _withdraw(
                live,
                tx,
                found.values(),
                lambda sanction, _: sanction.id in ids,
                at=at,
                by=command.by,
                reason=command.reason,
            )
            return Outcome(sanction_ids=_touched(changes), plan=Plan(changes=changes))
        case UndoRule():
            return _undo_rule(live, tx, command, at=at)
        case UndoItems():
            return _undo_items(live, tx, command, at=at)
        case _ as unknown:
            assert_never(unknown)


def timers_of(step: Step, seq: int) -> list[Timer]:
    """Return the timer that a step's new end needs; `seq` is the step's own entry.

    An older timer of the same sanction stays set and finds nothing to do (`logic.expire` returns None).
    """
    after = step.after
    if after.status != "in_force" or after.ends_at is None:
        return []
    if step.before is not None and step.before.ends_at == after.ends_at:
        return []
    return [Timer(id=sequence_id("timer", seq), due_at=after.ends_at, kind=TIMER_KIND, about=after.id)]


def _undo_rule(live: LiveSanctions, tx: Tx, command: UndoRule, *, at: Instant) -> Outcome:
    after_at = int(command.after) if command.after else command.since_at - 1
    stored = store.read_of_rule(tx, command.rule, after_at=after_at, limit=UNDO_CHUNK + 1)
    chunk = [sanction_id for _, sanction_id in stored[:UNDO_CHUNK]]
    next_after = str(stored[UNDO_CHUNK - 1][0]) if len(stored) > UNDO_CHUNK else None
    if next_after is None:
        # What the batch that this command is part of did just now is not in the table yet.
        chunk.extend(live.newest_of_rule(command.rule, command.since_at))
    wanted = frozenset(chunk)

    def withdraws(sanction: Sanction, ground: Ground) -> bool:
        return sanction.id in wanted and ground.rule == command.rule and ground.at >= command.since_at

    found = _find(live, tx, tuple(sorted(wanted)))
    changes = _withdraw(live, tx, found.values(), withdraws, at=at, by=command.by, reason=command.reason)
    notices = store.read_notices(tx, command.rule, command.since_at, limit=UNDO_CHUNK + 1)
    store.withdraw_notices(tx, [notice.id for notice in notices[:UNDO_CHUNK]], at)
    if next_after is None and len(notices) > UNDO_CHUNK:
        # Notices that were taken back are not found again, so they need no place to go on; sanctions keep theirs.
        next_after = str(stored[-1][0] if stored else after_at)
    plan = Plan(changes=changes, withdrawn=tuple(notices[:UNDO_CHUNK]))
    return Outcome(sanction_ids=_touched(changes), plan=plan, next_after=next_after)


def _undo_items(live: LiveSanctions, tx: Tx, command: UndoItems, *, at: Instant) -> Outcome:
    """Withdraw the grounds and notices that are named; verdicts are the pipeline's, which knows decisions."""
    wanted = frozenset((each.sanction_id, each.rule, each.cause_seq) for each in command.grounds)

    def withdraws(sanction: Sanction, ground: Ground) -> bool:
        return (sanction.id, ground.rule, ground.cause_seq) in wanted

    found = _find(live, tx, tuple(sorted({each.sanction_id for each in command.grounds})))
    changes = _withdraw(live, tx, found.values(), withdraws, at=at, by=command.by, reason=command.reason)
    notices = store.read_standing_notices(tx, command.notices)
    store.withdraw_notices(tx, [notice.id for notice in notices], at)
    return Outcome(sanction_ids=_touched(changes), plan=Plan(changes=changes, withdrawn=tuple(notices)))


def _withdraw(
    live: LiveSanctions,
    tx: Tx,
    withdrawn: Iterable[Sanction],
    withdraws: logic.Withdraws,
    *,
    at: Instant,
    by: str,
    reason: str,
) -> tuple[Change, ...]:
    changes: list[Change] = []
    for subject in dict.fromkeys(sanction.subject for sanction in withdrawn):
        history = _history(live, tx, subject)
        of_subject = logic.withdraw(tuple(history.values()), withdraws, at=at, by=by, reason=reason)
        for sanction_id in _touched(of_subject):
            live.restore(history[sanction_id])
        changes.extend(of_subject)
    return tuple(changes)


def _history(live: LiveSanctions, tx: Tx, subject: SubjectRef) -> dict[str, Sanction]:
    """Return everything a subject ever had; memory is newer than the table within a batch."""
    history = {each.id: each for each in store.read_of_subject(tx, subject)}
    history.update((each.id, each) for each in live.of_subject(subject))
    return history


def _find(live: LiveSanctions, tx: Tx, sanction_ids: tuple[str, ...]) -> dict[str, Sanction]:
    found = {each: sanction for each in sanction_ids if (sanction := live.get(each)) is not None}
    found.update(store.read(tx, [each for each in sanction_ids if each not in found]))
    for each in sanction_ids:
        if each not in found:
            raise SanctionMissing(f"there is no sanction {each}")
    return found


def _touched(changes: Iterable[Change]) -> tuple[str, ...]:
    return tuple(logic.sanction_id_of(change) for change in changes)
