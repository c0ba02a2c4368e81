"""The border for people: forget one for good, and keep one from being forgotten."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint
from koban.base import to_rfc3339
from koban.db import Database
from koban.vault import store
from koban.vault.actions import lift_hold, place_hold
from koban.vault.types import Erasure, Hold, HoldMissing, PersonOnLegalHold
from koban.vault.vault import Vault

Erase = Callable[[str, str], Erasure]  # person, by

Person = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class PersonBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom it is about: the account's id on the marketplace."""

    person: Person


class HoldBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A legal hold and the file it belongs to."""

    person: Person
    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ErasedView(msgspec.Struct, frozen=True, kw_only=True):
    """A person who was forgotten; only the pseudonym is kept, so that a restored backup can be cleaned again."""

    pseudonym: str
    erased_at: str
    had_data: bool


class HoldView(msgspec.Struct, frozen=True, kw_only=True):
    """A hold in force."""

    pseudonym: str
    reference: str
    placed_at: str
    placed_by: str


class ErasureView(msgspec.Struct, frozen=True, kw_only=True):
    """That a person was forgotten, when, and by whom."""

    pseudonym: str
    erased_at: str
    erased_by: str


class ErasureQuery(PageQuery, frozen=True, kw_only=True):
    """Which erasures to list."""

    cursor: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,18}$")] | None = None


def endpoints(database: Database, vault: Vault, erase: Erase) -> list[Endpoint]:
    """Describe the routes; `erase` destroys the key through the decider and cleans what is derived."""

    def forget(call: Call) -> ErasedView:
        done = erase(call.body_as(PersonBody).person, call.principal.actor)
        return ErasedView(pseudonym=done.pseudonym, erased_at=to_rfc3339(done.erased_at), had_data=done.had_data)

    def hold(call: Call) -> HoldView:
        body = call.body_as(HoldBody)
        with database.write() as tx:
            placed = place_hold(tx, call.at, vault, body.person, by=call.principal.actor, reference=body.reference)
        return _hold_view(placed)

    def release(call: Call) -> None:
        with database.write() as tx:
            lift_hold(tx, call.at, vault, call.body_as(PersonBody).person, by=call.principal.actor)

    def list_holds(call: Call) -> Page[HoldView]:
        asked = call.params_as(PageQuery)
        with database.read() as tx:
            found = store.list_holds(tx, after=asked.cursor or "", limit=asked.limit + 1)
        items = found[: asked.limit]
        return Page(
            items=[_hold_view(one) for one in items],
            next_cursor=items[-1].pseudonym if len(found) > asked.limit else None,
        )

    def list_erasures(call: Call) -> Page[ErasureView]:
        asked = call.params_as(ErasureQuery)
        before = int(asked.cursor) if asked.cursor is not None else None
        with database.read() as tx:
            found = store.list_erasures(tx, before_id=before, limit=asked.limit + 1)
        items = found[: asked.limit]
        return Page(
            items=[
                ErasureView(pseudonym=one.pseudonym, erased_at=to_rfc3339(one.erased_at), erased_by=one.erased_by)
                for one in items
            ],
            next_cursor=str(items[-1].id) if len(found) > asked.limit else None,
        )

    return [
        endpoint(
            "GET", "/v1/people/holds", "people.hold", list_holds, summary="List legal holds", query=PageQuery,
            returns=Page[HoldView],
        ),
        endpoint(
            "GET", "/v1/people/erasures", "people.erase", list_erasures, summary="List erasures, newest first",
            query=ErasureQuery, returns=Page[ErasureView],
        ),
        endpoint(
            "POST", "/v1/people/erase", "people.erase", forget, summary="Forget a person for good", body=PersonBody,
            returns=ErasedView, raises=(PersonOnLegalHold,),
        ),
        endpoint(
            "POST", "/v1/people/hold", "people.hold", hold, summary="Place a legal hold", body=HoldBody,
            returns=HoldView, status=201,
        ),
        endpoint(
            "POST", "/v1/people/release", "people.hold", release, summary="Lift a legal hold", body=PersonBody,
            returns=None, status=204, raises=(HoldMissing,),
        ),
    ]  # fmt: skip


def _hold_view(one: Hold) -> HoldView:
    return HoldView(
        pseudonym=one.pseudonym, reference=one.reference, placed_at=to_rfc3339(one.placed_at), placed_by=one.placed_by
    )
