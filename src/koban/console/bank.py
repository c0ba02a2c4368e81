"""Banks in the console: cash-outs, batches by two people, statements and their lines, banking days."""

from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.access.types import Upload
from koban.banking import expected_store, routes, store
from koban.banking.account_routes import NEW_REASON, propose_account
from koban.banking.name_routes import note_opened
from koban.banking.types import (
    BankFileInvalid,
    BatchMissing,
    CashOut,
    CashOutMissing,
    CashOutState,
    LineMissing,
    LineState,
    MatchUnfit,
    PayeeInvalid,
)
from koban.banking.zengin import FILE_BYTES_MAX
from koban.base import Instant, Refusal
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, done, page
from koban.console.typed import typed_text
from koban.db import Tx

STATES: Final[tuple[CashOutState, ...]] = (
    "waiting", "drafted", "sent", "paid", "returned", "failed", "cancelled", "lapsed",
)  # fmt: skip
LINE_STATES: Final[tuple[LineState, ...]] = ("exception", "matched", "resolved", "noticed", "known")
NEWEST: Final = 12
ITEMS_MAX: Final = 500  # of one batch on its page
REASON_CHARS_MAX: Final = 500


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal as its page shows it."""

    code: str
    detail: str
    problems: tuple[tuple[str, str, str], ...]


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    if kit.bank is None:
        return ()
    desk = kit.bank
    return (
        endpoint("GET", "/bank", "bank.read", lambda call: _home(kit, desk, call), summary="Banks", page=True),
        endpoint("POST", "/bank/batches", "bank.propose", lambda call: _propose(kit, desk, call),
                 summary="Draft a batch", accepts="form", page=True),
        endpoint("GET", "/bank/batches/{id}", "bank.read", lambda call: _batch(kit, desk, call), summary="A batch",
                 page=True, raises=(BatchMissing,)),
        endpoint("POST", "/bank/batches/{id}", "bank.approve", lambda call: _decide(kit, desk, call),
                 summary="Approve or decline a batch, or take its file", accepts="form", page=True,
                 raises=(BatchMissing,)),
        endpoint("POST", "/bank/statements", "bank.import", lambda call: _take_in(kit, desk, call),
                 summary="Bring in a statement", accepts="upload", page=True, max_bytes=FILE_BYTES_MAX + 4096),
        endpoint("GET", "/bank/lines", "bank.read", lambda call: _lines(kit, desk, call), summary="Lines of statements",
                 page=True),
        endpoint("GET", "/bank/lines/{id}", "bank.read", lambda call: _line(kit, desk, call), summary="A line",
                 page=True, raises=(LineMissing,)),
        endpoint("POST", "/bank/lines/{id}", "bank.propose", lambda call: _match(kit, desk, call),
                 summary="Propose what a line is", accepts="form", page=True, raises=(LineMissing,)),
        endpoint("POST", "/bank/proposals/{id}", "bank.approve", lambda call: _decide_proposal(kit, desk, call),
                 summary="Approve or decline a proposal", accepts="form", page=True),
        endpoint("GET", "/bank/cash-outs", "bank.read", lambda call: _cash_outs(kit, desk, call), summary="Cash-outs",
                 page=True),
        endpoint("GET", "/bank/cash-outs/{id}", "bank.read", lambda call: _cash_out(kit, desk, call),
                 summary="A cash-out", page=True, raises=(CashOutMissing,)),
        endpoint("POST", "/bank/cash-outs/{id}", "bank.propose", lambda call: _fail(kit, desk, call),
                 summary="Propose that a cash-out was not carried out", accepts="form", page=True,
                 raises=(CashOutMissing,)),
        endpoint("POST", "/bank/accounts", "bank.manage", lambda call: _account(kit, desk, call),
                 summary="Propose one of our accounts, new, changed or closed", accepts="form", page=True),
        endpoint("POST", "/bank/{what}/{id}/names", "bank.names", lambda call: _names(kit, desk, call),
                 summary="Open names at banks, logged", accepts="form", page=True,
                 raises=(CashOutMissing, BatchMissing, LineMissing)),
    )  # fmt: skip


def _reply(refusal: Refusal) -> Reply:
    problems = tuple((each.path, each.detail, each.hint) for each in refusal.problems)
    return Reply(code=refusal.code, detail=refusal.detail, problems=problems)


def _home(kit: ConsoleKit, desk: routes.BankDesk, call: Call, *, refused: Refusal | None = None) -> Answer:
    with kit.database.read() as tx:
        sums = store.sums(tx)
        accounts = store.list_accounts(tx)
        batches = store.list_batches(tx, state=None, before=None, limit=NEWEST)
        files = store.list_files(tx, before=None, limit=NEWEST)
        proposals = store.waiting_proposals(tx)
        exceptions = store.count_exceptions(tx)
        expected = expected_store.sum_open(tx, call.at)
    try:
        days = routes.calendar_view(desk.hours(), call.at)
    except Refusal as ended:
        days, refused = None, refused or ended
    return page(
        kit,
        call,
        "bank.html",
        status=422 if refused is not None else 200,
        refused=_reply(refused) if refused is not None else None,
        sums=sums,
        accounts=accounts,
        batches=batches,
        files=files,
        proposals=[(each, routes.proposal_view(each).account) for each in proposals],
        exceptions=exceptions,
        expected=expected,
        days=days,
        states=STATES,
        me=call.principal.actor,
    )


def _propose(kit: ConsoleKit, desk: routes.BankDesk, call: Call) -> Answer:
    try:
        batch = desk.propose_batch(call.form.get("account", ""), call.principal.actor)
    except Refusal as refusal:
        return _home(kit, desk, call, refused=refusal)
    return done(call, f"/bank/batches/{batch.id}", "bank_proposed")


def _batch(
    kit: ConsoleKit, desk: routes.BankDesk, call: Call, *, refused: Refusal | None = None, full: bool = False
) -> Answer:
    with kit.database.read() as tx:
        batch = routes.find_batch(tx, call.path["id"])
        items = [
            routes.cash_out_view(desk, tx, each, full=full) for each in store.of_batch(tx, batch.id, limit=ITEMS_MAX)
        ]
    return page(
        kit,
        call,
        "bank_batch.html",
        status=409 if refused is not None else 200,
        refused=_reply(refused) if refused is not None else None,
        batch=batch,
        items=items,
        mine=batch.proposed_by == call.principal.actor,
        is_open=full,
    )


def _decide(kit: ConsoleKit, desk: routes.BankDesk, call: Call) -> Answer:
    batch_id, by, do = call.path["id"], call.principal.actor, call.form.get("do", "")
    try:
        if do == "file":
            return routes.file_answer(*desk.take_file(batch_id, by))
        if do == "approve":
            batch = desk.approve_batch(batch_id, by)
            return done(call, f"/bank/batches/{batch_id}", "bank_empty" if batch.state == "empty" else "bank_approved")
        reason = typed_text(call.form, "reason", REASON_CHARS_MAX)
        if not reason:
            raise MatchUnfit("A decline says why.")
        desk.decline_batch(batch_id, by, reason)
    except BatchMissing:
        raise
    except Refusal as refusal:
        return _batch(kit, desk, call, refused=refusal)
    return done(call, f"/bank/batches/{batch_id}", "bank_declined")


def _take_in(kit: ConsoleKit, desk: routes.BankDesk, call: Call) -> Answer:
    file = call.body
    if not isinstance(file, Upload):
        return _home(kit, desk, call, refused=BankFileInvalid("No file was chosen."))
    try:
        found = desk.take_in(file.content, file.name[:200], call.principal.actor)
    except Refusal as refusal:
        return _home(kit, desk, call, refused=refusal)
    return done(call, f"/bank/lines?file={found[0].id}", "bank_taken_in")


def _lines(kit: ConsoleKit, desk: routes.BankDesk, call: Call) -> Answer:
    filters = {name: call.query.get(name, "")[:80] or None for name in ("account", "file", "state", "exception")}
    cursor = call.query.get("cursor", "")[:80]
    with kit.database.read() as tx:
        found = store.list_lines(tx, filters=filters, after=cursor, limit=PAGE_ITEMS + 1)
        shown = [routes.line_view(desk, tx, each, sealed, full=False) for each, sealed in found[:PAGE_ITEMS]]
        file = store.find_file(tx, filters["file"]) if filters["file"] is not None else None
    return page(
        kit,
        call,
        "bank_lines.html",
        lines=shown,
        file=file,
        filters={name: value or "" for name, value in filters.items()},
        states=LINE_STATES,
        cursor=cursor,
        next_cursor=shown[-1].id if len(found) > PAGE_ITEMS else "",
    )


def _line(
    kit: ConsoleKit, desk: routes.BankDesk, call: Call, *, refused: Refusal | None = None, full: bool = False
) -> Answer:
    with kit.database.read() as tx:
        found = store.find_line(tx, call.path["id"])
        if found is None:
            raise LineMissing(f"there is no line {call.path['id'][:96]!r}")
        line = found[0]
        returned = line.amount_minor > 0
        waiting = line.state == "exception"
        fitting = (
            [
                routes.cash_out_view(desk, tx, each, full=full)
                for each, _ in store.of_amount(
                    tx, line.account, abs(line.amount_minor), returned=returned, limit=NEWEST
                )
            ]
            if waiting
            else []
        )
        batches = store.open_batches(tx, line.account) if waiting and not returned else []
        view = routes.line_view(desk, tx, line, found[1], full=full)
        proposals = store.waiting_proposals(tx, about=line.id)
    return page(
        kit,
        call,
        "bank_line.html",
        status=409 if refused is not None else 200,
        refused=_reply(refused) if refused is not None else None,
        line=view,
        fitting=fitting,
        batches=[each for each in batches if each[3] <= -line.amount_minor],
        is_open=full,
        proposals=proposals,
        me=call.principal.actor,
    )


def _match(kit: ConsoleKit, desk: routes.BankDesk, call: Call) -> Answer:
    try:
        wanted = routes.proposal(
            kind="match",
            about=call.path["id"],
            target=(call.form.get("other", "").strip() or call.form.get("target", ""))[:80],
            reason=typed_text(call.form, "reason", REASON_CHARS_MAX),
        )
        desk.propose(wanted, call.principal.actor)
    except LineMissing:
        raise
    except Refusal as refusal:
        return _line(kit, desk, call, refused=refusal)
    return done(call, f"/bank/lines/{call.path['id']}", "bank_said")


def _decide_proposal(kit: ConsoleKit, desk: routes.BankDesk, call: Call) -> Answer:
    try:
        if call.form.get("do") == "approve":
            desk.approve(call.path["id"], call.principal.actor)
            return done(call, "/bank", "bank_done")
        desk.decline(call.path["id"], call.principal.actor)
    except Refusal as refusal:
        return _home(kit, desk, call, refused=refusal)
    return done(call, "/bank", "bank_undone")


def _cash_outs(kit: ConsoleKit, desk: routes.BankDesk, call: Call) -> Answer:
    state = call.query.get("state", "")
    owner = call.query.get("owner", "").strip()[:128]
    cursor = call.query.get("cursor", "")
    before = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 19 else None
    with kit.database.read() as tx:
        found = store.list_cash_outs(
            tx, state=state if state in STATES else None, owner=owner or None, before=before, limit=PAGE_ITEMS + 1
        )
        shown = [routes.cash_out_view(desk, tx, each, full=False) for each in found[:PAGE_ITEMS]]
    return page(
        kit,
        call,
        "bank_cash_outs.html",
        items=shown,
        state=state,
        owner=owner,
        states=STATES,
        cursor=cursor,
        next_cursor=str(found[PAGE_ITEMS - 1].number) if len(found) > PAGE_ITEMS else "",
    )


def _cash_out(
    kit: ConsoleKit, desk: routes.BankDesk, call: Call, *, refused: Refusal | None = None, full: bool = False
) -> Answer:
    with kit.database.read() as tx:
        found = _found(tx, call.path["id"])
        view = routes.cash_out_view(desk, tx, found, full=full)
        proposals = store.waiting_proposals(tx, about=found.id)
    return page(
        kit,
        call,
        "bank_cash_out.html",
        status=409 if refused is not None else 200,
        refused=_reply(refused) if refused is not None else None,
        one=view,
        at=Instant(found.requested_at),
        is_open=full,
        may_fail=found.state == "sent" and found.paid_line is None and not proposals,
        proposals=proposals,
        me=call.principal.actor,
    )


def _found(tx: Tx, cash_out_id: str) -> CashOut:
    found = store.find_cash_out(tx, cash_out_id)
    if found is None:
        raise CashOutMissing(f"there is no cash-out {cash_out_id[:96]!r}")
    return found


def _fail(kit: ConsoleKit, desk: routes.BankDesk, call: Call) -> Answer:
    try:
        wanted = routes.proposal(
            kind="fail",
            about=call.path["id"],
            reason=typed_text(call.form, "reason", REASON_CHARS_MAX),
            fee_back=call.form.get("fee_back") == "1",
        )
        desk.propose(wanted, call.principal.actor)
    except CashOutMissing:
        raise
    except Refusal as refusal:
        return _cash_out(kit, desk, call, refused=refusal)
    return done(call, f"/bank/cash-outs/{call.path['id']}", "bank_said")


def _names(kit: ConsoleKit, desk: routes.BankDesk, call: Call) -> Answer:
    """Show a page with its names in full; the audit row is written before it is."""
    show = {"cash-outs": _cash_out, "batches": _batch, "lines": _line}.get(call.path["what"])
    if show is None:
        raise LineMissing(f"{call.path['what'][:40]!r} has no names")
    answer = show(kit, desk, call, full=True)
    note_opened(desk, call, call.path["id"], 1)
    return answer


def _account(kit: ConsoleKit, desk: routes.BankDesk, call: Call) -> Answer:
    typed = {name: value.strip() for name, value in call.form.items() if name in routes.AccountBody.__struct_fields__}
    do, by = call.form.get("do", "add"), call.principal.actor
    try:
        reason = typed_text(call.form, "reason", REASON_CHARS_MAX)
        if do != "add" and not reason:
            raise MatchUnfit("Say why.")
        if do == "close":
            desk.propose(routes.proposal(kind="close", about=typed.get("id", "")[:80], reason=reason), by)
        else:
            # A box that is not ticked is not sent.
            ticked = {"gives_fee_back": "gives_fee_back" in typed} if do == "change" else {}
            body = msgspec.convert({**typed, **ticked}, routes.AccountBody, strict=False)
            propose_account(desk, routes.account_from(body), reason=reason or NEW_REASON, by=by, is_new=do == "add")
    except msgspec.ValidationError as error:
        return _home(kit, desk, call, refused=PayeeInvalid(str(error)[:200]))
    except Refusal as refusal:
        return _home(kit, desk, call, refused=refusal)
    return done(call, "/bank", "bank_account_proposed")
