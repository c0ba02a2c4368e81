"""Sanctions and what was asked of the marketplace: find them, read why they stand, take them back."""

from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint
from koban.console import store
from koban.console.filters import MOMENTS, read_filters
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, done, page
from koban.console.search import views_of
from koban.console.words import language_of
from koban.enforcement import LiftSanction, OverturnSanctions, Sanction, SanctionMissing, statement_of
from koban.enforcement import store as sanction_store
from koban.enforcement.types import SanctionNotInForce
from koban.webhooks import actions as webhook_actions
from koban.webhooks import store as webhook_store
from koban.webhooks.types import ActionMissing, ActionNotDead

REASON_CHARS_MAX: Final = 2_000
STATUSES: Final = ("in_force", "ended", "overturned")
KINDS: Final = ("hide", "restrict", "freeze_payout", "suspend", "strike")
ACTION_STATUSES: Final = ("requested", "failed", "delivered", "confirmed", "dead")

_COLUMNS: Final = {
    "status": "status",
    "kind": "kind",
    "policy": "policy",
    "rule": "rule",
    "subject": "subject_id",
}


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/sanctions", "sanctions.read", lambda call: _list(kit, call), summary="Sanctions", page=True),
        endpoint("GET", "/sanctions/{id}", "sanctions.read", lambda call: _one(kit, call), summary="A sanction",
                 page=True, raises=(SanctionMissing,)),
        endpoint("GET", "/sanctions/{id}/overturn", "sanctions.overturn", lambda call: _form(kit, call),
                 summary="Overturn a sanction", page=True, raises=(SanctionMissing,)),
        endpoint("POST", "/sanctions/{id}/overturn", "sanctions.overturn", lambda call: _take_back(kit, call),
                 summary="Overturn or lift a sanction", accepts="form", page=True,
                 raises=(SanctionMissing, SanctionNotInForce)),
        endpoint("GET", "/actions", "webhooks.read", lambda call: _actions(kit, call), summary="Actions", page=True),
        endpoint("POST", "/actions/{id}/replay", "webhooks.replay", lambda call: _replay(kit, call),
                 summary="Deliver an action again", accepts="form", page=True,
                 raises=(ActionMissing, ActionNotDead)),
    )  # fmt: skip


def _list(kit: ConsoleKit, call: Call) -> Answer:
    filters = read_filters(call.query, (*_COLUMNS, *MOMENTS), Formats(language_of(call.language), kit.zone, call.at))
    columns = {_COLUMNS[name]: value for name, value in filters.given.items() if name in _COLUMNS}
    with kit.database.read() as tx:
        since, before = filters.span.ids(tx, "sanction", before=filters.cursor or None)
        found = sanction_store.search_sanctions(tx, before=before, since=since, limit=PAGE_ITEMS + 1, filters=columns)
        counts = store.sanctions_by_status(tx)
        shelf = views_of(call, tx, "/sanctions")
    return page(
        kit,
        call,
        "sanctions.html",
        shelf,
        filters=filters,
        items=found[:PAGE_ITEMS],
        next_cursor=found[PAGE_ITEMS - 1].id if len(found) > PAGE_ITEMS else "",
        counts=counts,
        statuses=STATUSES,
        kinds=KINDS,
        pack=kit.pack(),
    )


def _find(kit: ConsoleKit, call: Call) -> tuple[Sanction, list[tuple[int, int, str]]]:
    sanction_id = call.path["id"]
    with kit.database.read() as tx:
        found = sanction_store.read(tx, (sanction_id,)).get(sanction_id)
        changes = sanction_store.read_changes(tx, sanction_id)
    if found is None:
        raise SanctionMissing(f"there is no sanction {sanction_id[:80]}")
    return found, [(seq, int(at), sanction_store.entry_type(change)) for seq, at, change in changes]


def _one(kit: ConsoleKit, call: Call) -> Answer:
    sanction, changes = _find(kit, call)
    with kit.database.read() as tx:
        asked = store.actions_of(tx, [seq for seq, _, _ in changes])
    return page(
        kit,
        call,
        "sanction.html",
        sanction=sanction,
        changes=changes,
        asked=asked,
        statement=statement_of(sanction),
        pack=kit.pack(),
    )


def _form(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    sanction, _ = _find(kit, call)
    with kit.database.read() as tx:
        of_subject = sanction_store.read_of_subject(tx, sanction.subject)
    others = [each for each in of_subject if each.id != sanction.id and each.stands_at(call.at)]
    counted_by = [each for each in of_subject if sanction.id in each.counted and each.status != "overturned"]
    return page(
        kit,
        call,
        "sanction_overturn.html",
        status=422 if problem else 200,
        sanction=sanction,
        others=others,
        counted_by=counted_by,
        stands=sanction.status == "in_force" and sanction.stands_at(call.at),
        problem=problem,
    )


def _take_back(kit: ConsoleKit, call: Call) -> Answer:
    reason, how = call.form.get("reason", "").strip(), call.form.get("how", "")
    if how not in ("overturn", "lift") or not 0 < len(reason) <= REASON_CHARS_MAX:
        return _form(kit, call, problem="form.reason_missing")
    sanction_id, by = call.path["id"], call.principal.actor
    if how == "lift":
        kit.sanction(LiftSanction(sanction_id=sanction_id, by=by, reason=reason))
    else:
        kit.sanction(OverturnSanctions(sanction_ids=(sanction_id,), by=by, reason=reason))
    return done(call, f"/sanctions/{sanction_id}", "lifted" if how == "lift" else "overturned")


def _actions(kit: ConsoleKit, call: Call) -> Answer:
    names = {"status": "status", "kind": "kind", "subject": "subject_id"}
    filters = read_filters(call.query, tuple(names), Formats(language_of(call.language), kit.zone, call.at))
    columns = {names[name]: value for name, value in filters.given.items() if name in names}
    with kit.database.read() as tx:
        found = webhook_store.search_actions(tx, before=filters.cursor or None, limit=PAGE_ITEMS + 1, filters=columns)
        counts = webhook_store.count_actions(tx)
        targets = webhook_store.read_endpoints(tx)
        shelf = views_of(call, tx, "/actions")
    return page(
        kit,
        call,
        "actions.html",
        shelf,
        filters=filters,
        items=found[:PAGE_ITEMS],
        next_cursor=found[PAGE_ITEMS - 1].id if len(found) > PAGE_ITEMS else "",
        counts=counts,
        targets=targets,
        statuses=ACTION_STATUSES,
    )


def _replay(kit: ConsoleKit, call: Call) -> Answer:
    with kit.database.write() as tx:
        webhook_actions.replay(tx, call.at, call.path["id"], by=call.principal.actor)
    return done(call, "/actions?status=requested", "action_replayed")
