"""Who may do what: open sessions, and roles with what each brings."""

from typing import Final

from koban.access import CATALOGUE, ROLE_TITLES, ROLES, SIGNED_IN, Answer, Call, Endpoint, endpoint
from koban.access import actions as access_actions
from koban.access import store as access_store
from koban.access.types import SessionMissing
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page

SESSIONS_MAX: Final = 500
STAFF_MAX: Final = 500


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/sessions", SIGNED_IN, lambda call: _sessions(kit, call), summary="Open sessions", page=True),
        endpoint("POST", "/sessions", SIGNED_IN, lambda call: _end(kit, call), summary="End a session", accepts="form",
                 page=True, raises=(SessionMissing,)),
        endpoint("GET", "/roles", "staff.read", lambda call: _roles(kit, call), summary="Roles", page=True),
    )  # fmt: skip


def _sessions(kit: ConsoleKit, call: Call) -> Answer:
    sees_all = "staff.read" in call.principal.grants
    with kit.database.read() as tx:
        found = access_store.list_sessions(
            tx, at=call.at, staff_id=None if sees_all else call.principal.id, limit=SESSIONS_MAX
        )
    own = [each for each in found if each.staff_id == call.principal.id]
    return page(
        kit,
        call,
        "sessions.html",
        own=own,
        others=[each for each in found if each.staff_id != call.principal.id],
        this=call.session_id,
    )


def _end(kit: ConsoleKit, call: Call) -> Answer:
    with kit.database.write() as tx:
        access_actions.end_session(tx, call.at, by=call.principal, session_id=call.form.get("id", "")[:200])
    kit.access.directory.forget()
    return done(call, "/sessions", "session_ended")


def _roles(kit: ConsoleKit, call: Call) -> Answer:
    with kit.database.read() as tx:
        staff = access_store.list_staff(tx, after_id="", limit=STAFF_MAX)
    holders = {role: [one for one in staff if role in one.roles and one.disabled_at is None] for role in ROLES}
    return page(
        kit,
        call,
        "roles.html",
        roles=ROLES,
        titles=ROLE_TITLES,
        catalogue=CATALOGUE,
        holders=holders,
        own=call.principal.roles,
    )
