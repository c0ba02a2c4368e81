"""The border of on-call: the rota, contacts, pages and their receipt."""

import random
from typing import Annotated, Final, Literal

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint, list_staff
from koban.base import DAY, Instant, from_rfc3339, to_rfc3339
from koban.db import Database, Tx
from koban.oncall import actions, logic, rota, store
from koban.oncall.actions import OncallKit
from koban.oncall.types import (
    Contact,
    ContactKind,
    Override,
    PageMissing,
    PageOver,
    RotaInvalid,
    RotaMissing,
    Send,
    Severity,
    Shift,
    Step,
)
from koban.oncall.types import Page as Called
from koban.webhooks import SecretBox, written_secret

AHEAD: Final = 7 * DAY
MINE_SHOWN: Final = 50
STAFF_MAX: Final = 2_000

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Zone = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
Minute = Annotated[int, msgspec.Meta(ge=0, le=1_440)]
Level = Annotated[int, msgspec.Meta(ge=1, le=3)]


class SpanBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on call from when until when; nobody: a gap."""

    from_at: str
    until_at: str
    staff: tuple[str, ...]


class LevelBody(msgspec.Struct, frozen=True, kw_only=True):
    """One level: who is on call now, who is next and from when, and every gap of the coming week."""

    level: int
    now: tuple[str, ...]
    next: SpanBody | None
    gaps: list[SpanBody]
    week: list[SpanBody]


class PageBody(msgspec.Struct, frozen=True, kw_only=True):
    """A page as it stands."""

    id: str
    kind: str
    object: str
    severity: Severity
    detail: str
    status: str
    level: int
    times: int
    opened_at: str
    escalate_at: str | None
    acknowledged_by: str | None
    acknowledged_at: str | None
    acknowledged_how: str | None
    resolved_by: str | None


class SendBody(msgspec.Struct, frozen=True, kw_only=True):
    """One message about a page, and how far it is."""

    staff: str
    kind: str
    level: int
    status: str
    attempts: int
    last_error: str


class StepBody(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a page."""

    at: str
    what: str
    who: str
    detail: str


class PageDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A page with everything that happened to it."""

    page: PageBody
    sends: list[SendBody]
    steps: list[StepBody]


class OncallView(msgspec.Struct, frozen=True, kw_only=True):
    """The rota now and for a week, and the pages of whoever asks."""

    levels: list[LevelBody]
    open: list[PageBody]
    mine: list[PageBody]


class ShiftBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the weekly pattern; an end that is not later than the beginning is on the next day."""

    level: Level
    staff_id: Name
    weekdays: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=6)]], msgspec.Meta(min_length=1, max_length=7)]
    from_minute: Minute
    until_minute: Minute
    zone: Zone = "Asia/Tokyo"


class OverrideBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who stands in; times are RFC 3339 with an offset."""

    level: Level
    staff_id: Name
    from_at: Annotated[str, msgspec.Meta(max_length=40)]
    until_at: Annotated[str, msgspec.Meta(max_length=40)]
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class ContactBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way to reach somebody; without `staff_id`: oneself."""

    kind: ContactKind
    address: Annotated[str, msgspec.Meta(min_length=3, max_length=2_000)]
    staff_id: Annotated[str, msgspec.Meta(max_length=100)] = ""
    zone: Zone = "Asia/Tokyo"
    quiet_from: Minute | None = None
    quiet_until: Minute | None = None
    quiet_least: Literal["low", "medium", "high", "critical"] = "high"
    allow_private: bool = False


class ContactView(msgspec.Struct, frozen=True, kw_only=True):
    """A contact; `secret` only once, in the answer that made it."""

    id: str
    staff_id: str
    kind: ContactKind
    address: str
    zone: str
    quiet_from: int | None
    quiet_until: int | None
    quiet_least: Severity
    secret: str | None = None


class RotaView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is entered into the rota."""

    shifts: list[Shift]
    overrides: list[Override]
    contacts: list[ContactView]


class CallBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page that a person opens."""

    detail: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
    severity: Literal["low", "medium", "high", "critical"] = "high"
    level: Level = 1


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The id of a line that was entered."""

    id: str


def endpoints(kit: OncallKit, box: SecretBox, *, may_allow_private: bool) -> list[Endpoint]:
    """Describe the routes."""
    database, randomness = kit.database, kit.randomness

    def view(call: Call) -> OncallView:
        with database.read() as tx:
            return oncall_view(tx, call.at, call.principal.id)

    def call_somebody(call: Call) -> PageBody:
        body = call.body_as(CallBody)
        about = f"{call.principal.actor} {to_rfc3339(call.at)}"
        with database.write() as tx:
            made = actions.open_page(
                kit, tx, call.at, kind="called", about=about, detail=body.detail, severity=body.severity,
                level=body.level,
            )  # fmt: skip
        return page_body(made)

    def acknowledge(call: Call) -> PageBody:
        with database.write() as tx:
            return page_body(actions.acknowledge(tx, call.at, call.path["id"], by=call.principal.actor, how="api"))

    def resolve(call: Call) -> PageBody:
        with database.write() as tx:
            return page_body(actions.resolve(tx, call.at, call.path["id"], by=call.principal.actor))

    return [
        endpoint("GET", "/v1/oncall", "oncall.read", view, summary="Who is on call now and next, and gaps",
                 returns=OncallView),
        endpoint("GET", "/v1/oncall/pages", "oncall.read", lambda call: _pages(database, call), summary="Pages",
                 query=PageQuery, returns=Page[PageBody]),
        endpoint("POST", "/v1/oncall/pages", "oncall.answer", call_somebody, summary="Call whoever is on call",
                 body=CallBody, returns=PageBody, status=201),
        endpoint("GET", "/v1/oncall/pages/{id}", "oncall.read", lambda call: _one(database, call),
                 summary="A page, its messages and its steps", returns=PageDetail, raises=(PageMissing,)),
        endpoint("POST", "/v1/oncall/pages/{id}/acknowledge", "oncall.answer", acknowledge, summary="Take a page",
                 returns=PageBody, raises=(PageMissing, PageOver)),
        endpoint("POST", "/v1/oncall/pages/{id}/resolve", "oncall.answer", resolve, summary="Say that it is over",
                 returns=PageBody, raises=(PageMissing,)),
        *_rota_endpoints(database, randomness, box, may_allow_private=may_allow_private),
    ]  # fmt: skip


def _rota_endpoints(
    database: Database, randomness: random.Random, box: SecretBox, *, may_allow_private: bool
) -> list[Endpoint]:
    def index(_call: Call) -> RotaView:
        with database.read() as tx:
            return RotaView(
                shifts=store.read_shifts(tx),
                overrides=store.read_overrides(tx, after=Instant(0)),
                contacts=[contact_view(each) for each in store.read_contacts(tx)],
            )

    def add_shift(call: Call) -> Line:
        body = call.body_as(ShiftBody)
        shift = Shift(
            id="", level=body.level, staff_id=body.staff_id, weekdays=tuple(body.weekdays),
            from_minute=body.from_minute, until_minute=body.until_minute, zone=body.zone,
        )  # fmt: skip
        with database.write() as tx:
            require_staff(tx, body.staff_id)
            return Line(id=rota.add_shift(tx, call.at, randomness, shift, by=call.principal.actor).id)

    def add_override(call: Call) -> Line:
        body = call.body_as(OverrideBody)
        override = Override(
            id="", level=body.level, staff_id=body.staff_id, from_at=_moment(body.from_at),
            until_at=_moment(body.until_at), reason=body.reason,
        )  # fmt: skip
        with database.write() as tx:
            require_staff(tx, body.staff_id)
            return Line(id=rota.add_override(tx, call.at, randomness, override, by=call.principal.actor).id)

    def add_contact(call: Call) -> ContactView:
        return make_contact(
            database, randomness, box, call.body_as(ContactBody), call, may_allow_private=may_allow_private
        )

    def remove(call: Call) -> None:
        drop_line(database, call, call.path["id"])

    return [
        endpoint("GET", "/v1/oncall/rota", "oncall.read", index, summary="The weekly pattern, stand-ins and contacts",
                 returns=RotaView),
        endpoint("POST", "/v1/oncall/shifts", "oncall.manage", add_shift, summary="Add a line to the weekly pattern",
                 body=ShiftBody, returns=Line, status=201, raises=(RotaInvalid,)),
        endpoint("POST", "/v1/oncall/overrides", "oncall.manage", add_override, summary="Let somebody stand in",
                 body=OverrideBody, returns=Line, status=201, raises=(RotaInvalid,)),
        endpoint("POST", "/v1/oncall/contacts", "oncall.answer", add_contact, summary="Add a way to be reached",
                 body=ContactBody, returns=ContactView, status=201, raises=(RotaInvalid,)),
        endpoint("DELETE", "/v1/oncall/lines/{id}", "oncall.answer", remove,
                 summary="Take a shift, stand-in or contact out", status=204, raises=(RotaMissing, RotaInvalid)),
    ]  # fmt: skip


def make_contact(
    database: Database,
    randomness: random.Random,
    box: SecretBox,
    body: ContactBody,
    call: Call,
    *,
    may_allow_private: bool,
) -> ContactView:
    """Add a contact of one's own, or of anybody with the grant to manage them.

    Refuses: RotaInvalid, WebhookEndpointUnfit.
    """
    staff_id = body.staff_id or call.principal.id
    if staff_id != call.principal.id and "oncall.manage" not in call.principal.grants:
        raise RotaInvalid("Only one's own contacts; others need oncall.manage.")
    quiet = None
    if body.quiet_from is not None and body.quiet_until is not None:
        quiet = (body.quiet_from, body.quiet_until)
    with database.write() as tx:
        require_staff(tx, staff_id)
        made, secret = rota.add_contact(
            tx,
            call.at,
            randomness,
            box,
            staff_id=staff_id,
            kind=body.kind,
            address=body.address,
            allow_private=body.allow_private and may_allow_private,
            zone=body.zone,
            quiet=quiet,
            quiet_least=body.quiet_least,
            by=call.principal.actor,
        )
    shown = written_secret(secret) if body.kind == "webhook" else None
    return msgspec.structs.replace(contact_view(made), secret=shown)


def drop_line(database: Database, call: Call, line_id: str) -> None:
    """Take out one's own contact, or any line with the grant to manage them.

    Refuses: RotaMissing, RotaInvalid.
    """
    with database.write() as tx:
        own = any(each.id == line_id for each in store.read_contacts(tx, [call.principal.id]))
        if not own and "oncall.manage" not in call.principal.grants:
            raise RotaInvalid("Only one's own contacts; anything else needs oncall.manage.")
        rota.remove_line(tx, call.at, line_id, by=call.principal.actor)


def require_staff(tx: Tx, staff_id: str) -> None:
    """Make sure that somebody exists and may sign in.

    Refuses: RotaInvalid.
    """
    if not any(
        each.id == staff_id and each.disabled_at is None for each in list_staff(tx, after_id="", limit=STAFF_MAX)
    ):
        raise RotaInvalid(f"There is no active member of staff {staff_id[:80]!r}.")


def oncall_view(tx: Tx, at: Instant, staff_id: str) -> OncallView:
    """Return the rota around a moment, and the pages of one person."""
    shifts, overrides = store.read_shifts(tx), store.read_overrides(tx, after=at)
    return OncallView(
        levels=[_level(shifts, overrides, level, at) for level in logic.LEVELS],
        open=[page_body(each) for each in store.search_pages(tx, before=None, limit=MINE_SHOWN, unresolved=True)],
        mine=[page_body(each) for each in store.pages_of(tx, staff_id, limit=MINE_SHOWN)],
    )


def _level(shifts: list[Shift], overrides: list[Override], level: int, at: Instant) -> LevelBody:
    week = [
        SpanBody(from_at=to_rfc3339(each.from_at), until_at=to_rfc3339(each.until_at), staff=each.staff)
        for each in logic.spans(shifts, overrides, level, from_at=at, until_at=Instant(at + AHEAD))
    ]
    return LevelBody(
        level=level,
        now=logic.on_call(shifts, overrides, level, at),
        next=next((each for each in week[1:] if each.staff), None),
        gaps=[each for each in week if not each.staff],
        week=week,
    )


def page_body(page: Called) -> PageBody:
    """Return a page in the form that leaves Koban."""
    return PageBody(
        id=page.id,
        kind=page.kind,
        object=page.object,
        severity=page.severity,
        detail=page.detail,
        status=page.status,
        level=page.level,
        times=page.times,
        opened_at=to_rfc3339(page.opened_at),
        escalate_at=_written(page.escalate_at),
        acknowledged_by=page.acknowledged_by,
        acknowledged_at=_written(page.acknowledged_at),
        acknowledged_how=page.acknowledged_how,
        resolved_by=page.resolved_by,
    )


def contact_view(contact: Contact) -> ContactView:
    """Return a contact without its secret."""
    return ContactView(
        id=contact.id,
        staff_id=contact.staff_id,
        kind=contact.kind,
        address=contact.address,
        zone=contact.zone,
        quiet_from=contact.quiet_from,
        quiet_until=contact.quiet_until,
        quiet_least=contact.quiet_least,
    )


def page_detail(tx: Tx, page_id: str) -> PageDetail:
    """Return a page with everything that happened to it.

    Refuses: PageMissing.
    """
    found = store.read_page(tx, page_id)
    if found is None:
        raise PageMissing(f"there is no page {page_id[:80]}")
    kinds = {each.id: each.kind for each in store.read_contacts(tx)}
    return PageDetail(
        page=page_body(found),
        sends=[_send_body(each, kinds.get(each.contact_id, "")) for each in store.read_sends(tx, page_id)],
        steps=[_step_body(each) for each in store.read_steps(tx, page_id)],
    )


def _send_body(one: Send, kind: str) -> SendBody:
    return SendBody(
        staff=one.staff_id, kind=kind, level=one.level, status=one.status, attempts=one.attempts,
        last_error=one.last_error,
    )  # fmt: skip


def _step_body(step: Step) -> StepBody:
    return StepBody(at=to_rfc3339(step.at), what=step.what, who=step.who, detail=step.detail)


def _pages(database: Database, call: Call) -> Page[PageBody]:
    query = call.params_as(PageQuery)
    with database.read() as tx:
        found = store.search_pages(tx, before=query.cursor, limit=query.limit + 1, unresolved=False)
    items = [page_body(each) for each in found[: query.limit]]
    return Page(items=items, next_cursor=items[-1].id if len(found) > query.limit else None)


def _one(database: Database, call: Call) -> PageDetail:
    with database.read() as tx:
        return page_detail(tx, call.path["id"])


def _moment(text: str) -> Instant:
    at = from_rfc3339(text)
    if at is None:
        raise RotaInvalid(f"{text!r} is no RFC 3339 time with an offset.")
    return at


def _written(at: Instant | None) -> str | None:
    return None if at is None else to_rfc3339(at)
