"""One box that finds things: subjects, events, decisions, cases, sanctions, actions, rules; and what was kept of lists."""

import urllib.parse
from typing import Final

import msgspec

from koban.access import SIGNED_IN, Answer, Call, Endpoint, endpoint, redirect
from koban.base import limits, to_rfc3339
from koban.cases import Case
from koban.cases import store as case_store
from koban.cases.types import CaseStatus
from koban.console.filters import MOMENTS, read_filters, seq_of
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page
from koban.console.words import Words, language_of
from koban.db import Tx
from koban.enforcement import Sanction
from koban.enforcement import store as sanction_store
from koban.events import store as event_store
from koban.finding import (
    IndexLag,
    Result,
    SealedFound,
    SealedQuery,
    ViewMissing,
    ViewNotYours,
    ViewUnfit,
    delete_view,
    folded,
    index_lag,
    look_for,
    save_view,
)
from koban.finding import store as finding_store
from koban.webhooks import store as webhook_store
from koban.webhooks.types import Action

QUERY_CHARS_MAX: Final = 256
OF_SUBJECT_MAX: Final = 5
VIEWS_MAX: Final = 40
# The console's own words for states, and the list that each leads to.
_STATUSES: Final[tuple[CaseStatus, ...]] = ("open", "closed")
_STATES: Final = (
    ("verdict", "/decisions", "verdict", ("warn", "challenge", "hold", "block")),
    ("sanction_kind", "/sanctions", "kind", ("hide", "restrict", "freeze_payout", "suspend", "strike")),
    ("sanction_status", "/sanctions", "status", ("in_force", "ended", "overturned")),
    ("effect", "/accounts", "state", ("suspend", "freeze_payout", "restrict")),
    ("action_status", "/actions", "status", ("requested", "delivered", "confirmed", "failed", "dead")),
)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the box found."""

    result: Result
    sanctions: list[Sanction]
    cases: list[Case]
    actions: list[Action]
    states: list[tuple[str, str, str]]  # section and word of the texts, where it leads
    seq: int | None  # the query is a place in the log
    lag: IndexLag | None

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to show."""
        parts = (self.result.subjects, self.result.words, self.sanctions, self.cases, self.actions, self.states)
        return not any(parts) and self.seq is None


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/search", "events.read", lambda call: _search(kit, call), summary="Search", page=True),
        endpoint("POST", "/search", "messages.read", lambda call: _search_sealed(kit, call),
                 summary="Search what people wrote", accepts="form", page=True),
        endpoint("POST", "/views", SIGNED_IN, lambda call: _change_views(kit, call), summary="Keep or drop a view",
                 accepts="form", page=True, raises=(ViewUnfit, ViewMissing, ViewNotYours)),
        endpoint("GET", "/export/{list}", "exports.make", lambda call: _export(kit, call), summary="Take a list out", page=True),
    )  # fmt: skip


def _search(kit: ConsoleKit, call: Call) -> Answer:
    query = call.query.get("q", "").strip()[:QUERY_CHARS_MAX]
    return _page(kit, call, query=query, account=call.query.get("account", "").strip()[:QUERY_CHARS_MAX])


def _search_sealed(kit: ConsoleKit, call: Call) -> Answer:
    form = call.form
    query, purpose = form.get("q", "").strip(), form.get("purpose", "").strip()
    account = form.get("account", "").strip()[:QUERY_CHARS_MAX]
    if (
        not 2 <= len(query) <= QUERY_CHARS_MAX
        or not limits.PURPOSE_CHARS_MIN <= len(purpose) <= limits.PURPOSE_CHARS_MAX
    ):
        return _page(kit, call, query=query[:QUERY_CHARS_MAX], account=account, purpose=purpose,
                     problem="search.problem_purpose")  # fmt: skip
    asked = SealedQuery(
        q=query, purpose=purpose, account=account or None, before_seq=seq_of(form.get("before", ""))
    )  # fmt: skip
    found = kit.search_sealed(call.at, call.principal.actor, asked)
    return _page(kit, call, query=query, account=account, purpose=purpose, sealed=found)


def _page(
    kit: ConsoleKit,
    call: Call,
    *,
    query: str,
    account: str,
    purpose: str = "",
    sealed: SealedFound | None = None,
    problem: str = "",
) -> Answer:
    found = None
    with kit.database.read() as tx:
        if query:
            found = _find(tx, kit, query, Words(language_of(call.language)))
    return page(
        kit,
        call,
        "search.html",
        status=422 if problem else 200,
        query=query,
        account=account,
        purpose=purpose,
        found=found,
        sealed=sealed,
        problem=problem,
        pack=kit.pack(),
    )


def _find(tx: Tx, kit: ConsoleKit, query: str, words: Words) -> Found:
    result = look_for(tx, kit.pack(), query)
    wanted = folded(query)
    states = [
        (f"{section}.{name}", path, f"{path}?{parameter}={name}")
        for section, path, parameter, names in _STATES
        for name in names
        if wanted and wanted in folded(words.named(section, name))
    ]
    seq = seq_of(query)
    return Found(
        result=result,
        sanctions=_sanctions(tx, query, result),
        cases=_cases(tx, query, result),
        actions=_actions(tx, query, result),
        states=states,
        seq=seq if seq is not None and event_store.read_entry(tx, seq) is not None else None,
        lag=index_lag(tx),
    )


def _sanctions(tx: Tx, query: str, result: Result) -> list[Sanction]:
    if query.startswith("sanction_"):
        return list(sanction_store.read(tx, (query,)).values())
    found: list[Sanction] = []
    for hit in result.subjects[:OF_SUBJECT_MAX]:
        wanted = {"subject_kind": hit.kind, "subject_id": hit.id}
        found += sanction_store.search_sanctions(tx, before=None, limit=OF_SUBJECT_MAX, filters=wanted)
    return found[: 2 * OF_SUBJECT_MAX]


def _cases(tx: Tx, query: str, result: Result) -> list[Case]:
    if query.startswith("case_"):
        one = case_store.read_case(tx, query)
        return [] if one is None else [one]
    found: list[Case] = []
    for hit in result.subjects[:OF_SUBJECT_MAX]:
        wanted = {"subject_kind": hit.kind, "subject_id": hit.id}
        for status in _STATUSES:
            found += case_store.search_cases(tx, status=status, limit=OF_SUBJECT_MAX, filters=wanted)
    return found[: 2 * OF_SUBJECT_MAX]


def _actions(tx: Tx, query: str, result: Result) -> list[Action]:
    if query.startswith("action_"):
        one = webhook_store.read_action(tx, query)
        return [] if one is None else [one]
    found: list[Action] = []
    for hit in result.subjects[:OF_SUBJECT_MAX]:
        wanted = {"subject_kind": hit.kind, "subject_id": hit.id}
        found += webhook_store.search_actions(tx, before=None, limit=OF_SUBJECT_MAX, filters=wanted)
    return found[: 2 * OF_SUBJECT_MAX]


def _change_views(kit: ConsoleKit, call: Call) -> Answer:
    form, by = call.form, call.principal
    path, query = form.get("page", ""), form.get("query", "")[:2_000]
    back = f"{path}?{query}" if query else path
    with kit.database.write() as tx:
        if form.get("delete"):
            delete_view(tx, call.at, by=by, view_id=form["delete"][:80])
            return done(call, path if path.startswith("/") and path[1:].isalpha() else "/search", "view_deleted")
        name = form.get("name", "").strip()
        if not 0 < len(name) <= 80:
            raise ViewUnfit("give the view a name of 80 characters at most")
        save_view(
            tx, call.at, kit.access.randomness, by=by, page=path, query=query, name=name, shared="shared" in form
        )  # fmt: skip
    return done(call, back, "view_saved")


def _export(kit: ConsoleKit, call: Call) -> Answer:
    """Lead to the file of a list, with the page's own filters: moments as the page reads them, in the reader's zone."""
    kept = {name: value for name, value in call.query.items() if value and name not in ("cursor", "done", *MOMENTS)}
    span = read_filters(call.query, MOMENTS, Formats(language_of(call.language), kit.zone, call.at)).span
    for name, at in (("since", span.since_at), ("until", span.until_at)):
        if at is not None:
            kept[name] = to_rfc3339(at)
    return redirect(f"/v1/export/{urllib.parse.quote(call.path['list'])}?{urllib.parse.urlencode(kept)}")


def views_of(call: Call, tx: Tx, path: str) -> dict[str, object]:
    """Return what the shelf above a list shows: its saved views, and the filters that stand now."""
    kept = {name: value for name, value in call.query.items() if name not in ("cursor", "done") and value}
    return {
        "views": finding_store.list_views(tx, reader=call.principal.id, page=path, limit=VIEWS_MAX),
        "view_page": path,
        "view_query": urllib.parse.urlencode(kept),
    }
