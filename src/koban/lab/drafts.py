"""The life of a version: proposed, approved by a second person where a policy is severe, switched to, rolled back.

A draft is made from the version in force. Whoever proposes it says why; a draft that touches a rule under a severe policy,
or such a policy, is activated by somebody else. A draft that was made from an older version is refused: what came in
between would be lost.
"""

import difflib
import random
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

from koban.base import Instant, Refusal, random_id
from koban.db import Database
from koban.packs import (
    PackDef,
    PackInvalid,
    compare_packs,
    draft_store,
    parse_files,
)
from koban.rules import check_pack

Switch = Callable[[PackDef, str, str], int]  # pack, by, reason -> where in the log


class ApprovalMissing(Refusal):
    """Somebody approves what they proposed themselves."""

    code: ClassVar[str] = "approval_missing"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "A second person must approve this."


class DraftStale(Refusal):
    """A draft of a version that is no longer in force."""

    code: ClassVar[str] = "draft_stale"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "Another version is in force by now."


class NothingChanged(Refusal):
    """A draft that says the same as the version in force."""

    code: ClassVar[str] = "nothing_changed"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The version says the same as the one in force."


def is_severe(old: PackDef, new: PackDef) -> bool:
    """Tell whether a second person must look: a severe policy, or a rule under one, is changed."""
    for each in compare_packs(old, new):
        for pack in (old, new):
            policy = each.name if each.section == "policies" else ""
            if each.section == "rules" and each.name in pack.rules:
                policy = pack.rules[each.name].policy
            if policy in pack.policies and pack.policies[policy].severity == "severe":
                return True
    return False


def propose(
    database: Database,
    current: PackDef,
    files: Mapping[str, str],
    at: Instant,
    randomness: random.Random,
    *,
    by: str,
    reason: str,
) -> draft_store.Draft:
    """Keep a version that somebody wants to switch to.

    Refuses: PackInvalid, NothingChanged.
    """
    pack = checked(files)
    if pack.digest == current.digest:
        raise NothingChanged("Change something first.")
    draft = draft_store.Draft(
        id=random_id("draft", at, randomness),
        digest=pack.digest,
        base=current.digest,
        changes=tuple(f"{each.kind} {each.section} {each.name}" for each in compare_packs(current, pack)),
        severe=is_severe(current, pack),
        author=by,
        reason=reason,
        proposed_at=at,
    )
    with database.write() as tx:
        draft_store.insert_draft(tx, draft, pack.files)
    return draft


def activate_draft(
    database: Database, current: PackDef, draft_id: str, at: Instant, switch: Switch, *, by: str
) -> tuple[draft_store.Draft, int]:
    """Switch to a draft and return where in the log that happened.

    Refuses: DraftMissing, ApprovalMissing, DraftStale, PackInvalid.
    """
    with database.read() as tx:
        draft, files = draft_store.read_draft(tx, draft_id)
    if draft.severe and draft.author == by:
        raise ApprovalMissing("You proposed it, and it touches a severe policy. Somebody else must activate it.")
    if draft.base != current.digest:
        raise DraftStale(f"It was made from {draft.base[:12]}, and {current.digest[:12]} decides now. Propose it anew.")
    pack = checked(files)
    reason = draft.reason if draft.author == by else f"{draft.reason} (approved by {by})"
    seq = switch(pack, draft.author, reason)
    with database.write() as tx:
        draft_store.close_draft(tx, draft_id, at, by=by, state="activated")
    return draft, seq


def checked(files: Mapping[str, str]) -> PackDef:
    """Read and check a pack whole.

    Refuses: PackInvalid.
    """
    pack = parse_files(files)
    faults = check_pack(pack)
    if faults:
        raise PackInvalid(faults, files)
    return pack


def text_diff(old: Mapping[str, str], new: Mapping[str, str], *, around: int = 3) -> Iterator[str]:
    """Write what differs between two versions, file by file, as a unified diff."""
    for name in sorted({*old, *new}):
        before, after = old.get(name, "").splitlines(), new.get(name, "").splitlines()
        if before != after:
            yield from difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", lineterm="", n=around)
