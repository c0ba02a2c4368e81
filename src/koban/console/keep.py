"""What is kept in order: alerts, quarantine, the audit trail, staff and API tokens."""

from typing import Final

import msgspec

from koban.access import CATALOGUE, MACHINES, ROLE_TITLES, ROLES, Answer, Call, Endpoint, endpoint
from koban.access import actions as access_actions
from koban.access import store as access_store
from koban.audit import chain_end, last_checkpoint, list_entries, read_checkpoints, record, verify
from koban.base import Problem, Refusal
from koban.console.filters import MOMENTS, read_filters, seq_of
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.names import names_of
from koban.console.pages import PAGE_ITEMS, done, page
from koban.console.search import views_of
from koban.console.words import language_of
from koban.events import store as event_store
from koban.events.actions import settle_quarantined
from koban.webhooks import store as webhook_store
from koban.webhooks.types import AlertMissing

STAFF_MAX: Final = 500
# What the trail is narrowed to with one press: what was seen, what was done to people, to rules, to access.
AUDIT_KINDS: Final = (
    "field",
    "messages",
    "message",
    "export",
    "case",
    "sanction",
    "rule",
    "list",
    "staff",
    "session",
    "token",
    "person",
)
TOKEN_DAYS: Final = (30, 90, 365)

_PROBLEMS: Final = msgspec.json.Decoder(list[Problem])


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/alerts", "alerts.read", lambda call: _alerts(kit, call), summary="Alerts", page=True),
        endpoint("POST", "/alerts/{id}", "alerts.acknowledge", lambda call: _acknowledge(kit, call),
                 summary="Acknowledge an alert", accepts="form", page=True, raises=(AlertMissing,)),
        endpoint("GET", "/quarantine", "quarantine.read", lambda call: _quarantine(kit, call), summary="Quarantine",
                 page=True),
        endpoint("POST", "/quarantine/{id}", "quarantine.replay", lambda call: _replay(kit, call),
                 summary="Send a quarantined event again, or give it up", accepts="form", page=True),
        endpoint("GET", "/audit", "audit.read", lambda call: _audit(kit, call), summary="The audit trail", page=True),
        endpoint("POST", "/audit", "audit.verify", lambda call: _verify(kit, call), summary="Verify the audit trail",
                 accepts="form", page=True),
        endpoint("GET", "/staff", "staff.read", lambda call: _staff(kit, call), summary="Staff", page=True),
        endpoint("POST", "/staff", "staff.manage", lambda call: _staff_change(kit, call), summary="Change staff",
                 accepts="form", page=True),
        endpoint("GET", "/tokens", "tokens.read", lambda call: _tokens(kit, call), summary="API tokens", page=True),
        endpoint("POST", "/tokens", "tokens.manage", lambda call: _token_change(kit, call), summary="Change tokens",
                 accepts="form", page=True),
    )  # fmt: skip


def _alerts(kit: ConsoleKit, call: Call) -> Answer:
    shown = call.query.get("show", "open")
    cursor = call.query.get("cursor", "")[:200]
    with kit.database.read() as tx:
        found = webhook_store.search_alerts(
            tx, before=cursor or None, limit=PAGE_ITEMS + 1, is_open=None if shown == "all" else True
        )
    return page(
        kit,
        call,
        "alerts.html",
        items=found[:PAGE_ITEMS],
        next_cursor=found[PAGE_ITEMS - 1].id if len(found) > PAGE_ITEMS else "",
        cursor=cursor,
        shown="all" if shown == "all" else "open",
    )


def _acknowledge(kit: ConsoleKit, call: Call) -> Answer:
    alert_id = call.path["id"]
    with kit.database.write() as tx:
        if webhook_store.read_alert(tx, alert_id) is None:
            raise AlertMissing(f"there is no alert {alert_id[:80]}")
        webhook_store.acknowledge_alert(tx, alert_id, call.at, call.principal.actor)
        record(tx, call.at, call.principal.actor, "alert.acknowledge", alert_id)
    return done(call, "/alerts", "alert_acknowledged")


def _quarantine(kit: ConsoleKit, call: Call, *, problem: str = "", problems: tuple[Problem, ...] = ()) -> Answer:
    status = call.query.get("status", "waiting")
    status = status if status in ("waiting", "replayed", "dropped") else "waiting"
    cursor = call.query.get("cursor", "")[:200]
    with kit.database.read() as tx:
        rows = event_store.read_quarantined(tx, status=status, before=cursor or None, limit=PAGE_ITEMS + 1)
    items = [{**row, "problems": _PROBLEMS.decode(str(row["problems"]))} for row in rows[:PAGE_ITEMS]]
    return page(
        kit,
        call,
        "quarantine.html",
        status=422 if problem else 200,
        items=items,
        next_cursor=str(items[-1]["id"]) if len(rows) > PAGE_ITEMS else "",
        cursor=cursor,
        shown=status,
        problem=problem,
        problems=problems,
    )


def _replay(kit: ConsoleKit, call: Call) -> Answer:
    if call.form.get("drop"):
        with kit.database.write() as tx:
            settle_quarantined(tx, call.at, call.path["id"], by=call.principal.actor, replayed=False)
        return done(call, "/quarantine", "quarantine_dropped")
    try:
        kit.replay(call.path["id"], call.principal.actor)
    except Refusal as refusal:
        return _quarantine(kit, call, problem="quarantine.still", problems=refusal.problems)
    return done(call, "/quarantine", "quarantine_replayed")


def _audit(kit: ConsoleKit, call: Call, *, report: object = None) -> Answer:
    filters = read_filters(
        call.query, ("actor", "action", "object", *MOMENTS), Formats(language_of(call.language), kit.zone, call.at)
    )
    with kit.database.read() as tx:
        found = list_entries(
            tx,
            before_id=seq_of(filters.cursor),
            limit=PAGE_ITEMS + 1,
            actor=filters.get("actor"),
            action=filters.get("action"),
            object_id=filters.get("object"),
            since_at=filters.since_at,
            until_at=filters.until_at,
        )
        head, waiting = chain_end(tx)
        shelf = views_of(call, tx, "/audit")
        names = names_of(tx)
    return page(
        kit,
        call,
        "audit.html",
        shelf,
        filters=filters,
        head=head,
        waiting=waiting,
        checkpoint=last_checkpoint(kit.access.checkpoint_file),
        kinds=AUDIT_KINDS,
        items=found[:PAGE_ITEMS],
        next_cursor=str(found[PAGE_ITEMS - 1].id) if len(found) > PAGE_ITEMS else "",
        names=names,
        report=report,
    )


def _verify(kit: ConsoleKit, call: Call) -> Answer:
    checkpoints = read_checkpoints(kit.access.checkpoint_file)
    with kit.database.read() as tx:
        report = verify(tx, checkpoints, kit.access.audit_key)
    return _audit(kit, call, report=report)


def _staff(kit: ConsoleKit, call: Call, *, problem: str = "", link: str = "") -> Answer:
    with kit.database.read() as tx:
        items = access_store.list_staff(tx, after_id="", limit=STAFF_MAX)
        tokens = access_store.count_valid_tokens(tx, call.at)
    return page(
        kit,
        call,
        "staff.html",
        status=422 if problem else 200,
        items=items,
        tokens=tokens,
        roles=tuple(ROLES),
        titles=ROLE_TITLES,
        problem=problem,
        link=link,
        typed=call.form if problem else {},
    )


def _staff_change(kit: ConsoleKit, call: Call) -> Answer:
    form, by, staff_id = call.form, call.principal, call.form.get("id", "")
    verb, link = form.get("do", ""), ""
    name, email, role = form.get("name", "").strip(), form.get("email", "").strip(), form.get("role", "")
    if verb == "invite" and (not 0 < len(name) <= 100 or not 2 < len(email) <= 254 or "@" not in email[1:-1]):
        return _staff(kit, call, problem="account.problem_fields")
    try:
        with kit.database.write() as tx:
            if verb == "invite":
                _, made = access_actions.invite_staff(
                    tx, call.at, kit.access.randomness, kit.access.secrets, by=by, email=email, name=name, roles=(role,)
                )
                link = made.path
            elif verb == "link":
                link = access_actions.renew_link(tx, call.at, kit.access.secrets, by=by, staff_id=staff_id).path
            elif verb == "disable":
                access_actions.disable_staff(tx, call.at, by=by, staff_id=staff_id)
            elif verb == "revoke" and "tokens.manage" in by.grants:
                access_actions.revoke_tokens_of(tx, call.at, by=by, staff_id=staff_id)
            elif verb == "enable":
                access_actions.enable_staff(tx, call.at, by=by, staff_id=staff_id)
    except Refusal as refusal:
        return _staff(kit, call, problem=f"problem.{refusal.code}")
    kit.access.directory.forget()
    return _staff(kit, call, link=link) if link else done(call, "/staff", "staff_changed")


def _tokens(kit: ConsoleKit, call: Call, *, problem: str = "", secret: str = "") -> Answer:
    with kit.database.read() as tx:
        items = access_store.list_tokens(tx, after_id="", limit=STAFF_MAX)
    may_give = set(call.principal.grants) | access_actions.grantable(call.principal)
    own = [name for name in CATALOGUE if name in may_give]
    return page(
        kit,
        call,
        "tokens.html",
        status=422 if problem else 200,
        items=items[::-1],
        scopes=[(name, CATALOGUE[name]) for name in own if name not in MACHINES],
        machine_scopes=[(name, CATALOGUE[name]) for name in own if name in MACHINES],
        days=TOKEN_DAYS,
        problem=problem,
        secret=secret,
    )


def _token_change(kit: ConsoleKit, call: Call) -> Answer:
    form, by = call.form, call.principal
    if form.get("revoke"):
        with kit.database.write() as tx:
            access_actions.revoke_token(tx, call.at, by=by, token_id=form["revoke"])
        kit.access.directory.forget()
        return done(call, "/tokens", "token_revoked")
    name, days = form.get("name", "").strip(), form.get("days", "")
    scopes = tuple(each for each in CATALOGUE if f"scope.{each}" in form)
    if not 0 < len(name) <= 100 or not scopes or days not in {str(each) for each in TOKEN_DAYS}:
        return _tokens(kit, call, problem="tokens.problem")
    try:
        with kit.database.write() as tx:
            _, secret = access_actions.issue_token(
                tx,
                call.at,
                kit.access.randomness,
                kit.access.secrets,
                by=by,
                name=name,
                scopes=scopes,
                days=int(days),
            )
    except Refusal as refusal:
        return _tokens(kit, call, problem=f"problem.{refusal.code}")
    return _tokens(kit, call, secret=secret)
