"""The border of banking: our accounts, cash-outs, batches with their files, statements, lines, banking days."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal

import msgspec

from koban.access import Answer, Call, Endpoint, Page, PageQuery, endpoint
from koban.banking import calendar, directory, lines, store
from koban.banking.types import (
    AccountType,
    BankAccount,
    BankAccountBusy,
    BankAccountClosed,
    BankAccountExists,
    BankAccountMissing,
    BankFileInvalid,
    BankLine,
    BankProposal,
    BankProposalMissing,
    Batch,
    BatchDecided,
    BatchEmpty,
    BatchMissing,
    CalendarMissing,
    CashOut,
    CashOutMissing,
    CashOutRefused,
    CashOutUnfit,
    FileKind,
    FileNotThere,
    LineMissing,
    MatchUnfit,
    OrderFormat,
    Originator,
    Payee,
    PayeeInvalid,
    ProposalKind,
    SecondPersonNeeded,
    StatementFile,
)
from koban.banking.zengin import AMOUNT_MAX, FILE_BYTES_MAX
from koban.base import Clock, Instant, to_rfc3339
from koban.db import Database, Tx
from koban.packs import Hours
from koban.vault import Vault

DAYS_SHOWN: Final = 42
ACCOUNT_REFUSALS: Final = (BankAccountMissing, BankAccountExists, BankAccountClosed, BankAccountBusy)

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Bank = Annotated[str, msgspec.Meta(pattern="^[0-9]{4}$")]
Branch = Annotated[str, msgspec.Meta(pattern="^[0-9]{3}$")]
Number = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,7}$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
PostingId = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_.:~%-]{1,60}$")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BankDesk:
    """What the application gives to banking; commands go through the decider and raise refusals."""

    database: Database
    vault: Vault
    clock: Clock
    hours: Callable[[], Hours]
    request: Callable[["CashOutBody", str], CashOut]
    cancel: Callable[[str, str], CashOut]
    propose_batch: Callable[[str, str], Batch]
    approve_batch: Callable[[str, str], Batch]
    decline_batch: Callable[[str, str, str], Batch]
    take_file: Callable[[str, str], tuple[Batch, bytes]]
    take_in: Callable[[bytes, str, str], Sequence[StatementFile]]
    propose: Callable[[BankProposal, str], BankProposal]
    approve: Callable[[str, str], BankProposal]
    decline: Callable[[str, str], BankProposal]


class PayeeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account at a bank that money goes to; it is sealed under its owner's key."""

    bank: Bank
    branch: Branch
    type: AccountType
    number: Number
    name: Name


class CashOutBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account asks for its money. Make and store the id before it is sent: the same id again is the same cash-out."""

    id: PostingId
    account: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX, description="Leaves the wallet, the fee included")]
    payee: PayeeBody
    fee_minor: Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)] = 0
    level: Annotated[Name | None, msgspec.Meta(description="Verification level, where limits ask for it")] = None
    currency: Literal["JPY"] = "JPY"


class AccountBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of our own accounts at a bank."""

    id: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]
    title: Text
    bank: Bank
    branch: Branch
    type: AccountType = "ordinary"
    number: Number
    name: Annotated[Name, msgspec.Meta(description="As the bank writes it, in kana")]
    consignor: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,10}$", description="振込依頼人コード, from the bank")]
    format: OrderFormat = "zengin"
    lead_days: Annotated[int, msgspec.Meta(ge=0, le=10)] = 1
    fee_minor: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    gives_fee_back: bool = False
    moves_by: FileKind = "statement"


class BatchBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which of our accounts."""

    account: Text


class ReasonBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason


class MatchBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a line is: the id of a cash-out or batch, `fee`, or `elsewhere` for what was settled by other means."""

    target: Text
    reason: Reason


class FailBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a cash-out that left was not carried out, and whether its owner gets the fee back."""

    reason: Reason
    fee_back: bool = False


class CashOutQuery(PageQuery, frozen=True, kw_only=True):
    """Which cash-outs."""

    state: str | None = None
    account: str | None = None


class BatchQuery(PageQuery, frozen=True, kw_only=True):
    """Which batches."""

    state: str | None = None


class LineQuery(PageQuery, frozen=True, kw_only=True):
    """Which lines."""

    account: str | None = None
    file: str | None = None
    state: str | None = None
    exception: str | None = None
    since: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    until: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None


class NameQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What the file is called."""

    name: Annotated[str, msgspec.Meta(max_length=200)] = "statement"


class PayeeView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cash-out goes; name and number in full only where somebody opened them."""

    bank: str
    bank_name: str
    branch: str
    branch_name: str
    type: str
    number: str
    name: str


class CashOutView(msgspec.Struct, frozen=True, kw_only=True):
    """A cash-out and what became of it; no payee: its owner was erased."""

    id: str
    reference: str
    account: str
    amount_minor: int
    fee_minor: int
    currency: str
    state: str
    batch: str | None
    left_out: str | None
    requested_at: str
    holds_until: str
    sent_at: str | None
    settled_at: str | None
    paid_line: str | None
    returned_line: str | None
    reason: str
    payee: PayeeView | None


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A batch."""

    id: str
    account: str
    format: str
    state: str
    value_on: str
    count: int
    total_minor: int
    proposed_by: str
    proposed_at: str
    decided_by: str | None
    decided_at: str | None
    released_at: str | None
    file_name: str | None
    file_hash: str | None
    reason: str


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """A statement or notice that came in, and how far it was followed."""

    id: str
    hash: str
    name: str
    format: str
    kind: str
    account: str
    from_on: str
    to_on: str
    opening_minor: int | None
    closing_minor: int | None
    lines: int
    done: int
    imported_by: str
    imported_at: str


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a statement and what became of it."""

    id: str
    file: str
    account: str
    booked_on: str
    value_on: str
    amount_minor: int
    currency: str
    reference: str
    counterparty: str
    narrative: str
    bank_id: str
    kind: str
    state: str
    exception: str | None
    detail: str
    matched: str | None
    posting: str | None


class ProposalView(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody proposed."""

    id: str
    kind: str
    about: str
    target: str
    fee_back: bool
    reason: str
    state: str
    proposed_by: str
    proposed_at: str
    decided_by: str | None
    decided_at: str | None
    account: BankAccount | None  # of ours, as it would be


class DayView(msgspec.Struct, frozen=True, kw_only=True):
    """A day of banks; `cut_off` is local time, null: closed."""

    day: str
    is_open: bool
    cut_off: str | None


class CalendarView(msgspec.Struct, frozen=True, kw_only=True):
    """The next weeks, and when the money of a file that leaves now would be there."""

    zone: str
    known_until: str
    taken_on: str
    value_on: str
    days: list[DayView]


class PlaceView(msgspec.Struct, frozen=True, kw_only=True):
    """A bank and one of its branches."""

    bank: str
    bank_name: str
    bank_kana: str
    branch: str
    branch_name: str
    branch_kana: str


def endpoints(desk: BankDesk) -> list[Endpoint]:
    """Describe the routes of this room."""
    return [*_cash_out_endpoints(desk), *_batch_endpoints(desk),
            *_statement_endpoints(desk), *_proposal_endpoints(desk), *_looks(desk)]  # fmt: skip


def account_from(body: AccountBody) -> BankAccount:
    """Return an account as it is asked for."""
    return BankAccount(
        id=body.id,
        title=body.title,
        originator=Originator(
            bank=body.bank,
            branch=body.branch,
            type=body.type,
            number=body.number,
            name=body.name,
            consignor=body.consignor,
        ),
        format=body.format,
        lead_days=body.lead_days,
        fee_minor=body.fee_minor,
        gives_fee_back=body.gives_fee_back,
        moves_by=body.moves_by,
    )


def _cash_out_endpoints(desk: BankDesk) -> list[Endpoint]:
    def requested(call: Call) -> CashOutView:
        made = desk.request(call.body_as(CashOutBody), call.principal.actor)
        return _shown(desk, made)

    def listed(call: Call) -> Page[CashOutView]:
        query = call.params_as(CashOutQuery)
        with desk.database.read() as tx:
            found = store.list_cash_outs(
                tx, state=query.state, owner=query.account, before=_place(query.cursor), limit=query.limit + 1
            )
            shown = [cash_out_view(desk, tx, one, full=False) for one in found[: query.limit]]
        return Page(items=shown, next_cursor=str(found[query.limit - 1].number) if len(found) > query.limit else None)

    def one(call: Call) -> CashOutView:
        with desk.database.read() as tx:
            found = store.find_cash_out(tx, call.path["id"])
        if found is None:
            raise CashOutMissing(f"there is no cash-out {call.path['id'][:96]!r}")
        return _shown(desk, found)

    def cancelled(call: Call) -> CashOutView:
        return _shown(desk, desk.cancel(call.path["id"], call.principal.actor))

    return [
        endpoint("POST", "/v1/bank/cash-outs", "bank.request", requested, summary="Ask for a cash-out to a bank account",
                 body=CashOutBody, returns=CashOutView, raises=(PayeeInvalid, CashOutUnfit, CashOutRefused),
                 description="Reserves the money in the wallet and keeps the payee, sealed. Bank, branch and name are "
                 "checked first. The same id again gets the first answer."),
        endpoint("GET", "/v1/bank/cash-outs", "bank.read", listed, summary="List cash-outs, newest first",
                 query=CashOutQuery, returns=Page[CashOutView]),
        endpoint("GET", "/v1/bank/cash-outs/{id}", "bank.read", one, summary="Look up a cash-out",
                 returns=CashOutView, raises=(CashOutMissing,)),
        endpoint("POST", "/v1/bank/cash-outs/{id}/cancel", "bank.request", cancelled,
                 summary="Take a cash-out back that did not leave", returns=CashOutView,
                 raises=(CashOutMissing, CashOutUnfit)),
    ]  # fmt: skip


def _batch_endpoints(desk: BankDesk) -> list[Endpoint]:
    def proposed(call: Call) -> BatchView:
        return batch_view(desk.propose_batch(call.body_as(BatchBody).account, call.principal.actor))

    def listed(call: Call) -> Page[BatchView]:
        query = call.params_as(BatchQuery)
        with desk.database.read() as tx:
            found = store.list_batches(tx, state=query.state, before=_place(query.cursor), limit=query.limit + 1)
        return Page(
            items=[batch_view(each) for each in found[: query.limit]],
            next_cursor=str(found[query.limit - 1].number) if len(found) > query.limit else None,
        )

    def one(call: Call) -> BatchView:
        with desk.database.read() as tx:
            return batch_view(find_batch(tx, call.path["id"]))

    def cash_outs(call: Call) -> Page[CashOutView]:
        query = call.params_as(PageQuery)
        with desk.database.read() as tx:
            batch = find_batch(tx, call.path["id"])
            found = store.of_batch(tx, batch.id, after=_place(query.cursor) or 0, limit=query.limit + 1)
            shown = [cash_out_view(desk, tx, each, full=False) for each in found[: query.limit]]
        return Page(items=shown, next_cursor=str(found[query.limit - 1].number) if len(found) > query.limit else None)

    def approved(call: Call) -> BatchView:
        return batch_view(desk.approve_batch(call.path["id"], call.principal.actor))

    def declined(call: Call) -> BatchView:
        return batch_view(desk.decline_batch(call.path["id"], call.principal.actor, call.body_as(ReasonBody).reason))

    def taken(call: Call) -> Answer:
        return file_answer(*desk.take_file(call.path["id"], call.principal.actor))

    refusals = (BatchMissing, BatchDecided)
    return [
        endpoint("POST", "/v1/bank/batches", "bank.propose", proposed, summary="Draft a batch of what waits",
                 body=BatchBody, returns=BatchView, status=201, raises=(BankAccountMissing, BankAccountClosed, BatchEmpty,
                 CalendarMissing, calendar.BankingCalendarEnds)),
        endpoint("GET", "/v1/bank/batches", "bank.read", listed, summary="List batches, newest first", query=BatchQuery,
                 returns=Page[BatchView]),
        endpoint("GET", "/v1/bank/batches/{id}", "bank.read", one, summary="Look up a batch", returns=BatchView,
                 raises=(BatchMissing,)),
        endpoint("GET", "/v1/bank/batches/{id}/cash-outs", "bank.read", cash_outs, summary="List a batch's cash-outs",
                 query=PageQuery, returns=Page[CashOutView], raises=(BatchMissing,)),
        endpoint("POST", "/v1/bank/batches/{id}/approve", "bank.approve", approved,
                 summary="Let a batch leave, as a second person", returns=BatchView,
                 raises=(*refusals, SecondPersonNeeded, calendar.BankingCalendarEnds, CalendarMissing),
                 description="Each cash-out is asked about again; those that must not leave are left out and say why."),
        endpoint("POST", "/v1/bank/batches/{id}/decline", "bank.approve", declined,
                 summary="Decline a batch; its cash-outs wait again", body=ReasonBody, returns=BatchView,
                 raises=refusals),
        endpoint("POST", "/v1/bank/batches/{id}/file", "bank.approve", taken, summary="Take the file of a batch out",
                 returns=bytes, raises=(BatchMissing, FileNotThere),
                 media_types=("text/plain", "application/xml"),
                 description="The same bytes every time, and an audit row each time."),
    ]  # fmt: skip


def file_answer(batch: Batch, data: bytes) -> Answer:
    """Return a file as a download."""
    media_type = "application/xml" if batch.format == "pain.001" else "text/plain; charset=shift_jis"
    return Answer(
        body=data,
        media_type=media_type,
        headers={"content-disposition": f'attachment; filename="{batch.file_name}"', "cache-control": "no-store"},
    )


def _statement_endpoints(desk: BankDesk) -> list[Endpoint]:
    def taken_in(call: Call) -> list[FileView]:
        name = call.params_as(NameQuery).name
        return [file_view(each) for each in desk.take_in(call.raw, name, call.principal.actor)]

    def listed(call: Call) -> Page[FileView]:
        query = call.params_as(PageQuery)
        with desk.database.read() as tx:
            found = store.list_files(tx, before=_place(query.cursor), limit=query.limit + 1)
        return Page(
            items=[file_view(each) for each in found[: query.limit]],
            next_cursor=str(found[query.limit - 1].number) if len(found) > query.limit else None,
        )

    def line_list(call: Call) -> Page[LineView]:
        query = call.params_as(LineQuery)
        filters = {name: getattr(query, name) for name in ("account", "file", "state", "exception")}
        with desk.database.read() as tx:
            found = store.list_lines(
                tx,
                filters=filters,
                after=query.cursor or "",
                limit=query.limit + 1,
                since=query.since or "",
                until=query.until or "",
            )
            shown = [line_view(desk, tx, each, sealed, full=False) for each, sealed in found[: query.limit]]
        return Page(items=shown, next_cursor=found[query.limit - 1][0].id if len(found) > query.limit else None)

    return [
        endpoint("POST", "/v1/bank/statements", "bank.import", taken_in, summary="Bring in a statement or notice",
                 body=bytes, query=NameQuery, returns=list[FileView], max_bytes=FILE_BYTES_MAX,
                 raises=(BankFileInvalid, BankAccountMissing), media_types=("application/octet-stream",),
                 description="Zengin 入出金取引明細 or 振込入金通知, camt.053 or camt.054. The same bytes again get the first "
                 "answer and change nothing."),
        endpoint("GET", "/v1/bank/statements", "bank.read", listed, summary="List statements and notices, newest first",
                 query=PageQuery, returns=Page[FileView]),
        endpoint("GET", "/v1/bank/lines", "bank.read", line_list, summary="List lines of statements, oldest first",
                 query=LineQuery, returns=Page[LineView],
                 description="`state=exception` lists what waits for a person."),
    ]  # fmt: skip


def _proposal_endpoints(desk: BankDesk) -> list[Endpoint]:
    def match(call: Call) -> ProposalView:
        body = call.body_as(MatchBody)
        wanted = proposal(kind="match", about=call.path["id"], target=body.target, reason=body.reason)
        return proposal_view(desk.propose(wanted, call.principal.actor))

    def fail(call: Call) -> ProposalView:
        body = call.body_as(FailBody)
        wanted = proposal(kind="fail", about=call.path["id"], reason=body.reason, fee_back=body.fee_back)
        return proposal_view(desk.propose(wanted, call.principal.actor))

    def listed(_call: Call) -> list[ProposalView]:
        with desk.database.read() as tx:
            return [proposal_view(each) for each in store.waiting_proposals(tx)]

    def approved(call: Call) -> ProposalView:
        return proposal_view(desk.approve(call.path["id"], call.principal.actor))

    def declined(call: Call) -> ProposalView:
        return proposal_view(desk.decline(call.path["id"], call.principal.actor))

    return [
        endpoint("POST", "/v1/bank/lines/{id}/match", "bank.propose", match, summary="Propose what a line is",
                 body=MatchBody, returns=ProposalView, status=201, raises=(LineMissing, MatchUnfit)),
        endpoint("POST", "/v1/bank/cash-outs/{id}/fail", "bank.propose", fail,
                 summary="Propose that a cash-out that left was not carried out", body=FailBody, returns=ProposalView,
                 status=201, raises=(CashOutMissing, CashOutUnfit, MatchUnfit),
                 description="For what the bank tells by telephone or in a list (振込不能): approved, the money is back "
                 "in the wallet."),
        endpoint("GET", "/v1/bank/proposals", "bank.read", listed, summary="List what waits for a second person",
                 returns=list[ProposalView]),
        endpoint("POST", "/v1/bank/proposals/{id}/approve", "bank.approve", approved,
                 summary="Approve a proposal, as a second person", returns=ProposalView,
                 raises=(BankProposalMissing, SecondPersonNeeded, LineMissing, CashOutUnfit, MatchUnfit, PayeeInvalid,
                 *ACCOUNT_REFUSALS)),
        endpoint("POST", "/v1/bank/proposals/{id}/decline", "bank.approve", declined, summary="Decline a proposal",
                 returns=ProposalView, raises=(BankProposalMissing,)),
    ]  # fmt: skip


def _looks(desk: BankDesk) -> list[Endpoint]:
    def place(call: Call) -> PlaceView:
        bank, branch = directory.check_place(call.path["bank"], call.path["branch"])
        return PlaceView(
            bank=bank.code,
            bank_name=bank.name,
            bank_kana=bank.kana,
            branch=branch.code,
            branch_name=branch.name,
            branch_kana=branch.kana,
        )

    return [
        endpoint("GET", "/v1/bank/calendar", "bank.read", lambda call: calendar_view(desk.hours(), call.at),
                 summary="See the next banking days and their cut-offs", returns=CalendarView,
                 raises=(CalendarMissing, calendar.BankingCalendarEnds)),
        endpoint("GET", "/v1/bank/places/{bank}/{branch}", "bank.read", place, summary="Look up a bank and branch",
                 returns=PlaceView, raises=(PayeeInvalid,)),
    ]  # fmt: skip


def calendar_view(hours: Hours, at: Instant, *, lead_days: int = 1) -> CalendarView:
    """Return the next weeks of banks from a moment on."""
    first = calendar.local_day(hours, at)
    days = [first + datetime.timedelta(days=each) for each in range(DAYS_SHOWN)]
    return CalendarView(
        zone=hours.zone,
        known_until=calendar.known_until(hours).isoformat(),
        taken_on=calendar.taken_on(hours, at).isoformat(),
        value_on=calendar.value_day(hours, at, lead_days).isoformat(),
        days=[
            DayView(
                day=day.isoformat(),
                is_open=(until := calendar.cut_off(hours, day)) is not None,
                cut_off=None if until is None else f"{until // 60:02d}:{until % 60:02d}",
            )
            for day in days
        ],
    )


def proposal(
    *, kind: ProposalKind, about: str, reason: str, target: str = "", fee_back: bool = False, body: str = ""
) -> BankProposal:
    """Return a proposal as it is asked for; the command gives it its id, time and author."""
    return BankProposal(
        id="",
        kind=kind,
        about=about,
        target=target,
        fee_back=fee_back,
        reason=reason,
        state="waiting",
        proposed_by="",
        proposed_at=0,
        decided_by=None,
        decided_at=None,
        body=body,
    )


def find_batch(tx: Tx, batch_id: str) -> Batch:
    """Return a batch. Refuses: BatchMissing."""
    found = store.find_batch(tx, batch_id)
    if found is None:
        raise BatchMissing(f"there is no batch {batch_id[:96]!r}")
    return found


def _place(cursor: str | None) -> int | None:
    return int(cursor) if cursor is not None and cursor.isascii() and cursor.isdigit() and len(cursor) < 19 else None


def _shown(desk: BankDesk, one: CashOut) -> CashOutView:
    with desk.database.read() as tx:
        return cash_out_view(desk, tx, one, full=False)


def cash_out_view(desk: BankDesk, tx: Tx, one: CashOut, *, full: bool) -> CashOutView:
    """Return a cash-out in the form that leaves Koban."""
    payee = lines.open_payee(desk.vault, tx, one)
    return CashOutView(
        id=one.id,
        reference=one.reference,
        account=one.owner,
        amount_minor=one.amount_minor,
        fee_minor=one.fee_minor,
        currency=one.currency,
        state=one.state,
        batch=one.batch,
        left_out=one.left_out,
        requested_at=to_rfc3339(Instant(one.requested_at)),
        holds_until=to_rfc3339(Instant(one.holds_until)),
        sent_at=_moment(one.sent_at),
        settled_at=_moment(one.settled_at),
        paid_line=one.paid_line,
        returned_line=one.returned_line,
        reason=one.reason,
        payee=None if payee is None else _payee_view(payee, full=full),
    )


def _payee_view(payee: Payee, *, full: bool) -> PayeeView:
    bank = directory.find_bank(payee.bank)
    branch = directory.find_branch(payee.bank, payee.branch)
    return PayeeView(
        bank=payee.bank,
        bank_name=bank.name if bank is not None else "",
        branch=payee.branch,
        branch_name=branch.name if branch is not None else "",
        type=payee.type,
        number=payee.number if full else f"····{payee.number[-3:]}",
        name=payee.name if full else masked(payee.name),
    )


def masked(name: str) -> str:
    """Return the first character of a name, and that there is more."""
    return f"{name[:1]}…" if name else ""


def batch_view(batch: Batch) -> BatchView:
    """Return a batch in the form that leaves Koban."""
    fields = {name: getattr(batch, name) for name in BatchView.__struct_fields__}
    for name in ("proposed_at", "decided_at", "released_at"):
        fields[name] = _moment(fields[name])
    return BatchView(**fields)


def file_view(file: StatementFile) -> FileView:
    """Return a statement in the form that leaves Koban."""
    fields = {name: getattr(file, name) for name in FileView.__struct_fields__}
    return FileView(**{**fields, "imported_at": to_rfc3339(Instant(file.imported_at))})


def line_view(desk: BankDesk, tx: Tx, line: BankLine, sealed: bytes, *, full: bool) -> LineView:
    """Return a line in the form that leaves Koban."""
    words = lines.open_words(desk.vault, tx, sealed)
    fields = {
        name: getattr(line, name) for name in LineView.__struct_fields__ if name not in {"counterparty", "narrative"}
    }
    return LineView(
        counterparty=words.counterparty if full else masked(words.counterparty),
        narrative=words.narrative if full else masked(words.narrative),
        **fields,
    )


def proposal_view(one: BankProposal) -> ProposalView:
    """Return a proposal in the form that leaves Koban."""
    fields = {name: getattr(one, name) for name in ProposalView.__struct_fields__ if name != "account"}
    fields["account"] = msgspec.json.decode(one.body, type=BankAccount) if one.body else None
    return ProposalView(
        **{**fields, "proposed_at": to_rfc3339(Instant(one.proposed_at)), "decided_at": _moment(one.decided_at)}
    )


def _moment(at: int | None) -> str | None:
    return None if at is None else to_rfc3339(Instant(at))
