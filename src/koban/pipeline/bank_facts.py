"""What rules and the marketplace hear of cash-outs on their way: some in each command, however many one line pays."""

from typing import Final

import msgspec

from koban.banking import store
from koban.banking.types import CashOut
from koban.db import Tx
from koban.enforcement import SubjectRef
from koban.pipeline.facts import Fact, enter_fact
from koban.pipeline.memory import Memory

ROOM: Final = "bank"
CASH_OUT_CHANGED: Final = "cash_out.changed"
PAID: Final = "cash_out.paid"
RETURNED: Final = "cash_out.returned"
TOLD_AT_ONCE: Final = 5
_TELLS: Final = {"paid": PAID, "returned": RETURNED, "failed": RETURNED}


def tell_some(memory: Memory, tx: Tx) -> int:
    """Tell of some more cash-outs whose state changed; return how many may be left.

    Each is an entry and a webhook; one that was paid or came back is a fact too, which the pack's rules may judge. Why
    afterwards: one line of a bank pays hundreds, and no command may hold the decider for so long.
    """
    found = store.untold(tx, limit=TOLD_AT_ONCE + 1)
    for one in found[:TOLD_AT_ONCE]:
        _tell(memory, tx, one)
        store.note_told(tx, one.id)
    return max(0, len(found) - TOLD_AT_ONCE)


def _tell(memory: Memory, tx: Tx, one: CashOut) -> None:
    body = {
        "cash_out": one.id,
        "account": one.owner,
        "status": one.state,
        "amount_minor": one.amount_minor,
        "fee_minor": one.fee_minor,
        "currency": one.currency,
        "batch": one.batch or "",
        "reason": one.reason,
    }
    about = SubjectRef(kind="account", id=one.owner)
    seq, at = memory.enter(CASH_OUT_CHANGED, msgspec.json.encode(body), about=f"account:{one.owner}", cause_seq=None)
    memory.tell_cash_out(about, body, seq=seq, at=at)
    if one.state in _TELLS:
        data: dict[str, object] = {
            "account": {"id": one.owner},
            "cash_out": {"id": one.id},
            "amount_minor": one.amount_minor,
            "currency": one.currency,
            "failed": one.state == "failed",
        }
        fact = Fact(room=ROOM, id=f"{one.id}.{one.state}", type=_TELLS[one.state], subject=None, data=data)
        enter_fact(memory, tx, fact, cause_seq=seq)
