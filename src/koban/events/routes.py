"""The border for events: take them in, look them up, and see to those that could not be read."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from koban.access import Answer, Call, Endpoint, Page, PageQuery, ProblemBody, Shortcut, endpoint, problem_of
from koban.base import Instant, Problem, Refusal, Relay, limits, to_rfc3339
from koban.db import Database, Tx
from koban.events import store
from koban.events.actions import settle_quarantined
from koban.events.decode import decode, decode_pieces
from koban.events.types import (
    BodyUnreadable,
    Entry,
    Envelope,
    EventConflict,
    EventMissing,
    Fault,
    QuarantineMissing,
    TooManyEvents,
)

U = TypeVar("U")  # an event that was prepared: what the decider takes


class EventQuarantined(Refusal):
    """The event could not be read; it is kept, sealed, and can be sent again once the reason is mended."""

    code = "event_quarantined"
    status = 422
    title = "The event could not be read and is kept in quarantine."


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an event: its decision, byte for byte as stored."""

    body: msgspec.Raw


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The event is durable and will be decided in its turn."""

    id: str
    source: str
    status: Literal["accepted"] = "accepted"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The event could not be read; this is where it is kept and why."""

    quarantine_id: str
    problems: tuple[Problem, ...]
    id: str | None = None
    source: str | None = None


class Conflicting(msgspec.Struct, frozen=True, kw_only=True):
    """The id was used before for another event; `field` is the first thing that differs."""

    id: str
    source: str
    field: str


Result = Decided | Taken | Kept | Conflicting
# events, arrival, asynchronous, hurried (somebody waits for one event alone)
Prepare = Callable[[Sequence[Envelope | Fault], Instant, bool, bool], Sequence[U]]
Submit = Callable[[Sequence[U]], "concurrent.futures.Future[list[Result]]"]
Replay = Callable[[str, str], Result]
Archived = Callable[[Tx, str, str | None], Entry | None]


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How events are to be answered."""

    mode: Annotated[
        Literal["sync", "async"], msgspec.Meta(description="async answers after the durable write, before the decision")
    ] = "sync"


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one event of a batch: an HTTP status of its own, and what belongs to it."""

    status: int
    id: str | None = None
    source: str | None = None
    decision: msgspec.Raw | None = None
    problem: ProblemBody | None = None
    quarantine_id: str | None = None


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to a batch, in its order."""

    items: list[Item]


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the log as the API shows it; personal fields are left out."""

    seq: int
    id: str
    source: str
    type: str
    subject: str | None
    time: str
    log_time: str
    received_at: str
    data: msgspec.Raw
    flags: list[str]
    personal_sealed: bool


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which event is meant, where several sources use the same id."""

    source: Annotated[str, msgspec.Meta(max_length=256, description="Without it, the newest of that id")] | None = None


class QuarantineQuery(PageQuery, frozen=True, kw_only=True):
    """Which quarantined events to list."""

    status: Literal["waiting", "replayed", "dropped"] = "waiting"


class QuarantineView(msgspec.Struct, frozen=True, kw_only=True):
    """A quarantined event without what was sent."""

    id: str
    at: str
    source: str | None
    event_id: str | None
    type: str | None
    status: str
    problems: list[Problem]


_PROBLEMS: Final = msgspec.json.Decoder(list[Problem])
_JSON: Final = "application/json"
_ONE: Final = frozenset((b"", b"application/json", b"application/cloudevents+json"))
_MEDIA: Final = (
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/x-ndjson",
    "application/json",
)


def event_view(entry: Entry) -> EventView:
    """Show one event of the log."""
    return EventView(
        seq=entry.seq,
        id=entry.event_id,
        source=entry.source,
        type=entry.type,
        subject=entry.subject,
        time=to_rfc3339(entry.event_at),
        log_time=to_rfc3339(entry.log_at),
        received_at=to_rfc3339(entry.received_at),
        data=msgspec.Raw(entry.data),
        flags=[flag.name.lower() for flag in type(entry.flags) if flag in entry.flags and flag.name and flag],
        personal_sealed=entry.sealed is not None,
    )


def endpoints(
    database: Database,
    prepare: Prepare[U],
    submit: Submit[U],
    relay: Relay,
    *,
    replay: Replay,
    archived: Archived = lambda _tx, _id, _source: None,
) -> list[Endpoint]:
    """Describe the routes. `prepare` reads events by the pack; `submit` queues them for the decider.

    Results come by the decider's `relay`. `replay` sends a quarantined event again; `archived` finds an event that has left the database.
    """

    def begin(raw: bytes, at: Instant) -> "concurrent.futures.Future[list[Result]]":
        return submit(prepare(decode(raw, _JSON), at, False, True))

    async def take(call: Call) -> Answer:
        asynchronous = call.params_as(EventsQuery).mode == "async"
        single = not _is_batch(call)
        units: list[U] = []
        for piece in decode_pieces(call.raw, call.headers.get("content-type", _JSON)):
            if units:
                await asyncio.sleep(0)  # a large batch must not keep single events from being read
            units += prepare(piece, call.at, asynchronous, single)
        size = limits.DECIDER_BATCH_MAX
        chunks = [submit(units[start : start + size]) for start in range(0, len(units), size)]
        results = [result for chunk in chunks for result in await relay.result(chunk)]
        if single:
            return _single(results[0])
        return Answer(body=BatchAnswer(items=[_item(result) for result in results]))

    def look_up(call: Call) -> EventView:
        with database.read() as tx:
            source = call.params_as(EventQuery).source
            entry = store.find_event(tx, source, call.path["event_id"]) or archived(tx, call.path["event_id"], source)
        if entry is None:
            raise EventMissing(f"No event {call.path['event_id']!r} is in the log.")
        return event_view(entry)

    return [
        endpoint(
            "POST", "/v1/events", "events.write", take, summary="Send one event, a batch, or NDJSON",
            description="Each event is a CloudEvent 1.0. A single event is answered with its decision; a batch answers "
            "per item, each with a status of its own. The same source and id again gets the first answer.",
            body=bytes, query=EventsQuery, returns=BatchAnswer, blocking=False, max_bytes=limits.BODY_BYTES_MAX,
            raises=(BodyUnreadable, TooManyEvents, EventConflict, EventQuarantined), media_types=_MEDIA,
            shortcut=Shortcut(
                fits=_is_one_event, begin=begin, end=lambda results: _single(results[0]), relay=relay
            ),
        ),
        endpoint(
            "GET", "/v1/events/{event_id}", "events.read", look_up, summary="Look an event up", query=EventQuery,
            returns=EventView, raises=(EventMissing,),
        ),
        *_quarantine_endpoints(database, replay),
    ]  # fmt: skip


def _quarantine_endpoints(database: Database, replay: Replay) -> list[Endpoint]:
    def quarantined(call: Call) -> Page[QuarantineView]:
        query = call.params_as(QuarantineQuery)
        with database.read() as tx:
            rows = store.read_quarantined(tx, status=query.status, before=query.cursor, limit=query.limit + 1)
        items = [_quarantine_view(row) for row in rows[: query.limit]]
        return Page(items=items, next_cursor=items[-1].id if len(rows) > query.limit else None)

    def send_again(call: Call) -> Answer:
        return _single(replay(call.path["quarantine_id"], call.principal.actor))

    def drop(call: Call) -> Answer:
        with database.write() as tx:
            settle_quarantined(tx, call.at, call.path["quarantine_id"], by=call.principal.actor, replayed=False)
        return Answer(body=None, status=204)

    return [
        endpoint(
            "GET", "/v1/quarantine", "quarantine.read", quarantined, summary="List events that could not be read",
            query=QuarantineQuery, returns=Page[QuarantineView],
        ),
        endpoint(
            "POST", "/v1/quarantine/{quarantine_id}/replay", "quarantine.replay", send_again,
            summary="Send a quarantined event again", returns=msgspec.Raw,
            raises=(QuarantineMissing, EventQuarantined, EventConflict),
        ),
        endpoint(
            "POST", "/v1/quarantine/{quarantine_id}/drop", "quarantine.replay", drop,
            summary="Give a quarantined event up", status=204, raises=(QuarantineMissing,),
        ),
    ]  # fmt: skip


def _is_one_event(media_type: bytes, body: bytes) -> bool:
    return media_type in _ONE and body[:1] == b"{"


def _is_batch(call: Call) -> bool:
    media = call.headers.get("content-type", _JSON).split(";", 1)[0].strip().lower()
    if "ndjson" in media or "jsonl" in media or "batch" in media:
        return True
    return call.raw.lstrip()[:1] == b"["


def _single(result: Result) -> Answer:
    match result:
        case Decided(body=body):
            return Answer(body=bytes(body), media_type=_JSON)
        case Taken():
            return Answer(body=result, status=202)
        case Kept():
            raise EventQuarantined(
                f"It is kept as {result.quarantine_id} and can be sent again from there.", problems=result.problems
            )
        case Conflicting():
            raise _conflict(result)


def _conflict(result: Conflicting) -> EventConflict:
    return EventConflict(
        f"An event {result.id!r} of this source came before with another {result.field}.",
        problems=(Problem(path=f"/{result.field}", detail="It differs from the first event of this id."),),
    )


def _item(result: Result) -> Item:
    match result:
        case Decided(body=body):
            return Item(status=200, decision=body)
        case Taken():
            return Item(status=202, id=result.id, source=result.source)
        case Kept():
            refusal: Refusal = EventQuarantined("The event could not be read.", problems=result.problems)
            return Item(
                status=422,
                id=result.id,
                source=result.source,
                problem=problem_of(refusal),
                quarantine_id=result.quarantine_id,
            )
        case Conflicting():
            return Item(status=409, id=result.id, source=result.source, problem=problem_of(_conflict(result)))


def _quarantine_view(row: dict[str, object]) -> QuarantineView:
    return QuarantineView(
        id=str(row["id"]),
        at=to_rfc3339(Instant(int(str(row["at"])))),
        source=_text(row["source"]),
        event_id=_text(row["event_id"]),
        type=_text(row["type"]),
        status=str(row["status"]),
        problems=_PROBLEMS.decode(str(row["problems"])),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
