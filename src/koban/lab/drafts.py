"""The life of a version: proposed, approved by a second person where a policy is severe, switched to, rolled back.

This is the one place that decides whether a version may come into force. Every door (the API, the command line through it,
the console, the pack given at start) asks `bring_in` or `activate_draft`; both give a `Permit`, without which nothing is
switched. The permit names the version that it was given over, and the decider refuses it over any other.

A draft is made from the version in force. Whoever proposes it says why; a change that is severe (`lab.severity`) waits until
somebody else approves it. Going back to a version that was in force before waits as well, unless it only makes severe rules
milder: that is the emergency, and it may not wait.
"""

import dataclasses
import difflib
import random
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import msgspec

from koban import access
from koban.audit import record
from koban.base import Instant, Refusal, random_id
from koban.db import Database, Tx
from koban.lab.severity import Severe, only_milder, severe_changes
from koban.packs import (
    PackDef,
    PackInvalid,
    PackVersionMissing,
    activations,
    compare_packs,
    draft_store,
    find_digest,
    load_version,
    parse_files,
)
from koban.rules import check_pack

__all__ = [
    "ApprovalMissing",
    "DraftStale",
    "NothingChanged",
    "VersionDesk",
    "activate_draft",
    "bring_in",
    "checked",
    "find_version",
    "load_any",
    "propose",
    "require_second",
    "text_diff",
    "withdraw_draft",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class VersionDesk:
    """What bringing a version into force needs."""

    database: Database
    randomness: random.Random
    pack: Callable[[], PackDef]  # the one in force
    switch: Callable[[PackDef, draft_store.Permit], int]  # -> where in the log


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


def find_version(tx: Tx, beginning: str) -> str:
    """Return the digest of the one version that begins so: one that was in force, or an open draft.

    Refuses: PackVersionMissing.
    """
    try:
        return find_digest(tx, beginning)
    except PackVersionMissing:
        found = {each.digest for each in _open_drafts(tx) if beginning and each.digest.startswith(beginning)}
        if len(found) != 1:
            raise
        return found.pop()


def load_any(tx: Tx, digest: str) -> PackDef:
    """Read a version that was in force, or an open draft.

    Refuses: PackVersionMissing; PackInvalid, when a later Koban no longer reads it.
    """
    try:
        return load_version(tx, digest)
    except PackVersionMissing:
        draft = next((each for each in _open_drafts(tx) if each.digest == digest), None)
        if draft is None:
            raise
        return parse_files(draft_store.read_draft(tx, draft.id)[1])


def _open_drafts(tx: Tx) -> list[draft_store.Draft]:
    return [each for each in draft_store.read_drafts(tx) if each.state == "open"]


def bring_in(
    desk: VersionDesk,
    pack: PackDef,
    at: Instant,
    *,
    by: str,
    reason: str,
    back: bool = False,
    base: str | None = None,
) -> draft_store.Switched:
    """Switch to a version, or propose it where a second person must look first; `back`: it was in force before.

    The one in force is not switched to again: whoever pushes a folder at each merge leaves no mark where nothing changed.
    `base`: the version that it was made from, where that is known.
    Refuses: DraftStale, when another version is in force than that, or comes into force meanwhile.
    Invariant: `pack` has no fault; `checked` and the border see to that.
    """
    current = desk.pack()
    if pack.digest == current.digest:
        with desk.database.read() as tx:
            since = next((each.seq for each in activations(tx, limit=1)), None)
        return draft_store.Switched(digest=pack.digest, seq=since, unchanged=True)
    _require_base(base, current)
    severe = severe_changes(current, pack)
    ground = _ground(severe, back=back)
    if ground is None:
        draft = _keep(desk, current, pack, severe, at, by=by, reason=reason)
        return draft_store.Switched(digest=pack.digest, draft=draft.id, needs=tuple(str(each) for each in severe))
    permit = draft_store.Permit(base=current.digest, by=by, reason=reason, ground=ground)
    return draft_store.Switched(digest=pack.digest, seq=desk.switch(pack, permit))


def _ground(severe: tuple[Severe, ...], *, back: bool) -> str | None:
    if not severe:
        return "ordinary"
    return "milder" if back and only_milder(severe) else None


def _require_base(base: str | None, current: PackDef) -> None:
    """Refuse files that were made from another version than the one in force."""
    if base is not None and base != current.digest:
        raise DraftStale(
            f"These files were made from {base[:12]}, and {current.digest[:12]} is in force. Pull that and bring your changes"
            " over: what somebody else changed meanwhile would be taken back."
        )


def propose(
    desk: VersionDesk, files: Mapping[str, str], at: Instant, *, by: str, reason: str, base: str | None = None
) -> draft_store.Draft:
    """Keep a version that somebody wants to switch to.

    `base`: the version that it was made from, where that is known.
    Refuses: PackInvalid, NothingChanged; DraftStale, when another version is in force than that.
    """
    pack, current = checked(files), desk.pack()
    if pack.digest == current.digest:
        raise NothingChanged("Change something first.")
    _require_base(base, current)
    return _keep(desk, current, pack, severe_changes(current, pack), at, by=by, reason=reason)


def _keep(
    desk: VersionDesk,
    current: PackDef,
    pack: PackDef,
    severe: tuple[Severe, ...],
    at: Instant,
    *,
    by: str,
    reason: str,
) -> draft_store.Draft:
    """Keep a draft; one that says the same over the same version, and is open, stands for it."""
    draft = draft_store.Draft(
        id=random_id("draft", at, desk.randomness),
        digest=pack.digest,
        base=current.digest,
        changes=tuple(f"{each.kind} {each.section} {each.name}" for each in compare_packs(current, pack)),
        severe=bool(severe),
        author=by,
        reason=reason,
        proposed_at=at,
    )
    with desk.database.write() as tx:
        same = draft_store.find_open(tx, digest=pack.digest, base=current.digest)
        if same is not None:
            return same
        draft_store.insert_draft(tx, draft, pack.files)
        record(tx, at, by, "pack.proposed", draft.id, {"digest": pack.digest[:12], "severe": bool(severe)})
    return draft


def activate_draft(desk: VersionDesk, draft_id: str, *, by: str) -> tuple[draft_store.Draft, int]:
    """Switch to a draft and return where in the log that happened; the draft is closed in the same transaction.

    Refuses: DraftMissing, ApprovalMissing, DraftStale, PackInvalid.
    """
    current = desk.pack()
    with desk.database.read() as tx:
        draft, files = draft_store.read_draft(tx, draft_id)
        if draft.severe:
            require_second(tx, draft.author, by)
    if draft.base != current.digest:
        raise DraftStale(f"It was made from {draft.base[:12]}, and {current.digest[:12]} decides now. Propose it anew.")
    pack = checked(files)
    own = draft.author == by
    permit = draft_store.Permit(
        base=draft.base,
        by=draft.author,
        reason=draft.reason if own else f"{draft.reason} (approved by {by})",
        ground="approved" if draft.severe else "ordinary",
        approved_by=None if own else by,
        draft_id=draft.id,
    )
    return draft, desk.switch(pack, permit)


def withdraw_draft(desk: VersionDesk, draft_id: str, at: Instant, *, by: str) -> draft_store.Draft:
    """Close a draft that nobody shall activate.

    Refuses: DraftMissing.
    """
    with desk.database.write() as tx:
        draft, _ = draft_store.read_draft(tx, draft_id)
        draft_store.close_draft(tx, draft_id, at, by=by, state="withdrawn")
        record(tx, at, by, "pack.withdrawn", draft_id, {})
    return msgspec.structs.replace(draft, state="withdrawn", decided_by=by, decided_at=at)


def require_second(tx: Tx, author: str, by: str) -> None:
    """Make sure that a person approves, and another one than whoever stands behind the proposal.

    Why behind: a token acts for whoever issued it, so nobody is two people by holding one.
    Refuses: ApprovalMissing.
    """
    access.require_second(
        tx,
        author,
        by,
        refusal=ApprovalMissing,
        own="You proposed it, and it touches a severe policy. Somebody else must activate it.",
        about="It touches a severe policy. ",
    )


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
