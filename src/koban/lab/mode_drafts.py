"""The second person for modes: a rule under a severe policy acts, or acts on more people, once somebody else agreed.

Every door (the API, the command line through it, the console) asks `bring_mode` or `approve_mode`. The decider refuses
what needs a second person and has none, so that no door can be forgotten. Stepping down happens at once.
"""

import dataclasses
import random
from collections.abc import Callable

import msgspec

from koban.audit import record
from koban.base import Instant, random_id
from koban.db import Database
from koban.lab.drafts import ApprovalMissing, require_second
from koban.packs import Mode, ModeName, PackDef, RuleDef
from koban.rules import ModeChange, ModeChanged, mode_drafts

__all__ = ["ModeDesk", "approve_mode", "bring_mode", "mode_needs_second", "withdraw_mode"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModeDesk:
    """What changing the modes of rules needs."""

    database: Database
    randomness: random.Random
    now: Callable[[], Instant]
    pack: Callable[[], PackDef]  # the one in force
    change: Callable[[ModeChange], int]  # -> where in the log
    change_approved: Callable[[mode_drafts.ModeDraft, str], int]  # a draft, by whom it is approved


def mode_needs_second(pack: PackDef, rule: RuleDef, now: Mode, to: Mode | None, *, tripped: bool) -> bool:
    """Tell whether a mode makes a severe rule act on people on whom it does not act now.

    Why `tripped`: a rule whose budget is used up acts on nobody, whatever its mode says.
    """
    if pack.policies[rule.policy].severity != "severe":
        return False
    wanted = rule.mode if to is None else to
    acting = now.basis_points if now.name is ModeName.LIVE and not tripped else 0
    return wanted.name is ModeName.LIVE and wanted.basis_points > acting


def bring_mode(desk: ModeDesk, change: ModeChange) -> mode_drafts.ModeTaken:
    """Change a mode, or propose it where a second person must look first.

    Refuses: RuleMissing, ModeInvalid.
    """
    base = desk.pack().digest
    try:
        return mode_drafts.ModeTaken(seq=desk.change(change))
    except ApprovalMissing:
        assert isinstance(change, ModeChanged), "nothing else waits"
    at = desk.now()
    draft = mode_drafts.ModeDraft(
        id=random_id("modedraft", at, desk.randomness),
        rule=change.rule,
        mode=None if change.mode is None else change.mode.name,
        basis_points=10_000 if change.mode is None else change.mode.basis_points,
        base=base,
        author=change.by,
        reason=change.reason,
        proposed_at=at,
    )
    with desk.database.write() as tx:
        for each in mode_drafts.open_mode_drafts(tx, rule=draft.rule):
            if (each.to, each.base) == (draft.to, draft.base):
                return mode_drafts.ModeTaken(draft=each.id)
        mode_drafts.insert_mode_draft(tx, draft)
        record(tx, at, change.by, "mode.proposed", draft.id, {"rule": draft.rule})
    return mode_drafts.ModeTaken(draft=draft.id)


def approve_mode(desk: ModeDesk, draft_id: str, *, by: str) -> mode_drafts.ModeTaken:
    """Give a severe rule the mode that somebody else proposed; the draft is closed in the same transaction.

    Refuses: ModeDraftMissing, ApprovalMissing, DraftStale, RuleMissing.
    """
    with desk.database.read() as tx:
        draft = mode_drafts.read_mode_draft(tx, draft_id)
        require_second(tx, draft.author, by)
    return mode_drafts.ModeTaken(seq=desk.change_approved(draft, by), draft=draft.id)


def withdraw_mode(desk: ModeDesk, draft_id: str, *, by: str) -> mode_drafts.ModeDraft:
    """Close a draft that nobody shall approve.

    Refuses: ModeDraftMissing.
    """
    at = desk.now()
    with desk.database.write() as tx:
        draft = mode_drafts.read_mode_draft(tx, draft_id)
        mode_drafts.close_mode_draft(tx, draft_id, at, by=by, state="withdrawn")
        record(tx, at, by, "mode.withdrawn", draft_id, {"rule": draft.rule})
    return msgspec.structs.replace(draft, state="withdrawn", decided_by=by, decided_at=at)
