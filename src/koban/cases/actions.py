"""Verbs of cases that change no decision: claim, skip, hand over, give back. They need no decider, only a transaction."""

from collections.abc import Mapping, Sequence
from typing import Final

from koban.audit import record
from koban.base import DAY, HOUR, MINUTE, Instant
from koban.cases import store, work_store
from koban.cases.types import (
    Case,
    CaseAlreadyClosed,
    CaseClaimed,
    CaseMissing,
    ClaimLost,
    NotForYou,
    QueueEmpty,
    SkipReason,
    TouchEnd,
)
from koban.db import Tx
from koban.packs import QueueDef

CLAIM_FOR: Final = 20 * MINUTE
HANDED_FOR: Final = 8 * HOUR  # then others are given the case again: a day off loses nobody's case
DOSE_WINDOW: Final = DAY
_RACES_MAX: Final = 8


def claim(tx: Tx, at: Instant, case_id: str, *, by: str) -> Case:
    """Take a case for twenty minutes; claiming one's own again prolongs it under a new fence.

    Refuses: CaseMissing, CaseAlreadyClosed, CaseClaimed, NotForYou.
    """
    case = find(tx, case_id)
    if case.status == "closed":
        raise CaseAlreadyClosed(f"{case_id} was closed by {case.closed_by}")
    check_impartial(tx, case_id, by)
    is_held = case.claimed_until is not None and case.claimed_until > at
    if (is_held and case.claimed_by != by) or not store.take(tx, case, by=by, until=Instant(at + CLAIM_FOR)):
        raise CaseClaimed(f"{case_id} is held by {case.claimed_by}" if is_held else f"{case_id} was just claimed")
    return _begin(tx, at, case, by=by)


def claim_next(
    tx: Tx, at: Instant, queues: Sequence[str], *, by: str, guarded: Mapping[str, QueueDef] | None = None
) -> Case:
    """Take the case that comes first in these queues and that nobody holds, has been handed or has to leave to others.

    `guarded` are the queues of the pack: those whose kind of harm the person opted out of, or of which they had
    their day's dose, are passed over.
    Refuses: QueueEmpty, CaseClaimed when others were faster several times in a row.
    """
    served = served_queues(tx, at, queues, by=by, guarded=guarded or {})
    for _ in range(_RACES_MAX):
        case = work_store.first_free(tx, served, at, person=by)
        if case is None:
            raise QueueEmpty(f"nothing waits in {', '.join(queues)[:200]}")
        # On PostgreSQL what was handed to somebody may be claimed twice at once; the fence lets one have it.
        if store.take(tx, case, by=by, until=Instant(at + CLAIM_FOR)):
            return _begin(tx, at, case, by=by)
    raise CaseClaimed(f"others are claiming from {', '.join(queues)[:200]}; try again")


def served_queues(
    tx: Tx, at: Instant, queues: Sequence[str], *, by: str, guarded: Mapping[str, QueueDef]
) -> tuple[str, ...]:
    """Return those of some queues from which a person may be given cases now."""
    harmful = {name for name in queues if name in guarded and guarded[name].harm != "none"}
    if not harmful:
        return tuple(queues)
    avoided = work_store.optouts(tx, by)
    had = work_store.doses(tx, by, Instant(at - DOSE_WINDOW), at, longest_us=CLAIM_FOR)

    def may(queue: QueueDef) -> bool:
        is_enough = queue.exposure_min > 0 and had.get(queue.harm, 0) >= queue.exposure_min * MINUTE
        return queue.harm not in avoided and not is_enough

    return tuple(name for name in queues if name not in harmful or may(guarded[name]))


def release(tx: Tx, at: Instant, case_id: str, *, by: str, fence: int) -> Case:
    """Give a case back to its queue.

    Refuses: CaseMissing, ClaimLost.
    """
    case = held(tx, case_id, by=by, fence=fence)
    store.give_back(tx, case)
    end(tx, at, case, how="released")
    record(tx, at, by, "case.release", case_id)
    work_store.note(tx, case_id, at, "released", by)
    return find(tx, case_id)


def skip(tx: Tx, at: Instant, case_id: str, *, by: str, fence: int, reason: SkipReason, note: str = "") -> Case:
    """Leave a case to others: it goes back to its queue and is never given to this person again.

    Refuses: CaseMissing, ClaimLost.
    """
    case = held(tx, case_id, by=by, fence=fence)
    store.give_back(tx, case)
    end(tx, at, case, how="skipped")
    work_store.exclude(tx, case_id, by, at, why="skipped", reason=reason)
    record(tx, at, by, "case.skip", case_id, {"reason": reason})
    work_store.note(tx, case_id, at, "skipped", by, reason=reason, note=note)
    return find(tx, case_id)


def hand_over(tx: Tx, at: Instant, case_id: str, *, by: str, fence: int, to: str, note: str) -> Case:
    """Give a case to a colleague, who is given it before all others; after eight hours it is everybody's again.

    Refuses: CaseMissing, ClaimLost, NotForYou when the colleague must not judge it.
    """
    case = held(tx, case_id, by=by, fence=fence)
    check_impartial(tx, case_id, to)
    work_store.assign(tx, case, to=to, until=Instant(at + HANDED_FOR))
    end(tx, at, case, how="handed")
    record(tx, at, by, "case.hand_over", case_id, {"to": to})
    work_store.note(tx, case_id, at, "handed", by, to=to, note=note)
    return find(tx, case_id)


def opened(tx: Tx, at: Instant, case: Case, *, by: str) -> None:
    """Note that whoever holds a case has its content on the screen: from here on it is touched."""
    if case.claimed_by == by:
        work_store.open_touch(tx, case.id, case.fence, at)


def end(tx: Tx, at: Instant, case: Case, *, how: TouchEnd) -> None:
    """Note that hands are off a case."""
    work_store.end_touch(tx, case.id, case.fence, at, how=how, longest_us=CLAIM_FOR)


def check_impartial(tx: Tx, case_id: str, person: str) -> None:
    """Keep a person from judging what they decided or proposed themselves.

    Refuses: NotForYou.
    """
    why = work_store.exclusions(tx, case_id, person)
    if "decided" in why:
        raise NotForYou("You decided what this appeal is against; somebody else judges it.")
    if "proposed" in why:
        raise NotForYou("You proposed this yourself; a second person approves or declines it.")


def held(tx: Tx, case_id: str, *, by: str, fence: int) -> Case:
    """Return an open case that a person holds under this fence.

    Refuses: CaseMissing, CaseAlreadyClosed, ClaimLost.
    """
    case = find(tx, case_id)
    if case.status == "closed":
        raise CaseAlreadyClosed(f"{case.id} was closed by {case.closed_by}")
    if case.claimed_by != by or case.fence != fence:
        raise ClaimLost(f"{case.id} is held by {case.claimed_by or 'nobody'}; claim it again")
    return case


def find(tx: Tx, case_id: str) -> Case:
    """Return a case.

    Refuses: CaseMissing.
    """
    case = store.read_case(tx, case_id)
    if case is None:
        raise CaseMissing(f"there is no case {case_id[:80]}")
    return case


def _begin(tx: Tx, at: Instant, before: Case, *, by: str) -> Case:
    case = find(tx, before.id)
    lapsed_at = None
    if before.claimed_until is not None:
        lapsed_at = min(before.claimed_until, at)
    work_store.begin_touch(tx, case, at, by=by, lapsed_at=lapsed_at, lapsed_fence=before.fence)
    record(tx, at, by, "case.claim", case.id)
    work_store.note(tx, case.id, at, "claimed", by)
    return case
