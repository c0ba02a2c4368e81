"""The border of drafts: check a pack, propose it, try it on the past, approve or withdraw it."""

from typing import Annotated, Literal

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.app.running import Koban, modes_of, versions_of
from koban.app.runs import FileNameInvalid, RunsFull, RunView
from koban.base import Problem, to_rfc3339
from koban.lab.drafts import (
    ApprovalMissing,
    DraftStale,
    NothingChanged,
    activate_draft,
    checked,
    propose,
    text_diff,
    withdraw_draft,
)
from koban.lab.mode_drafts import approve_mode, withdraw_mode
from koban.lab.severity import severe_changes
from koban.packs import (
    PackDef,
    PackInvalid,
    compare_packs,
    draft_store,
    parse_files,
    problems_of,
    version_files,
)
from koban.packs import faults as pack_faults
from koban.packs.draft_store import Draft, DraftMissing, Switched
from koban.packs.routes import FILES_MAX, Name, PushBody
from koban.payments.types import MethodInUse
from koban.rules import RuleMissing, advise, check_pack, mode_drafts
from koban.rules.mode_drafts import ModeDraft, ModeDraftMissing, ModeTaken

BYTES_MAX = 4 * 1024 * 1024
Since = Annotated[str, msgspec.Meta(max_length=40, pattern="^[0-9a-zA-Z:.+-]*$")]


class CheckBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole pack as files, only to be looked at."""

    files: Annotated[dict[Name, str], msgspec.Meta(min_length=1, max_length=FILES_MAX)]


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a pack, what is worth a look, what it changes, and what of that a second person must approve."""

    faults: tuple[Problem, ...]
    advice: tuple[Problem, ...] = ()
    changes: tuple[str, ...] = ()
    severe: tuple[str, ...] = ()


class DraftView(msgspec.Struct, frozen=True, kw_only=True):
    """A version that somebody proposed."""

    id: str
    digest: str
    base: str
    changes: tuple[str, ...]
    severe: bool
    stale: bool
    author: str
    reason: str
    proposed_at: str
    state: draft_store.DraftState
    decided_by: str | None
    decided_at: str | None


class ModeDraftView(msgspec.Struct, frozen=True, kw_only=True):
    """A mode, or an expectation, that somebody proposed for a severe rule; `mode` null follows the pack."""

    id: str
    what: Literal["mode", "expectation"]
    rule: str
    mode: str | None
    basis_points: int
    people: int | None
    hours: int | None
    ceiling: int | None
    stale: bool
    author: str
    reason: str
    proposed_at: str
    state: str
    decided_by: str | None
    decided_at: str | None


class DraftWhole(msgspec.Struct, frozen=True, kw_only=True):
    """A draft with its files, and how they differ from the version that it was made from."""

    draft: DraftView
    diff: tuple[str, ...]
    files: dict[str, str]


class TryBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Over what a draft is tried; only its changed rules, unless all are wanted."""

    since: Since = "30d"
    newest: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] | None = None
    whole: bool = False


def look_at(files: dict[str, str], current: PackDef, language: str = "en") -> Looked:
    """Check a pack, and say what it would change; faults and advice in the reader's language."""
    try:
        pack = parse_files(files)
    except PackInvalid as invalid:
        return Looked(faults=problems_of(pack_faults.said_in(language, invalid.faults)))
    faults = check_pack(pack)
    if faults:
        return Looked(faults=problems_of(pack_faults.said_in(language, faults)))
    return Looked(
        faults=(),
        advice=problems_of(pack_faults.said_in(language, advise(pack))),
        changes=tuple(f"{each.kind} {each.section} {each.name}" for each in compare_packs(current, pack)),
        severe=tuple(str(each) for each in severe_changes(current, pack)),
    )


def draft_endpoints(koban_: Koban) -> list[Endpoint]:
    """Describe the routes."""
    desk = versions_of(koban_.desk, koban_.randomness)

    def check(call: Call) -> Looked:
        return look_at(call.body_as(CheckBody).files, desk.pack(), call.language)

    def every(_call: Call) -> list[DraftView]:
        with desk.database.read() as tx:
            return [_view(one, desk.pack()) for one in draft_store.read_drafts(tx)]

    def one(call: Call) -> DraftWhole:
        with desk.database.read() as tx:
            draft, files = draft_store.read_draft(tx, call.path["id"])
            base = version_files(tx, draft.base)
        return DraftWhole(draft=_view(draft, desk.pack()), diff=tuple(text_diff(base, files)), files=dict(files))

    def bring(call: Call) -> Answer:
        body = call.body_as(PushBody)
        draft = propose(desk, body.files, call.at, by=call.principal.actor, reason=body.reason, base=body.base)
        return Answer(body=_view(draft, desk.pack()), status=201)

    def approve(call: Call) -> Switched:
        draft, seq = activate_draft(desk, call.path["id"], by=call.principal.actor)
        return Switched(digest=draft.digest, seq=seq, draft=draft.id)

    def withdraw(call: Call) -> DraftView:
        return _view(withdraw_draft(desk, call.path["id"], call.at, by=call.principal.actor), desk.pack())

    def tried(call: Call) -> RunView:
        body = call.body_as(TryBody)
        with desk.database.read() as tx:
            _, files = draft_store.read_draft(tx, call.path["id"])
        arguments = ["--since", body.since]
        if not body.whole:
            pack = checked(files)
            changed = [each.name for each in compare_packs(desk.pack(), pack) if each.section == "rules"]
            arguments += [part for each in changed if each in pack.rules for part in ("--rule", each)]
        if body.newest is not None:
            arguments += ["--newest", str(body.newest)]
        return koban_.runs.start(dict(files), call.at, arguments)

    refused = (DraftMissing, ApprovalMissing, DraftStale, PackInvalid, MethodInUse)
    return [
        endpoint("POST", "/v1/packs/check", "rules.test", check, body=CheckBody, returns=Looked, max_bytes=BYTES_MAX,
                 summary="Check a pack: what is wrong, what is worth a look, what it would change"),
        endpoint("GET", "/v1/drafts", "packs.read", every, summary="See which versions were proposed",
                 returns=list[DraftView]),
        endpoint("GET", "/v1/drafts/{id}", "packs.read", one, summary="Read an open draft", returns=DraftWhole,
                 raises=(DraftMissing,)),
        endpoint("POST", "/v1/drafts", "packs.stage", bring, summary="Propose a version", body=PushBody,
                 returns=DraftView, status=201, raises=(PackInvalid, NothingChanged, DraftStale), max_bytes=BYTES_MAX),
        endpoint("POST", "/v1/drafts/{id}/backtest", "rules.test", tried, summary="Try a draft on the past",
                 body=TryBody, returns=RunView, status=202, raises=(DraftMissing, RunsFull, FileNameInvalid, PackInvalid)),
        endpoint("POST", "/v1/drafts/{id}/approve", "packs.activate", approve, returns=Switched,
                 summary="Switch to a draft; where a policy is severe, somebody else than its author",
                 raises=refused),
        endpoint("POST", "/v1/drafts/{id}/withdraw", "packs.activate", withdraw, summary="Close a draft unused",
                 returns=DraftView, raises=(DraftMissing,)),
    ]  # fmt: skip


def mode_draft_endpoints(koban_: Koban) -> list[Endpoint]:
    """Describe the routes of modes and ceilings that wait for a second person."""
    desk = modes_of(koban_.desk, koban_.randomness)

    def every(_call: Call) -> list[ModeDraftView]:
        with desk.database.read() as tx:
            return [_mode_view(one, desk.pack()) for one in mode_drafts.read_mode_drafts(tx)]

    def approve(call: Call) -> ModeTaken:
        return approve_mode(desk, call.path["id"], by=call.principal.actor)

    def withdraw(call: Call) -> ModeDraftView:
        return _mode_view(withdraw_mode(desk, call.path["id"], by=call.principal.actor), desk.pack())

    return [
        endpoint("GET", "/v1/mode-drafts", "rules.read", every, summary="See which modes and ceilings of severe rules were proposed",
                 returns=list[ModeDraftView]),
        endpoint("POST", "/v1/mode-drafts/{id}/approve", "rules.mode", approve, returns=ModeTaken,
                 summary="Agree, as a second person, that a severe rule acts, or may touch more people",
                 raises=(ModeDraftMissing, ApprovalMissing, DraftStale, RuleMissing)),
        endpoint("POST", "/v1/mode-drafts/{id}/withdraw", "rules.mode", withdraw, returns=ModeDraftView,
                 summary="Close a proposed mode or ceiling unused", raises=(ModeDraftMissing,)),
    ]  # fmt: skip


def _mode_view(draft: ModeDraft, current: PackDef) -> ModeDraftView:
    return ModeDraftView(
        id=draft.id,
        what=draft.what,
        rule=draft.rule,
        mode=None if draft.mode is None else draft.mode.value,
        basis_points=draft.basis_points,
        people=draft.people,
        hours=draft.hours,
        ceiling=draft.ceiling,
        stale=draft.base != current.digest,
        author=draft.author,
        reason=draft.reason,
        proposed_at=to_rfc3339(draft.proposed_at),
        state=draft.state,
        decided_by=draft.decided_by,
        decided_at=to_rfc3339(draft.decided_at) if draft.decided_at is not None else None,
    )


def _view(draft: Draft, current: PackDef) -> DraftView:
    return DraftView(
        id=draft.id,
        digest=draft.digest,
        base=draft.base,
        changes=draft.changes,
        severe=draft.severe,
        stale=draft.base != current.digest,
        author=draft.author,
        reason=draft.reason,
        proposed_at=to_rfc3339(draft.proposed_at),
        state=draft.state,
        decided_by=draft.decided_by,
        decided_at=to_rfc3339(draft.decided_at) if draft.decided_at is not None else None,
    )
