"""The border of money that will come in: said before, listed, taken back."""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint
from koban.banking import expected_store
from koban.banking.routes import PostingId
from koban.banking.types import Expected, ExpectedKind, ExpectedMissing, ExpectedUnfit
from koban.banking.zengin import AMOUNT_MAX
from koban.base import Instant, Problem, from_rfc3339, keyset, keyset_of, to_rfc3339
from koban.db import Database

Owner = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class ExpectedBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money that will come in. The reference is what the payment will carry: a virtual account's number, or a code."""

    id: PostingId
    reference: Annotated[str, msgspec.Meta(min_length=4, max_length=35)]
    kind: ExpectedKind
    owner: Annotated[Owner, msgspec.Meta(description="The order, or the account whose wallet it is")]
    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)] | None = None
    level: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    reusable: Annotated[bool, msgspec.Meta(description="Every line with the reference, as for a virtual account")] = (
        False
    )
    until: Annotated[str, msgspec.Meta(max_length=40, description="RFC 3339")] | None = None
    currency: Literal["JPY"] = "JPY"


class ExpectedQuery(PageQuery, frozen=True, kw_only=True):
    """Which of what is expected."""

    state: Literal["waiting", "met", "cancelled", "all"] = "waiting"
    owner: Annotated[str, msgspec.Meta(max_length=128)] = ""


class ExpectedView(msgspec.Struct, frozen=True, kw_only=True):
    """Money that is expected, and the line that brought it."""

    id: str
    reference: str
    kind: str
    owner: str
    amount_minor: int | None
    currency: str
    level: str | None
    reusable: bool
    state: str
    until: str | None
    line: str | None
    made_by: str
    made_at: str


class ExpectedCommands(msgspec.Struct, frozen=True, kw_only=True):
    """What the application has the decider do."""

    expect: Callable[[Expected, str], Expected]
    stop: Callable[[str, str], Expected]


def expected_endpoints(database: Database, commands: ExpectedCommands) -> list[Endpoint]:
    """Describe the routes."""

    def expect(call: Call) -> ExpectedView:
        body = call.body_as(ExpectedBody)
        wanted = Expected(
            id=body.id,
            reference=body.reference,
            kind=body.kind,
            owner=body.owner,
            amount_minor=body.amount_minor,
            currency=body.currency,
            level=body.level,
            reusable=body.reusable,
            state="waiting",
            until=_moment(body.until),
            line=None,
            made_by="",
            made_at=0,
        )
        return expected_view(commands.expect(wanted, call.principal.actor))

    def listed(call: Call) -> Page[ExpectedView]:
        asked = call.params_as(ExpectedQuery)
        with database.read() as tx:
            found = expected_store.list_expected(
                tx,
                state="" if asked.state == "all" else asked.state,
                owner=asked.owner,
                before=keyset_of(asked.cursor),
                limit=asked.limit + 1,
            )
        shown = found[: asked.limit]
        more = len(found) > asked.limit
        return Page(
            items=[expected_view(each) for each in shown],
            next_cursor=keyset(shown[-1].made_at, shown[-1].id) if more else None,
        )

    def stopped(call: Call) -> ExpectedView:
        return expected_view(commands.stop(call.path["id"], call.principal.actor))

    return [
        endpoint("POST", "/v1/bank/expected", "bank.request", expect, summary="Say what money will come in",
                 body=ExpectedBody, returns=ExpectedView, raises=(ExpectedUnfit,),
                 description="A line of a statement that carries the reference is booked by itself: `order_paid_bank` for an "
                 "order, `cash_in` for a wallet. The same again is the same."),
        endpoint("GET", "/v1/bank/expected", "bank.read", listed, summary="List what money is expected, newest first",
                 query=ExpectedQuery, returns=Page[ExpectedView]),
        endpoint("POST", "/v1/bank/expected/{id}/cancel", "bank.request", stopped, summary="Expect money no more",
                 returns=ExpectedView, raises=(ExpectedMissing, ExpectedUnfit)),
    ]  # fmt: skip


def _moment(text: str | None) -> Instant | None:
    at = None if text is None else from_rfc3339(text)
    if text is not None and at is None:
        problem = Problem(path="/until", detail=f"{text!r} is no RFC 3339 time with an offset.")
        raise ExpectedUnfit("Nothing is expected.", problems=(problem,))
    return at


def expected_view(one: Expected) -> ExpectedView:
    """Return what is expected in the form that leaves Koban."""
    fields = {name: getattr(one, name) for name in ExpectedView.__struct_fields__}
    fields["until"] = None if one.until is None else to_rfc3339(Instant(one.until))
    return ExpectedView(**{**fields, "made_at": to_rfc3339(Instant(one.made_at))})
