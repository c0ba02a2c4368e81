"""The border of lists in time: membership at any moment, versions, the way back, what expires soon."""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.base import DAY, Instant, Problem, Refusal, from_rfc3339, to_rfc3339
from koban.db import Database
from koban.lab import lists
from koban.lists import (
    ListChange,
    ListEntry,
    ListEntryInvalid,
    ListMissing,
    ListOwner,
    ListOwnerInvalid,
    check_declared,
    logic,
    owners_of,
)
from koban.packs import PackDef

Seq = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class MomentInvalid(Refusal):
    """A moment that cannot be read, or two that say different things."""

    code = "list_moment_invalid"
    status = 422
    title = "The moment of the list cannot be read."


class MembersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """When: a moment, or after an entry of the log; otherwise now. `after` is the last value of the page before."""

    at: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    seq: Seq | None = None
    after: Annotated[str, msgspec.Meta(max_length=500)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 200


class ExpiringQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Within how many days; `mine`: only what the caller put there."""

    days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 7
    mine: bool = False


class VersionsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many, the newest first."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 50


class BackQuery(msgspec.Struct, frozen=True, kw_only=True):
    """As the list was after this entry of the log."""

    seq: Seq


class BackBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As the list was after this entry of the log, and why."""

    seq: Seq
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """A value that counts, and who put it there; `by` null: the pack brings it."""

    value: str
    by: str | None
    note: str
    since: str | None
    expires_at: str | None


class MembersView(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what is on a list, by value; `total` counts all of it."""

    total: int
    values: list[MemberView]
    next_after: str | None


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a list, with the first few values."""

    seq: int
    at: str
    by: str
    kind: Literal["people", "pack"]
    note: str
    added: int
    removed: int
    sample: tuple[str, ...]


class BackView(msgspec.Struct, frozen=True, kw_only=True):
    """What goes on a list and comes off it."""

    added: list[str]
    removed: list[str]


class OwnerBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member of staff, by id or e-mail address, who answers for the list from here on; null: nobody."""

    owner: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class OwnerView(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was made the owner of a list, the newest first; the first one holds."""

    owner: str | None
    set_by: str
    set_at: str
    reason: str


class ExpiringView(msgspec.Struct, frozen=True, kw_only=True):
    """A value that leaves its list by itself."""

    list: str
    value: str
    note: str
    by: str
    expires_at: str


def endpoints(
    database: Database, pack: Callable[[], PackDef], change: Callable[[ListChange], object]
) -> list[Endpoint]:
    """Describe the routes; `change` has the decider enter one change."""

    def members(call: Call) -> MembersView:
        query, name = call.params_as(MembersQuery), call.path["name"]
        moment = _moment(query)
        with database.read() as tx:
            if moment is not None:
                found = lists.members_then(tx, pack(), name, moment)
            else:
                found = lists.members(tx, pack(), name, at=call.at, upto_seq=query.seq)
        further = [one for value, one in found.items() if value > query.after]
        shown = further[: query.limit]
        return MembersView(
            total=len(found),
            values=[_member(one) for one in shown],
            next_after=shown[-1].value if len(further) > len(shown) else None,
        )

    def versions(call: Call) -> list[VersionView]:
        query = call.params_as(VersionsQuery)
        with database.read() as tx:
            found = lists.versions(tx, pack(), call.path["name"])[: query.limit]
        return [_version(each) for each in found]

    def preview(call: Call) -> BackView:
        with database.read() as tx:
            seq = call.params_as(BackQuery).seq
            return _back(lists.way_back(tx, pack(), call.path["name"], seq=seq, at=call.at))

    def back(call: Call) -> BackView:
        body = call.body_as(BackBody)
        with database.read() as tx:
            done = lists.go_back(
                tx, pack(), call.path["name"], seq=body.seq, at=call.at, by=call.principal.actor, note=body.note,
                change=change,
            )  # fmt: skip
        return _back(done)

    def expiring(call: Call) -> list[ExpiringView]:
        query = call.params_as(ExpiringQuery)
        by = call.principal.actor if query.mine else None
        with database.read() as tx:
            found = lists.expiring(tx, pack(), at=call.at, until=Instant(call.at + query.days * DAY), by=by)
        return [_expiring(one.list, one.entry) for one in found]

    refused = (ListMissing, lists.PlaceUnknown)
    return [
        endpoint("GET", "/v1/lists-expiring", "lists.read", expiring, query=ExpiringQuery, returns=list[ExpiringView],
                 summary="See what leaves its list by itself soon, at most 500, the soonest first"),
        endpoint("GET", "/v1/lists/{name}/members", "lists.read", members, query=MembersQuery, returns=MembersView,
                 summary="See what is on a list now, or was at any moment", raises=(ListMissing, MomentInvalid)),
        endpoint("GET", "/v1/lists/{name}/versions", "lists.read", versions, query=VersionsQuery,
                 returns=list[VersionView], summary="See every change of a list, by people and by packs",
                 raises=(ListMissing,)),
        endpoint("GET", "/v1/lists/{name}/rollback", "lists.read", preview, query=BackQuery, returns=BackView,
                 summary="See what would change if a list were again as it was", raises=refused),
        endpoint("POST", "/v1/lists/{name}/rollback", "lists.write", back, body=BackBody, returns=BackView,
                 summary="Make a list again what it was", raises=(*refused, lists.WayBackTooLong, ListEntryInvalid)),
        *_owner_endpoints(database, pack),
    ]  # fmt: skip


def _owner_endpoints(database: Database, pack: Callable[[], PackDef]) -> list[Endpoint]:
    def owners(call: Call) -> list[OwnerView]:
        name = call.path["name"]
        check_declared(pack().lists, name)
        with database.read() as tx:
            return [_owner(each) for each in owners_of(tx, name)]

    def own(call: Call) -> OwnerView:
        body = call.body_as(OwnerBody)
        with database.write() as tx:
            return _owner(
                lists.give_owner(
                    tx, call.at, pack(), call.path["name"], body.owner, by=call.principal.actor, reason=body.reason
                )
            )

    return [
        endpoint("GET", "/v1/lists/{name}/owner", "lists.read", owners, returns=list[OwnerView],
                 summary="See who answers for a list as a whole, and who did", raises=(ListMissing,)),
        endpoint("PUT", "/v1/lists/{name}/owner", "lists.write", own, body=OwnerBody, returns=OwnerView,
                 summary="Make somebody of the staff answer for a list", raises=(ListMissing, ListOwnerInvalid)),
    ]  # fmt: skip


def _moment(query: MembersQuery) -> Instant | None:
    if query.at is None:
        return None
    at = from_rfc3339(query.at)
    if at is None or query.seq is not None:
        detail = "Give a moment or a place in the log." if at is not None else f"{query.at!r} is no RFC 3339 time."
        raise MomentInvalid("Nothing was read.", problems=(Problem(path="/at", detail=detail),))
    return at


def _member(one: logic.Member) -> MemberView:
    entry = one.entry
    return MemberView(
        value=one.value,
        by=None if entry is None else entry.added_by,
        note="" if entry is None else entry.note,
        since=None if entry is None else to_rfc3339(entry.added_at),
        expires_at=None if one.expires_at is None else to_rfc3339(one.expires_at),
    )


def _owner(one: ListOwner) -> OwnerView:
    return OwnerView(owner=one.owner, set_by=one.set_by, set_at=to_rfc3339(one.set_at), reason=one.reason)


def _back(wanted: logic.Difference) -> BackView:
    return BackView(added=[one.value for one in wanted.added], removed=[one.value for one in wanted.removed])


def _version(one: logic.Version) -> VersionView:
    return VersionView(**msgspec.structs.asdict(one) | {"at": to_rfc3339(one.at)})


def _expiring(name: str, entry: ListEntry) -> ExpiringView:
    assert entry.expires_at is not None, "only what ends is asked for"
    return ExpiringView(
        list=name, value=entry.value, note=entry.note, by=entry.added_by, expires_at=to_rfc3339(entry.expires_at)
    )
