"""The ledger's part of the wiring: commands through the decider, and the proof with signed checkpoints."""

import pathlib
from typing import TYPE_CHECKING

import koban.events.store as event_store
import koban.ledger.routes as ledger_routes
from koban.audit import check_checkpoints, read_checkpoints
from koban.base.settings import Settings
from koban.db import Database
from koban.ledger import LedgerDef, LedgerReport, verify
from koban.ledger.booking_routes import BookingCommands
from koban.ledger.period_routes import PeriodCommands
from koban.ledger.verify import LedgerBreak
from koban.packs import active_at, load_pack, load_version
from koban.pipeline import money, reconciling
from koban.pipeline.booking import decide_booking, propose_booking
from koban.pipeline.desk import Desk
from koban.reconciliation import PeriodUnreconciled
from koban.subscriptions import LEDGER_CHECKPOINTS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from koban.app.running import Koban


def ledger_commands(koban_: "Koban") -> ledger_routes.Commands:
    """Return what routes and pages may have the decider do."""
    desk = koban_.desk
    return ledger_routes.Commands(
        post=lambda posting, by: desk.command(lambda memory, tx: money.make_posting(memory, tx, posting, by=by)),
        open_books=lambda batch, by: desk.command(lambda memory, tx: money.open_books(memory, tx, batch, by=by)),
        set_limits=lambda book, debit, credit, by: desk.command(
            lambda memory, tx: money.set_limits(
                memory, tx, book, net_debit_max_minor=debit, net_credit_max_minor=credit, by=by
            )
        ),
        transfer=lambda batch, by: desk.command(lambda memory, tx: money.make_transfers(memory, tx, batch, by=by)),
        definition=lambda: koban_.memory.compiled.pack.ledger,
        prove=lambda: prove(koban_.database, koban_.settings.data, koban_.signing_key.public),
    )


def booking_commands(desk: Desk) -> BookingCommands:
    """Return what routes and pages may have the decider do about what people want booked."""
    return BookingCommands(
        propose=lambda body, by: desk.command(lambda memory, tx: propose_booking(memory, tx, body, by=by)),
        decide=lambda booking, approves, reason, by: desk.command(
            lambda memory, tx: decide_booking(memory, tx, booking, approves=approves, reason=reason, by=by)
        ),
        templates=lambda: desk.memory.compiled.pack.ledger.templates,
    )


def period_commands(desk: Desk) -> PeriodCommands:
    """Return what routes and pages may have the decider do to periods."""
    return PeriodCommands(
        close=lambda body, by: desk.command(
            lambda memory, tx: reconciling.close_reconciled(
                memory, tx, body.through, note=body.note, despite_open=body.despite_open, by=by
            )
        ),
        close_refuses=(PeriodUnreconciled,),
        reopen=lambda body, by: desk.command(
            lambda memory, tx: money.reopen_period(memory, tx, body.through or "", reason=body.reason, by=by)
        ),
        definition=lambda: desk.memory.compiled.pack.ledger,
    )


def active_ledger(settings: Settings, database: Database) -> LedgerDef:
    """Return what the version in force says about money; of the folder at start, where none was activated yet."""
    with database.read() as tx:
        activation = active_at(tx, event_store.last_seq(tx) + 1)
        pack = None if activation is None else load_version(tx, activation.digest)
    return (pack or load_pack(settings.pack)).ledger


def prove(database: Database, data: pathlib.Path, key: "Ed25519PublicKey") -> LedgerReport:
    """Prove every balance from the log, and the log against the signed checkpoints that left the database."""
    # Read first: a checkpoint written while the log is walked may name what this snapshot does not hold yet.
    checkpoints = read_checkpoints(data / LEDGER_CHECKPOINTS)
    forged = check_checkpoints(key, checkpoints)
    with database.read() as tx:
        report = verify(tx, [(each.position, each.hash) for each in checkpoints])
    if forged is None or report.broken is not None:
        return report
    broken = LedgerBreak(position=forged.position, what="rewritten", about="", detail=forged.detail)
    return LedgerReport(
        rows=report.rows,
        transfers=report.transfers,
        books=report.books,
        pending=report.pending,
        signed=report.signed,
        broken=broken,
    )
