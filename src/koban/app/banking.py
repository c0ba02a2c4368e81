"""Banking's part of the wiring: steps through the decider, files made and read outside of it."""

import datetime
import functools
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

import koban.banking.routes as bank_routes
from koban.banking import calendar, iso20022, lines, store, zengin
from koban.banking.expected_routes import ExpectedCommands
from koban.banking.types import (
    BankAccountMissing,
    Batch,
    BatchEmpty,
    CashOut,
    CashOutRefused,
    FileNotThere,
    Order,
    Payee,
    ReadRow,
    ReadStatement,
    StatementFile,
)
from koban.base import MINUTE, Instant
from koban.db import Tx
from koban.pipeline import bank_facts, banking, expecting
from koban.pipeline.memory import Memory
from koban.vault import Vault

if TYPE_CHECKING:
    from koban.pipeline import Desk


COMMANDS_AT_ONCE: Final = 8  # in one commit, while nothing else waits for the decider
Rows: TypeAlias = Sequence[tuple[ReadRow, str]]


def bank_desk(desk: "Desk", vault: Vault) -> bank_routes.BankDesk:
    """Return what routes and pages of banking are given."""
    return bank_routes.BankDesk(
        database=desk.database,
        vault=vault,
        clock=desk.memory.clock,
        hours=lambda: banking.hours_of(desk.memory),
        request=lambda body, by: request(desk, body, by=by),
        cancel=lambda one, by: desk.command(lambda memory, tx: banking.cancel(memory, tx, one, by=by)),
        propose_batch=lambda account, by: propose_batch(desk, account, by=by),
        approve_batch=lambda batch, by: approve(desk, vault, batch, by=by),
        decline_batch=lambda batch, by, reason: desk.command(
            lambda memory, tx: banking.decline_batch(memory, tx, batch, by=by, reason=reason)
        ),
        take_file=lambda batch, by: take_file(desk, vault, batch, by=by),
        take_in=lambda data, name, by: take_in(desk, vault, data, name=name, by=by),
        propose=lambda one, by: desk.command(lambda memory, tx: banking.propose(memory, tx, one, by=by)),
        approve=lambda one, by: desk.command(lambda memory, tx: banking.approve_proposal(memory, tx, one, by=by)),
        decline=lambda one, by: desk.command(lambda memory, tx: banking.decline_proposal(memory, tx, one, by=by)),
    )


def expected_commands(desk: "Desk") -> ExpectedCommands:
    """Return what routes may have the decider do about money that will come in."""
    return ExpectedCommands(
        expect=lambda one, by: desk.command(lambda memory, tx: expecting.expect_money(memory, tx, one, by=by)),
        stop=lambda one, by: desk.command(lambda memory, tx: expecting.stop_expecting(memory, tx, one, by=by)),
    )


def request(desk: "Desk", body: bank_routes.CashOutBody, *, by: str) -> CashOut:
    """Ask for a cash-out.

    Refuses: PayeeInvalid, CashOutUnfit, CashOutRefused.
    Why the ledger's refusal is raised here and not in the command: its burned id must stay.
    """
    command = banking.RequestCashOut(
        id=body.id,
        owner=body.account,
        amount_minor=body.amount_minor,
        fee_minor=body.fee_minor,
        currency=body.currency,
        level=body.level,
        payee=msgspec.convert(msgspec.to_builtins(body.payee), Payee),
    )
    made, result = desk.command(lambda memory, tx: banking.request_cash_out(memory, tx, command, by=by))
    if made is None:
        assert result is not None, "no cash-out without the ledger's answer"
        first = f", first {result.first.value}" if result.first is not None else ""
        raise CashOutRefused(f"{result.code.value}{f' ({result.about})' if result.about else ''}{first}")
    return made


def propose_batch(desk: "Desk", account_id: str, *, by: str) -> Batch:
    """Draft a batch. Refuses: BankAccountMissing, BatchEmpty, CalendarMissing, BankingCalendarEnds."""
    begun = desk.command(lambda memory, tx: banking.open_batch(memory, tx, account_id, by=by))
    made = None if begun is None else draft(desk, begun.id)
    if made is None:
        raise BatchEmpty("what waits, if anything, says why it could not leave now")
    return made


def draft(desk: "Desk", batch_id: str) -> Batch | None:
    """Carry a draft to its proposal; wherever a crash left it, this goes on from there."""
    after: int | None = 0
    while after is not None:
        behind = after
        after = desk.command(lambda memory, tx: banking.draft_some(memory, tx, batch_id, behind))  # noqa: B023 - run at once
    return desk.command(lambda memory, tx: banking.finish_draft(memory, tx, batch_id))


def approve(desk: "Desk", vault: Vault, batch_id: str, *, by: str) -> Batch:
    """Approve a batch and let it leave.

    Refuses: BatchMissing, BatchDecided, SecondPersonNeeded, BankingCalendarEnds, CalendarMissing.
    """
    desk.command(lambda memory, tx: banking.approve_batch(memory, tx, batch_id, by=by))
    return release(desk, vault, batch_id)


def release(desk: "Desk", vault: Vault, batch_id: str) -> Batch:
    """Carry a batch that was approved to its file; wherever a crash left it, this goes on from there."""
    while desk.command(lambda memory, tx: banking.send_some(memory, tx, batch_id)):
        pass
    with desk.database.read() as tx:
        batch = bank_routes.find_batch(tx, batch_id)
        if batch.state != "releasing":
            return batch
        data = _file_of(tx, vault, batch)
    name = f"{batch.id}_{batch.value_on.replace('-', '')}.{'xml' if batch.format == 'pain.001' else 'txt'}"
    digest = hashlib.sha256(data).hexdigest()
    return desk.command(
        lambda memory, tx: banking.finish_batch(memory, tx, batch_id, name=name, digest=digest, data=data)
    )


def _file_of(tx: Tx, vault: Vault, batch: Batch) -> bytes:
    account = store.find_account(tx, batch.account)
    assert account is not None, "a batch has its account"
    orders = []
    for reference, amount, sealed in store.sent_payees(tx, batch.id):
        payee = lines.open_sent(vault, tx, sealed)
        assert payee is not None, "what was sealed a moment ago opens"
        orders.append(Order(reference=reference, payee=payee, amount_minor=amount))
    value_on = datetime.date.fromisoformat(batch.value_on)
    if not orders:
        return b""
    if batch.format == "pain.001":
        made_at = Instant(batch.decided_at or batch.proposed_at)
        return iso20022.write_order(account.originator, orders, value_on, message=batch.id, made_at=made_at)
    return zengin.write_transfer(account.originator, orders, value_on)


def take_file(desk: "Desk", vault: Vault, batch_id: str, *, by: str) -> tuple[Batch, bytes]:
    """Return the file of a batch: the same bytes every time, with an audit row each time.

    Refuses: BatchMissing, FileNotThere.
    """
    batch = desk.command(lambda memory, tx: banking.note_download(memory, tx, batch_id, by=by))
    with desk.database.read() as tx:
        sealed = store.read_file(tx, batch_id)
        data = None if sealed is None else vault.open_dated(tx, lines.SEALED, sealed)
    if data is None:
        raise FileNotThere("its years are over: the file was forgotten")
    assert hashlib.sha256(data).hexdigest() == batch.file_hash, "a sealed file opens as it was"
    return batch, data


def take_in(desk: "Desk", vault: Vault, data: bytes, *, name: str, by: str) -> Sequence[StatementFile]:
    """Bring in a statement or notice and follow its lines; the same bytes again get the first answer.

    Refuses: BankFileInvalid, BankAccountMissing.
    """
    statements = read(desk, data)
    digest = hashlib.sha256(data).hexdigest()
    with desk.database.read() as tx:
        if store.files_of_hash(tx, digest):
            parts: list[StatementFile] = []
        else:
            parts = [
                _part(tx, each, number, digest=digest, name=name or "statement")
                for number, each in enumerate(statements)
            ]
    if parts:
        desk.command(lambda memory, tx: banking.take_in(memory, tx, parts, data, by=by))
    with desk.database.read() as tx:
        kept = store.files_of_hash(tx, digest)
    for file in kept:
        follow(desk, vault, file, statements[file.part])
    with desk.database.read() as tx:
        return store.files_of_hash(tx, digest)


def read(desk: "Desk", data: bytes) -> list[ReadStatement]:
    """Read a file of a bank in whichever format it is. Refuses: BankFileInvalid."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return iso20022.read_statement(data)
    return zengin.read_statement(data, calendar.local_day(banking.hours_of(desk.memory), desk.memory.clock.now()))


def _part(tx: Tx, read_: ReadStatement, number: int, *, digest: str, name: str) -> StatementFile:
    account = store.account_of(tx, bank=read_.bank, branch=read_.branch, number=read_.account_number)
    if account is None or account.currency != read_.currency:
        raise BankAccountMissing(
            f"The file is about account {read_.bank} {read_.branch} …{read_.account_number[-3:]} in {read_.currency}, which is"
            " none of ours; add it first."
        )
    return StatementFile(
        id="",
        number=0,
        hash=digest,
        name=name,
        format=read_.format,
        kind=read_.kind,
        account=account.id,
        part=number,
        from_on=read_.from_on,
        to_on=read_.to_on,
        opening_minor=read_.opening_minor,
        closing_minor=read_.closing_minor,
        lines=len(read_.rows),
        done=0,
        imported_by="",
        imported_at=0,
    )


def follow(desk: "Desk", vault: Vault, file: StatementFile, read_: ReadStatement) -> None:
    """Follow the lines of a file that were not followed yet: some in each command, some commands in each commit.

    Why so: a commit waits for the disk about as long as a command works, and nobody's event waits for more than one
    command while any does. What a crash leaves is whole commands, and the file's row says how many lines they did.
    """
    rows = list(zip(read_.rows, lines.sames_of(vault, read_.rows), strict=True))
    done = file.done
    while done < len(rows):
        count = 1 if desk.decider.queued else COMMANDS_AT_ONCE
        ends = done + count * banking.LINES_AT_ONCE
        begins = range(done, min(ends, len(rows)), banking.LINES_AT_ONCE)
        done = desk.commands([functools.partial(_follow_some, file.id, rows, begin) for begin in begins])[-1]


def _follow_some(file_id: str, rows: Rows, begin: int, memory: Memory, tx: Tx) -> int:
    return banking.follow_lines(memory, tx, file_id, begin, rows[begin : begin + banking.LINES_AT_ONCE])


def tell(desk: "Desk") -> None:
    """Tell rules and the marketplace of cash-outs whose state changed; what a crash leaves is told by the next."""
    while True:
        with desk.database.read() as tx:
            if not store.untold(tx, limit=1):
                return
        desk.command(bank_facts.tell_some)


def carry_on(desk: "Desk", vault: Vault) -> int:
    """Finish what a crash left half done: batches that were approved, files that were kept; return how many.

    And note cash-outs whose reservation ran out while they waited.
    """
    with desk.database.read() as tx:
        begun = store.list_batches(tx, state="drafting", before=None, limit=100)
        drafts = [each for each in begun if each.proposed_at < desk.memory.clock.now() - MINUTE]
        batches = store.list_batches(tx, state="releasing", before=None, limit=100)
        files = store.unfinished_files(tx)
        lapsed = store.has_lapsed(tx, desk.memory.clock.now())
        opened = {}
        for file in files:
            sealed = store.read_bytes(tx, file.hash)
            opened[file.hash] = None if sealed is None else vault.open_dated(tx, lines.SEALED, sealed)
    while lapsed:
        lapsed = desk.command(banking.lapse_due) == banking.LAPSED_AT_ONCE
    for each in drafts:
        draft(desk, each.id)
    for batch in batches:
        release(desk, vault, batch.id)
    for file in files:
        data = opened[file.hash]
        if data is not None:
            follow(desk, vault, file, read(desk, data)[file.part])
    tell(desk)
    return len(batches) + len(files)
