"""The second person for modes and ceilings: a rule under a severe policy acts on more people once somebody else agreed.

Every door (the API, the command line through it, the console) asks `bring_mode`, `bring_expectation` or `approve_mode`.
The decider refuses what needs a second person and has none, so that no door can be forgotten. Stepping down, and a lower
ceiling, happen at once.
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
from koban.rules import ModeChange, ModeChanged, RuleExpected, ceiling_of, expect, mode_drafts

__all__ = [
    "ModeDesk",
    "approve_mode",
    "bring_expectation",
    "bring_mode",
    "expectation_needs_second",
    "expected",
    "expected_of",
    "mode_needs_second",
    "withdraw_mode",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModeDesk:
    """What changing the modes of rules needs."""

    database: Database
    randomness: random.Random
    now: Callable[[], Instant]
    pack: Callable[[], PackDef]  # the one in force
    change: Callable[[ModeChange], int]  # -> where in the log
    expect: Callable[[RuleExpected], int]  # -> where in the log
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
    draft = mode_drafts.ModeDraft(
        id="",
        rule=change.rule,
        mode=None if change.mode is None else change.mode.name,
        basis_points=10_000 if change.mode is None else change.mode.basis_points,
        base=base,
        author=change.by,
        reason=change.reason,
        proposed_at=desk.now(),
    )
    return mode_drafts.ModeTaken(draft=_keep(desk, draft))


def expectation_needs_second(pack: PackDef, rule: RuleDef, now: RuleExpected | None, to: RuleExpected) -> bool:
    """Tell whether what a person expects of a severe rule lets it touch more people than it may now.

    Why the floor where nothing is expected: a person's word also keeps the rule's own past from being asked for days.
    Why a count of people is more than one of actions: so many people can be acted against any number of times.
    """
    if pack.policies[rule.policy].severity != "severe":
        return False
    if now is None:
        return to.ceiling > expect.FLOOR_PEOPLE
    return to.ceiling > now.ceiling or (now.counts, to.counts) == ("actions", "people")


def bring_expectation(
    desk: ModeDesk, rule: str, *, people: int, hours: int, by: str, reason: str
) -> mode_drafts.ModeTaken:
    """Say what a backtest expects of a rule, or propose it where a second person must look first.

    Refuses: RuleMissing, ExpectationInvalid.
    """
    base = desk.pack().digest
    try:
        return mode_drafts.ModeTaken(seq=desk.expect(expected(rule, people=people, hours=hours, by=by, reason=reason)))
    except ApprovalMissing:
        pass
    draft = mode_drafts.ModeDraft(
        id="",
        what="expectation",
        rule=rule,
        people=people,
        hours=hours,
        base=base,
        author=by,
        reason=reason,
        proposed_at=desk.now(),
    )
    return mode_drafts.ModeTaken(draft=_keep(desk, draft))


def expected(rule: str, *, people: int, hours: int, by: str, reason: str) -> RuleExpected:
    """Return the log entry of what a person expects of a rule.

    Refuses: ExpectationInvalid.
    """
    return RuleExpected(
        rule=rule, basis="backtest", people=people, hours=hours, ceiling=ceiling_of(people, hours), counts="people",
        by=by, reason=reason,
    )  # fmt: skip


def expected_of(draft: mode_drafts.ModeDraft, *, approved_by: str) -> RuleExpected:
    """Return the log entry of what was proposed and approved.

    Refuses: ExpectationInvalid.
    """
    assert draft.people is not None, "a draft of an expectation has its figures"
    assert draft.hours is not None, "a draft of an expectation has its figures"
    change = expected(draft.rule, people=draft.people, hours=draft.hours, by=draft.author, reason=draft.reason)
    return msgspec.structs.replace(change, approved_by=approved_by)


def _keep(desk: ModeDesk, draft: mode_drafts.ModeDraft) -> str:
    """Keep a draft and return its id; one that asks the same over the same version, and is open, stands for it."""
    with desk.database.write() as tx:
        for each in mode_drafts.open_mode_drafts(tx, rule=draft.rule):
            if each.asks_the_same(draft):
                return each.id
        named = msgspec.structs.replace(draft, id=random_id("modedraft", draft.proposed_at, desk.randomness))
        mode_drafts.insert_mode_draft(tx, named)
        record(tx, draft.proposed_at, draft.author, f"{draft.what}.proposed", named.id, {"rule": draft.rule})
    return named.id


def approve_mode(desk: ModeDesk, draft_id: str, *, by: str) -> mode_drafts.ModeTaken:
    """Give a severe rule the mode or ceiling that somebody else proposed; the draft is closed in the same transaction.

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
        record(tx, at, by, f"{draft.what}.withdrawn", draft_id, {"rule": draft.rule})
    return msgspec.structs.replace(draft, state="withdrawn", decided_by=by, decided_at=at)
