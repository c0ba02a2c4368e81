"""Names and numbers at banks in full: asked for one cash-out, batch or line at a time, and each time in the audit trail.

Everything else shows them masked, to everybody.
"""

from typing import Final

from koban.access import Call, Endpoint, endpoint
from koban.audit import record
from koban.banking import store
from koban.banking.routes import BankDesk, CashOutView, LineView, cash_out_view, find_batch, line_view
from koban.banking.types import BatchMissing, CashOutMissing, LineMissing

BATCH_MAX: Final = 500


def name_endpoints(desk: BankDesk) -> list[Endpoint]:
    """Describe the routes."""

    def cash_out(call: Call) -> CashOutView:
        with desk.database.read() as tx:
            found = store.find_cash_out(tx, call.path["id"])
            if found is None:
                raise CashOutMissing(f"there is no cash-out {call.path['id'][:96]!r}")
            shown = cash_out_view(desk, tx, found, full=True)
        note_opened(desk, call, found.id, 1)
        return shown

    def batch(call: Call) -> list[CashOutView]:
        with desk.database.read() as tx:
            found = find_batch(tx, call.path["id"])
            items = store.of_batch(tx, found.id, limit=BATCH_MAX)
            shown = [cash_out_view(desk, tx, each, full=True) for each in items]
        note_opened(desk, call, found.id, len(shown))
        return shown

    def line(call: Call) -> LineView:
        with desk.database.read() as tx:
            found = store.find_line(tx, call.path["id"])
            if found is None:
                raise LineMissing(f"there is no line {call.path['id'][:96]!r}")
            shown = line_view(desk, tx, *found, full=True)
        note_opened(desk, call, shown.id, 1)
        return shown

    opens = "Leaves a row in the audit trail each time; everywhere else they are masked."
    return [
        endpoint("POST", "/v1/bank/cash-outs/{id}/names", "bank.names", cash_out,
                 summary="Open name and number of a cash-out's payee, logged", returns=CashOutView,
                 raises=(CashOutMissing,), description=opens),
        endpoint("POST", "/v1/bank/batches/{id}/names", "bank.names", batch,
                 summary="Open names and numbers of a batch's payees, logged", returns=list[CashOutView],
                 raises=(BatchMissing,), description=opens),
        endpoint("POST", "/v1/bank/lines/{id}/names", "bank.names", line,
                 summary="Open name and note of a line, logged", returns=LineView, raises=(LineMissing,),
                 description=opens),
    ]  # fmt: skip


def note_opened(desk: BankDesk, call: Call, about: str, count: int) -> None:
    """Write down that somebody opened names."""
    with desk.database.write() as tx:
        record(tx, call.at, call.principal.actor, "bank.names_opened", about, {"count": count})
