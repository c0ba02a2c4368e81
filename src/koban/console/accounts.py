"""Accounts: who did something last, who is under a measure, whose id begins so."""

from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint
from koban.console.filters import MOMENTS, read_filters
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, page
from koban.console.search import views_of
from koban.console.words import language_of
from koban.finding import ANY, AccountsAsked, index_lag, list_accounts
from koban.finding.accounts import VERDICTS_OF
from koban.finding.routes import fold_id

STATES: Final = (ANY, "suspend", "freeze_payout", "restrict", "hide", "warn")
_FILTERS: Final = ("q", "state", "policy", "case")


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/accounts", "subjects.read", lambda call: _list(kit, call), summary="Accounts", page=True),
    )  # fmt: skip


def _list(kit: ConsoleKit, call: Call) -> Answer:
    filters = read_filters(call.query, (*_FILTERS, *MOMENTS), Formats(language_of(call.language), kit.zone, call.at))
    asked = AccountsAsked(
        begins=fold_id(filters.get("q") or ""),
        effect=filters.get("state"),
        policy=filters.get("policy"),
        has_case=filters.get("case") is not None,
        span=filters.span,
    )
    with kit.database.read() as tx:
        found = list_accounts(tx, asked, cursor=filters.cursor or None, limit=PAGE_ITEMS)
        lag = index_lag(tx) if asked.begins else None  # everything else is found without the index
        shelf = views_of(call, tx, "/accounts")
    return page(
        kit,
        call,
        "accounts.html",
        shelf,
        filters=filters,
        items=found.items,
        next_cursor=found.next_cursor or "",
        is_cut=found.is_cut,
        lag=lag,
        states=STATES,
        newest=VERDICTS_OF,
        pack=kit.pack(),
    )
