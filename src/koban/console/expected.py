"""Money that will come in: who said so, by which reference it is known, and which line brought it."""

from typing import Final, get_args

from koban.access import Answer, Call, Endpoint, endpoint
from koban.banking import expected_store
from koban.banking.types import ExpectedState
from koban.base import keyset, keyset_of
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, page

STATES: Final[tuple[ExpectedState, ...]] = get_args(ExpectedState)
OWNER_CHARS_MAX: Final = 128


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    if kit.bank is None:
        return ()
    return (
        endpoint("GET", "/bank/expected", "bank.read", lambda call: _list(kit, call), summary="Money that is expected",
                 page=True),
    )  # fmt: skip


def _list(kit: ConsoleKit, call: Call) -> Answer:
    state = call.query.get("state", "waiting")
    owner = call.query.get("owner", "").strip()[:OWNER_CHARS_MAX]
    cursor = call.query.get("cursor", "")
    wanted = state if state in STATES else ""
    with kit.database.read() as tx:
        found = expected_store.list_expected(
            tx, state=wanted, owner=owner, before=keyset_of(cursor), limit=PAGE_ITEMS + 1
        )
        open_ = expected_store.sum_open(tx, call.at)
    shown = found[:PAGE_ITEMS]
    return page(
        kit,
        call,
        "bank_expected.html",
        items=[(each, expected_store.is_open(each, call.at)) for each in shown],
        open=open_,
        state=wanted,
        owner=owner,
        states=STATES,
        cursor=cursor,
        next_cursor=keyset(shown[-1].made_at, shown[-1].id) if len(found) > PAGE_ITEMS else "",
    )
