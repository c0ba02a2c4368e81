"""The border for decisions: search them, read one, have one explained."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from koban.access import Answer, Call, Endpoint, Page, PageQuery, endpoint
from koban.base import Problem, Refusal, from_rfc3339
from koban.db import Database, Tx
from koban.decisions import store
from koban.decisions.types import DecisionMissing, DecisionRecord, VerdictName

Explain = Callable[[int], object]
Stored = Callable[[Tx, int], DecisionRecord]  # from the database or the archive; refuses DecisionMissing


class FilterInvalid(Refusal):
    """A filter of a list cannot be read."""

    code = "filter_invalid"
    status = 422
    title = "A filter cannot be read."


class DecisionQuery(PageQuery, frozen=True, kw_only=True):
    """Which decisions to list, newest first."""

    verdict: VerdictName | None = None
    type: Annotated[str, msgspec.Meta(max_length=256, description="Event type")] | None = None
    rule: Annotated[str, msgspec.Meta(max_length=256, description="A rule that matched")] | None = None
    acting: Annotated[str, msgspec.Meta(max_length=256, description="Account that did it")] | None = None
    source: Annotated[str, msgspec.Meta(max_length=256, description="CloudEvents source")] | None = None
    since: Annotated[str, msgspec.Meta(max_length=40, description="Log time from which, RFC 3339")] | None = None
    until: Annotated[str, msgspec.Meta(max_length=40, description="Log time before which, RFC 3339")] | None = None


def endpoints(database: Database, stored: Stored, explain: Explain, explained: object) -> list[Endpoint]:
    """Describe the routes; `explain` recomputes a decision's trace, which has the type `explained`."""

    def search(call: Call) -> Page[DecisionRecord]:
        query = call.params_as(DecisionQuery)
        with database.read() as tx:
            found = store.search(
                tx,
                before_seq=_seq(query.cursor),
                limit=query.limit + 1,
                verdict=query.verdict,
                type=query.type,
                rule=query.rule,
                acting=query.acting,
                source=query.source,
                since_at=_moment("since", query.since),
                until_at=_moment("until", query.until),
            )
        items = found[: query.limit]
        return Page(items=items, next_cursor=str(items[-1].seq) if len(found) > query.limit else None)

    def read(call: Call) -> Answer:
        seq = _wanted(call)
        with database.read() as tx:
            return Answer(body=stored(tx, seq))

    def explain_one(call: Call) -> object:
        return explain(_wanted(call))

    return [
        endpoint(
            "GET",
            "/v1/decisions",
            "decisions.read",
            search,
            summary="Search decisions, newest first",
            query=DecisionQuery,
            returns=Page[DecisionRecord],
            raises=(FilterInvalid,),
        ),
        endpoint(
            "GET",
            "/v1/decisions/{seq}",
            "decisions.read",
            read,
            summary="Read a decision",
            returns=DecisionRecord,
            raises=(DecisionMissing,),
        ),
        endpoint(
            "GET",
            "/v1/decisions/{seq}/explain",
            "decisions.read",
            explain_one,
            summary="Explain a decision: every condition with its value",
            returns=explained,
            raises=(DecisionMissing,),
        ),
    ]


def _wanted(call: Call) -> int:
    text = call.path["seq"]
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) >= 1 << 63:
        raise DecisionMissing(f"There is no decision {text[:40]!r}.")
    return int(text)


def _seq(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 19 or int(cursor) >= 1 << 63:
        raise FilterInvalid(
            "The cursor is none of ours.", problems=(Problem(path="/query/cursor", detail="Not a cursor."),)
        )
    return int(cursor)


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    at = from_rfc3339(text)
    if at is None:
        raise FilterInvalid(
            f"{name} is no RFC 3339 time.",
            problems=(Problem(path=f"/query/{name}", detail=f"{text!r} is no RFC 3339 time with an offset."),),
        )
    return at
